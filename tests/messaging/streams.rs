//! Streams over AMQP 0-9-1: messages stay when they are read, and each reader begins where it says.

use futures_lite::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Consumer};
use tokio::time::timeout;

use crate::support::*;

fn stream() -> FieldTable {
    table([("x-queue-type", text("stream"))])
}

/// A consumer that begins there, with so many messages at a time.
async fn reader(channel: &Channel, stream: &str, prefetch: u16, arguments: FieldTable) -> Consumer {
    let qos = BasicQosOptions::default();
    channel.basic_qos(prefetch, qos).await.expect("a prefetch");
    let options = BasicConsumeOptions::default();
    let consumer = channel.basic_consume(stream.into(), "".into(), options, arguments);
    consumer.await.expect("a consumer")
}

fn from(offset: AMQPValue) -> FieldTable {
    table([("x-stream-offset", offset)])
}

async fn next(consumer: &mut Consumer) -> Delivery {
    let next = timeout(PATIENCE, consumer.next()).await.expect("in time");
    next.expect("a consumer that lives").expect("a delivery")
}

/// The next messages, each acknowledged: their offsets and bodies.
async fn read(consumer: &mut Consumer, count: usize) -> Vec<(i64, String)> {
    let mut read = Vec::new();
    for _ in 0..count {
        let delivery = next(consumer).await;
        assert!(!delivery.redelivered, "nothing is redelivered");
        read.push((offset_of(&delivery), body(&delivery)));
        delivery.ack(BasicAckOptions::default()).await.expect("acknowledged");
    }
    read
}

fn body(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.data).into_owned()
}

fn offset_of(delivery: &Delivery) -> i64 {
    let headers = delivery.properties.headers().as_ref().expect("headers");
    match headers.inner().get("x-stream-offset") {
        Some(AMQPValue::LongLongInt(offset)) => *offset,
        other => panic!("an offset, not {other:?}"),
    }
}

fn numbered(numbers: std::ops::Range<i64>) -> Vec<(i64, String)> {
    numbers.map(|number| (number, format!("m{number}"))).collect()
}

#[tokio::test]
async fn every_reader_gets_all_messages_from_where_it_begins() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("log", stream()).await;
    for number in 0..10 {
        assert!(client.send("log", &format!("m{number}")).await.is_ack());
    }
    for (offset, begins) in [
        (text("first"), 0),
        (AMQPValue::LongLongInt(4), 4),
        (AMQPValue::LongLongInt(-1), 0),
        (AMQPValue::Timestamp(0), 0),
        (text("1h"), 0),
        (text("last"), 9),
    ] {
        let channel = client.another().await;
        let mut consumer = reader(&channel, "log", 3, from(offset)).await;
        assert_eq!(read(&mut consumer, 10 - begins as usize).await, numbered(begins..10));
    }
    let channel = client.another().await;
    let mut next = reader(&channel, "log", 10, FieldTable::default()).await;
    client.send_all("log", ["m10", "m11"]).await;
    assert_eq!(read(&mut next, 2).await, numbered(10..12));
    let mut beyond = reader(&client.another().await, "log", 10, from(AMQPValue::LongLongInt(13))).await;
    client.send_all("log", ["m12", "m13"]).await;
    assert_eq!(read(&mut beyond, 1).await, numbered(13..14));
    let length = client.ready("log").await;
    assert_eq!(length, 14, "nothing is taken out");
}

#[tokio::test]
async fn a_prefetch_is_credit_and_whatever_is_said_gives_it_back() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("log", stream()).await;
    for number in 0..5 {
        assert!(client.send("log", &format!("m{number}")).await.is_ack());
    }
    let channel = client.another().await;
    let mut consumer = reader(&channel, "log", 2, from(text("first"))).await;
    let (first, second) = (next(&mut consumer).await, next(&mut consumer).await);
    // Nothing more comes: the answer to something else comes first.
    client.ready("log").await;
    assert!(futures_lite::future::poll_once(consumer.next()).await.is_none());
    let requeue = BasicNackOptions {
        requeue: true,
        ..BasicNackOptions::default()
    };
    first.nack(requeue).await.expect("given back");
    assert_eq!(offset_of(&next(&mut consumer).await), 2);
    second.ack(BasicAckOptions::default()).await.expect("acknowledged");
    assert_eq!(offset_of(&next(&mut consumer).await), 3);
}

