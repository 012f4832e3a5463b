//! Consumers when another node leads their quorum queue: who was there first still is, and the one
//! that is served alone stays the one.

use lapin::Consumer;
use lapin::types::{AMQPValue, FieldTable};

use crate::support::*;

/// A cluster with a quorum queue that serves one consumer at a time, the number of the node that leads
/// it, and those of the others.
async fn with_queue() -> (Cluster, usize, [usize; 2]) {
    let cluster = Cluster::of(3).await;
    let single = ("x-single-active-consumer", AMQPValue::Boolean(true));
    let quorum = table([("x-queue-type", text("quorum")), single]);
    cluster.client(1).await.queue("orders", quorum).await;
    let leader = cluster.leader(1, "orders", &cluster.all()).await;
    let others = cluster.others(leader).try_into().expect("two");
    (cluster, leader, others)
}

/// A consumer that the leader has taken on.
async fn consume(client: &Client, arguments: FieldTable) -> Consumer {
    let consumer = client.consume_with("orders", arguments).await;
    // It is in front of this on its way.
    client.ready("orders").await;
    consumer
}

/// What is published now comes to that consumer.
async fn is_served(client: &Client, consumer: &mut Consumer, what: &str) {
    assert!(client.publish("", "orders", what, persistent()).await.is_ack());
    let delivery = next(consumer).await;
    assert_eq!(body(&delivery), what);
    ack(&delivery).await;
}

#[tokio::test]
async fn the_active_consumer_stays_the_one_whoever_leads() {
    let (cluster, leader, [one, two]) = with_queue().await;
    let client = cluster.client(one).await;
    let mut active = consume(&client, table([])).await;
    let others = [cluster.client(two).await, cluster.client(leader).await];
    let mut waiting = Vec::new();
    for other in &others {
        waiting.push(consume(other, table([])).await);
    }
    for node in [two, leader, one, two] {
        cluster.transfer("orders", node).await;
        is_served(&client, &mut active, &format!("led by {node}")).await;
    }
}

#[tokio::test]
async fn the_active_consumer_stays_the_one_when_the_leader_is_killed() {
    let (mut cluster, leader, [one, two]) = with_queue().await;
    let client = cluster.client(one).await;
    let mut active = consume(&client, table([])).await;
    let other = cluster.client(two).await;
    let mut waiting = Vec::new();
    for client in [&client, &other, &client, &other, &client, &other] {
        waiting.push(consume(client, table([])).await);
    }
    cluster.kill9(leader);
    cluster.leader(one, "orders", &[one, two]).await;
    is_served(&client, &mut active, "after the kill").await;
}

#[tokio::test]
async fn the_next_active_consumer_is_the_one_that_waited_longest_whoever_leads() {
    let (cluster, _, [one, two]) = with_queue().await;
    let clients = [cluster.client(one).await, cluster.client(two).await];
    let first = consume(&clients[0], table([])).await;
    let mut second = consume(&clients[1], table([])).await;
    let mut third = consume(&clients[0], table([])).await;
    cluster.transfer("orders", one).await;
    clients[0].cancel(&first).await;
    is_served(&clients[0], &mut second, "to the second").await;
    cluster.transfer("orders", two).await;
    clients[1].cancel(&second).await;
    is_served(&clients[1], &mut third, "to the third").await;
}

#[tokio::test]
async fn who_makes_way_under_one_leader_does_so_under_the_next() {
    let (cluster, _, [one, two]) = with_queue().await;
    let (client, other) = (cluster.client(one).await, cluster.client(two).await);
    let mut active = consume(&client, table([])).await;
    assert!(client.publish("", "orders", "held", persistent()).await.is_ack());
    let held = next(&mut active).await;
    let mut better = consume(&other, table([("x-priority", number(10))])).await;
    cluster.transfer("orders", two).await;
    assert!(client.publish("", "orders", "next", persistent()).await.is_ack());
    client.quiet(&mut active).await;
    other.quiet(&mut better).await;
    ack(&held).await;
    assert_eq!(body(&next(&mut better).await), "next");
}

