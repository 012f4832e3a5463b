//! Definitions, out of one broker and into another.

use serde_json::{Value, json};

use crate::support::Broker;
use crate::{header, reason};

fn filled() -> Broker {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/vhosts/v", r#"{"description":"d","tags":"a"}"#)
        .expect_status(201);
    http.put("/api/users/app", r#"{"password":"secret","tags":"management"}"#)
        .expect_status(201);
    http.put("/api/permissions/v/app", r#"{"configure":"","write":"","read":".*"}"#)
        .expect_status(201);
    http.put("/api/policies/v/p", r#"{"pattern":"^q","definition":{"max-length":5}}"#)
        .expect_status(201);
    http.put(
        "/api/queues/v/q",
        r#"{"durable":true,"arguments":{"x-max-priority":5}}"#,
    )
    .expect_status(201);
    http.put("/api/exchanges/v/e", r#"{"type":"topic","durable":true}"#)
        .expect_status(201);
    http.post("/api/bindings/v/e/e/q/q", r#"{"routing_key":"a.#"}"#)
        .expect_status(201);
    broker
}

fn without_head(mut document: Value) -> Value {
    let object = document.as_object_mut().expect("an object");
    for key in [
        "original_cluster_name",
        "explanation",
        "original_vhost_name",
        "global_parameters",
    ] {
        object.remove(key);
    }
    document
}

#[test]
fn what_one_broker_gives_another_takes() {
    let from = filled();
    let exported = from.http().get("/api/definitions");
    exported.expect_status(200);
    let to = Broker::start();
    to.http().post("/api/definitions", &exported.body).expect_status(204);
    let again = to.http().get("/api/definitions").json();
    assert_eq!(without_head(again), without_head(exported.json()));
    let address = to.management.as_ref().expect("the HTTP API");
    crate::support::Http::as_user(address, "app", "secret")
        .get("/api/whoami")
        .expect_status(200);
    assert_eq!(to.http().get("/api/queues/v/q").json()["policy"], "p");
}

#[test]
fn a_vhost_is_copied() {
    let broker = filled();
    let http = broker.http();
    let exported = http.get("/api/definitions/v?download=v.json");
    assert_eq!(
        header(exported.expect_status(200), "content-disposition"),
        Some("attachment; filename=v.json")
    );
    http.put("/api/vhosts/w", "").expect_status(201);
    http.post("/api/definitions/w", &exported.body).expect_status(204);
    let (copied, original) = (http.get("/api/definitions/w").json(), exported.json());
    for section in ["queues", "exchanges", "bindings", "policies"] {
        assert_eq!(copied[section], original[section], "{section}");
    }
    let missing = http.post("/api/definitions/no-such", "{}");
    assert_eq!(reason(missing.expect_status(404)), "vhost_not_found");
}

#[test]
fn bad_documents_are_refused_whole() {
    let broker = Broker::start();
    let http = broker.http();
    let refused = |body: &str| reason(http.post("/api/definitions", body).expect_status(400));
    assert_eq!(refused(r#"{"vhosts": ["#), "failed_to_parse_json");
    assert_eq!(refused("[]"), "failed_to_parse_json");
    let nowhere = json!({"vhosts": [{"name": "new"}], "queues": [{"name": "q", "vhost": "no-such"}]});
    assert_eq!(
        refused(&nowhere.to_string()),
        "Please create virtual host \"no-such\" prior to importing definitions."
    );
    http.get("/api/vhosts/new").expect_status(404);
    http.post("/api/definitions", "{}").expect_status(204);
}

#[test]
fn a_node_starts_with_the_definitions_of_its_configuration() {
    let exported = filled().http().get("/api/definitions").body;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("definitions.json");
    std::fs::write(&file, exported).expect("written");
    let config = dir.path().join("rabbitmq.conf");
    let line = format!("load_definitions = {}\n", file.display());
    std::fs::write(&config, line).expect("written");
    let broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
    assert_eq!(broker.http().get("/api/queues/v/q").json()["durable"], true);
}

#[test]
fn many_things_come_in_their_order_and_survive() {
    let queues: Vec<_> = (0..1500)
        .map(|number| json!({"name": format!("q{number:04}"), "vhost": "/", "durable": true, "auto_delete": false, "arguments": {}}))
        .collect();
    let bindings: Vec<_> = (0..1500)
        .map(|number| {
            json!({
                "source": "amq.topic", "vhost": "/", "destination": format!("q{number:04}"), "destination_type": "queue",
                "routing_key": "#", "arguments": {},
            })
        })
        .collect();
    let mut broker = Broker::start();
    let document = json!({"queues": queues, "bindings": bindings});
    broker
        .http()
        .post("/api/definitions", &document.to_string())
        .expect_status(204);
    broker.kill9();
    broker.restart();
    let again = broker.http().get("/api/definitions").json();
    assert_eq!(again["bindings"].as_array().map(Vec::len), Some(1500));
    let names = again["queues"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|queue| queue["name"].clone());
    assert!(names.eq(queues.iter().map(|queue| queue["name"].clone())));
}