#[tokio::test]
async fn what_a_message_has_comes_back_with_its_offset() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("log", stream()).await;
    client.bind("log", "amq.topic", "a.#", table([])).await;
    let headers = table([("plain", number(7)), ("x-own", text("kept"))]);
    let properties = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_message_id("id".into())
        .with_delivery_mode(2)
        .with_headers(headers);
    let confirm = client.publish("amq.topic", "a.b", "body", properties).await;
    assert!(confirm.is_ack());
    let mut consumer = reader(&client.another().await, "log", 1, from(text("first"))).await;
    let got = next(&mut consumer).await;
    assert_eq!((got.exchange.as_str(), got.routing_key.as_str()), ("amq.topic", "a.b"));
    let properties = &got.properties;
    assert_eq!(
        properties.content_type().as_ref().map(|text| text.as_str()),
        Some("text/plain")
    );
    assert_eq!(properties.message_id().as_ref().map(|text| text.as_str()), Some("id"));
    let headers = properties.headers().as_ref().expect("headers").inner();
    assert_eq!(headers.get("plain"), Some(&number(7)));
    assert_eq!(headers.get("x-own"), Some(&text("kept")));
    assert_eq!(headers.get("x-stream-offset"), Some(&AMQPValue::LongLongInt(0)));
}

#[tokio::test]
async fn a_filter_passes_over_chunks_without_its_value() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("log", stream()).await;
    for value in ["red", "blue", "", "red"] {
        let headers = match value {
            "" => table([]),
            value => table([("x-stream-filter-value", text(value))]),
        };
        let properties = BasicProperties::default().with_headers(headers);
        assert!(client.publish("", "log", value, properties).await.is_ack());
    }
    let filter = |unfiltered: bool| {
        table([
            ("x-stream-offset", text("first")),
            ("x-stream-filter", text("red")),
            ("x-stream-match-unfiltered", AMQPValue::Boolean(unfiltered)),
        ])
    };
    let mut red = reader(&client.another().await, "log", 10, filter(false)).await;
    let offsets = |read: Vec<(i64, String)>| read.into_iter().map(|(offset, _)| offset).collect::<Vec<_>>();
    assert_eq!(offsets(read(&mut red, 2).await), [0, 3]);
    let mut both = reader(&client.another().await, "log", 10, filter(true)).await;
    assert_eq!(offsets(read(&mut both, 3).await), [0, 2, 3]);
}

#[tokio::test]
async fn a_stream_refuses_what_takes_messages_out() {
    let broker = Broker::shared();
    let mut client = broker.client().await;
    client.queue("log", stream()).await;
    let vhost = broker.vhost_name().to_owned();
    let consume = |channel: Channel, arguments: FieldTable| async move {
        let options = BasicConsumeOptions::default();
        channel.basic_consume("log".into(), "".into(), options, arguments).await
    };
    let error = consume(client.another().await, FieldTable::default())
        .await
        .expect_err("refused");
    let text_of = |error: lapin::Error| error.to_string();
    let expected = format!("consumer prefetch count is not set for stream queue 'log' in vhost '{vhost}'");
    assert!(text_of(error).contains(&expected));
    let channel = client.another().await;
    channel
        .basic_qos(1, BasicQosOptions::default())
        .await
        .expect("a prefetch");
    let error = consume(channel, from(text("2"))).await.expect_err("refused");
    assert!(text_of(error).contains("{invalid_stream_offset_arg,{longstr,<<\"2\">>}}"));
    let error = client.basic_get("log".into(), BasicGetOptions::default()).await;
    let text = text_of(error.map(drop).expect_err("refused"));
    let expected = format!("basic.get not supported by stream queues queue 'log' in vhost '{vhost}'");
    assert!(text.contains(&expected), "{text}");
    client = broker.client().await;
    let error = client
        .queue_purge("log".into(), Default::default())
        .await
        .expect_err("refused");
    assert!(text_of(error).contains("queue.purge not supported by stream queues"));
}

