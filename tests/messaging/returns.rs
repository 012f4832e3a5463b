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
