//! Ack, nack, reject and recover.

use futures_lite::StreamExt;
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicRecoverOptions, BasicRejectOptions};

use crate::support::*;

#[tokio::test]
async fn a_requeued_message_goes_back_to_its_place() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1", "m2", "m3", "m4"]).await;
    let _first = client.got("orders").await;
    let second = client.got("orders").await;
    let _third = client.got("orders").await;
    requeue(&second).await;
    assert_eq!(client.take("orders").await, ["m2 (redelivered)", "m4"]);
}

#[tokio::test]
async fn a_nack_of_several_gives_them_back_in_order() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1", "m2", "m3", "m4"]).await;
    client.got("orders").await;
    client.got("orders").await;
    let third = client.got("orders").await;
    let all = BasicNackOptions {
        multiple: true,
        requeue: true,
    };
    third.nack(all).await.expect("nacked");
    let expected = ["m1 (redelivered)", "m2 (redelivered)", "m3 (redelivered)", "m4"];
    assert_eq!(client.take("orders").await, expected);
}

#[tokio::test]
async fn a_rejected_message_comes_again_or_is_gone() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1"]).await;
    let mut consumer = client.consume("orders").await;
    let first = next(&mut consumer).await;
    first
        .reject(BasicRejectOptions { requeue: true })
        .await
        .expect("rejected");
    let again = next(&mut consumer).await;
    assert_eq!(story(&again), "m1 (redelivered)");
    again
        .reject(BasicRejectOptions { requeue: false })
        .await
        .expect("rejected");
    client.quiet(&mut consumer).await;
    client.cancel(&consumer).await;
    assert_eq!(client.ready("orders").await, 0);
}

#[tokio::test]
async fn an_ack_up_to_a_tag_takes_all_before_it() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1", "m2", "m3"]).await;
    let worker = client.another().await;
    worker.got("orders").await;
    let second = worker.got("orders").await;
    worker.got("orders").await;
    second.ack(BasicAckOptions { multiple: true }).await.expect("acked");
    worker.close(200, "done".into()).await.expect("closed");
    assert_eq!(client.wait_for("orders", 1).await, ["m3 (redelivered)"]);
}

#[tokio::test]
async fn an_unknown_tag_closes_the_channel() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let ack = client.basic_ack(7, BasicAckOptions::default());
    assert_eq!(
        closed_by(&client, ack).await,
        "406 PRECONDITION_FAILED - unknown delivery tag 7"
    );
}

#[tokio::test]
async fn a_tag_cannot_be_acked_twice() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1"]).await;
    let message = client.got("orders").await;
    ack(&message).await;
    let again = client.basic_ack(1, BasicAckOptions::default());
    assert_eq!(
        closed_by(&client, again).await,
        "406 PRECONDITION_FAILED - unknown delivery tag 1"
    );
}

#[tokio::test]
async fn tag_zero_with_multiple_takes_everything() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1", "m2"]).await;
    let worker = client.another().await;
    let all = BasicAckOptions { multiple: true };
    worker.basic_ack(0, all).await.expect("fine with nothing outstanding");
    worker.got("orders").await;
    worker.got("orders").await;
    worker.basic_ack(0, all).await.expect("acked");
    worker.close(200, "done".into()).await.expect("closed");
    assert_eq!(client.ready("orders").await, 0);
}

#[tokio::test]
async fn recover_gives_everything_back_and_delivers_it_again() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1", "m2"]).await;
    let mut consumer = client.consume("orders").await;
    assert_eq!(next_many(&mut consumer, 2).await, ["m1", "m2"]);
    client
        .basic_recover(BasicRecoverOptions { requeue: true })
        .await
        .expect("recovered");
    assert_eq!(
        next_many(&mut consumer, 2).await,
        ["m1 (redelivered)", "m2 (redelivered)"]
    );
}

#[tokio::test]
async fn recover_without_requeue_is_not_implemented() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let recovered = client.basic_recover(BasicRecoverOptions { requeue: false });
    assert_eq!(refused(recovered.await), "540 NOT_IMPLEMENTED - requeue=false");
}

#[tokio::test]
async fn a_message_held_too_long_closes_the_channel_and_comes_again() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client
        .queue("orders", table([("x-consumer-timeout", number(500))]))
        .await;
    client.send_all("orders", ["m1"]).await;
    let mut consumer = client.consume("orders").await;
    next(&mut consumer).await;
    let error = consumer
        .next()
        .await
        .expect("an end")
        .expect_err("the channel is closed");
    assert_eq!(
        refused::<()>(Err(error)),
        "406 PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 500 ms. This \
         timeout value can be configured, see consumers doc guide to learn more"
    );
    let again = broker.client().await;
    let mut consumer = again.consume("orders").await;
    assert_eq!(story(&next(&mut consumer).await), "m1 (redelivered)");
}
