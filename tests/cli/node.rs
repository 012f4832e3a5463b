//! What the node says about itself, and waiting for it.

use std::time::{Duration, Instant};

use super::{command, ctl};
use crate::support::{Broker, PATIENCE};

#[test]
fn the_node_says_how_it_is() {
    let broker = Broker::start_with(&["--node-name", "g1@localhost"]);
    let run = |arguments: &[&str]| ctl(&broker, arguments).well();
    assert_eq!(
        run(&["ping"]),
        "Will ping g1@localhost. This only checks if the OS process is running and registered with epmd. \
         Timeout: 60000 ms.\nPing succeeded\n"
    );
    assert_eq!(
        run(&["ping", "--formatter", "json", "--silent"]),
        "{\"message\":\"Ping succeeded\"}\n"
    );
    assert_eq!(
        run(&["check_running"]),
        "Checking if RabbitMQ is running on node g1@localhost ...\n\
         RabbitMQ on node g1@localhost is fully booted and running\n"
    );
    assert_eq!(
        run(&["check_virtual_hosts"]),
        "Checking if all vhosts are running on node g1@localhost ...\n\
         Node g1@localhost reported all vhosts as running\n"
    );
    assert_eq!(
        run(&["alarms"]),
        "Asking node g1@localhost to report any known resource alarms ...\n\
         Node g1@localhost reported no alarms, local or clusterwide\n"
    );
    assert_eq!(
        run(&["alarms", "--formatter", "json", "--silent"]),
        "{\"alarms\":[],\"node\":\"g1@localhost\",\"result\":\"ok\"}\n"
    );
    assert_eq!(
        run(&["check_local_alarms"]),
        "Asking node g1@localhost to report any local resource alarms ...\n\
         Node g1@localhost reported no local alarms\n"
    );
    assert_eq!(
        run(&["server_version"]),
        "Asking node g1@localhost for its RabbitMQ version...\n4.0.5\n"
    );
    assert_eq!(
        run(&["check_if_node_is_quorum_critical"]),
        "Checking if node g1@localhost is critical for quorum of any queues/streams ...\n\
         Node g1@localhost reported no queues/streams with minimum quorum\n"
    );
}

#[test]
fn the_memory_and_the_members_of_the_metadata_store_are_told() {
    let broker = Broker::start_with(&["--node-name", "g1@localhost"]);
    let json = |command: &str| {
        let said = ctl(&broker, &[command, "--formatter", "json", "--silent"]).well();
        serde_json::from_str::<serde_json::Value>(&said).expect("JSON")
    };
    let memory = json("memory_breakdown");
    let kinds = memory.as_object().expect("an object");
    assert_eq!(kinds.len(), 26);
    let largest = kinds.iter().next().expect("a kind");
    assert_eq!(largest.0, "other_system");
    assert!(
        largest.1["bytes"].as_u64().is_some_and(|bytes| bytes > 1_000_000),
        "{memory}"
    );
    assert!(kinds["queue_procs"]["percentage"].is_number(), "{memory}");
    let text = ctl(&broker, &["memory_breakdown", "--unit", "mb"]).well();
    assert!(
        text.starts_with("Reporting memory breakdown on node g1@localhost...\nother_system: "),
        "{text}"
    );

    let members = json("metadata_store_status");
    assert_eq!(members.as_array().map(Vec::len), Some(1), "{members}");
    let member = &members[0];
    assert_eq!(
        (&member["Node Name"], &member["Raft State"]),
        (&"g1@localhost".into(), &"leader".into())
    );
    assert_eq!(member["Membership"], "voter");
    assert!(
        member["Commit Index"].as_u64().is_some_and(|index| index > 0),
        "{members}"
    );
}

#[test]
fn listeners_are_named_and_tried() {
    let broker = Broker::start_with(&["--node-name", "g1@localhost"]);
    let port = |address: &str| address.rsplit(':').next().expect("a port").to_owned();
    let amqp = port(&broker.amqp);
    let http = port(broker.management.as_ref().expect("the HTTP API"));
    assert_eq!(
        ctl(&broker, &["listeners"]).well(),
        format!(
            "Asking node g1@localhost to report its protocol listeners ...\n\
             Interface: 127.0.0.1, port: {amqp}, protocol: amqp, purpose: AMQP 0-9-1\n\
             Interface: 127.0.0.1, port: {http}, protocol: http, purpose: HTTP API\n"
        )
    );
    let tried = ctl(&broker, &["check_port_connectivity"]).well();
    assert!(
        tried.contains(&format!("Will connect to 127.0.0.1:{amqp}\n")),
        "{tried}"
    );
    assert!(tried.contains("\nSuccessfully connected to ports "), "{tried}");
}

