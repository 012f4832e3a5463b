//! Which kinds of messages and queues survive a kill, and what they keep: properties, places,
//! priorities, times.

use std::time::Duration;

use lapin::ExchangeKind;
use lapin::options::QueueDeclareOptions;
use lapin::types::AMQPValue;

use crate::support::*;

#[tokio::test]
async fn only_persistent_messages_in_durable_queues_survive() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("durable").await;
    let transient = QueueDeclareOptions::default();
    client
        .queue_declare("transient".into(), transient, table([]))
        .await
        .expect("a queue");
    for queue in ["durable", "transient"] {
        client.publish("", queue, "persistent", persistent()).await;
        client.publish("", queue, "transient", Properties::default()).await;
    }
    broker.kill9();
    broker.restart();
    let mut client = broker.client().await;
    let message = client.got("durable").await;
    assert_eq!(body(&message), "persistent");
    assert!(client.get("durable").await.is_none());
    assert!(refused(client.look("transient").await).starts_with("404"));
    client.again().await;
}

#[tokio::test]
async fn a_message_keeps_its_properties_and_where_it_came_from() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.bind("orders", "amq.topic", "paid.#", table([])).await;
    let properties = headers([("a", number(1)), ("b", AMQPValue::Void)])
        .with_delivery_mode(2)
        .with_message_id("id".into())
        .with_timestamp(1_700_000_000);
    client.publish("amq.topic", "paid.now", "m1", properties.clone()).await;
    broker.kill9();
    broker.restart();
    let message = broker.client().await.got("orders").await;
    assert_eq!(
        (message.exchange.as_str(), message.routing_key.as_str()),
        ("amq.topic", "paid.now")
    );
    assert_eq!(message.properties, properties);
}

#[tokio::test]
async fn what_was_held_goes_back_to_its_place_flagged() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    for body in ["m1", "m2", "m3"] {
        client.publish("", "orders", body, persistent()).await;
    }
    let first = client.got("orders").await;
    let second = client.got("orders").await;
    ack(&second).await;
    client.publish("", "orders", "m4", persistent()).await;
    drop(first);
    broker.kill9();
    broker.restart();
    let client = broker.client().await;
    let mut found = Vec::new();
    while let Some(message) = client.get("orders").await {
        if body(&message) == "m1" {
            assert!(message.redelivered, "it had been delivered");
        }
        found.push(body(&message));
    }
    assert_eq!(found, ["m1", "m3", "m4"]);
}

#[tokio::test]
async fn priorities_and_limits_go_on_after_a_kill() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client
        .queue(
            "tasks",
            table([("x-max-priority", number(5)), ("x-max-length", number(3))]),
        )
        .await;
    for priority in [1, 5, 3] {
        let properties = persistent().with_priority(priority);
        client.publish("", "tasks", &format!("p{priority}"), properties).await;
    }
    broker.kill9();
    broker.restart();
    let client = broker.client().await;
    client.publish("", "tasks", "p4", persistent().with_priority(4)).await;
    assert_eq!(client.ready("tasks").await, 3, "the length is still limited");
    let mut found = Vec::new();
    while let Some(message) = client.get("tasks").await {
        found.push(body(&message));
    }
    // The one dropped for p4 was at the head: the highest.
    assert_eq!(found, ["p4", "p3", "p1"]);
}

#[tokio::test]
async fn time_to_live_runs_on_while_the_broker_is_down() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("dead").await;
    client.queue("orders", dying_to("dead", [])).await;
    client
        .publish("", "orders", "brief", expiring(100).with_delivery_mode(2))
        .await;
    client
        .publish("", "orders", "long", expiring(600_000).with_delivery_mode(2))
        .await;
    broker.kill9();
    // Time is what this is about: the message must be overdue when the broker starts.
    tokio::time::sleep(Duration::from_millis(120)).await;
    broker.restart();
    let client = broker.client().await;
    let mut dead = client.consume("dead").await;
    let expired = next(&mut dead).await;
    assert_eq!(body(&expired), "brief");
    assert_eq!(deaths(&expired), ["orders expired 1 '' [orders]"]);
    assert_eq!(body(&client.got("orders").await.delivery), "long");
}

#[tokio::test]
async fn what_was_purged_or_deleted_does_not_come_back() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    for queue in ["purged", "deleted", "kept"] {
        client.plain_queue(queue).await;
        client.publish("", queue, "old", persistent()).await;
    }
    client
        .queue_purge("purged".into(), Default::default())
        .await
        .expect("purged");
    client
        .queue_delete("deleted".into(), Default::default())
        .await
        .expect("deleted");
    client.plain_queue("deleted").await;
    client.publish("", "kept", "new", persistent()).await;
    broker.kill9();
    broker.restart();
    let client = broker.client().await;
    assert_eq!(client.ready("purged").await, 0);
    assert_eq!(
        client.ready("deleted").await,
        0,
        "the old queue's messages are not the new one's"
    );
    assert_eq!(client.ready("kept").await, 2);
}

#[tokio::test]
async fn dead_letters_and_their_history_survive() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("dead").await;
    client.queue("orders", dying_to("dead", [])).await;
    client.publish("", "orders", "m1", persistent()).await;
    let held = client.got("orders").await;
    discard(&held).await;
    let mut dead = client.consume("dead").await;
    next(&mut dead).await;
    // A confirmed publish behind it: what was written before is on disk.
    client.publish("", "dead", "m2", persistent()).await;
    broker.kill9();
    broker.restart();
    let client = broker.client().await;
    assert_eq!(client.ready("orders").await, 0);
    let message = client.got("dead").await;
    assert_eq!(story(&message), "m1 (redelivered)");
    assert_eq!(deaths(&message), ["orders rejected 1 '' [orders]"]);
}

#[tokio::test]
async fn a_delayed_message_is_delivered_after_a_restart() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    let delayed = ExchangeKind::Custom("x-delayed-message".into());
    client
        .exchange("later", delayed, table([("x-delayed-type", text("direct"))]))
        .await;
    client.plain_queue("orders").await;
    client.bind("orders", "later", "k", table([])).await;
    let properties = headers([("x-delay", number(400))]).with_delivery_mode(2);
    assert!(client.publish("later", "k", "m1", properties).await.is_ack());
    assert_eq!(client.ready("orders").await, 0);
    broker.kill9();
    broker.restart();
    let client = broker.client().await;
    let mut consumer = client.consume("orders").await;
    assert_eq!(body(&next(&mut consumer).await), "m1");
}
