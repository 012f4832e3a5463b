//! Dead letters of quorum queues that are kept until their targets have them: dead-lettering at
//! least once.

use lapin::ExchangeKind;
use lapin::types::{AMQPValue, FieldTable};

use crate::support::*;

/// Arguments of a quorum queue that keeps its dead letters.
fn keeping<const N: usize>(fields: [(&str, AMQPValue); N]) -> FieldTable {
    let mut arguments = table(fields);
    for (name, value) in [
        ("x-queue-type", "quorum"),
        ("x-dead-letter-strategy", "at-least-once"),
        ("x-overflow", "reject-publish"),
    ] {
        arguments.insert(name.into(), text(value));
    }
    arguments
}

/// The same, its letters for the queue `dead`.
fn keeping_for_dead() -> FieldTable {
    keeping([
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("dead")),
    ])
}

/// All messages of a queue, and those of them that are dead letters.
fn messages(broker: &Broker, queue: &str) -> (u64, u64) {
    let path = format!("/api/queues/{}/{queue}", broker.vhost());
    let queue = broker.http().get(&path).json();
    let number = |name: &str| queue[name].as_u64().unwrap_or_else(|| panic!("{name} in {queue}"));
    (number("messages"), number("messages_dlx"))
}

async fn until_messages(broker: &Broker, queue: &str, wanted: (u64, u64)) {
    until(&format!("{queue} has {wanted:?}"), || messages(broker, queue) == wanted).await;
}

/// Publishes messages and rejects them.
async fn reject<const N: usize>(client: &Client, queue: &str, bodies: [&str; N]) {
    client.send_all(queue, bodies).await;
    for _ in bodies {
        let held = client.got(queue).await;
        discard(&held).await;
    }
}

#[tokio::test]
async fn a_letter_that_is_confirmed_is_forgotten() {
    let broker = Broker::shared();
    let client = broker.client().await;
    for (queue, kind) in [("dead", "classic"), ("grave", "quorum")] {
        client.queue(queue, table([("x-queue-type", text(kind))])).await;
        client.bind(queue, "amq.fanout", "", table([])).await;
    }
    client
        .queue("orders", keeping([("x-dead-letter-exchange", text("amq.fanout"))]))
        .await;
    reject(&client, "orders", ["m1"]).await;
    for queue in ["dead", "grave"] {
        let mut consumer = client.consume(queue).await;
        let dead = next(&mut consumer).await;
        assert_eq!(body(&dead), "m1");
        assert_eq!(deaths(&dead), ["orders rejected 1 '' [orders]"]);
        assert_eq!(header_text(&dead, "x-last-death-queue").as_deref(), Some("orders"));
    }
    until_messages(&broker, "orders", (0, 0)).await;
}

#[tokio::test]
async fn without_a_target_it_stays_until_there_is_one() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client
        .queue("orders", keeping([("x-dead-letter-exchange", text("graveyard"))]))
        .await;
    reject(&client, "orders", ["m1"]).await;
    until_messages(&broker, "orders", (1, 1)).await;
    assert!(client.get("orders").await.is_none(), "it is no consumer's any more");
    client.exchange("graveyard", ExchangeKind::Fanout, table([])).await;
    client.plain_queue("dead").await;
    let mut dead = client.consume("dead").await;
    client.quiet(&mut dead).await;
    client.bind("dead", "graveyard", "", table([])).await;
    let dead = next(&mut dead).await;
    assert_eq!(deaths(&dead), ["orders rejected 1 '' [orders]"]);
    until_messages(&broker, "orders", (0, 0)).await;
}

