//! Queues and exchanges: declared, listed, deleted.

use std::time::Instant;

use serde_json::json;

use crate::support::{Broker, PATIENCE};
use crate::{names, reason};

#[test]
fn a_queue_is_declared_as_by_a_client() {
    let broker = Broker::start();
    let http = broker.http();
    let path = "/api/queues/%2f/a%2Fb%20c";
    let body = r#"{"durable":true,"arguments":{"x-max-length":10}}"#;
    http.put(path, body).expect_status(201);
    http.put(path, body).expect_status(204);
    let view = http.get(path).expect_status(200).json();
    assert_eq!(view["name"], "a/b c");
    assert_eq!((&view["durable"], &view["messages"]), (&json!(true), &json!(0)));
    assert_eq!(
        view["arguments"],
        json!({"x-max-length": 10, "x-queue-type": "classic"})
    );
    assert_eq!((&view["type"], &view["state"]), (&json!("classic"), &json!("running")));
    let refused = |path: &str, body: &str, status| reason(http.put(path, body).expect_status(status));
    assert_eq!(
        refused(path, r#"{"durable":true,"arguments":{"x-max-length":5}}"#, 400),
        "inequivalent arg 'x-max-length' for queue 'a/b c' in vhost '/': received '5' but current is '10'"
    );
    assert_eq!(
        refused("/api/queues/%2f/bad", r#"{"arguments":{"x-message-ttl":"abc"}}"#, 400),
        "invalid arg 'x-message-ttl' for queue 'bad' in vhost '/': \"expected integer, got longstr\""
    );
    assert_eq!(refused("/api/queues/%2f/amq.mine", "{}", 401), "Access refused.");
    assert_eq!(refused("/api/queues/missing/q", "{}", 404), "vhost_not_found");
    assert_eq!(
        refused("/api/queues/%2f/q", r#"{"node":"rabbit@nowhere"}"#, 400),
        "Node rabbit@nowhere could not be contacted"
    );
    assert_eq!(
        refused("/api/queues/%2f/q", r#"{"durable":"maybe"}"#, 400),
        r#"["not_boolean","maybe"]"#
    );
    http.delete(path).expect_status(204);
    http.delete(path).expect_status(404);
}

#[test]
fn a_quorum_queue_tells_its_delivery_limit() {
    let broker = Broker::start();
    let http = broker.http();
    for (limit, shown) in [(3, json!(3)), (-1, json!("unlimited"))] {
        let arguments = json!({"x-queue-type": "quorum", "x-delivery-limit": limit});
        let body = json!({"durable": true, "arguments": arguments}).to_string();
        let path = format!("/api/queues/%2f/limit{limit}");
        http.put(&path, &body).expect_status(201);
        let told = || http.get(&path).expect_status(200).json()["delivery_limit"].clone();
        // It is told once the queue has a leader.
        let end = Instant::now() + PATIENCE;
        while told() != shown {
            assert!(Instant::now() < end, "{shown} not in {PATIENCE:?}");
        }
    }
}

#[test]
fn a_queue_with_messages_is_spared_if_so_asked_and_purged() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/queues/%2f/q", "{}").expect_status(201);
    let message = r#"{"properties":{},"routing_key":"q","payload":"x","payload_encoding":"string"}"#;
    http.post("/api/exchanges/%2f/amq.default/publish", message)
        .expect_status(200);
    let refused = http.delete("/api/queues/%2f/q?if-empty=true");
    assert_eq!(reason(refused.expect_status(400)), "queue 'q' in vhost '/' not empty");
    assert_eq!(http.get("/api/overview").json()["queue_totals"]["messages"], 1);
    http.delete("/api/queues/%2f/q/contents").expect_status(204);
    assert_eq!(http.get("/api/queues/%2f/q").json()["messages"], 0);
    http.delete("/api/queues/%2f/q?if-empty=true").expect_status(204);
    http.delete("/api/queues/%2f/q/contents").expect_status(404);
}

#[test]
fn exchanges_are_declared_and_deleted() {
    let broker = Broker::start();
    let http = broker.http();
    let path = "/api/exchanges/%2f/shop";
    http.put(path, r#"{"type":"topic","durable":true}"#).expect_status(201);
    http.put(path, r#"{"type":"topic","durable":true}"#).expect_status(204);
    assert_eq!(
        reason(http.put(path, r#"{"type":"direct","durable":true}"#).expect_status(400)),
        "inequivalent arg 'type' for exchange 'shop' in vhost '/': received 'direct' but current is 'topic'"
    );
    assert_eq!(http.get(path).json()["type"], "topic");
    assert_eq!(http.get("/api/exchanges/%2f/amq.default").json()["name"], "");
    http.put("/api/queues/%2f/q", "{}").expect_status(201);
    http.post("/api/bindings/%2f/e/shop/q/q", r#"{"routing_key":"a"}"#)
        .expect_status(201);
    assert_eq!(
        reason(http.delete("/api/exchanges/%2f/shop?if-unused=true").expect_status(400)),
        "exchange 'shop' in vhost '/' in use"
    );
    http.delete(path).expect_status(204);
    http.delete(path).expect_status(404);
    http.delete("/api/exchanges/%2f/amq.direct").expect_status(401);
}

#[test]
fn lists_come_in_pages() {
    let broker = Broker::start();
    let http = broker.http();
    for name in ["a1", "a2", "b1"] {
        let path = format!("/api/queues/%2f/{name}");
        http.put(&path, "{}").expect_status(201);
    }
    let page = http.get("/api/queues?page=2&page_size=2").expect_status(200).json();
    assert_eq!(page["items"][0]["name"], "b1");
    assert_eq!((&page["page_count"], &page["total_count"]), (&json!(2), &json!(3)));
    assert_eq!(
        names(&http.get("/api/queues?page=1&name=%5Ea&use_regex=true")),
        ["a1", "a2"]
    );
    assert_eq!(
        names(&http.get("/api/queues?sort=name&sort_reverse=true")),
        ["b1", "a2", "a1"]
    );
    assert_eq!(
        http.get("/api/queues/%2f?columns=name,messages").json()[0],
        json!({"name": "a1", "messages": 0})
    );
    let bad = http.get("/api/queues?page=1&page_size=501");
    assert_eq!(bad.expect_status(400).json()["error"], "invalid_pagination_parameters");
}

#[test]
fn what_was_declared_over_http_survives_a_restart() {
    let mut broker = Broker::start();
    let http = broker.http();
    http.put("/api/queues/%2f/kept", r#"{"durable":true}"#)
        .expect_status(201);
    http.put("/api/queues/%2f/gone", "{}").expect_status(201);
    let message =
        r#"{"properties":{"delivery_mode":2},"routing_key":"kept","payload":"x","payload_encoding":"string"}"#;
    http.post("/api/exchanges/%2f/amq.default/publish", message)
        .expect_status(200);
    broker.kill9();
    broker.restart();
    assert_eq!(names(&broker.http().get("/api/queues")), ["kept"]);
    assert_eq!(broker.http().get("/api/queues/%2f/kept").json()["messages"], 1);
}

#[test]
fn an_empty_list_is_an_empty_object() {
    let broker = Broker::start();
    let http = broker.http();
    let put = |body: &str| http.put("/api/queues/%2f/php", body).status;
    assert_eq!(put(r#"{"durable":true,"arguments":[]}"#), 201);
    assert_eq!(put(r#"{"durable":true}"#), 204);
    http.put("/api/exchanges/%2f/php", r#"{"type":"direct","arguments":[]}"#)
        .expect_status(201);
    http.post("/api/bindings/%2f/e/php/q/php", r#"{"routing_key":"k","arguments":[]}"#)
        .expect_status(201);
    let publish = r#"{"properties":{"headers":[]},"routing_key":"k","payload":"YWJj\n","payload_encoding":"base64"}"#;
    let routed = http.post("/api/exchanges/%2f/php/publish", publish);
    assert_eq!(routed.expect_status(200).json()["routed"], true);
    assert_eq!(http.get("/api/queues/%2f/php").json()["messages"], 1);
    http.put("/api/queues/%2f/bad", r#"{"arguments":[1]}"#)
        .expect_status(400);
    let policy = http.put("/api/policies/%2f/p", r#"{"pattern":".*","definition":[]}"#);
    assert_eq!(
        reason(policy.expect_status(400)),
        "Validation failed\n\nno policy provided\n"
    );
}
