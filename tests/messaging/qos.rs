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
