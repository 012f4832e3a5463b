//! Spans that a collector hears of, in OTLP over HTTP. The collector is the test.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, ExchangeKind};
use serde_json::{Value, json};

use crate::support::web::Server;
use crate::support::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A message of a span of that trace.
fn in_span(span: &str, flags: &str) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(
        ShortString::from("traceparent"),
        text(&format!("00-{TRACE}-{span}-{flags}")),
    );
    headers.insert(ShortString::from("tracestate"), text("a=1"));
    BasicProperties::default().with_headers(headers)
}

/// Waits until the collector has heard of so many spans, and gives them.
async fn spans(collector: &Server, count: usize) -> Vec<Value> {
    let end = Instant::now() + PATIENCE;
    loop {
        let requests = collector.requests();
        let heard = requests.iter().flat_map(|request| {
            assert_eq!(request.path, "/v1/traces");
            assert!(
                request.headers.contains("authorization: bearer let-me-in\n"),
                "{}",
                request.headers
            );
            let body: Value = serde_json::from_str(&request.body).expect("JSON");
            let resource = &body["resourceSpans"][0];
            let service = json!({"key": "service.name", "value": {"stringValue": "shop-broker"}});
            assert!(
                resource["resource"]["attributes"]
                    .as_array()
                    .expect("a list")
                    .contains(&service)
            );
            resource["scopeSpans"][0]["spans"].as_array().expect("spans").clone()
        });
        let mut heard: Vec<_> = heard.collect();
        if heard.len() >= count {
            // The same ones come again where the collector did not take them.
            heard.sort_by_key(|span| span["spanId"].to_string());
            heard.dedup();
            if heard.len() >= count {
                return heard;
            }
        }
        assert!(Instant::now() < end, "{heard:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let attributes = span["attributes"].as_array().expect("a list");
    let found = attributes.iter().find(|attribute| attribute["key"] == key);
    &found.unwrap_or_else(|| panic!("{key} is not in {span}"))["value"]
}

fn time(span: &Value, key: &str) -> u128 {
    span[key].as_str().expect("a text").parse().expect("a number")
}

/// A broker that tells that collector.
fn start(collector: &Server) -> (Broker, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("spans.conf");
    let lines = format!(
        "otlp.endpoint = http://{}/\notlp.service_name = shop-broker\notlp.headers.authorization = Bearer let-me-in\n",
        collector.address
    );
    std::fs::write(&config, lines).expect("written");
    let broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
    (broker, directory)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_traced_has_spans_and_others_have_none() {
    let collector = Server::start(|_| (200, "{}".to_owned()));
    let (broker, _directory) = start(&collector);
    let client = broker.client().await;
    client
        .exchange("shop", ExchangeKind::Topic, FieldTable::default())
        .await;
    client.queue("orders", FieldTable::default()).await;
    client.bind("orders", "shop", "order.*", FieldTable::default()).await;
    let mut consumer = client.consume("orders").await;
    for properties in [
        BasicProperties::default(),
        in_span("00f067aa0ba902b6", "00"),
        in_span("00f067aa0ba902b7", "01"),
    ] {
        client.publish("shop", "order.new", "hello", properties).await;
        ack(&next(&mut consumer).await).await;
    }
    let spans = spans(&collector, 2).await;
    assert_eq!(spans.len(), 2, "{spans:?}");
    let named = |name: &str| {
        spans
            .iter()
            .find(|span| span["name"] == name)
            .expect("a span of that name")
    };
    let (publish, deliver) = (named("publish shop"), named("deliver orders"));
    for span in [publish, deliver] {
        assert_eq!(span["traceId"], TRACE);
        assert_eq!(span["parentSpanId"], "00f067aa0ba902b7");
        assert_eq!(span["traceState"], "a=1");
        assert_eq!(
            attribute(span, "messaging.rabbitmq.destination.routing_key"),
            &json!({"stringValue": "order.new"})
        );
        assert_eq!(
            attribute(span, "messaging.message.body.size"),
            &json!({"intValue": "5"})
        );
        assert!(time(span, "startTimeUnixNano") <= time(span, "endTimeUnixNano"));
    }
    assert_ne!(publish["spanId"], deliver["spanId"]);
    assert_eq!(time(deliver, "startTimeUnixNano"), time(publish, "startTimeUnixNano"));
    assert_eq!(attribute(publish, "warren.routed_queues"), &json!({"intValue": "1"}));
    assert_eq!(
        attribute(deliver, "messaging.destination.name"),
        &json!({"stringValue": "orders"})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_busy_hears_of_spans_again() {
    let was_busy = AtomicBool::new(false);
    let collector = Server::start(move |_| match was_busy.swap(true, Ordering::AcqRel) {
        true => (200, "{}".to_owned()),
        false => (503, String::new()),
    });
    let (broker, _directory) = start(&collector);
    let client = broker.client().await;
    client
        .publish("", "nobody", "x", in_span("00f067aa0ba902b7", "01"))
        .await;
    let spans = spans(&collector, 1).await;
    assert_eq!(spans[0]["name"], "publish amq.default");
    let end = Instant::now() + PATIENCE;
    while collector.count("/v1/traces") < 2 {
        assert!(Instant::now() < end, "it is not tried again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let bodies: Vec<_> = collector.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies[0], bodies[1]);
}
