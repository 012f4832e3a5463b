//! What consumers hold while nodes go away: it stays theirs as long as they live, and comes back
//! flagged when they do not.

use lapin::Consumer;
use lapin::message::Delivery;
use lapin::types::FieldTable;

use crate::support::*;

/// A cluster with a quorum queue, and the number of the node that leads it.
async fn with_queue() -> (Cluster, usize) {
    let cluster = Cluster::of(3).await;
    let quorum = table([("x-queue-type", text("quorum"))]);
    cluster.client(1).await.queue("orders", quorum).await;
    let leader = cluster.leader(1, "orders", &cluster.all()).await;
    (cluster, leader)
}

/// A client of a node that has taken the one message of the queue and not settled it.
async fn holder(cluster: &Cluster, node: usize) -> (Client, Consumer, Delivery) {
    let client = cluster.client(node).await;
    assert!(client.publish("", "orders", "held", persistent()).await.is_ack());
    let mut consumer = client.consume("orders").await;
    let held = next(&mut consumer).await;
    assert_eq!(story(&held), "held");
    (client, consumer, held)
}

#[tokio::test]
async fn a_live_consumer_keeps_what_it_holds_when_the_leader_is_killed() {
    let (mut cluster, leader) = with_queue().await;
    let others = cluster.others(leader);
    let (client, mut consumer, held) = holder(&cluster, others[0]).await;
    cluster.kill9(leader);
    cluster.leader(others[0], "orders", &others).await;
    // Behind this nothing of before can come.
    assert!(client.publish("", "orders", "new", persistent()).await.is_ack());
    let new = next(&mut consumer).await;
    assert_eq!(story(&new), "new");
    // Nor does anybody else get it.
    let other = cluster.client(others[1]).await;
    let mut second = other.consume("orders").await;
    other.quiet(&mut second).await;
    client.quiet(&mut consumer).await;
    // It is settled by who holds it, for good.
    ack(&held).await;
    ack(&new).await;
    client.connection.close(200, "done".into()).await.expect("closed");
    assert!(other.publish("", "orders", "last", persistent()).await.is_ack());
    assert_eq!(story(&next(&mut second).await), "last");
}

#[tokio::test]
async fn what_a_client_of_the_killed_leader_held_comes_back_flagged() {
    let (mut cluster, leader) = with_queue().await;
    let (_client, _consumer, _held) = holder(&cluster, leader).await;
    cluster.kill9(leader);
    let other = cluster.client(cluster.others(leader)[0]).await;
    let mut consumer = other.consume("orders").await;
    assert_eq!(story(&next(&mut consumer).await), "held (redelivered)");
}

#[tokio::test]
async fn what_a_client_of_a_killed_follower_held_comes_back_flagged() {
    let (mut cluster, leader) = with_queue().await;
    let follower = cluster.others(leader)[0];
    let (_client, _consumer, _held) = holder(&cluster, follower).await;
    cluster.kill9(follower);
    let other = cluster.client(leader).await;
    let mut consumer = other.consume("orders").await;
    assert_eq!(story(&next(&mut consumer).await), "held (redelivered)");
}

#[tokio::test]
async fn what_was_held_when_all_were_killed_comes_back_flagged() {
    let (mut cluster, leader) = with_queue().await;
    let (_client, _consumer, _held) = holder(&cluster, cluster.others(leader)[0]).await;
    for node in cluster.all() {
        cluster.kill9(node);
    }
    for node in cluster.all() {
        cluster.start(node);
    }
    cluster.all_ready().await;
    let client = cluster.client(1).await;
    let mut consumer = client.consume("orders").await;
    assert_eq!(story(&next(&mut consumer).await), "held (redelivered)");
}

#[tokio::test]
async fn a_settled_message_stays_settled_when_the_leader_is_killed() {
    let (mut cluster, leader) = with_queue().await;
    let others = cluster.others(leader);
    let (client, _consumer, held) = holder(&cluster, others[0]).await;
    ack(&held).await;
    // The ack is in front of this on its way.
    assert!(client.publish("", "orders", "next", persistent()).await.is_ack());
    cluster.kill9(leader);
    let other = cluster.client(others[1]).await;
    client.connection.close(200, "done".into()).await.expect("closed");
    let mut consumer = other.consume("orders").await;
    assert_eq!(body(&next(&mut consumer).await), "next");
    other.quiet(&mut consumer).await;
}

#[tokio::test]
async fn what_a_cancelled_consumer_holds_is_settled_when_another_node_leads() {
    let (cluster, leader) = with_queue().await;
    let other = cluster.others(leader)[0];
    let (client, consumer, held) = holder(&cluster, leader).await;
    client.cancel(&consumer).await;
    cluster.transfer("orders", other).await;
    ack(&held).await;
    // The ack is in front of this on its way.
    assert!(client.publish("", "orders", "next", persistent()).await.is_ack());
    let second = cluster.client(other).await;
    let mut consumer = second.consume("orders").await;
    assert_eq!(body(&next(&mut consumer).await), "next");
    second.quiet(&mut consumer).await;
}

/// A cluster where node 1 alone has the queue, and is suspected by node 2.
async fn suspected(arguments: FieldTable) -> (Cluster, Client, Consumer) {
    let mut cluster = Cluster::of(2).await;
    cluster.client(1).await.queue("orders", arguments).await;
    let client = cluster.client(2).await;
    let consumer = client.consume("orders").await;
    cluster.pause(1);
    let suspected = format!("a node is suspected node={} why=Silence", cluster.name(1));
    until("node 1 is suspected", || cluster.log(2).contains(&suspected)).await;
    (cluster, client, consumer)
}

/// Everything that is published comes to a consumer of node 1.
async fn nobody_else_is_served(cluster: &Cluster) {
    let client = cluster.client(1).await;
    let mut consumer = client.consume("orders").await;
    for number in 0..8 {
        let sent = number.to_string();
        assert!(client.publish("", "orders", &sent, persistent()).await.is_ack());
        assert_eq!(body(&next(&mut consumer).await), sent);
    }
}

#[tokio::test]
async fn a_consumer_that_ends_while_the_leader_is_suspected_is_not_served_any_more() {
    let alone = ("x-quorum-initial-group-size", number(1));
    let quorum = table([("x-queue-type", text("quorum")), alone]);
    let (mut cluster, client, consumer) = suspected(quorum).await;
    client.cancel(&consumer).await;
    cluster.resume(1);
    nobody_else_is_served(&cluster).await;
}

#[tokio::test]
async fn a_consumer_that_ended_because_the_queue_s_node_is_suspected_is_not_served_any_more() {
    let (mut cluster, _client, mut consumer) = suspected(table([])).await;
    ended(&mut consumer).await;
    cluster.resume(1);
    nobody_else_is_served(&cluster).await;
}
