use parking_lot::Mutex;

use super::*;
use crate::metadata::{CatalogError, VhostSpec};
use crate::spec::{QueueSpec, QueueType};
use crate::types::{ConnectionId, FieldTable, QueueId};

/// A member, and how often it heard of changes and of another catalogue.
fn member() -> (Replicated, Arc<Mutex<(usize, usize)>>) {
    let heard = Arc::new(Mutex::new((0, 0)));
    let hearing = Arc::clone(&heard);
    let member = Replicated::new(Box::new(move |news| match news {
        News::Changed(changes) => hearing.lock().0 += changes.len(),
        News::Replaced => hearing.lock().1 += 1,
    }));
    (member, heard)
}

fn vhost() -> Bytes {
    let spec = VhostSpec {
        name: "v".into(),
        description: String::new(),
        tags: Vec::new(),
        default_queue_type: None,
        protected: false,
    };
    Command::PutVhost(spec).encode().into()
}

fn queue(name: &str, durable: bool, exclusive_owner: Option<ConnectionId>) -> Bytes {
    let spec = QueueSpec {
        id: QueueId(1),
        vhost: "v".into(),
        name: name.into(),
        queue_type: QueueType::Quorum,
        durable,
        auto_delete: false,
        exclusive_owner,
        arguments: FieldTable::new(),
        user: "u".into(),
    };
    Command::DeclareQueue(spec).encode().into()
}

fn pieces(member: &Replicated) -> Vec<Bytes> {
    member.snapshot().collect::<Result<_, _>>().expect("in memory")
}

#[test]
fn queues_proposed_at_once_get_ids_of_their_own_on_every_member() {
    let (mut one, heard) = member();
    let (mut other, _) = member();
    let log = [
        vhost(),
        queue("a", true, None),
        queue("b", true, None),
        queue("a", true, None),
    ];
    let mut told = 1;
    for (index, record) in (1..).zip(&log) {
        told += one
            .apply(index, record.clone())
            .expect("readable")
            .expect("taken")
            .len();
    }
    // A member that begins with a snapshot goes on as the others do.
    other.restore(one.snapshot()).expect("just made");
    for member in [&mut one, &mut other] {
        let changes = member
            .apply(5, queue("c", true, None))
            .expect("readable")
            .expect("taken");
        assert!(matches!(&changes[..], [Change::QueueDeclared(spec)] if spec.id == QueueId(3)));
    }
    assert_eq!(pieces(&one), pieces(&other));
    assert_eq!(*heard.lock(), (told, 0));
}

#[test]
fn what_is_refused_changes_nothing() {
    let (mut member, heard) = member();
    let before = pieces(&member);
    let refused = member.apply(1, queue("a", true, None)).expect("readable");
    assert!(matches!(refused, Err(CatalogError::NoVhost(_))));
    assert_eq!((pieces(&member), *heard.lock()), (before, (0, 0)));
}

#[test]
fn what_ends_with_a_node_is_kept_out_of_the_log() {
    assert_eq!(Replicated::check(&queue("a", true, None)), Ok(()));
    for record in [queue("a", false, None), queue("a", true, Some(ConnectionId(1)))] {
        assert!(Replicated::check(&record).is_err());
    }
    assert!(Replicated::check(&[9, 1]).is_err() && Replicated::check(&[]).is_err());
}

#[test]
fn a_damaged_snapshot_leaves_what_is_there() {
    let (mut member, heard) = member();
    member.apply(1, vhost()).expect("readable").expect("taken");
    let before = pieces(&member);
    let mut damaged = before[0].to_vec();
    damaged.truncate(damaged.len() / 2);
    assert!(member.restore(Box::new(std::iter::once(Ok(damaged.into())))).is_err());
    assert_eq!((pieces(&member), heard.lock().1), (before, 0));
}
