//! Dead letters: what is rejected, expired or dropped goes on to another exchange, with its history.

use lapin::ExchangeKind;

use crate::support::*;

#[tokio::test]
async fn a_rejected_message_goes_to_the_dead_letter_exchange_with_its_history() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.exchange("graveyard", ExchangeKind::Fanout, table([])).await;
    client.plain_queue("dead").await;
    client.bind("dead", "graveyard", "", table([])).await;
    client
        .queue("orders", table([("x-dead-letter-exchange", text("graveyard"))]))
        .await;
    client.bind("orders", "amq.direct", "paid", table([])).await;
    let properties = headers([("mine", number(1))]).with_message_id("id".into());
    client.publish("amq.direct", "paid", "m1", properties).await;
    let held = client.got("orders").await;
    discard(&held).await;

    let mut dead = client.consume("dead").await;
    let dead = next(&mut dead).await;
    assert_eq!(story(&dead), "m1", "a new message, not redelivered");
    assert_eq!(
        (dead.exchange.as_str(), dead.routing_key.as_str()),
        ("graveyard", "paid")
    );
    assert_eq!(deaths(&dead), ["orders rejected 1 'amq.direct' [paid]"]);
    for (name, value) in [
        ("x-first-death-reason", "rejected"),
        ("x-first-death-queue", "orders"),
        ("x-first-death-exchange", "amq.direct"),
        ("x-last-death-reason", "rejected"),
        ("x-last-death-queue", "orders"),
        ("x-last-death-exchange", "amq.direct"),
        ("mine", "1"),
    ] {
        assert_eq!(header_text(&dead, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(dead.properties.message_id().as_ref().map(|id| id.as_str()), Some("id"));
}

#[tokio::test]
async fn the_dead_letter_routing_key_takes_the_place_of_the_first() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("dead").await;
    client.queue("orders", dying_to("dead", [])).await;
    client.send_all("orders", ["m1"]).await;
    let held = client.got("orders").await;
    discard(&held).await;
    let mut dead = client.consume("dead").await;
    let dead = next(&mut dead).await;
    assert_eq!(dead.routing_key.as_str(), "dead");
    assert_eq!(
        deaths(&dead),
        ["orders rejected 1 '' [orders]"],
        "the history has the first key"
    );
}

#[tokio::test]
async fn an_expired_message_loses_its_expiration() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("dead").await;
    client.queue("orders", dying_to("dead", [])).await;
    client.publish("", "orders", "m1", expiring(50)).await;
    let mut dead = client.consume("dead").await;
    let dead = next(&mut dead).await;
    assert_eq!(deaths(&dead), ["orders expired 1 '' [orders]"]);
    assert_eq!(*dead.properties.expiration(), None);
    let history = format!("{:?}", header(&dead, "x-death"));
    assert!(history.contains("original-expiration"), "{history}");
}

#[tokio::test]
async fn going_round_counts_up_and_moves_to_the_front() {
    let broker = Broker::shared();
    let client = broker.client().await;
    // Rejected ones wait in `later` and come back when they expire there.
    client.queue("orders", dying_to("later", [])).await;
    let later = dying_to("orders", [("x-message-ttl", number(50))]);
    client.queue("later", later).await;
    let mut consumer = client.consume("orders").await;
    client.send_all("orders", ["m1"]).await;

    discard(&next(&mut consumer).await).await;
    let second = next(&mut consumer).await;
    assert_eq!(
        deaths(&second),
        ["later expired 1 '' [later]", "orders rejected 1 '' [orders]"]
    );
    discard(&second).await;
    let third = next(&mut consumer).await;
    assert_eq!(
        deaths(&third),
        ["later expired 2 '' [later]", "orders rejected 2 '' [orders]"]
    );
    assert_eq!(header_text(&third, "x-first-death-queue").as_deref(), Some("orders"));
    assert_eq!(header_text(&third, "x-last-death-queue").as_deref(), Some("later"));
}

#[tokio::test]
async fn a_round_without_a_rejection_is_cut() {
    let broker = Broker::shared();
    let client = broker.client().await;
    // It expires into the queue it is in: without a cut this would go on for ever.
    client
        .queue("round", dying_to("round", [("x-message-ttl", number(50))]))
        .await;
    client.queue("timer", dying_to("clock", [])).await;
    client.plain_queue("clock").await;
    let mut clock = client.consume("clock").await;
    client.send_all("round", ["m1"]).await;
    client.publish("", "timer", "over", expiring(200)).await;
    next(&mut clock).await;
    assert_eq!(client.ready("round").await, 0);
}

#[tokio::test]
async fn without_a_place_to_go_the_message_is_dropped() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client
        .queue("orders", table([("x-dead-letter-exchange", text("missing"))]))
        .await;
    client.send_all("orders", ["m1"]).await;
    let held = client.got("orders").await;
    discard(&held).await;
    assert_eq!(client.ready("orders").await, 0);
}

#[tokio::test]
async fn purged_and_deleted_messages_are_not_dead_lettered() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("dead").await;
    client.queue("orders", dying_to("dead", [])).await;
    let mut dead = client.consume("dead").await;
    client.send_all("orders", ["m1"]).await;
    client
        .queue_purge("orders".into(), Default::default())
        .await
        .expect("purged");
    client.send_all("orders", ["m2"]).await;
    client
        .queue_delete("orders".into(), Default::default())
        .await
        .expect("deleted");
    client.quiet(&mut dead).await;
}
