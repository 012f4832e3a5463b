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
fn aliveness_is_a_message_that_goes_through() {
    let broker = Broker::start();
    let http = broker.http();
    for _ in 0..2 {
        let answer = http.get("/api/aliveness-test/%2f");
        assert_eq!(answer.expect_status(200).json(), json!({"status": "ok"}));
    }
    let queue = http.get("/api/queues/%2f/aliveness-test").expect_status(200).json();
    assert_eq!((&queue["messages"], &queue["durable"]), (&json!(0), &json!(false)));
    http.get("/api/aliveness-test/nowhere").expect_status(404);
    // It is done by the user who asks, also one who may read everything.
    http.put("/api/vhosts/other", "{}").expect_status(201);
    http.delete("/api/permissions/other/guest").expect_status(204);
    http.get("/api/queues/other").expect_status(200);
    http.get("/api/aliveness-test/other").expect_status(401);
}

#[test]
fn a_certificate_that_ends_fails_the_check() {
    let dir = tempfile::tempdir().expect("a directory");
    let papers = crate::support::authority::Authority::new("ours").issue_until("node", dir.path(), (2096, 2, 17));
    let config = dir.path().join("tls.conf");
    let lines = [
        format!("cluster.tls.cacertfile = {}\n", papers.cacertfile.display()),
        format!("cluster.tls.certfile = {}\n", papers.certfile.display()),
        format!("cluster.tls.keyfile = {}\n", papers.keyfile.display()),
    ];
    std::fs::write(&config, lines.concat()).expect("written");
    let config = config.to_str().expect("a path");
    // The last flag counts.
    let broker = Broker::start_with(&["--config", config, "--node-name", "a@localhost"]);
    let check = |within: &str| {
        broker
            .http()
            .get(&format!("/api/health/checks/certificate-expiration/{within}"))
    };
    // There are no links, so no certificate is in use.
    check("100/years").expect_status(200);
    drop(broker);
    let broker = Broker::start_linked(&["--config", config, "--node-name", "a@localhost"]);
    let check = |within: &str| {
        broker
            .http()
            .get(&format!("/api/health/checks/certificate-expiration/{within}"))
    };
    check("4/weeks").expect_status(200);
    let expired = check("100/years").expect_status(503).json();
    assert_eq!(
        (&expired["status"], &expired["reason"]),
        (&json!("failed"), &json!("Certificates expiring"))
    );
    let listener = &expired["expired"][0];
    assert_eq!(
        (&listener["protocol"], &listener["node"]),
        (&json!("clustering"), &json!("a@localhost"))
    );
    assert_eq!(listener["certfile_expires_on"], json!(["2096-02-17 00:00:00"]));
    check("x/years").expect_status(400);
}

#[test]
fn a_node_says_nothing_that_it_has_not_looked_at() {
    let broker = Broker::start();
    let http = broker.http();
    let node = http.get("/api/nodes").json()[0].clone();
    let number = |key: &str| node[key].as_u64().unwrap_or_else(|| panic!("{key} of {node}"));
    assert!(
        0 < number("proc_used") && number("proc_used") <= number("proc_total"),
        "{node}"
    );
    assert!(
        0 < number("sockets_used") && number("sockets_used") <= number("fd_used"),
        "{node}"
    );
    assert!(
        number("fd_used") <= number("fd_total") && number("sockets_used") <= number("sockets_total"),
        "{node}"
    );
    assert_eq!(node["log_files"], json!(["<stdout>"]));
    http.put("/api/queues/%2f/q", "{}").expect_status(201);
    let queue = http.get("/api/queues/%2f/q").json();
    // As RabbitMQ shows it where nobody consumes.
    for unused in ["consumer_capacity", "consumer_utilisation"] {
        assert_eq!(queue[unused], 0, "{queue}");
    }
}

#[test]
fn clients_find_the_feature_flags_of_rabbitmq() {
    let broker = Broker::start();
    let http = broker.http();
    let flags = http.get("/api/feature-flags").expect_status(200).json();
    let flag = |name: &str| {
        let mut all = flags.as_array().expect("a list").iter();
        all.find(|flag| flag["name"] == name)
            .unwrap_or_else(|| panic!("no {name}"))
    };
    assert_eq!(flags.as_array().map(Vec::len), Some(26));
    assert_eq!(flag("quorum_queue")["state"], "enabled");
    assert_eq!(flag("khepri_db")["state"], "disabled");
    let streams = flag("restart_streams");
    assert_eq!(
        (&streams["state"], &streams["stability"]),
        (&json!("enabled"), &json!("required"))
    );
    // Every stream can be restarted and its leader chosen: nothing is left to be said of it.
    let text = streams["desc"].as_str().expect("a text");
    assert!(text.ends_with("Used to implement stream leader rebalancing"), "{text}");
    http.put("/api/users/u", r#"{"password":"pw","tags":"management"}"#)
        .expect_status(201);
    let address = broker.management.as_ref().expect("the HTTP API");
    crate::support::Http::as_user(address, "u", "pw")
        .get("/api/feature-flags")
        .expect_status(200);
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
