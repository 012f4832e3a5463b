//! Publish, consume, get: bodies and properties arrive as they were sent, in order.

use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};

use crate::support::*;

#[tokio::test]
async fn messages_are_taken_in_the_order_they_came() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1", "m2", "m3"]).await;
    assert_eq!(client.take("orders").await, ["m1", "m2", "m3"]);
}

#[tokio::test]
async fn a_get_says_how_many_remain() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1", "m2"]).await;

    let first = client.got("orders").await;
    assert_eq!(first.message_count, 1);
    assert_eq!((first.exchange.as_str(), first.routing_key.as_str()), ("", "orders"));
    assert!(!first.redelivered);
    assert_eq!(client.got("orders").await.message_count, 0);
    assert!(client.get("orders").await.is_none());
}

#[tokio::test]
async fn a_consumer_gets_what_is_there_and_what_comes() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1"]).await;

    let mut consumer = client.consume("orders").await;
    client.send_all("orders", ["m2", "m3"]).await;
    for (tag, expected) in (1..).zip(["m1", "m2", "m3"]) {
        let delivery = next(&mut consumer).await;
        assert_eq!(story(&delivery), expected);
        assert_eq!(delivery.delivery_tag, tag, "tags count up from 1");
        ack(&delivery).await;
    }
    assert_eq!(client.look("orders").await.expect("the queue"), (0, 1));
}

#[tokio::test]
async fn every_property_arrives_as_it_was_sent() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let inner = table([("deep", texts(&["a", "b"])), ("void", AMQPValue::Void)]);
    let headers = table([
        ("text", text("grüße")),
        ("number", number(-5)),
        ("long", AMQPValue::LongLongInt(1 << 40)),
        ("byte", AMQPValue::ShortShortInt(-7)),
        ("truth", AMQPValue::Boolean(true)),
        ("double", AMQPValue::Double(1.5)),
        ("float", AMQPValue::Float(0.25)),
        ("time", AMQPValue::Timestamp(1_700_000_000)),
        ("bytes", AMQPValue::ByteArray(vec![0, 255].into())),
        ("void", AMQPValue::Void),
        ("table", AMQPValue::FieldTable(inner)),
        ("empty", AMQPValue::FieldTable(FieldTable::default())),
    ]);
    let properties = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_content_encoding("gzip".into())
        .with_headers(headers)
        .with_delivery_mode(2)
        .with_priority(7)
        .with_correlation_id("correlation".into())
        .with_reply_to("answers".into())
        .with_expiration("100000".into())
        .with_message_id("id".into())
        .with_timestamp(1_700_000_001)
        .with_type("kind".into())
        .with_user_id("guest".into())
        .with_app_id("app".into())
        .with_cluster_id("cluster".into());
    client.publish("", "orders", "body", properties.clone()).await;
    assert_eq!(client.got("orders").await.properties, properties);
}

#[tokio::test]
async fn bodies_of_every_size_arrive_whole() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("bodies").await;
    // Around the limits of a frame (131072 less its 8 bytes), and some that take many frames.
    let sizes = [0, 1, 4096, 16_384, 131_063, 131_064, 131_065, 262_128, 5 << 20];
    let mut consumer = client.consume("bodies").await;
    for size in sizes {
        let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let options = BasicPublishOptions::default();
        let published = client.basic_publish("".into(), "bodies".into(), options, &body, persistent());
        let confirm = published.await.expect("published").await.expect("a confirm");
        assert!(confirm.is_ack(), "{size} bytes were refused");
        let delivery = next(&mut consumer).await;
        assert!(delivery.data == body, "{size} bytes came as {}", delivery.data.len());
        ack(&delivery).await;
    }
}

#[tokio::test]
async fn a_body_over_the_limit_closes_the_channel() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("bodies").await;
    let body = vec![0; (16 << 20) + 1];
    let options = BasicPublishOptions::default();
    let published = client.basic_publish("".into(), "bodies".into(), options, &body, persistent());
    // The refusal may come before all frames are out.
    let refusal = match published.await {
        Ok(confirm) => refused(confirm.await),
        Err(error) => refused(lapin::Result::<()>::Err(error)),
    };
    let expected = "406 PRECONDITION_FAILED - message size 16777217 is larger than configured max size 16777216";
    assert_eq!(refusal, expected);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_when_all_of_it_has_come() {
    const SIZE: u64 = (16 << 20) + 1;
    let broker = Broker::shared();
    let mut raw = Raw::open(&broker.amqp, broker.vhost_name(), 0);
    raw.channel(1);
    raw.channel(2);
    // Not even the exchange need be there.
    raw.method(
        1,
        (60, 40),
        &[&[0, 0], &short("missing")[..], &short("bodies"), &[0]].concat(),
    );
    raw.frame(2, 1, &[&[0, 60, 0, 0][..], &SIZE.to_be_bytes(), &[0, 0]].concat());
    let body = vec![0; 1 << 17];
    let frames = body.chunks((1 << 17) - 8).next().expect("a frame");
    let mut left = usize::try_from(SIZE).expect("it fits");
    while left > frames.len() {
        raw.frame(3, 1, frames);
        left -= frames.len();
        // Nothing else came before the answer to this.
        raw.declare(2, "bodies", 0);
    }
    raw.frame(3, 1, &frames[..left]);
    raw.expect(20, 40);
    raw.method(1, (20, 41), &[]);
    raw.channel(1);
}

#[tokio::test]
async fn a_wrong_user_id_closes_the_channel() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let properties = BasicProperties::default().with_user_id("somebody".into());
    let options = BasicPublishOptions::default();
    let published = client.basic_publish("".into(), "orders".into(), options, b"", properties);
    let refusal = refused(published.await.expect("published").await);
    let expected = "406 PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'guest'";
    assert_eq!(refusal, expected);
}

#[tokio::test]
async fn the_default_exchange_is_not_to_be_bound() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let bound = client.queue_bind("orders".into(), "".into(), "k".into(), Default::default(), table([]));
    let expected = "403 ACCESS_REFUSED - operation not permitted on the default exchange";
    assert_eq!(refused(bound.await), expected);
}
