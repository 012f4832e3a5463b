//! An orderly stop: clients are told, everything that was confirmed is kept.

use std::time::Duration;

use lapin::options::BasicPublishOptions;

use crate::support::*;

#[tokio::test]
async fn everything_is_there_after_an_orderly_stop() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    for number in 0..500 {
        let options = BasicPublishOptions::default();
        let body = format!("m{number}");
        let published = client.basic_publish("".into(), "orders".into(), options, body.as_bytes(), persistent());
        published.await.expect("published");
    }
    client.wait_for_confirms().await.expect("confirms");
    let held = client.got("orders").await;
    assert_eq!(body(&held), "m0");
    let status = broker.stop();
    assert!(status.success(), "{status}");
    broker.restart();

    let client = broker.client().await;
    assert_eq!(client.ready("orders").await, 500);
    let first = client.got("orders").await;
    assert_eq!(story(&first), "m0 (redelivered)");
    for number in 1..500 {
        assert_eq!(body(&client.got("orders").await.delivery), format!("m{number}"));
    }
}

#[tokio::test]
async fn what_was_acknowledged_just_before_a_stop_is_gone() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    let quorum = table([("x-queue-type", text("quorum"))]);
    client.queue("orders", quorum).await;
    client.send_all("orders", ["m1", "m2"]).await;
    let held = client.got("orders").await;
    ack(&held).await;
    client.connection.close(200, "bye".into()).await.expect("closed");
    let status = broker.stop();
    assert!(status.success(), "{status}");
    broker.restart();
    assert_eq!(broker.client().await.take("orders").await, ["m2"]);
}

#[tokio::test]
async fn clients_are_told_that_the_broker_stops() {
    let mut broker = Broker::start();
    let mut raw = Raw::open(&broker.amqp, "/", 0);
    let status = broker.stop();
    assert!(status.success(), "{status}");
    let close = raw.expect(10, 50);
    let text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
    let expected = [&320_u16.to_be_bytes()[..], &short(text), &[0; 4]].concat();
    assert_eq!(close.payload[4..], expected);
    assert!(raw.read().is_none(), "the end follows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_in_the_middle_of_publishing_keeps_what_was_confirmed() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let channel = client.channel.clone();
    let (confirmed, mut confirms) = tokio::sync::mpsc::unbounded_channel();
    let publishing = tokio::spawn(async move {
        for number in 0_u32.. {
            let body = number.to_string();
            let options = BasicPublishOptions::default();
            let published = channel.basic_publish("".into(), "orders".into(), options, body.as_bytes(), persistent());
            let Ok(confirm) = published.await else { break };
            match confirm.await {
                Ok(confirm) if confirm.is_ack() => confirmed.send(number).expect("somebody listens"),
                _ => break,
            }
        }
    });
    for _ in 0..200 {
        confirms.recv().await.expect("it publishes until the stop");
    }
    let stopping = tokio::task::spawn_blocking(move || {
        let status = broker.stop();
        (broker, status)
    });
    let (mut broker, status) = stopping.await.expect("stopped");
    assert!(status.success(), "{status}");
    publishing.await.expect("the publisher ends");
    let mut last = 199;
    while let Some(number) = confirms.recv().await {
        last = number;
    }

    broker.restart();
    let client = broker.client().await;
    for number in 0..=last {
        assert_eq!(body(&client.got("orders").await.delivery), number.to_string());
    }
    // At most the one that was on its way is there beyond the last confirmed one.
    assert!(client.ready("orders").await <= 1);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_clients_that_say_nothing() {
    let mut broker = Broker::start();
    let _unspoken = Raw::connect(&broker.amqp);
    let _silent = Raw::open(&broker.amqp, "/", 0);
    let begin = std::time::Instant::now();
    let status = broker.stop();
    assert!(status.success(), "{status}");
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(15), "it took {took:?}");
}

#[tokio::test]
async fn a_limit_that_was_lifted_does_not_count_at_the_next_start() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let policy = "/api/policies/%2f/short";
    let body = r#"{"pattern": "^orders$", "definition": {"max-length": 3}}"#;
    broker.http().put(policy, body).expect_status(201);
    broker.http().delete(policy).expect_status(204);
    for number in 0..10 {
        let options = BasicPublishOptions::default();
        let body = format!("m{number}");
        let published = client.basic_publish("".into(), "orders".into(), options, body.as_bytes(), persistent());
        published.await.expect("published");
    }
    client.wait_for_confirms().await.expect("confirms");
    let status = broker.stop();
    assert!(status.success(), "{status}");
    broker.restart();
    assert_eq!(broker.client().await.ready("orders").await, 10);
}
