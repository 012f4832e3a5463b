//! Machines of groups that are made to panic, as no client can make them.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::broker::queue::claims::ConfirmToken;
use crate::broker::queue::joint::Joint;
use crate::broker::{Broker, Failure};
use crate::codec::Properties;
use crate::config::Config;
use crate::metadata::Command;
use crate::queue::Publish;
use crate::spec::{QueueSpec, QueueType};
use crate::types::{FieldTable, Message, MessageParts, Traits};

/// How long anything that must happen may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A node alone, with what its directory has.
pub(in crate::broker) async fn broker(directory: &Path) -> Arc<Broker> {
    let mut config = Config::default();
    config.node.data_dir = directory.to_owned();
    config.node.name = "node@here".into();
    let broker = Broker::open(Arc::new(config)).await.expect("a broker");
    if !broker.membership().belongs() {
        broker
            .membership()
            .found("node@here")
            .await
            .expect("a cluster of its own");
    }
    broker.catch_up().await;
    tasks::spawn("timers", broker.clone().run_timers());
    tasks::spawn("elections", broker.replicas().clone().run_elections());
    tasks::spawn("leader lookups", broker.queues().clone().run_leader_lookups());
    broker
}

pub(in crate::broker) fn message(body: &str) -> Message {
    let properties = Properties {
        delivery_mode: Some(2),
        ..Properties::default()
    };
    let parts = MessageParts {
        exchange: b"",
        routing_key: b"orders",
        properties: &properties.encode(),
        traits: Traits {
            persistent: true,
            ..Traits::default()
        },
    };
    Message::new(parts, body.as_bytes(), &mut Vec::new())
}

pub(in crate::broker) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what}");
}

async fn declare(broker: &Arc<Broker>) -> Arc<QueueHandle> {
    let spec = QueueSpec {
        id: QueueId(0),
        vhost: "/".into(),
        name: "orders".into(),
        queue_type: QueueType::Quorum,
        durable: true,
        auto_delete: false,
        exclusive_owner: None,
        home: NodeId(0),
        members: Vec::new(),
        generations: 0,
        arguments: FieldTable::new(),
        user: "guest".into(),
    };
    broker
        .declarations()
        .command(Command::DeclareQueue(spec))
        .await
        .expect("declared");
    queue_of(broker)
}

fn queue_of(broker: &Arc<Broker>) -> Arc<QueueHandle> {
    let vhost = broker.vhost("/").expect("the vhost");
    vhost.queue("orders").expect("the queue")
}

/// Publishes a message; whether the queue has it comes with the answer.
fn publish(broker: &Arc<Broker>, queue: &Arc<QueueHandle>, body: &str) -> crate::broker::queue::joint::JointAnswer {
    let (joint, answered) = Joint::new();
    let publish = Publish {
        message: message(body),
        publish: Some(ConfirmToken::Joint(joint.claim())),
    };
    queue.publish(broker.queues(), [publish]);
    answered
}

async fn is_accepted(answered: crate::broker::queue::joint::JointAnswer) {
    let accepted = tokio::time::timeout(PATIENCE, answered.is_accepted()).await;
    assert_eq!(accepted, Ok(true));
}

fn group_of(broker: &Arc<Broker>, queue: &Arc<QueueHandle>) -> Group<Contents> {
    broker
        .replicas
        .members
        .group(queue.spec.id)
        .expect("the member is open")
}

fn has_messages(broker: &Arc<Broker>, queue: &Arc<QueueHandle>, count: u64) -> bool {
    let group = broker.replicas.members.group(queue.spec.id);
    group.is_some_and(|group| {
        !group.has_panicked() && group.machine().ledger().expect("a queue").figures().messages == count
    })
}

/// The node stops in order.
async fn stop(broker: Arc<Broker>) {
    broker.replicas().end_groups().await;
    let stopped = tokio::task::spawn_blocking(move || broker.stop()).await;
    stopped.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_panics_is_made_anew_out_of_its_log_and_one_that_does_so_again_is_let_be() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = broker(directory.path()).await;
    let queue = declare(&node).await;
    for body in ["m1", "m2", "m3"] {
        is_accepted(publish(&node, &queue, body)).await;
    }
    group_of(&node, &queue).meddle(|_| panic!("as asked"));
    // It is in the log when the ledger cannot take it.
    is_accepted(publish(&node, &queue, "m4")).await;
    until("all is there", || has_messages(&node, &queue, 4)).await;
    is_accepted(publish(&node, &queue, "m5")).await;

    group_of(&node, &queue).meddle(|_| panic!("as asked"));
    let waiting = publish(&node, &queue, "m6");
    until("it is let be", || node.replicas.members.is_damaged(queue.spec.id)).await;
    drop(waiting);
    stop(node).await;
    let node = broker(directory.path()).await;
    let queue = queue_of(&node);
    until("nothing is lost", || has_messages(&node, &queue, 6)).await;
    assert!(!node.replicas.members.is_damaged(queue.spec.id));
    is_accepted(publish(&node, &queue, "m7")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_raft_task_panics_is_made_anew_out_of_its_log_and_one_that_does_so_again_is_let_be() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = broker(directory.path()).await;
    let queue = declare(&node).await;
    for body in ["m1", "m2", "m3"] {
        is_accepted(publish(&node, &queue, body)).await;
    }
    let first = group_of(&node, &queue);
    first.panic_inside().await;
    let is_another = || {
        let group = node.replicas.members.group(queue.spec.id);
        group.is_some_and(|group| !group.is(&first)) && has_messages(&node, &queue, 3)
    };
    until("it is made anew", is_another).await;
    is_accepted(publish(&node, &queue, "m4")).await;

    group_of(&node, &queue).panic_inside().await;
    until("it is let be", || node.replicas.members.is_damaged(queue.spec.id)).await;
    stop(node).await;
    let node = broker(directory.path()).await;
    let queue = queue_of(&node);
    until("nothing is lost", || has_messages(&node, &queue, 4)).await;
    is_accepted(publish(&node, &queue, "m5")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_ends_when_the_raft_task_of_its_catalogue_panics() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = broker(directory.path()).await;
    node.declarations().group().panic_inside().await;
    let failure = tokio::time::timeout(PATIENCE, node.failed()).await;
    assert!(matches!(failure, Ok(Failure::Catalogue(_))), "{failure:?}");
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_catalogue_panics_ends_and_knows_all_when_it_is_started_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = broker(directory.path()).await;
    let queue = declare(&node).await;
    is_accepted(publish(&node, &queue, "m1")).await;
    node.declarations().group().meddle(|_| panic!("as asked"));
    let vhost = crate::metadata::VhostSpec {
        name: "later".into(),
        description: String::new(),
        tags: Vec::new(),
        default_queue_type: None,
        protected: false,
    };
    let (declared, failure) = tokio::join!(node.declarations().command(Command::PutVhost(vhost)), node.failed());
    assert!(declared.is_err(), "it is not known to be done");
    assert!(matches!(failure, Failure::Catalogue(_)), "{failure}");
    stop(node).await;
    let node = broker(directory.path()).await;
    let queue = queue_of(&node);
    until("nothing is lost", || has_messages(&node, &queue, 1)).await;
    // What was in the log when it panicked is.
    until("the vhost", || node.vhost("later").is_some()).await;
}
