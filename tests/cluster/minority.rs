//! Without a majority nothing is promised; with one, a node more or less makes no difference.

use std::time::{Duration, Instant};

use lapin::options::BasicPublishOptions;
use tokio::time::timeout;

use crate::support::*;

/// A client must not wait longer for the answer that its declare cannot be had.
const ANSWER: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_minority_refuses_to_declare_and_confirms_nothing_until_it_is_a_majority() {
    let mut cluster = Cluster::of(3).await;
    let quorum = table([("x-queue-type", text("quorum"))]);
    cluster.client(1).await.queue("orders", quorum.clone()).await;
    let leader = cluster.leader(1, "orders", &cluster.all()).await;
    let others = cluster.others(leader);
    let publisher = cluster.client(leader).await;
    let declaring = cluster.client(leader).await;
    for &other in &others {
        cluster.kill9(other);
    }
    let options = BasicPublishOptions::default();
    let published = publisher.basic_publish("".into(), "orders".into(), options, b"kept", persistent());
    let mut confirm = published.await.expect("published");
    let durable = lapin::options::QueueDeclareOptions::durable();
    let declared = declaring.queue_declare("more".into(), durable, quorum);
    let declared = timeout(ANSWER, declared).await.expect("an answer in time");
    declared.expect_err("a queue without a majority");
    // So long after its publish there is no confirm.
    let early = timeout(Duration::from_secs(1), &mut confirm).await;
    assert!(early.is_err(), "confirmed by a minority: {early:?}");
    cluster.start(others[0]);
    cluster.ready(&[leader, others[0]]).await;
    let confirm = timeout(CLUSTER_PATIENCE, confirm).await.expect("a confirm in time");
    assert!(confirm.expect("a confirm").is_ack());
    let consumer = cluster.client(others[0]).await;
    assert_eq!(consumer.wait_for("orders", 1).await, ["kept"]);
}

#[tokio::test]
async fn a_minority_does_not_say_that_a_queue_is_purged() {
    let mut cluster = Cluster::of(3).await;
    let quorum = table([("x-queue-type", text("quorum"))]);
    cluster.client(1).await.queue("orders", quorum).await;
    let leader = cluster.leader(1, "orders", &cluster.all()).await;
    let others = cluster.others(leader);
    for node in [leader, others[0]] {
        let client = cluster.client(node).await;
        assert!(client.publish("", "orders", "m", persistent()).await.is_ack());
        let purged = client.queue_purge("orders".into(), Default::default()).await;
        assert_eq!(purged.expect("purged"), 1, "node {node}, leader {leader}");
    }
    let client = cluster.client(leader).await;
    assert!(client.publish("", "orders", "m", persistent()).await.is_ack());
    for &other in &others {
        cluster.kill9(other);
    }
    let purged = client.queue_purge("orders".into(), Default::default());
    let purged = timeout(ANSWER, purged).await.expect("an answer in time");
    let refused = purged.expect_err("a purge that may not stay").to_string();
    assert!(refused.contains("NOT_FOUND"), "{refused}");
    cluster.start(others[0]);
    cluster.ready(&[leader, others[0]]).await;
    let client = cluster.client(others[0]).await;
    let purged = timeout(
        CLUSTER_PATIENCE,
        client.queue_purge("orders".into(), Default::default()),
    );
    assert!(purged.await.expect("an answer in time").expect("purged") <= 1);
}

#[tokio::test]
async fn a_minority_says_soon_that_members_are_not_changed() {
    let mut cluster = Cluster::of(3).await;
    let quorum = table([("x-queue-type", text("quorum"))]);
    let client = cluster.client(1).await;
    for number in 0..20 {
        client.queue(&format!("q{number:02}"), quorum.clone()).await;
    }
    cluster.kill9(2);
    cluster.kill9(3);
    until("node 1 is alone", || {
        cluster.running(1).is_some_and(|running| running.len() == 1)
    })
    .await;
    let begun = Instant::now();
    let said = cluster.ctl(1, &["delete_member", "q00", "rabbit@n3"], 69);
    assert!(said.contains("timeout"), "{said}");
    assert!(begun.elapsed() < ANSWER, "one queue: {:?}", begun.elapsed());
    let begun = Instant::now();
    let said = cluster.ctl(1, &["shrink", "rabbit@n3", "-q"], 0);
    assert!(begun.elapsed() < 2 * ANSWER, "all queues: {:?}", begun.elapsed());
    let why = "error: the operation timed out and may not have been completed";
    let rows: Vec<_> = (0..20).map(|number| format!("/\tq{number:02}\t?\t{why}\n")).collect();
    assert_eq!(said, format!("vhost\tname\tsize\tresult\n{}", rows.concat()));
    let begun = Instant::now();
    cluster
        .http(1)
        .call("DELETE", "/api/queues/quorum/replicas/on/rabbit@n3/shrink", "");
    assert!(begun.elapsed() < 2 * ANSWER, "at the API: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_queue_is_declared_and_used_while_a_node_is_down_which_has_it_afterwards() {
    let mut cluster = Cluster::of(3).await;
    cluster.kill9(3);
    let client = cluster.client(1).await;
    let quorum = table([("x-queue-type", text("quorum"))]);
    client.queue("orders", quorum).await;
    assert!(client.publish("", "orders", "kept", persistent()).await.is_ack());
    cluster.start(3);
    cluster.all_ready().await;
    until("the node that was down is a member and online", || {
        let queue = cluster.queue(1, "orders");
        queue.is_some_and(|queue| {
            let has_it = |list: &str| {
                let names = queue[list].as_array();
                names.is_some_and(|names| names.iter().any(|name| *name == cluster.name(3)))
            };
            has_it("members") && has_it("online")
        })
    })
    .await;
    cluster.kill9(1);
    let client = cluster.client(3).await;
    assert_eq!(client.wait_for("orders", 1).await, ["kept"]);
}
