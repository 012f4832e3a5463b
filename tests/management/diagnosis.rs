//! Why a queue does not get on, in the words of its health.

use serde_json::{Value, json};

use crate::support::*;

/// The word, and the reasons with their levels.
fn health(broker: &Broker, queue: &str) -> (String, Vec<String>) {
    let view = broker.http().get(&format!("/api/queues/%2f/{queue}/health"));
    let view = view.expect_status(200).json();
    let reasons = view["reasons"].as_array().expect("a list").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let reasons = reasons.map(|reason| format!("{} {}", text(&reason["level"]), text(&reason["code"])));
    (text(&view["health"]), reasons.collect())
}

fn told(word: &str, reasons: &[&str]) -> (String, Vec<String>) {
    (
        word.to_owned(),
        reasons.iter().map(|&reason| reason.to_owned()).collect(),
    )
}

#[tokio::test]
async fn a_queue_says_that_nobody_consumes_and_that_its_dead_letters_are_lost() {
    let broker = Broker::start();
    let client = broker.client().await;
    let arguments = table([("x-dead-letter-exchange", text("nowhere"))]);
    client.queue("orders", arguments).await;
    assert_eq!(
        health(&broker, "orders"),
        told("ok", &["warn dead_letter_target_missing"])
    );
    client.exchange("nowhere", lapin::ExchangeKind::Fanout, table([])).await;
    assert_eq!(health(&broker, "orders"), told("ok", &[]));
    client.send_all("orders", ["m1", "m2"]).await;
    assert_eq!(health(&broker, "orders"), told("no_consumers", &["bad no_consumers"]));
    let view = broker.http().get("/api/queues/%2f/orders/health").json();
    assert!(view["oldest_ready_ms"].as_u64().is_some(), "{view}");
    assert_eq!(view["reasons"][0]["link"], "#/queues/%2F/orders?tab=consumers");
    assert_eq!((&view["at_prefetch"], &view["drain_s"]), (&json!(0), &Value::Null));
    broker.http().get("/api/queues/%2f/none/health").expect_status(404);
}

#[tokio::test]
async fn a_full_prefetch_names_who_holds_it() {
    let broker = Broker::start();
    for kind in ["classic", "quorum"] {
        let client = broker.client().await;
        let queue = unique(kind);
        client.queue(&queue, table([("x-queue-type", text(kind))])).await;
        client.prefetch(1).await;
        let mut consumer = client.consume(&queue).await;
        client.send_all(&queue, ["m1", "m2"]).await;
        let held = next(&mut consumer).await;
        assert_eq!(health(&broker, &queue), told("ok", &["info prefetch_full"]), "{kind}");
        let view = broker.http().get(&format!("/api/queues/%2f/{queue}/health")).json();
        let reason = &view["reasons"][0];
        let said = reason["text"].as_str().expect("a text");
        assert!(said.starts_with("1 of 1 consumers hold their prefetch."), "{said}");
        assert!(said.contains(&format!("'{}' holds 1 of 1", consumer.tag())), "{said}");
        let link = reason["link"].as_str().expect("a link");
        assert!(link.starts_with("#/channels/127.0.0.1%3A"), "{link}");
        assert!(view["oldest_unacked_ms"].as_u64().is_some(), "{view}");
        ack(&held).await;
        ack(&next(&mut consumer).await).await;
        client.cancel(&consumer).await;
        assert_eq!(health(&broker, &queue), told("ok", &[]));
        client.connection.close(200, "done".into()).await.expect("closed");
    }
}

#[tokio::test]
async fn a_queue_that_is_full_says_what_becomes_of_messages() {
    let broker = Broker::start();
    let client = broker.client().await;
    for (overflow, word, first) in [
        ("reject-publish", "full", "bad full_refusing"),
        ("drop-head", "no_consumers", "warn full_dropping"),
    ] {
        let arguments = table([("x-max-length", number(1)), ("x-overflow", text(overflow))]);
        client.queue(overflow, arguments).await;
        client.send_all(overflow, ["m1"]).await;
        let (health, reasons) = health(&broker, overflow);
        assert_eq!(health, word);
        assert!(reasons.iter().any(|reason| reason == first), "{reasons:?}");
    }
}