#[tokio::test]
async fn the_oldest_segments_go_when_a_stream_is_too_long() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let arguments = table([
        ("x-queue-type", text("stream")),
        ("x-max-length-bytes", number(3_000)),
        ("x-stream-max-segment-size-bytes", number(1_000)),
    ]);
    client.queue("log", arguments).await;
    let body = "x".repeat(400);
    for _ in 0..20 {
        assert!(client.send("log", &body).await.is_ack());
    }
    let mut length = client.ready("log").await;
    while length > 10 {
        tokio::task::yield_now().await;
        length = client.ready("log").await;
    }
    let mut consumer = reader(&client.another().await, "log", 10, from(text("first"))).await;
    let first = offset_of(&next(&mut consumer).await);
    assert_eq!(first + i64::from(client.ready("log").await), 20, "the newest are there");
}

#[tokio::test]
async fn a_stream_that_is_deleted_cancels_its_consumers() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("log", stream()).await;
    let mut consumer = reader(&client.another().await, "log", 1, FieldTable::default()).await;
    let deleted = client.queue_delete("log".into(), Default::default()).await;
    assert_eq!(deleted.expect("deleted"), 0);
    assert!(timeout(PATIENCE, consumer.next()).await.expect("in time").is_none());
}

#[tokio::test]
async fn a_stream_is_there_after_a_start_with_its_numbering() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.queue("log", stream()).await;
    for number in 0..5 {
        assert!(client.send("log", &format!("m{number}")).await.is_ack());
    }
    broker.kill9();
    broker.restart();
    let client = broker.client().await;
    client.send_all("log", ["m5"]).await;
    let mut consumer = reader(&client.another().await, "log", 10, from(text("first"))).await;
    assert_eq!(read(&mut consumer, 6).await, numbered(0..6));
}

#[tokio::test]
async fn a_long_stream_rests_in_files_of_its_own_and_is_there_after_a_kill() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.queue("log", stream()).await;
    let body = |number: i64| format!("m{number}{}", "x".repeat(1_000_000));
    for number in 0..24 {
        assert!(client.send("log", &body(number)).await.is_ack());
    }
    // 16 MB are many, and 8 MB stay.
    let files = broker.data_dir().join("streams");
    let has_files = || std::fs::read_dir(&files).is_ok_and(|files| files.count() > 0);
    while !has_files() {
        tokio::task::yield_now().await;
    }
    let expected: Vec<_> = (0..24).map(|number| (number, body(number))).collect();
    let mut consumer = reader(&client.another().await, "log", 5, from(text("first"))).await;
    assert!(read(&mut consumer, 24).await == expected);
    let told = broker.http().get("/api/queues/%2f/log").expect_status(200).json();
    assert_eq!(told["segments"], 1, "of 500 MB");
    broker.kill9();
    broker.restart();
    let client = broker.client().await;
    let mut consumer = reader(&client.another().await, "log", 5, from(text("first"))).await;
    assert!(read(&mut consumer, 24).await == expected);
    client
        .queue_delete("log".into(), Default::default())
        .await
        .expect("deleted");
    while has_files() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_burst_is_confirmed_and_read_in_order() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("log", stream()).await;
    let mut confirms = Vec::new();
    for number in 0..2_000 {
        let body = format!("m{number}");
        let published = client.basic_publish(
            "".into(),
            "log".into(),
            Default::default(),
            body.as_bytes(),
            BasicProperties::default(),
        );
        confirms.push(published.await.expect("published"));
    }
    for confirm in confirms {
        assert!(confirm.await.expect("a confirm").is_ack());
    }
    let mut consumer = reader(&client.another().await, "log", 100, from(text("first"))).await;
    assert_eq!(read(&mut consumer, 2_000).await, numbered(0..2_000));
}
