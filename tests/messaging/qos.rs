//! Prefetch: how many messages a consumer may hold.

use lapin::options::{BasicAckOptions, BasicQosOptions};

use crate::support::*;

#[tokio::test]
async fn a_consumer_holds_no_more_than_its_prefetch() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1", "m2", "m3", "m4"]).await;
    client.prefetch(2).await;
    let mut consumer = client.consume("orders").await;

    let first = next(&mut consumer).await;
    assert_eq!(story(&next(&mut consumer).await), "m2");
    client.quiet(&mut consumer).await;
    ack(&first).await;
    assert_eq!(story(&next(&mut consumer).await), "m3");
    client.quiet(&mut consumer).await;
    assert_eq!(client.ready("orders").await, 1);
}

#[tokio::test]
async fn one_ack_of_several_frees_them_all() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1", "m2", "m3", "m4", "m5"]).await;
    client.prefetch(3).await;
    let mut consumer = client.consume("orders").await;
    next_many(&mut consumer, 2).await;
    let third = next(&mut consumer).await;
    third.ack(BasicAckOptions { multiple: true }).await.expect("acked");
    assert_eq!(next_many(&mut consumer, 2).await, ["m4", "m5"]);
}

#[tokio::test]
async fn prefetch_is_of_each_consumer_made_after_it() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.prefetch(1).await;
    let mut careful = client.consume("orders").await;
    client.prefetch(0).await;
    let mut greedy = client.consume("orders").await;
    client.send_all("orders", ["m1", "m2", "m3", "m4"]).await;

    assert_eq!(story(&next(&mut careful).await), "m1");
    assert_eq!(next_many(&mut greedy, 3).await, ["m2", "m3", "m4"]);
    client.quiet(&mut careful).await;
}

#[tokio::test]
async fn the_global_limit_is_of_the_whole_channel() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("one").await;
    client.plain_queue("two").await;
    let global = BasicQosOptions { global: true };
    client.basic_qos(2, global).await.expect("qos");
    let mut one = client.consume("one").await;
    let mut two = client.consume("two").await;
    client.send_all("one", ["m1"]).await;
    let first = next(&mut one).await;
    client.send_all("two", ["m2", "m3"]).await;
    assert_eq!(story(&next(&mut two).await), "m2");
    client.quiet(&mut two).await;

    ack(&first).await;
    assert_eq!(story(&next(&mut two).await), "m3");
}

#[tokio::test]
async fn a_consumer_without_acks_has_no_limit() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.prefetch(1).await;
    let mut consumer = client.consume_unacked("orders").await;
    client.send_all("orders", ["m1", "m2", "m3"]).await;
    assert_eq!(next_many(&mut consumer, 3).await, ["m1", "m2", "m3"]);
}

#[tokio::test]
async fn messages_taken_by_get_are_outside_the_limit() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1", "m2"]).await;
    client.prefetch(1).await;
    let _taken = client.got("orders").await;
    let mut consumer = client.consume("orders").await;
    assert_eq!(story(&next(&mut consumer).await), "m2");
}

#[tokio::test]
async fn the_limit_of_a_channel_is_shared_by_its_queues() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let queues = ["one", "two", "tre"];
    for queue in queues {
        client.plain_queue(queue).await;
        for _ in 0..60 {
            client.send_all(queue, [queue]).await;
        }
    }
    for limit in [1, 3] {
        let mut raw = Raw::open(&broker.amqp, broker.vhost_name(), 0);
        raw.channel(1);
        raw.method(1, (60, 10), &[0, 0, 0, 0, 0, limit, 1]);
        raw.expect(60, 11);
        for queue in queues {
            // The answer may come behind deliveries to those before.
            let consume = [&[0, 0], &short(queue)[..], &short(queue), &[0, 0, 0, 0, 0]].concat();
            raw.method(1, (60, 20), &consume);
        }
        let mut counts = std::collections::BTreeMap::new();
        for tag in 1..=60_u64 {
            let delivery = loop {
                let frame = raw.read().expect("a frame");
                if frame.method() == Some((60, 60)) {
                    break frame.payload;
                }
            };
            let consumer = String::from_utf8_lossy(&delivery[5..8]).into_owned();
            assert_eq!(delivery[8..16], tag.to_be_bytes());
            *counts.entry(consumer).or_insert(0) += 1;
            raw.method(1, (60, 80), &[&tag.to_be_bytes()[..], &[0]].concat());
        }
        for queue in queues {
            let count = counts.get(queue).copied().unwrap_or(0);
            assert!((15..=25).contains(&count), "with a limit of {limit}: {counts:?}");
        }
        raw.close();
    }
}

#[tokio::test]
async fn consumers_without_acks_wait_for_the_limit_of_their_channel_and_use_none_of_it_up() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("acked").await;
    client.plain_queue("unacked").await;
    let global = BasicQosOptions { global: true };
    client.basic_qos(1, global).await.expect("qos");
    let mut acked = client.consume("acked").await;
    let mut unacked = client.consume_unacked("unacked").await;
    client.send_all("unacked", ["n1", "n2"]).await;
    assert_eq!(next_many(&mut unacked, 2).await, ["n1", "n2"]);
    client.send_all("acked", ["m1"]).await;
    let held = next(&mut acked).await;
    client.send_all("unacked", ["n3", "n4"]).await;
    client.quiet(&mut unacked).await;
    ack(&held).await;
    assert_eq!(next_many(&mut unacked, 2).await, ["n3", "n4"]);
}