#[test]
fn status_has_rabbitmqs_sections() {
    let broker = Broker::start_with(&["--node-name", "g1@localhost"]);
    let status = ctl(&broker, &["status"]).well();
    assert!(
        status.starts_with("Status of node g1@localhost ...\nRuntime\n\nOS PID: "),
        "{status}"
    );
    let lines = [
        format!("OS PID: {}", broker.pid()),
        "RabbitMQ version: 4.0.5".to_owned(),
        "Node name: g1@localhost".to_owned(),
        format!("Node data directory: {}", broker.data_dir().display()),
        "Queue count: 0".to_owned(),
        "Virtual host count: 1".to_owned(),
    ];
    for line in lines {
        assert!(status.lines().any(|own| own == line), "{line}\n{status}");
    }
    let json = ctl(&broker, &["status", "--formatter", "json"]).well();
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["pid"], broker.pid());
    assert_eq!(json["totals"]["virtual_host_count"], 1);

    let cluster = ctl(&broker, &["cluster_status"]).well();
    let start = "Cluster status of node g1@localhost ...\nBasics\n\nCluster name: g1@localhost\n";
    assert!(cluster.starts_with(start), "{cluster}");
    assert!(
        cluster.contains("\nRunning Nodes\n\ng1@localhost\n\nVersions\n\ng1@localhost: RabbitMQ 4.0.5 on "),
        "{cluster}"
    );
    assert!(
        cluster.contains("\nListeners\n\nNode: g1@localhost, interface: 127.0.0.1, port: "),
        "{cluster}"
    );
    let json = ctl(&broker, &["cluster_status", "--formatter", "json"]).well();
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["running_nodes"], serde_json::json!(["g1@localhost"]));
}

#[test]
fn an_alarm_is_told_with_a_status() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("rabbitmq.conf");
    std::fs::write(&config, "disk_free_limit.absolute = 1000000GB\n").expect("written");
    let arguments = [
        "--config",
        config.to_str().expect("a path"),
        "--node-name",
        "g1@localhost",
    ];
    let broker = Broker::start_with(&arguments);
    let end = Instant::now() + PATIENCE;
    while broker.http().get("/api/health/checks/local-alarms").status != 503 {
        assert!(Instant::now() < end, "no alarm in {PATIENCE:?}");
    }
    assert_eq!(
        ctl(&broker, &["check_local_alarms", "-q"]).failed(69),
        "Error:\nFree disk space alarm on node g1@localhost\n"
    );
    assert_eq!(
        ctl(&broker, &["alarms", "-q"]).well(),
        "Free disk space alarm on node g1@localhost\n"
    );
    assert_eq!(
        ctl(&broker, &["check_alarms", "-q"]).failed(69),
        "Free disk space alarm on node g1@localhost\n"
    );
    assert_eq!(
        ctl(&broker, &["check_alarms", "--formatter", "json"]).failed(69),
        "{\"global\":[],\"local\":[\"Free disk space alarm on node g1@localhost\"],\"message\":\"Node \
         g1@localhost reported alarms\",\"result\":\"error\"}\n"
    );
    ctl(&broker, &["deactivate_free_disk_space_monitoring"]).well();
    while broker.http().get("/api/health/checks/local-alarms").status != 200 {
        assert!(Instant::now() < end, "the alarm stays for {PATIENCE:?}");
    }
}

#[test]
fn a_node_that_starts_is_waited_for() {
    let mut broker = Broker::start();
    assert!(broker.stop().success());
    assert_eq!(
        ctl(&broker, &["-n", "g1@localhost", "await_startup", "-t", "0"]).failed(75),
        "Error:\nNode g1@localhost did not start within 0 seconds\n"
    );
    let said = ctl(&broker, &["-n", "g1@localhost", "list_queues", "-q"]).failed(69);
    assert!(
        said.starts_with("Error: unable to perform an operation on node 'g1@localhost'.\n"),
        "{said}"
    );
    let mut waiting = command(&broker, &["await_startup"]).spawn().expect("runs");
    broker.restart();
    assert!(waiting.wait().expect("its end").success());
}

#[test]
fn feature_flags_are_those_of_rabbitmq() {
    let broker = Broker::start();
    let all = ctl(&broker, &["list_feature_flags"]).well();
    let start = "Listing feature flags ...\nname\tstate\nclassic_mirrored_queue_version\tenabled\n";
    assert!(
        all.starts_with(start) && all.contains("\nkhepri_db\tdisabled\n"),
        "{all}"
    );
    let chosen = ctl(&broker, &["list_feature_flags", "name", "stability", "-q"]).well();
    assert!(chosen.contains("\nstream_queue\trequired\n"), "{chosen}");
    let refused = ctl(&broker, &["list_feature_flags", "colour"]).failed(64);
    assert!(refused.contains("colour"), "{refused}");
}

#[test]
fn a_text_log_in_the_data_directory_survives_a_reset() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("log.conf");
    std::fs::write(&config, "log.file = warren.log\n").expect("written");
    let broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
    for command in ["stop_app", "reset", "start_app"] {
        ctl(&broker, &[command]).well();
    }
    let path = broker.data_dir().join("text-log/warren.log");
    let read = || std::fs::read_to_string(&path).expect("the log is where it was");
    // It is written a little later than what it tells of.
    let end = Instant::now() + PATIENCE;
    while read().matches("[info] ready").count() < 2 {
        assert!(Instant::now() < end, "{}", read());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!read().contains("[warning]"), "{}", read());
}
