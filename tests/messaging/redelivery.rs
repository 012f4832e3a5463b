//! What was delivered and not settled comes back, flagged, however its holder ended.

use crate::support::*;

#[tokio::test]
async fn the_end_of_a_channel_gives_back_what_it_held() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1", "m2", "m3"]).await;
    let worker = client.another().await;
    worker.prefetch(2).await;
    let mut consumer = worker.consume("orders").await;
    ack(&next(&mut consumer).await).await;
    next_many(&mut consumer, 2).await;
    worker.close(200, "done".into()).await.expect("closed");
    assert_eq!(
        client.wait_for("orders", 2).await,
        ["m2 (redelivered)", "m3 (redelivered)"]
    );
}

#[tokio::test]
async fn an_error_on_a_channel_gives_back_what_it_held() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1"]).await;
    let worker = client.another().await;
    worker.got("orders").await;
    assert!(worker.look("missing").await.is_err());
    let mut consumer = client.consume("orders").await;
    assert_eq!(story(&next(&mut consumer).await), "m1 (redelivered)");
}

#[tokio::test]
async fn a_lost_connection_gives_back_what_it_held() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1", "m2"]).await;
    // A socket that goes away without a word.
    let mut raw = Raw::open(&broker.amqp, broker.vhost_name(), 0);
    raw.method(1, (20, 10), &short(""));
    raw.expect(20, 11);
    let get = [&[0, 0][..], &short("orders"), &[0]].concat();
    raw.method(1, (60, 70), &get);
    raw.expect(60, 71);
    drop(raw);

    // The queue hears of it a moment later.
    let mut consumer = client.consume("orders").await;
    let mut came = next_many(&mut consumer, 2).await;
    came.sort();
    assert_eq!(came, ["m1 (redelivered)", "m2"]);
}

#[tokio::test]
async fn a_cancelled_consumer_keeps_what_it_holds() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1", "m2"]).await;
    let worker = client.another().await;
    worker.prefetch(1).await;
    let mut consumer = worker.consume("orders").await;
    let held = next(&mut consumer).await;
    worker.cancel(&consumer).await;
    assert_eq!(client.take("orders").await, ["m2"]);
    ack(&held).await;
    worker.close(200, "done".into()).await.expect("closed");
    assert_eq!(client.ready("orders").await, 0);
}

#[tokio::test]
async fn a_message_given_back_goes_to_the_next_consumer() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let first = client.another().await;
    let second = client.another().await;
    first.prefetch(1).await;
    second.prefetch(1).await;
    let mut one = first.consume("orders").await;
    client.send_all("orders", ["m1"]).await;
    assert_eq!(story(&next(&mut one).await), "m1");
    let mut two = second.consume("orders").await;
    first.close(200, "done".into()).await.expect("closed");
    assert_eq!(story(&next(&mut two).await), "m1 (redelivered)");
}
