//! Feature flags, deprecated features, and what is asked of the API itself.

use serde_json::json;

use crate::support::{Broker, Http};
use crate::{header, reason};

#[test]
fn flags_that_are_on_can_be_enabled_again_and_others_cannot() {
    let broker = Broker::start();
    let http = broker.http();
    let enable = |name: &str| http.put(&format!("/api/feature-flags/{name}/enable"), "{}");
    enable("quorum_queue").expect_status(204);
    assert_eq!(reason(enable("nosuch").expect_status(400)), "unsupported");
    enable("khepri_db").expect_status(400);
    let flags = http.get("/api/feature-flags").json();
    let flags = flags.as_array().expect("a list");
    let off = flags.iter().filter(|flag| flag["state"] != "enabled");
    assert_eq!(off.map(|flag| &flag["name"]).collect::<Vec<_>>(), ["khepri_db"]);
}

#[test]
fn deprecated_features_are_told_with_those_in_use() {
    let broker = Broker::start();
    let http = broker.http();
    assert_eq!(
        http.get("/api/deprecated-features").json().as_array().map(Vec::len),
        Some(7)
    );
    assert_eq!(http.get("/api/deprecated-features/used").json(), json!([]));
    http.put("/api/queues/%2f/fleeting", r#"{"durable":false}"#)
        .expect_status(201);
    let used = http.get("/api/deprecated-features/used").json();
    assert_eq!(used[0]["name"], "transient_nonexcl_queues");
    assert_eq!(used[0]["deprecation_phase"], "permitted_by_default");
}

#[test]
fn the_version_needs_no_password() {
    let broker = Broker::start();
    let http = Http::anonymous(broker.management.as_ref().expect("the HTTP API"));
    assert_eq!(http.get("/api/version").expect_status(200).json(), "4.0.5");
    http.get("/api/extensions").expect_status(401);
    assert_eq!(
        broker.http().get("/api/extensions").json(),
        json!([{"javascript": "dispatcher.js"}])
    );
}

#[test]
fn the_configuration_is_told_without_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rabbitmq.conf");
    std::fs::write(
        &file,
        "heartbeat = 33\ndefault_pass = guest\nssl_options.password = hunter2\n",
    )
    .expect("written");
    let broker = Broker::start_with(&["--config", file.to_str().expect("a text")]);
    let answer = broker.http().get("/api/config/effective");
    assert_eq!(header(answer.expect_status(200), "content-type"), Some("text/plain"));
    assert!(answer.body.contains("heartbeat = 33\n"), "{}", answer.body);
    assert!(answer.body.contains("ssl_options.password"), "{}", answer.body);
    assert!(!answer.body.contains("hunter2"), "{}", answer.body);
}

#[test]
fn an_answer_that_the_client_has_is_not_sent_again() {
    let broker = Broker::start();
    let http = broker.http();
    let first = http.get("/api/exchanges");
    let tag = header(first.expect_status(200), "etag").expect("a tag").to_owned();
    let again = |path: &str| http.call_with("GET", path, &format!("If-None-Match: {tag}\r\n"), "");
    assert_eq!(again("/api/exchanges").expect_status(304).body, "");
    again("/api/queues").expect_status(200);
    http.put("/api/exchanges/%2f/x", r#"{"type":"fanout"}"#)
        .expect_status(201);
    again("/api/exchanges").expect_status(200);
}

#[test]
fn odd_methods_are_told_which_there_are() {
    let broker = Broker::start();
    for method in ["TRACE", "PATCH", "PROPFIND", "FOO"] {
        let answer = broker.http().call(method, "/api/overview", "");
        assert_eq!(
            header(answer.expect_status(405), "allow"),
            Some("HEAD, GET, OPTIONS"),
            "{method}"
        );
    }
}
