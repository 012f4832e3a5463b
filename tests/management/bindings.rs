//! Bindings and the keys by which they are found.

use serde_json::json;

use crate::support::Broker;
use crate::{header, reason};

#[test]
fn a_binding_is_found_where_its_location_says() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/queues/%2f/q", "{}").expect_status(201);
    let ends = "/api/bindings/%2f/e/amq.direct/q/q";
    let cases = [
        ("", "{}", "q/~"),
        (r#"{"routing_key":"order.#"}"#, "{}", "q/order.%2523"),
        (r#"{"routing_key":"a~b/c d"}"#, "{}", "q/a%257Eb%252Fc%2Bd"),
    ];
    for (body, arguments, location) in cases {
        let made = http.post(ends, body);
        assert_eq!(header(made.expect_status(201), "location"), Some(location));
        let place = location.strip_prefix("q/").expect("after the queue");
        let found = http.get(&format!("{ends}/{place}")).expect_status(200).json();
        assert_eq!(found["arguments"].to_string(), arguments);
        assert_eq!(found["destination_type"], "queue");
    }
    assert_eq!(http.get(ends).json().as_array().map(Vec::len), Some(3));
    http.delete(&format!("{ends}/~")).expect_status(204);
    http.delete(&format!("{ends}/~")).expect_status(404);
    assert_eq!(http.get(ends).json().as_array().map(Vec::len), Some(2));
}

#[test]
fn arguments_tell_bindings_apart() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/queues/%2f/q", "{}").expect_status(201);
    let ends = "/api/bindings/%2f/e/amq.headers/q/q";
    for number in [1, 2] {
        let body = json!({"routing_key": "", "arguments": {"x-match": "all", "n": number}}).to_string();
        http.post(ends, &body).expect_status(201);
        http.post(ends, &body).expect_status(201);
    }
    let bound = http.get(ends).json();
    assert_eq!(bound.as_array().map(Vec::len), Some(2));
    let key = bound[0]["properties_key"].as_str().expect("a key");
    let own = http.get(&format!("{ends}/{key}")).expect_status(200).json();
    assert_eq!(own, bound[0]);
    http.delete(&format!("{ends}/{key}")).expect_status(204);
    assert_eq!(http.get(ends).json(), json!([bound[1]]));
}

#[test]
fn every_queue_is_bound_to_the_default_exchange() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/queues/%2f/q", "{}").expect_status(201);
    let own = json!([{
        "source": "", "vhost": "/", "destination": "q", "destination_type": "queue",
        "routing_key": "q", "arguments": {}, "properties_key": "q",
    }]);
    assert_eq!(http.get("/api/bindings/%2f/e//q/q").json(), own);
    assert_eq!(http.get("/api/queues/%2f/q/bindings").json(), own);
    assert_eq!(http.get("/api/bindings").json(), own);
}

#[test]
fn ends_that_are_missing_are_named() {
    let broker = Broker::start();
    let http = broker.http();
    let refused = http.post("/api/bindings/%2f/e/amq.direct/q/none", "{}");
    assert_eq!(reason(refused.expect_status(404)), "no queue 'none' in vhost '/'");
    let refused = http.post("/api/bindings/%2f/e/none/e/amq.fanout", "{}");
    assert_eq!(reason(refused.expect_status(404)), "no exchange 'none' in vhost '/'");
    http.put("/api/queues/%2f/q", "{}").expect_status(201);
    http.post("/api/bindings/%2f/e/amq.default/q/q", r#"{"routing_key":"x"}"#)
        .expect_status(401);
}
