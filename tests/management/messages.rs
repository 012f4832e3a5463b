//! Publishing and fetching by hand.

use serde_json::{Value, json};

use crate::reason;
use crate::support::{Broker, Http};

fn publish(http: &Http, fields: Value) -> Value {
    let mut body = json!({"properties": {}, "routing_key": "q", "payload": "hello", "payload_encoding": "string"});
    for (key, value) in fields.as_object().expect("an object") {
        body[key] = value.clone();
    }
    let answer = http.post("/api/exchanges/%2f/amq.default/publish", &body.to_string());
    answer.expect_status(200).json()
}

fn get(http: &Http, mode: &str, more: Value) -> Value {
    let mut body = json!({"count": 5, "ackmode": mode, "encoding": "auto"});
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    http.post("/api/queues/%2f/q/get", &body.to_string())
        .expect_status(200)
        .json()
}

#[test]
fn a_message_is_fetched_as_it_was_published() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/queues/%2f/q", "{}").expect_status(201);
    let properties = json!({
        "delivery_mode": 2, "headers": {"a": 1, "b": "x", "arr": [1]}, "content_type": "text/plain", "priority": 3,
        "timestamp": 1_000_000_000,
    });
    assert_eq!(
        publish(&http, json!({"properties": properties})),
        json!({"routed": true})
    );
    assert_eq!(
        publish(&http, json!({"routing_key": "nowhere"})),
        json!({"routed": false})
    );
    let expected = json!([{
        "payload_bytes": 5, "redelivered": false, "exchange": "", "routing_key": "q", "message_count": 0,
        "properties": properties, "payload": "hello", "payload_encoding": "string",
    }]);
    assert_eq!(get(&http, "ack_requeue_true", json!({})), expected);
    let again = get(&http, "ack_requeue_false", json!({"truncate": 2}));
    assert_eq!(
        (&again[0]["payload"], &again[0]["redelivered"]),
        (&json!("he"), &json!(true))
    );
    assert_eq!(get(&http, "ack_requeue_true", json!({})), json!([]));
}

#[test]
fn bytes_come_and_go_as_base64() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/queues/%2f/q", "{}").expect_status(201);
    publish(&http, json!({"payload": "AP8B", "payload_encoding": "base64"}));
    let got = get(&http, "reject_requeue_true", json!({}));
    assert_eq!(
        (&got[0]["payload"], &got[0]["payload_encoding"]),
        (&json!("AP8B"), &json!("base64"))
    );
    assert_eq!(got[0]["properties"], json!([]));
    let got = get(&http, "reject_requeue_false", json!({"encoding": "base64"}));
    assert_eq!(got[0]["payload_bytes"], 3);
    assert_eq!(http.get("/api/queues/%2f/q").json()["messages"], 0);
}

#[test]
fn messages_come_back_in_their_order() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/queues/%2f/q", "{}").expect_status(201);
    for payload in ["1", "2", "3"] {
        publish(&http, json!({"payload": payload}));
    }
    for _ in 0..2 {
        let got = get(&http, "ack_requeue_true", json!({"count": 2}));
        let payloads: Vec<_> = got
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| &one["payload"])
            .collect();
        assert_eq!(payloads, ["1", "2"]);
        assert_eq!(got[1]["message_count"], 1);
    }
}

#[test]
fn what_is_wrong_is_told() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/queues/%2f/q", "{}").expect_status(201);
    http.put("/api/exchanges/%2f/inner", r#"{"internal":true}"#)
        .expect_status(201);
    let body = |more: &str| format!(r#"{{"properties":{{}},"routing_key":"q","payload":"x",{more}}}"#);
    let refused = |exchange: &str, body: &str, status| {
        let path = format!("/api/exchanges/%2f/{exchange}/publish");
        reason(http.post(&path, body).expect_status(status))
    };
    let plain = body(r#""payload_encoding":"string""#);
    assert_eq!(refused("missing", &plain, 404), "exchange_not_found");
    assert_eq!(
        refused("inner", &plain, 400),
        "403 ACCESS_REFUSED - cannot publish to internal exchange 'inner' in vhost '/'"
    );
    let other = body(r#""payload_encoding":"rot13""#);
    assert_eq!(
        refused("amq.default", &other, 400),
        r#"["unsupported_encoding","rot13"]"#
    );
    assert_eq!(
        refused("amq.default", r#"{"routing_key":"x"}"#, 400),
        "[{key_missing,properties},\n {key_missing,payload},\n {key_missing,payload_encoding}]"
    );
    let missing = http.post(
        "/api/queues/%2f/none/get",
        r#"{"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}"#,
    );
    assert_eq!(reason(missing.expect_status(404)), "queue_not_found");
}

#[test]
fn a_message_that_a_queue_refuses_is_refused() {
    let broker = Broker::start();
    let http = broker.http();
    let full = json!({"arguments": {"x-max-length": 1, "x-overflow": "reject-publish"}});
    http.put("/api/queues/%2f/q", &full.to_string()).expect_status(201);
    assert_eq!(publish(&http, json!({})), json!({"routed": true}));
    let body = json!({"properties": {}, "routing_key": "q", "payload": "hello", "payload_encoding": "string"});
    let answer = http.post("/api/exchanges/%2f/amq.default/publish", &body.to_string());
    let expected = json!({"error": "bad_request", "reason": "rejected Unable to publish message. Check queue limits."});
    assert_eq!(answer.expect_status(400).json(), expected);
}
