//! A client need not know where anything is: every node serves every queue.

use crate::support::disk::BreakingDisk;
use crate::support::*;

/// Every pair of nodes, and a node with itself.
fn pairs(cluster: &Cluster) -> Vec<(usize, usize)> {
    let all = cluster.all();
    all.iter()
        .flat_map(|&from| all.iter().map(move |&to| (from, to)))
        .collect()
}

async fn published_anywhere_is_consumed_anywhere(kind: &str) {
    let cluster = Cluster::of(3).await;
    for home in cluster.all() {
        let queue = unique(kind);
        let declared = table([("x-queue-type", text(kind))]);
        cluster.client(home).await.queue(&queue, declared).await;
        for (from, to) in pairs(&cluster) {
            let body = format!("{from} to {to}");
            let publisher = cluster.client(from).await;
            assert!(publisher.publish("", &queue, &body, persistent()).await.is_ack());
            let consumer = cluster.client(to).await;
            assert_eq!(consumer.wait_for(&queue, 1).await, [body], "queue of {home}");
        }
        let left = cluster.client(home).await.ready(&queue).await;
        assert_eq!(left, 0, "queue of {home}");
    }
}

#[tokio::test]
async fn a_quorum_queue_is_served_by_every_node() {
    published_anywhere_is_consumed_anywhere("quorum").await;
}

#[tokio::test]
async fn a_classic_queue_is_served_by_every_node() {
    published_anywhere_is_consumed_anywhere("classic").await;
}

#[tokio::test]
async fn an_answer_reaches_the_exclusive_queue_of_another_nodes_client() {
    let cluster = Cluster::of(3).await;
    cluster.client(1).await.plain_queue("questions").await;
    for (asking, answering) in pairs(&cluster) {
        let asker = cluster.client(asking).await;
        let exclusive = lapin::options::QueueDeclareOptions {
            exclusive: true,
            ..Default::default()
        };
        let declared = asker.queue_declare("".into(), exclusive, table([])).await;
        let reply_queue = declared.expect("a queue of its own").name().to_string();
        let mut replies = asker.consume(&reply_queue).await;
        let properties = Properties::default().with_reply_to(reply_queue.as_str().into());
        assert!(asker.publish("", "questions", "who?", properties).await.is_ack());
        answer(&cluster, answering).await;
        assert_eq!(story(&next(&mut replies).await), format!("answer of {answering}"));
    }
}

#[tokio::test]
async fn a_direct_answer_reaches_another_nodes_client() {
    let cluster = Cluster::of(3).await;
    cluster.client(1).await.plain_queue("questions").await;
    for (asking, answering) in pairs(&cluster) {
        let asker = cluster.client(asking).await;
        let mut replies = asker.consume_unacked("amq.rabbitmq.reply-to").await;
        let properties = Properties::default().with_reply_to("amq.rabbitmq.reply-to".into());
        assert!(asker.publish("", "questions", "who?", properties).await.is_ack());
        answer(&cluster, answering).await;
        assert_eq!(story(&next(&mut replies).await), format!("answer of {answering}"));
    }
}

/// Takes a question at a node and answers to where it wants the answer.
async fn answer(cluster: &Cluster, node: usize) {
    let client = cluster.client(node).await;
    let mut questions = client.consume("questions").await;
    let question = next(&mut questions).await;
    let to = question.properties.reply_to().as_ref().expect("a place for the answer");
    let answer = format!("answer of {node}");
    let answered = client.publish("", to.as_str(), &answer, Properties::default()).await;
    assert!(answered.is_ack());
    ack(&question).await;
    client.connection.close(200, "done".into()).await.expect("closed");
}

#[tokio::test]
async fn a_fanout_reaches_the_queues_of_all_nodes() {
    let cluster = Cluster::of(3).await;
    for node in cluster.all() {
        let client = cluster.client(node).await;
        for kind in ["classic", "quorum"] {
            let queue = format!("{kind}-{node}");
            client.queue(&queue, table([("x-queue-type", text(kind))])).await;
            client.bind(&queue, "amq.fanout", "", table([])).await;
        }
    }
    for node in cluster.all() {
        let publisher = cluster.client(node).await;
        let body = format!("from {node}");
        assert!(publisher.publish("amq.fanout", "", &body, persistent()).await.is_ack());
    }
    let client = cluster.client(2).await;
    for node in cluster.all() {
        for kind in ["classic", "quorum"] {
            let queue = format!("{kind}-{node}");
            let taken = client.wait_for(&queue, 3).await;
            assert_eq!(taken, ["from 1", "from 2", "from 3"], "{queue}");
        }
    }
}

