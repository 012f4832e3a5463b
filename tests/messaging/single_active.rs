//! Single active consumer: one at a time, the next takes over.

use crate::support::*;

#[tokio::test]
async fn the_first_consumer_gets_everything_until_it_is_cancelled() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let single = table([("x-single-active-consumer", lapin::types::AMQPValue::Boolean(true))]);
    client.queue("orders", single).await;
    let first = client.another().await;
    let second = client.another().await;
    let mut one = first.consume("orders").await;
    let mut two = second.consume("orders").await;
    client.send_all("orders", ["m1", "m2"]).await;
    let held = next(&mut one).await;
    assert_eq!(story(&next(&mut one).await), "m2");
    second.quiet(&mut two).await;

    first.cancel(&one).await;
    client.send_all("orders", ["m3"]).await;
    assert_eq!(
        story(&next(&mut two).await),
        "m3",
        "what is outstanding stays with the first"
    );
    ack(&held).await;
    first.close(200, "done".into()).await.expect("closed");
    assert_eq!(story(&next(&mut two).await), "m2 (redelivered)");
}

#[tokio::test]
async fn the_next_takes_over_when_the_channel_ends() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let single = table([("x-single-active-consumer", lapin::types::AMQPValue::Boolean(true))]);
    client.queue("orders", single).await;
    let first = client.another().await;
    let second = client.another().await;
    let mut one = first.consume("orders").await;
    let mut two = second.consume("orders").await;
    client.send_all("orders", ["m1"]).await;
    next(&mut one).await;
    first.close(200, "done".into()).await.expect("closed");
    assert_eq!(story(&next(&mut two).await), "m1 (redelivered)");
}

#[tokio::test]
async fn a_higher_priority_does_not_take_over() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let single = table([("x-single-active-consumer", lapin::types::AMQPValue::Boolean(true))]);
    client.queue("orders", single).await;
    let mut one = client.consume("orders").await;
    let mut two = client.consume_with("orders", table([("x-priority", number(10))])).await;
    client.send_all("orders", ["m1"]).await;
    assert_eq!(story(&next(&mut one).await), "m1");
    client.quiet(&mut two).await;
}
