//! Dead letters that are kept until their targets have them, while the leader of their queue is
//! killed: some may arrive twice, none is lost.

use std::collections::BTreeSet;

use crate::support::*;

const LETTERS: usize = 200;

/// A cluster with a quorum queue that keeps its dead letters, and the number of the node that leads it.
async fn with_queue() -> (Cluster, usize) {
    let cluster = Cluster::of(3).await;
    let mut arguments = dying_to(
        "dead",
        [
            ("x-queue-type", text("quorum")),
            ("x-dead-letter-strategy", text("at-least-once")),
        ],
    );
    arguments.insert("x-overflow".into(), text("reject-publish"));
    cluster.client(1).await.queue("orders", arguments).await;
    let leader = cluster.leader(1, "orders", &cluster.all()).await;
    (cluster, leader)
}

async fn declare_target(client: &Client) {
    client.queue("dead", table([("x-queue-type", text("quorum"))])).await;
}

/// Publishes the messages, and rejects each.
async fn reject_all(client: &Client) {
    for number in 0..LETTERS {
        let body = number.to_string();
        assert!(client.publish("", "orders", &body, persistent()).await.is_ack());
    }
    let mut consumer = client.consume("orders").await;
    for _ in 0..LETTERS {
        discard(&next(&mut consumer).await).await;
    }
    client.cancel(&consumer).await;
}

/// Reads until each message has arrived.
async fn all_arrive(client: &Client) {
    let mut consumer = client.consume("dead").await;
    let mut missing: BTreeSet<_> = (0..LETTERS).map(|number| number.to_string()).collect();
    while !missing.is_empty() {
        let delivery = next(&mut consumer).await;
        assert_eq!(deaths(&delivery), ["orders rejected 1 '' [orders]"]);
        missing.remove(&body(&delivery));
        ack(&delivery).await;
    }
}

async fn until_messages(cluster: &Cluster, node: usize, messages: usize) {
    until(&format!("{messages} messages in orders"), || {
        let queue = cluster.queue(node, "orders");
        queue.is_some_and(|queue| queue["messages"] == messages && queue["messages_dlx"] == messages)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_without_a_target_wait_under_the_next_leader() {
    let (mut cluster, leader) = with_queue().await;
    let others = cluster.others(leader);
    let client = cluster.client(others[0]).await;
    reject_all(&client).await;
    until_messages(&cluster, others[0], LETTERS).await;
    cluster.kill9(leader);
    cluster.leader(others[0], "orders", &others).await;
    until_messages(&cluster, others[0], LETTERS).await;
    assert!(client.get("orders").await.is_none(), "they are no consumer's any more");
    declare_target(&client).await;
    all_arrive(&client).await;
    until_messages(&cluster, others[0], 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_on_their_way_arrive_when_the_leader_is_killed() {
    let (mut cluster, leader) = with_queue().await;
    let others = cluster.others(leader);
    let client = cluster.client(others[0]).await;
    declare_target(&client).await;
    reject_all(&client).await;
    cluster.kill9(leader);
    all_arrive(&client).await;
    until_messages(&cluster, others[0], 0).await;
}