const ALL: [&str; 8] = ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7"];

/// What is taken over from a consumer that held the first four, and the next two.
const TAKEN_OVER: [&str; 6] = [
    "m0 (redelivered)",
    "m1 (redelivered)",
    "m2 (redelivered)",
    "m3 (redelivered)",
    "m4",
    "m5",
];

/// Queues that serve one consumer at a time: classic, with priorities, and quorum.
fn kinds() -> [(&'static str, FieldTable); 3] {
    let single = ("x-single-active-consumer", AMQPValue::Boolean(true));
    [
        ("classic", table([single.clone()])),
        ("priority", table([single.clone(), ("x-max-priority", number(5))])),
        ("quorum", table([single, ("x-queue-type", text("quorum"))])),
    ]
}

#[tokio::test]
async fn the_next_gets_what_the_active_one_held_before_the_rest_whatever_nodes_they_are_on() {
    let cluster = Cluster::of(3).await;
    for (kind, arguments) in kinds() {
        for (active, next) in [(2, 1), (2, 3), (1, 2), (2, 2)] {
            for ends_connection in [false, true] {
                let name = unique(kind);
                let client = cluster.client(1).await;
                client.queue(&name, arguments.clone()).await;
                let first = cluster.client(active).await;
                first.prefetch(4).await;
                let mut one = first.consume(&name).await;
                first.ready(&name).await;
                let second = cluster.client(next).await;
                second.prefetch(6).await;
                let mut two = second.consume(&name).await;
                second.ready(&name).await;
                client.send_all(&name, ALL).await;
                next_many(&mut one, 4).await;
                match ends_connection {
                    true => first.connection.close(200, "done".into()).await.expect("closed"),
                    false => first.close(200, "done".into()).await.expect("closed"),
                }
                let came = next_many(&mut two, 6).await;
                assert_eq!(came, TAKEN_OVER, "{kind} queue, from {active} to {next}");
            }
        }
    }
}

/// Many messages, of which some are on their way to the active consumer when that goes.
#[tokio::test]
async fn what_is_on_its_way_to_a_consumer_that_goes_comes_to_the_next_before_the_rest() {
    const COUNT: usize = 2000;
    let cluster = Cluster::of(3).await;
    for (kind, arguments) in kinds() {
        for is_cancelled in [false, true] {
            let name = unique(kind);
            let client = cluster.client(1).await;
            client.queue(&name, arguments.clone()).await;
            let mut confirms = Vec::new();
            for number in 0..COUNT {
                let options = lapin::options::BasicPublishOptions::default();
                let body = number.to_string();
                let published =
                    client.basic_publish("".into(), name.as_str().into(), options, body.as_bytes(), persistent());
                confirms.push(published.await.expect("published"));
            }
            for confirm in confirms {
                assert!(confirm.await.expect("a confirm").is_ack());
            }
            let first = cluster.client(2).await;
            let channel = first.another().await;
            let mut one = channel.consume(&name).await;
            let second = cluster.client(3).await;
            let mut two = second.consume(&name).await;
            second.ready(&name).await;
            next(&mut one).await;
            let mut kept = 0;
            if is_cancelled {
                channel.cancel(&one).await;
                kept = 1;
                while let Some(delivery) = futures_lite::StreamExt::next(&mut one).await {
                    assert_eq!(body(&delivery.expect("a delivery")), kept.to_string());
                    kept += 1;
                }
            } else {
                channel.close(200, "done".into()).await.expect("closed");
            }
            for number in kept..COUNT {
                let delivery = next(&mut two).await;
                assert_eq!(
                    body(&delivery),
                    number.to_string(),
                    "{kind} queue, cancelled: {is_cancelled}"
                );
            }
        }
    }
}