#[tokio::test]
async fn a_full_target_gets_it_when_there_is_room_and_others_get_it_once() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let full = table([("x-max-length", number(1)), ("x-overflow", text("reject-publish"))]);
    client.queue("full", full).await;
    client.plain_queue("free").await;
    client.send_all("full", ["occupant"]).await;
    for queue in ["full", "free"] {
        client.bind(queue, "amq.fanout", "", table([])).await;
    }
    client
        .queue("orders", keeping([("x-dead-letter-exchange", text("amq.fanout"))]))
        .await;
    reject(&client, "orders", ["m1"]).await;
    until_messages(&broker, "orders", (1, 1)).await;
    let mut consumer = client.consume("free").await;
    assert_eq!(body(&next(&mut consumer).await), "m1");
    assert_eq!(client.take("full").await, ["occupant"]);
    let mut full = client.consume("full").await;
    assert_eq!(body(&next(&mut full).await), "m1");
    until_messages(&broker, "orders", (0, 0)).await;
    client.quiet(&mut consumer).await;
}

#[tokio::test]
async fn expired_messages_and_those_returned_too_often_are_kept_too() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let mut arguments = keeping_for_dead();
    arguments.insert("x-delivery-limit".into(), number(0));
    client.queue("orders", arguments).await;
    client.publish("", "orders", "m1", expiring(20)).await;
    until_messages(&broker, "orders", (1, 1)).await;
    client.send_all("orders", ["m2"]).await;
    let held = client.got("orders").await;
    requeue(&held).await;
    until_messages(&broker, "orders", (2, 2)).await;
    client.plain_queue("dead").await;
    let mut consumer = client.consume("dead").await;
    let mut told = Vec::new();
    for _ in 0..2 {
        told.extend(deaths(&next(&mut consumer).await));
    }
    told.sort();
    assert_eq!(
        told,
        ["orders delivery_limit 1 '' [orders]", "orders expired 1 '' [orders]"]
    );
    until_messages(&broker, "orders", (0, 0)).await;
}

#[tokio::test]
async fn many_letters_all_arrive() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("orders", keeping_for_dead()).await;
    for number in 0..300 {
        client.send_all("orders", [number.to_string().as_str()]).await;
    }
    let mut consumer = client.consume("orders").await;
    for _ in 0..300 {
        discard(&next(&mut consumer).await).await;
    }
    until_messages(&broker, "orders", (300, 300)).await;
    client.plain_queue("dead").await;
    until_messages(&broker, "orders", (0, 0)).await;
    let mut taken: Vec<u32> = client
        .take("dead")
        .await
        .iter()
        .map(|body| body.parse().expect("a number"))
        .collect();
    taken.sort_unstable();
    assert!(taken.into_iter().eq(0..300), "each of them once");
}

#[tokio::test]
async fn a_queue_that_drops_its_head_falls_back_and_says_so() {
    let broker = Broker::start();
    let client = broker.client().await;
    let mut arguments = keeping_for_dead();
    arguments.insert("x-overflow".into(), text("drop-head"));
    client.queue("orders", arguments).await;
    reject(&client, "orders", ["m1"]).await;
    until_messages(&broker, "orders", (0, 0)).await;
    assert!(
        broker
            .log()
            .contains("falling back to dead-letter-strategy at-most-once")
    );
}

#[tokio::test]
async fn the_strategy_comes_and_goes_with_a_policy() {
    let broker = Broker::start();
    let client = broker.client().await;
    client.queue("orders", table([("x-queue-type", text("quorum"))])).await;
    let policy = format!("/api/policies/{}/letters", broker.vhost());
    let definition = r#"{"pattern": "orders", "definition": {"dead-letter-strategy": "at-least-once",
        "overflow": "reject-publish", "dead-letter-exchange": "", "dead-letter-routing-key": "dead"}}"#;
    broker.http().put(&policy, definition).expect_status(201);
    reject(&client, "orders", ["m1"]).await;
    until_messages(&broker, "orders", (1, 1)).await;
    client.send_all("orders", ["m2"]).await;
    broker.http().delete(&policy).expect_status(204);
    until_messages(&broker, "orders", (1, 0)).await;
    assert_eq!(client.take("orders").await, ["m2"]);
}
