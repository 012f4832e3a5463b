//! CC and BCC: more routing keys in the headers.

use lapin::Confirmation;

use crate::support::*;

#[tokio::test]
async fn copies_go_to_every_key_and_bcc_is_not_seen() {
    let broker = Broker::shared();
    let client = broker.client().await;
    for queue in ["to", "copy", "blind"] {
        client.plain_queue(queue).await;
    }
    let properties = headers([("CC", texts(&["copy"])), ("BCC", texts(&["blind"]))]);
    client.publish("", "to", "m1", properties).await;
    for queue in ["to", "copy", "blind"] {
        let message = client.got(queue).await;
        assert_eq!(message.routing_key.as_str(), "to", "{queue}");
        assert_eq!(header_text(&message, "CC").as_deref(), Some("[copy]"), "{queue}");
        assert!(header(&message, "BCC").is_none(), "{queue}");
    }
}

#[tokio::test]
async fn a_queue_that_is_hit_twice_gets_one_copy() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("to").await;
    let properties = headers([("CC", texts(&["to", "to"])), ("BCC", texts(&["to"]))]);
    client.publish("", "to", "m1", properties).await;
    assert_eq!(client.take("to").await, ["m1"]);
}

#[tokio::test]
async fn a_mandatory_message_with_one_good_copy_stays() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("copy").await;
    let properties = headers([("CC", texts(&["copy"]))]);
    let confirm = client.publish_mandatory("", "nowhere", "m1", properties).await;
    assert_eq!(confirm, Confirmation::Ack(None));
    assert_eq!(client.take("copy").await, ["m1"]);
}

#[tokio::test]
async fn copies_must_be_an_array() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("to").await;
    let properties = headers([("CC", text("copy"))]);
    let published = client.basic_publish("".into(), "to".into(), Default::default(), b"", properties);
    let refusal = refused(published.await.expect("published").await);
    let expected = "406 PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,\"CC\",longstr}";
    assert_eq!(refusal, expected);
}

#[tokio::test]
async fn dead_letters_keep_the_copies_keys() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client
        .exchange("graveyard", lapin::ExchangeKind::Fanout, table([]))
        .await;
    client.plain_queue("dead").await;
    client.bind("dead", "graveyard", "", table([])).await;
    client
        .queue("orders", table([("x-dead-letter-exchange", text("graveyard"))]))
        .await;
    let properties = headers([("CC", texts(&["one", "two"])), ("BCC", texts(&["three"]))]);
    client.publish("", "orders", "m1", properties).await;
    let held = client.got("orders").await;
    discard(&held).await;
    let mut dead = client.consume("dead").await;
    assert_eq!(
        deaths(&next(&mut dead).await),
        ["orders rejected 1 '' [orders one two]"]
    );
}
