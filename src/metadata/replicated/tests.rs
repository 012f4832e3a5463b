use parking_lot::Mutex;

use super::*;
use crate::metadata::{CatalogueError, VhostSpec};
use crate::spec::{QueueSpec, QueueType};
use crate::types::{FieldTable, NodeId, QueueId};

/// A member, and how often it heard of changes and of another catalogue.
fn member() -> (Replicated, Arc<Mutex<(usize, usize)>>) {
    let heard = Arc::new(Mutex::new((0, 0)));
    let hearing = Arc::clone(&heard);
    let member = Replicated::new(Box::new(move |_, news| {
        match news {
            News::Changed(changes) => hearing.lock().0 += changes.len(),
            News::Replaced(_) => hearing.lock().1 += 1,
        }
        None
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

fn queue(name: &str) -> Bytes {
    let spec = QueueSpec {
        id: QueueId(0),
        vhost: "v".into(),
        name: name.into(),
        queue_type: QueueType::Quorum,
        durable: true,
        auto_delete: false,
        exclusive_owner: None,
        home: NodeId(1),
        members: Vec::new(),
        generations: 0,
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
    let log = [vhost(), queue("a"), queue("b"), queue("a")];
    for (index, record) in (1..).zip(&log) {
        one.apply(index, record.clone()).expect("readable").expect("taken");
    }
    let told = heard.lock().0;
    // A member that begins with a snapshot goes on as the others do.
    other.restore(one.snapshot()).expect("just made");
    for member in [&mut one, &mut other] {
        member.apply(5, queue("c")).expect("readable").expect("taken");
        let catalogue = member.catalogue();
        let catalogue = catalogue.read();
        let ids = ["a", "b", "c"].map(|name| {
            catalogue
                .vhost("v")
                .and_then(|vhost| vhost.queue(name))
                .map(|spec| spec.id)
        });
        assert_eq!(ids, [1, 2, 3].map(|id| Some(QueueId(id))));
    }
    assert_eq!(pieces(&one), pieces(&other));
    assert_eq!(*heard.lock(), (told + 1, 0));
}

#[test]
fn what_is_refused_changes_nothing() {
    let (mut member, heard) = member();
    let before = pieces(&member);
    let refused = member.apply(1, queue("a")).expect("readable");
    assert!(matches!(refused, Err(CatalogueError::NoVhost(_))));
    assert_eq!((pieces(&member), *heard.lock()), (before, (0, 0)));
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