/// Wherever its machine is: what its client was told is so for whoever comes next, on any node.
#[tokio::test]
async fn an_auto_delete_queue_is_gone_when_the_end_of_its_consumer_is_answered() {
    let cluster = Cluster::of(3).await;
    let auto_delete = lapin::options::QueueDeclareOptions {
        auto_delete: true,
        ..Default::default()
    };
    for (home, consuming) in pairs(&cluster) {
        let client = cluster.client(home).await;
        for way in ["basic.cancel", "channel.close", "connection.close"] {
            let names: Vec<String> = (0..10).map(|_| unique("brief")).collect();
            let leaving = cluster.client(consuming).await;
            let mut consumers = Vec::new();
            for name in &names {
                let declared = client.queue_declare(name.as_str().into(), auto_delete, table([])).await;
                declared.expect("a queue");
                consumers.push(leaving.consume(name).await);
            }
            match way {
                "basic.cancel" => {
                    for consumer in &consumers {
                        leaving.cancel(consumer).await;
                    }
                }
                "channel.close" => leaving.close(200, "done".into()).await.expect("closed"),
                _ => leaving.connection.close(200, "done".into()).await.expect("closed"),
            }
            for name in names.iter().rev() {
                let looking = cluster.client(home).await;
                let looked = refused(looking.look(name).await);
                assert!(
                    looked.starts_with("404"),
                    "{way} at {consuming}, queue of {home}: {looked}"
                );
            }
        }
    }
}

/// The consumer's node may hear that the queue is deleted before the queue's own node has it done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_consumer_is_answered_when_the_queues_own_node_has_deleted_the_queue_too() {
    let disk = BreakingDisk::whole();
    let mut places = loopback(3);
    places[1].through = disk.through();
    let cluster = Cluster::at(places).await;
    let auto_delete = lapin::options::QueueDeclareOptions {
        auto_delete: true,
        ..Default::default()
    };
    let home = cluster.client(2).await;
    let watching = cluster.client(3).await;
    for way in ["basic.cancel", "channel.close", "connection.close"] {
        let name = unique("brief");
        let declared = home.queue_declare(name.as_str().into(), auto_delete, table([])).await;
        declared.expect("a queue");
        let leaving = cluster.client(3).await;
        let consumer = leaving.consume(&name).await;
        let looking = home.another().await;
        disk.hold_syncs();
        let left = tokio::spawn({
            let name = name.clone();
            async move {
                match way {
                    "basic.cancel" => leaving.cancel(&consumer).await,
                    "channel.close" => leaving.close(200, "done".into()).await.expect("closed"),
                    _ => leaving.connection.close(200, "done".into()).await.expect("closed"),
                }
                refused(looking.look(&name).await)
            }
        });
        loop {
            // A majority has it deleted.
            let channel = watching.another().await;
            if channel.look(&name).await.is_err() {
                break;
            }
        }
        // Time enough for whoever is answered too early.
        for _ in 0..20 {
            watching.another().await;
        }
        disk.heal();
        let looked = left.await.expect("answered");
        assert!(looked.starts_with("404"), "{way}: {looked}");
    }
}

/// A node that does not answer holds up nobody who goes.
#[tokio::test]
async fn a_close_is_answered_though_the_node_of_the_queue_does_not_answer() {
    let mut cluster = Cluster::of(3).await;
    cluster.client(1).await.plain_queue("orders").await;
    let client = cluster.client(2).await;
    let channel = client.another().await;
    let _consumer = channel.consume("orders").await;
    cluster.pause(1);
    channel.close(200, "done".into()).await.expect("closed");
    client.connection.close(200, "done".into()).await.expect("closed");
    cluster.resume(1);
}

#[tokio::test]
async fn who_holds_a_message_for_too_long_loses_its_channel_on_whatever_node() {
    let cluster = Cluster::of(3).await;
    for kind in ["classic", "quorum"] {
        for node in cluster.all() {
            // Once somebody was late a queue looks again after a minute only.
            let queue = unique(kind);
            let arguments = table([("x-queue-type", text(kind)), ("x-consumer-timeout", number(300))]);
            cluster.client(1).await.queue(&queue, arguments).await;
            let client = cluster.client(node).await;
            let mut consumer = client.consume(&queue).await;
            assert!(client.publish("", &queue, "held", persistent()).await.is_ack());
            next(&mut consumer).await;
            let end = tokio::time::timeout(CLUSTER_PATIENCE, futures_lite::StreamExt::next(&mut consumer));
            let end = end.await.expect("an end in time");
            assert!(!matches!(end, Some(Ok(_))), "{kind} at {node}: {end:?}");
            let other = cluster.client(node).await;
            assert_eq!(
                other.wait_for(&queue, 1).await,
                ["held (redelivered)"],
                "{kind} at {node}"
            );
        }
    }
}
