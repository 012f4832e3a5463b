//! Queues that hold only so much.

use lapin::Confirmation;

use crate::support::*;

#[tokio::test]
async fn the_oldest_make_room() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("short", table([("x-max-length", number(2))])).await;
    client.send_all("short", ["m1", "m2", "m3", "m4"]).await;
    assert_eq!(client.take("short").await, ["m3", "m4"]);
}

#[tokio::test]
async fn bytes_are_counted_too() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("short", table([("x-max-length-bytes", number(10))])).await;
    client.send_all("short", ["12345", "67890", "abc"]).await;
    assert_eq!(client.take("short").await, ["67890", "abc"]);
    client.send_all("short", ["longer than ten"]).await;
    assert_eq!(
        client.ready("short").await,
        0,
        "what is larger than the queue does not stay"
    );
}

#[tokio::test]
async fn outstanding_messages_do_not_count() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("short", table([("x-max-length", number(1))])).await;
    client.send_all("short", ["m1"]).await;
    let held = client.got("short").await;
    client.send_all("short", ["m2"]).await;
    assert_eq!(client.ready("short").await, 1);
    ack(&held).await;
    assert_eq!(client.take("short").await, ["m2"]);
}

#[tokio::test]
async fn length_zero_keeps_nothing_without_a_consumer() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("none", table([("x-max-length", number(0))])).await;
    client.send_all("none", ["lost"]).await;
    assert_eq!(client.ready("none").await, 0);
    let mut consumer = client.consume("none").await;
    client.send_all("none", ["m1"]).await;
    assert_eq!(story(&next(&mut consumer).await), "m1");
}

#[tokio::test]
async fn dropped_messages_are_dead_lettered() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client
        .queue("short", dying_to("dead", [("x-max-length", number(1))]))
        .await;
    client.plain_queue("dead").await;
    let mut dead = client.consume("dead").await;
    client.send_all("short", ["m1", "m2"]).await;
    let dropped = next(&mut dead).await;
    assert_eq!(story(&dropped), "m1");
    assert_eq!(deaths(&dropped), ["short maxlen 1 '' [short]"]);
}

#[tokio::test]
async fn rejected_publishes_are_dead_lettered_where_asked() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let full = dying_to(
        "dead",
        [("x-max-length", number(1)), ("x-overflow", text("reject-publish-dlx"))],
    );
    client.queue("full", full).await;
    client.plain_queue("dead").await;
    let mut dead = client.consume("dead").await;
    client.send_all("full", ["m1"]).await;
    assert_eq!(client.send("full", "m2").await, Confirmation::Nack(None));
    let refused = next(&mut dead).await;
    assert_eq!(story(&refused), "m2");
    assert_eq!(deaths(&refused), ["full maxlen 1 '' [full]"]);
    assert_eq!(client.take("full").await, ["m1"]);
}

#[tokio::test]
async fn rejected_publishes_are_not_dead_lettered_otherwise() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let full = dying_to(
        "dead",
        [("x-max-length", number(1)), ("x-overflow", text("reject-publish"))],
    );
    client.queue("full", full).await;
    client.plain_queue("dead").await;
    let mut dead = client.consume("dead").await;
    client.send_all("full", ["m1"]).await;
    assert_eq!(client.send("full", "m2").await, Confirmation::Nack(None));
    client.quiet(&mut dead).await;
}
