//! Health checks and the node.

use serde_json::json;

use crate::support::Broker;

#[test]
fn a_node_that_is_well_says_so() {
    let broker = Broker::start();
    let http = broker.http();
    for check in [
        "alarms",
        "local-alarms",
        "virtual-hosts",
        "ready-to-serve-clients",
        "is-in-service",
        "protocol-listener/amqp",
        "certificate-expiration/1/months",
        "node-is-quorum-critical",
    ] {
        let answer = http.get(&format!("/api/health/checks/{check}"));
        assert_eq!(answer.expect_status(200).json()["status"], "ok", "{check}");
    }
    let (_, port) = broker.amqp.rsplit_once(':').expect("a port");
    http.get(&format!("/api/health/checks/port-listener/{port}"))
        .expect_status(200);
    let closed = http.get("/api/health/checks/port-listener/1").expect_status(503).json();
    assert_eq!((&closed["status"], &closed["missing"]), (&json!("failed"), &json!(1)));
    http.get("/api/health/checks/port-listener/abc").expect_status(400);
    http.get("/api/health/checks/protocol-listener/mqtt").expect_status(503);
}

#[test]
fn an_alarm_fails_the_check() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("low.conf");
    std::fs::write(&config, "vm_memory_high_watermark.absolute = 1KB\n").expect("written");
    let broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
    let end = std::time::Instant::now() + crate::support::PATIENCE;
    let answer = loop {
        let answer = broker.http().get("/api/health/checks/alarms");
        if answer.status == 503 {
            break answer.json();
        }
        assert!(std::time::Instant::now() < end, "no alarm: {answer:?}");
    };
    assert_eq!(answer["reason"], "There are alarms in effect in the cluster");
    assert_eq!(answer["alarms"][0]["resource"], "memory");
    assert_eq!(broker.http().get("/api/nodes").json()[0]["mem_alarm"], true);
}

#[test]
fn the_overview_says_what_this_is() {
    let broker = Broker::start();
    let http = broker.http();
    let overview = http.get("/api/overview").expect_status(200).json();
    assert_eq!(overview["rabbitmq_version"], "4.0.5");
    assert_eq!(overview["product_name"], "Warren");
    let node = overview["node"].as_str().expect("a name");
    let nodes = http.get("/api/nodes").json();
    assert_eq!((&nodes[0]["name"], &nodes[0]["running"]), (&json!(node), &json!(true)));
    http.get(&format!("/api/nodes/{node}")).expect_status(200);
    http.get("/api/nodes/rabbit@nowhere").expect_status(404);
    assert_eq!(http.get("/api/version").body, "\"4.0.5\"");
}
