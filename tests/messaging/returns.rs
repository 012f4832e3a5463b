//! Mandatory messages come back when no queue takes them.

use lapin::Confirmation;
use lapin::options::BasicPublishOptions;

use crate::support::*;

#[tokio::test]
async fn a_mandatory_message_without_a_queue_comes_back() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let properties = persistent().with_message_id("id".into());
    let confirm = client
        .publish_mandatory("amq.direct", "nowhere", "m1", properties.clone())
        .await;
    assert!(confirm.is_ack(), "it is returned and confirmed");
    let returned = confirm.take_message().expect("the message back");
    assert_eq!((returned.reply_code, returned.reply_text.as_str()), (312, "NO_ROUTE"));
    assert_eq!(
        (returned.exchange.as_str(), returned.routing_key.as_str()),
        ("amq.direct", "nowhere")
    );
    assert_eq!(body(&returned), "m1");
    assert_eq!(returned.properties, properties);
}

#[tokio::test]
async fn a_mandatory_message_with_a_queue_does_not() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let confirm = client.publish_mandatory("", "orders", "m1", persistent()).await;
    assert_eq!(confirm, Confirmation::Ack(None));
}

#[tokio::test]
async fn a_mandatory_message_refused_for_its_length_does_not() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let full = table([("x-max-length", number(1)), ("x-overflow", text("reject-publish"))]);
    client.queue("full", full).await;
    client.send_all("full", ["m1"]).await;
    let confirm = client.publish_mandatory("", "full", "m2", persistent()).await;
    assert_eq!(confirm, Confirmation::Nack(None));
}

#[tokio::test]
async fn what_the_alternate_exchange_takes_does_not_come_back() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let fanout = lapin::ExchangeKind::Fanout;
    client.exchange("spare", fanout.clone(), table([])).await;
    let with_spare = table([("alternate-exchange", text("spare"))]);
    client.exchange("orders", lapin::ExchangeKind::Direct, with_spare).await;
    let unrouted = client.publish_mandatory("orders", "k", "m1", persistent()).await;
    assert!(
        unrouted.take_message().is_some(),
        "the alternate exchange has no queue yet"
    );

    client.plain_queue("rest").await;
    client.bind("rest", "spare", "", table([])).await;
    let confirm = client.publish_mandatory("orders", "k", "m2", persistent()).await;
    assert_eq!(confirm, Confirmation::Ack(None));
    assert_eq!(client.take("rest").await, ["m2"]);
}

#[tokio::test]
async fn immediate_is_not_implemented() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let options = BasicPublishOptions {
        immediate: true,
        ..BasicPublishOptions::default()
    };
    let published = client.basic_publish("".into(), "q".into(), options, b"", persistent());
    let refusal = refused(published.await.expect("published").await);
    assert_eq!(refusal, "540 NOT_IMPLEMENTED - immediate=true");
}

#[tokio::test]
async fn what_comes_back_and_what_is_confirmed_come_in_the_order_of_the_publishes() {
    let broker = Broker::shared();
    let mut raw = Raw::open(&broker.amqp, broker.vhost_name(), 0);
    raw.method(1, (20, 10), &[0]);
    raw.expect(20, 11);
    raw.method(1, (85, 10), &[0]);
    raw.expect(85, 11);
    // All of it in one write.
    let publishes = [false, true, false, true, true].map(publish_nowhere);
    raw.send(&publishes.concat());
    let mut told = Vec::new();
    while told.last() != Some(&"ack 5".to_owned()) {
        let frame = raw.read().expect("a frame, not the end");
        match frame.method() {
            Some((60, 50)) => told.push("return".to_owned()),
            Some((60, 80)) => told.push(format!("ack {}", frame.payload[11])),
            _ => {}
        }
    }
    assert_eq!(
        told,
        [
            "ack 1", "return", "ack 2", "ack 3", "return", "ack 4", "return", "ack 5"
        ]
    );
}

/// The frames of a message that no queue takes.
fn publish_nowhere(mandatory: bool) -> Vec<u8> {
    let method = [
        &[0, 60, 0, 40, 0, 0][..],
        &short(""),
        &short("nowhere"),
        &[u8::from(mandatory)],
    ]
    .concat();
    let header = [&[0, 60, 0, 0][..], &0u64.to_be_bytes(), &[0, 0]].concat();
    let frame = |kind: u8, payload: &[u8]| {
        let size = u32::try_from(payload.len()).expect("a small payload").to_be_bytes();
        [&[kind, 0, 1][..], &size, payload, &[0xCE]].concat()
    };
    [frame(1, &method), frame(2, &header)].concat()
}
