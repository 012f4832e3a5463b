//! The pages: what stands on each, who may read them.

use crate::Scraped;
use crate::support::{Broker, Http, Steps, next, table, text};

/// Names that RabbitMQ's dashboards ask for, those of 4.0 and later ones; not Erlang's, and not those of the stream
/// protocol's errors.
const ASKED_FOR: &[&str] = &[
    "rabbitmq_build_info",
    "rabbitmq_identity_info",
    "rabbitmq_connections",
    "rabbitmq_channels",
    "rabbitmq_consumers",
    "rabbitmq_queues",
    "rabbitmq_queue_messages_ready",
    "rabbitmq_queue_messages_unacked",
    "rabbitmq_disk_space_available_bytes",
    "rabbitmq_disk_space_available_limit_bytes",
    "rabbitmq_erlang_uptime_seconds",
    "rabbitmq_process_max_fds",
    "rabbitmq_process_open_fds",
    "rabbitmq_process_resident_memory_bytes",
    "rabbitmq_resident_memory_limit_bytes",
    "rabbitmq_raft_term_total",
    "rabbitmq_raft_log_commit_index",
    "rabbitmq_raft_log_last_written_index",
    "rabbitmq_raft_log_snapshot_index",
    "rabbitmq_raft_commit_index",
    "rabbitmq_raft_commit_latency_seconds",
    "rabbitmq_raft_entry_commit_latency_seconds",
    "rabbitmq_raft_last_written_index",
    "rabbitmq_raft_snapshot_index",
    "rabbitmq_message_size_bytes",
    "rabbitmq_global_messages_dead_lettered_confirmed_total",
    "rabbitmq_global_messages_dead_lettered_delivery_limit_total",
    "rabbitmq_global_messages_dead_lettered_expired_total",
    "rabbitmq_global_messages_dead_lettered_maxlen_total",
    "rabbitmq_global_messages_dead_lettered_rejected_total",
    "rabbitmq_alarms_memory_used_watermark",
    "rabbitmq_alarms_free_disk_space_watermark",
    "rabbitmq_alarms_file_descriptor_limit",
    "rabbitmq_connections_opened_total",
    "rabbitmq_connections_closed_total",
    "rabbitmq_channels_opened_total",
    "rabbitmq_channels_closed_total",
    "rabbitmq_queues_created_total",
    "rabbitmq_queues_declared_total",
    "rabbitmq_queues_deleted_total",
    "rabbitmq_global_consumers",
    "rabbitmq_global_publishers",
    "rabbitmq_global_messages_acknowledged_total",
    "rabbitmq_global_messages_confirmed_total",
    "rabbitmq_global_messages_delivered_consume_auto_ack_total",
    "rabbitmq_global_messages_delivered_consume_manual_ack_total",
    "rabbitmq_global_messages_delivered_get_auto_ack_total",
    "rabbitmq_global_messages_delivered_get_manual_ack_total",
    "rabbitmq_global_messages_delivered_total",
    "rabbitmq_global_messages_get_empty_total",
    "rabbitmq_global_messages_received_confirm_total",
    "rabbitmq_global_messages_received_total",
    "rabbitmq_global_messages_redelivered_total",
    "rabbitmq_global_messages_routed_total",
    "rabbitmq_global_messages_unroutable_dropped_total",
    "rabbitmq_global_messages_unroutable_returned_total",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_dashboards_ask_for_is_there() {
    let broker = Broker::start_measured(&[]);
    let client = broker.client().await;
    client.plain_queue("a").await;
    client.plain_queue("b").await;
    for queue in ["a", "a", "b"] {
        client.send(queue, "1234").await;
    }
    let mut consumer = client.consume("b").await;
    next(&mut consumer).await;
    let page = Scraped::of(&broker, "/metrics");
    for name in ASKED_FOR {
        assert!(page.types.contains_key(*name), "{name} is not there");
    }
    assert_eq!(page.value("rabbitmq_queues"), 2.0);
    assert_eq!(page.value("rabbitmq_queue_messages"), 3.0);
    assert_eq!(page.value("rabbitmq_queue_messages_ready"), 2.0);
    assert_eq!(page.value("rabbitmq_queue_messages_bytes"), 12.0);
    assert_eq!(page.value("rabbitmq_connections"), 1.0);
    assert_eq!(page.value("rabbitmq_channels"), 1.0);
    assert_eq!(page.value("rabbitmq_consumers"), 1.0);
    assert_eq!(page.value("rabbitmq_channel_consumers"), 1.0);
    assert!(page.value("rabbitmq_process_open_fds") > 3.0);
    assert!(page.value("rabbitmq_process_resident_memory_bytes") > 1e6);
    assert!(page.value("rabbitmq_io_sync_ops_total") >= 1.0);
    assert!(page.value("warren_log_written_bytes_total") > 0.0);
    assert!(page.value("warren_processor_seconds_total") >= 0.0);
    let identity = page
        .samples
        .keys()
        .find(|name| name.starts_with("rabbitmq_identity_info{"));
    let identity = identity.expect("who it is");
    for label in [
        "rabbitmq_node=\"",
        "rabbitmq_cluster=\"",
        "rabbitmq_cluster_permanent_id=\"rabbitmq-cluster-id-",
    ] {
        assert!(identity.contains(label), "{identity}");
    }
    if let Some(read) = page.checked_by_promtool() {
        assert_eq!(read, Ok(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_has_its_labels_whatever_its_name() {
    let broker = Broker::start_measured(&[]);
    let client = broker.client().await;
    let name = "quote\"back\\slash {x=\"y\"} 1";
    client.plain_queue(name).await;
    client.queue("quorum", table([("x-queue-type", text("quorum"))])).await;
    client.send(name, "x").await;
    let page = Scraped::of(&broker, "/metrics/per-object");
    let labels = r#"{vhost="/",queue="quote\"back\\slash {x=\"y\"} 1"}"#;
    assert_eq!(page.value(&format!("rabbitmq_queue_messages_ready{labels}")), 1.0);
    assert_eq!(
        page.value(r#"rabbitmq_queue_messages_ready{vhost="/",queue="quorum"}"#),
        0.0
    );
    assert!(page.value(r#"rabbitmq_raft_term_total{vhost="/",queue="quorum"}"#) >= 1.0);
    assert!(page.value(r#"rabbitmq_raft_log_commit_index{raft_cluster="catalogue"}"#) >= 1.0);
    let channels = page
        .samples
        .keys()
        .filter(|name| name.starts_with("rabbitmq_channel_consumers{channel=\""));
    assert_eq!(channels.count(), 1);
    if let Some(read) = page.checked_by_promtool() {
        assert_eq!(read, Ok(()));
    }
    let sums = Scraped::of(&broker, "/metrics");
    assert!(!sums.text.contains("quote"), "no name of a queue stands among sums");
}

#[tokio::test(flavor = "multi_thread")]
async fn details_are_those_that_are_asked_for() {
    let broker = Broker::start_measured(&[]);
    broker.http().put("/api/vhosts/other", "{}").expect_status(201);
    let client = broker.client().await;
    client.plain_queue("here").await;
    let page = Scraped::of(
        &broker,
        "/metrics/detailed?family=queue_coarse_metrics&family=vhost_status",
    );
    assert_eq!(
        page.value(r#"rabbitmq_detailed_queue_messages{vhost="/",queue="here"}"#),
        0.0
    );
    assert_eq!(page.value(r#"rabbitmq_cluster_vhost_status{vhost="other"}"#), 1.0);
    let names = page.types.keys().map(String::as_str).collect::<Vec<_>>();
    let expected = [
        "rabbitmq_build_info",
        "rabbitmq_cluster_vhost_status",
        "rabbitmq_detailed_queue_messages",
        "rabbitmq_detailed_queue_messages_ready",
        "rabbitmq_detailed_queue_messages_unacked",
        "rabbitmq_identity_info",
    ];
    assert_eq!(names, expected);
    let page = "/metrics/detailed?family=queue_coarse_metrics&family=exchange_bindings&vhost=other";
    let page = Scraped::of(&broker, page);
    assert!(!page.text.contains("here"), "{}", page.text);
    let bindings = r#"rabbitmq_cluster_exchange_bindings{vhost="other",exchange="amq.topic",type="topic"}"#;
    assert_eq!(page.value(bindings), 0.0);
    for nothing in [
        "/metrics/detailed",
        "/metrics/detailed?family=nope&family=alarm_metrics",
    ] {
        let page = Scraped::of(&broker, nothing);
        assert_eq!(page.types.len(), 2, "{}", page.text);
    }
    let page = Scraped::of(&broker, "/metrics/memory-breakdown");
    assert!(page.value("warren_memory_resident_bytes") > 1e6);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_and_methods_are_refused_as_by_rabbitmq() {
    let broker = Broker::start_measured(&[]);
    let metrics = broker.metrics();
    for path in ["/", "/nope", "/api/overview"] {
        let answer = metrics.get(path);
        assert_eq!(answer.expect_status(404).json()["reason"], "Not Found", "{path}");
    }
    assert_eq!(metrics.get("/metrics/nope").expect_status(404).body, "Unknown Registry");
    let answer = metrics.post("/metrics", "");
    assert_eq!(answer.expect_status(405).header("allow"), Some("HEAD, GET, OPTIONS"));
    let listeners = broker.http().get("/api/overview").json()["listeners"].clone();
    let listeners = listeners.as_array().expect("a list").clone();
    assert!(
        listeners.iter().any(|one| one["protocol"] == "http/prometheus"),
        "{listeners:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_where_it_is_configured() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("rabbitmq.conf");
    let settings = "prometheus.authentication.enabled = true\nprometheus.path = /m\n\
                prometheus.return_per_object_metrics = true\n";
    std::fs::write(&file, settings).expect("written");
    let broker = Broker::start_measured(&["--config", file.to_str().expect("a text")]);
    broker
        .http()
        .put("/api/users/app", r#"{"password":"p","tags":"management"}"#);
    let address = broker.prometheus.clone().expect("a listener");
    for (user, password, status) in [("guest", "guest", 200), ("guest", "wrong", 401), ("app", "p", 401)] {
        Http::as_user(&address, user, password).get("/m").expect_status(status);
    }
    let answer = Http::anonymous(&address).get("/m");
    let realm = answer.expect_status(401).header("www-authenticate");
    assert_eq!(realm, Some("Basic realm=\"RabbitMQ Prometheus\""));
    Http::as_user(&address, "guest", "guest")
        .get("/metrics")
        .expect_status(404);
    broker.client().await.plain_queue("q").await;
    let page = Scraped::of(&broker, "/m");
    assert_eq!(page.value(r#"rabbitmq_queue_messages{vhost="/",queue="q"}"#), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_asks_for_what_is_there() {
    let broker = Broker::start_measured(&[]);
    // The first attempt to log in makes the counter of attempts.
    broker.client().await;
    let page = Scraped::of(&broker, "/metrics");
    let dashboard = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/grafana/warren.json"));
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard.expect("a file")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut asked = 0;
    for target in targets {
        let query = target["expr"].as_str().expect("a query");
        let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metrics = words.filter(|word| word.starts_with("rabbitmq_") || word.starts_with("warren_"));
        for metric in metrics.filter(|word| !["rabbitmq_cluster", "rabbitmq_node"].contains(word)) {
            let metric = metric.strip_suffix("_bucket").unwrap_or(metric);
            assert!(page.types.contains_key(metric), "{metric} of {query}");
            asked += 1;
        }
    }
    assert!(asked > 20);
}
