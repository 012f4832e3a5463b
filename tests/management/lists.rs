//! Lists of what is there: pages, orders, conditions and counts.

use serde_json::{Value, json};

use crate::names;
use crate::support::{Broker, Http};

/// A broker with queues `q0` to `q9`, of which `qN` holds N messages; every other one is a quorum queue.
fn with_queues() -> Broker {
    let broker = Broker::start();
    let http = broker.http();
    for number in 0..10 {
        let kind = if number % 2 == 0 { "classic" } else { "quorum" };
        let body = json!({"durable": true, "arguments": {"x-queue-type": kind}}).to_string();
        http.put(&format!("/api/queues/%2f/q{number}"), &body)
            .expect_status(201);
        for _ in 0..number {
            let message = json!({
                "properties": {}, "routing_key": format!("q{number}"), "payload": "x", "payload_encoding": "string",
            });
            http.post("/api/exchanges/%2f/amq.default/publish", &message.to_string())
                .expect_status(200);
        }
    }
    broker
}

fn page(http: &Http, query: &str) -> Value {
    http.get(&format!("/api/queues?{query}")).expect_status(200).json()
}

#[test]
fn queues_are_sorted_by_anything_that_is_known_of_them() {
    let broker = with_queues();
    let http = broker.http();
    let sorted = |query: &str| names(&http.get(&format!("/api/queues?page=1&page_size=3&{query}")));
    assert_eq!(sorted(""), ["q0", "q1", "q2"]);
    assert_eq!(sorted("sort=messages_ready&sort_reverse=true"), ["q9", "q8", "q7"]);
    assert_eq!(sorted("sort=ready&sort_reverse=true"), ["q9", "q8", "q7"]);
    assert_eq!(sorted("sort=type"), ["q0", "q2", "q4"]);
    // What is in the JSON only.
    assert_eq!(
        sorted("sort=arguments.x-queue-type&sort_reverse=true"),
        ["q9", "q7", "q5"]
    );
    assert_eq!(sorted("sort=storage_version"), ["q1", "q3", "q5"]);
}

#[test]
fn conditions_choose_queues() {
    let broker = with_queues();
    let http = broker.http();
    let chosen = |conditions: &str| names(&http.get(&format!("/api/queues/%2f?where={conditions}")));
    assert_eq!(chosen("ready%3E6"), ["q7", "q8", "q9"]);
    assert_eq!(chosen("ready%3E6,type:quorum"), ["q7", "q9"]);
    assert_eq!(chosen("ready%3C=1,consumers=0"), ["q0", "q1"]);
    assert_eq!(chosen("name:Q3"), ["q3"]);
    assert_eq!(chosen("state!=running"), [""; 0]);
    http.get("/api/queues?where=ready").expect_status(400);
    // Other lists too.
    let exchanges = http.get("/api/exchanges?where=type=headers,name!=amq.match");
    assert_eq!(names(&exchanges), ["amq.headers"]);
}

#[test]
fn facets_count_what_conditions_leave() {
    let broker = with_queues();
    let http = broker.http();
    let found = page(
        &http,
        "page=1&page_size=2&where=ready%3E2&facets=type,state,health&sort=ready",
    );
    assert_eq!(found["facets"]["type"], json!({"quorum": 4, "classic": 3}));
    assert_eq!(found["facets"]["state"], json!({"running": 7}));
    assert_eq!(found["facets"]["health"], json!({"no_consumers": 7}));
    assert_eq!(found["items"][0]["health"], "no_consumers");
    assert_eq!(
        (&found["filtered_count"], &found["total_count"]),
        (&json!(7), &json!(10))
    );
    assert_eq!(
        found["items"].as_array().map(Vec::len),
        Some(2),
        "the page is no longer than asked"
    );
    // What is asked for by no new word is as RabbitMQ has it.
    let plain = page(&http, "page=1");
    assert!(plain.get("facets").is_none() && plain["items"][0].get("health").is_none());
}
