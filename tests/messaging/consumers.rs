//! Consumers of one queue: whose turn it is, who is alone, and what ends them.

use lapin::options::{BasicConsumeOptions, QueueDeleteOptions};

use crate::support::*;

#[tokio::test]
async fn consumers_take_turns() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let mut one = client.consume("orders").await;
    let mut two = client.consume("orders").await;
    client.send_all("orders", ["m1", "m2", "m3", "m4"]).await;
    assert_eq!(next_many(&mut one, 2).await, ["m1", "m3"]);
    assert_eq!(next_many(&mut two, 2).await, ["m2", "m4"]);
}

#[tokio::test]
async fn a_higher_priority_takes_all_it_can_hold() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.prefetch(2).await;
    let mut low = client.consume("orders").await;
    let mut high = client.consume_with("orders", table([("x-priority", number(10))])).await;
    client.send_all("orders", ["m1", "m2", "m3"]).await;
    assert_eq!(next_many(&mut high, 2).await, ["m1", "m2"]);
    assert_eq!(story(&next(&mut low).await), "m3");
    client.quiet(&mut low).await;
}

#[tokio::test]
async fn an_exclusive_consumer_is_alone() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let exclusive = BasicConsumeOptions {
        exclusive: true,
        ..BasicConsumeOptions::default()
    };
    let consumer = client.basic_consume("orders".into(), "".into(), exclusive, table([]));
    let consumer = consumer.await.expect("a consumer");

    let other = client.another().await;
    let refusal = other.basic_consume("orders".into(), "".into(), BasicConsumeOptions::default(), table([]));
    let vhost = broker.vhost_name();
    let expected = format!("403 ACCESS_REFUSED - queue 'orders' in vhost '{vhost}' in exclusive use");
    assert_eq!(refused(refusal.await), expected);

    client.cancel(&consumer).await;
    client.another().await.consume("orders").await;
}

#[tokio::test]
async fn a_tag_is_used_once_on_a_channel() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let options = BasicConsumeOptions::default();
    let first = client.basic_consume("orders".into(), "mine".into(), options, table([]));
    let _first = first.await.expect("a consumer");
    // The tag is free on another channel.
    let other = client.another().await;
    let elsewhere = other.basic_consume("orders".into(), "mine".into(), options, table([]));
    let _elsewhere = elsewhere.await.expect("a consumer");
    let again = client.basic_consume("orders".into(), "mine".into(), options, table([]));
    assert_eq!(
        refused(again.await),
        "530 NOT_ALLOWED - attempt to reuse consumer tag 'mine'"
    );
}

#[tokio::test]
async fn a_consumer_without_a_tag_gets_one() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let consumer = client.consume("orders").await;
    let tag = consumer.tag();
    assert!(tag.as_str().starts_with("amq.ctag-"), "{tag}");
    assert_eq!(tag.as_str().len(), "amq.ctag-".len() + 22, "{tag}");
}

#[tokio::test]
async fn a_consumer_hears_that_its_queue_was_deleted() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1"]).await;
    let worker = client.another().await;
    let mut consumer = worker.consume("orders").await;
    let held = next(&mut consumer).await;
    let deleted = client.queue_delete("orders".into(), QueueDeleteOptions::default());
    deleted.await.expect("deleted");
    ended(&mut consumer).await;
    // What it still held may be settled without harm.
    ack(&held).await;
    worker.plain_queue("other").await;
}

#[tokio::test]
async fn a_cancelled_consumer_gets_nothing_more() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let consumer = client.consume("orders").await;
    client.cancel(&consumer).await;
    client.send_all("orders", ["m1"]).await;
    assert_eq!(client.look("orders").await.expect("the queue"), (1, 0));
    // An unknown tag is no error.
    client
        .basic_cancel("never".into(), Default::default())
        .await
        .expect("cancelled");
}

#[tokio::test]
async fn a_wrong_priority_is_refused() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let options = BasicConsumeOptions::default();
    let consumer = client.basic_consume(
        "orders".into(),
        "".into(),
        options,
        table([("x-priority", text("high"))]),
    );
    let refusal = refused(consumer.await);
    assert!(
        refusal.starts_with("406 PRECONDITION_FAILED - invalid arg 'x-priority'"),
        "{refusal}"
    );
}

/// A client that announces `consumer_cancel_notify`, with a channel.
fn raw_with_notify(broker: &Broker) -> Raw {
    let mut raw = Raw::connect(&broker.amqp);
    raw.send(b"AMQP\x00\x00\x09\x01");
    raw.expect(10, 10);
    let flag = [&short("consumer_cancel_notify")[..], b"t\x01"].concat();
    let size = u32::try_from(flag.len()).expect("a few bytes").to_be_bytes();
    let properties = [&short("capabilities")[..], b"F", &size, &flag].concat();
    let size = u32::try_from(properties.len()).expect("a few bytes").to_be_bytes();
    let start_ok = [
        &size[..],
        &properties,
        &short("PLAIN"),
        &long("\0guest\0guest"),
        &short("en_US"),
    ];
    raw.method(0, (10, 11), &start_ok.concat());
    raw.expect(10, 30);
    raw.method(0, (10, 31), &[0, 9, 0, 2, 0, 0, 0, 0]);
    raw.method(0, (10, 40), &[short(broker.vhost_name()), vec![0, 0]].concat());
    raw.expect(10, 41);
    raw.channel(1);
    raw
}

#[tokio::test]
async fn a_channel_that_deletes_its_queue_hears_that_before_it_hears_of_its_consumers() {
    let broker = Broker::shared();
    let mut raw = raw_with_notify(&broker);
    for kind in ["classic", "quorum"] {
        let queue = unique(kind);
        let client = broker.client().await;
        client.queue(&queue, table([("x-queue-type", text(kind))])).await;
        raw.consume(1, &queue, "one");
        raw.consume(1, &queue, "two");
        let delete = [&[0, 0], &short(&queue)[..], &[0]].concat();
        raw.method(1, (50, 40), &delete);
        raw.expect(50, 41);
        raw.expect(60, 30);
        raw.expect(60, 30);
        // Whoever is told by somebody else's delete hears of it at once.
        client.queue(&queue, table([("x-queue-type", text(kind))])).await;
        raw.consume(1, &queue, "one");
        client
            .queue_delete(queue.as_str().into(), QueueDeleteOptions::default())
            .await
            .expect("deleted");
        raw.expect(60, 30);
    }
}
