//! A node taken out of service and put back, and ended.

use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use super::{command, ctl, ran};
use crate::support::{Broker, PATIENCE};

/// Waits until it is so.
#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_node_keeps_its_clients_and_takes_no_new_ones() {
    let broker = Broker::start_with(&["--node-name", "g1@localhost"]);
    let client = broker.client().await;
    assert_eq!(
        ctl(&broker, &["suspend_listeners"]).well(),
        "Will suspend client connection listeners on node g1@localhost. The node will no longer accept client \
         connections!\n"
    );
    until("the port is closed", || TcpStream::connect(&broker.amqp).is_err());
    assert_eq!(
        broker.http().get("/api/health/checks/ready-to-serve-clients").status,
        503
    );
    assert_eq!(broker.http().get("/api/health/checks/is-in-service").status, 200);
    ctl(&broker, &["check_running"]).well();
    assert!(client.connection.status().connected());
    ctl(&broker, &["resume_listeners"]).well();
    until("the port is open", || TcpStream::connect(&broker.amqp).is_ok());
    assert_eq!(
        broker.http().get("/api/health/checks/ready-to-serve-clients").status,
        200
    );
    broker.client().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_has_no_clients_until_it_is_revived() {
    let broker = Broker::start_with(&["--node-name", "g1@localhost"]);
    let client = broker.client().await;
    assert_eq!(
        ctl(&broker, &["drain"]).well(),
        "Will put node g1@localhost into maintenance mode. The node will no longer serve any client traffic!\n"
    );
    until("the client is sent away", || !client.connection.status().connected());
    until("the port is closed", || TcpStream::connect(&broker.amqp).is_err());
    assert_eq!(broker.http().get("/api/health/checks/is-in-service").status, 503);
    let nodes = broker.http().get("/api/nodes").expect_status(200).json();
    assert_eq!(nodes[0]["being_drained"], true);
    let status = ctl(&broker, &["status"]).well();
    assert!(status.contains("\nIs under maintenance?: true\n"), "{status}");
    let cluster = ctl(&broker, &["cluster_status"]).well();
    assert!(
        cluster.contains("\nMaintenance status\n\nNode: g1@localhost, status: marked for maintenance\n"),
        "{cluster}"
    );
    // It runs, as RabbitMQ's check says of a node in maintenance.
    ctl(&broker, &["check_running"]).well();
    ctl(&broker, &["drain"]).well();
    assert_eq!(
        ctl(&broker, &["revive"]).well(),
        "Will put node g1@localhost back into regular operating mode. The node will again serve client traffic and \
         host primary queue replicas.\n"
    );
    until("the port is open", || TcpStream::connect(&broker.amqp).is_ok());
    assert_eq!(broker.http().get("/api/health/checks/is-in-service").status, 200);
    broker.client().await;
}

#[test]
fn a_process_is_ended_and_waited_for() {
    let mut broker = Broker::start_with(&["--node-name", "g1@localhost"]);
    let pid = broker.pid();
    assert_eq!(
        ctl(&broker, &["shutdown"]).well(),
        format!(
            "Shutting down RabbitMQ node g1@localhost running at PID {pid}\nWaiting for PID {pid} to terminate\n\
             RabbitMQ node g1@localhost running at PID {pid} successfully shut down\n"
        )
    );
    let gone = ctl(&broker, &["stop", "-n", "g1@localhost", "--idempotent"]).well();
    assert_eq!(
        gone,
        "Stopping and halting node g1@localhost ...\nNode g1@localhost is no longer running\n"
    );
    ctl(&broker, &["stop"]).failed(69);
    broker.restart();
    assert_eq!(
        ctl(&broker, &["stop"]).well(),
        "Stopping and halting node g1@localhost ...\n"
    );
}

#[test]
fn the_log_is_seen_wherever_it_goes() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("log.conf");
    std::fs::write(&config, "log.file = warren.log\nlog.console = true\n").expect("written");
    for arguments in [&[][..], &["--config", config.to_str().expect("a path")]] {
        let broker = Broker::start_with(arguments);
        let tail = ctl(&broker, &["log_tail", "-N", "200", "-q"]).well();
        let is_ready = |line: &&str| line.contains("[info] ready");
        assert_eq!(tail.lines().filter(is_ready).count(), 1, "{tail}");
        let last = ctl(&broker, &["log_tail", "--number", "1", "--formatter", "json"]).well();
        let last: serde_json::Value = serde_json::from_str(&last).expect("JSON");
        assert_eq!(last.as_array().expect("a list").len(), 1);
        assert!(last[0]["message"].is_string(), "{last}");
        // What comes while it is watched: setting a level is logged.
        let mut following = command(&broker, &["log_tail_stream", "--duration", "600", "-q"]);
        let mut following = following.stdout(std::process::Stdio::piped()).spawn().expect("it runs");
        let out = following.stdout.take().expect("a pipe");
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(out));
        let reader = std::thread::spawn(move || {
            lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("a setting was changed")))
        });
        until("the line comes", || {
            ctl(&broker, &["set_log_level", "info"]).well();
            reader.is_finished()
        });
        assert!(reader.join().expect("no panic").is_some());
        following.kill().expect("it runs");
        following.wait().expect("its end");
        assert_eq!(ctl(&broker, &["rotate_logs"]).status, 0);
    }
}

#[test]
fn events_are_seen_as_they_happen_by_their_names() {
    let broker = Broker::start();
    let wanted = [
        "consume_event_stream",
        "--pattern",
        "^user\\.",
        "--duration",
        "600",
        "-q",
    ];
    let mut following = command(&broker, &wanted);
    let mut following = following.stdout(std::process::Stdio::piped()).spawn().expect("it runs");
    let out = following.stdout.take().expect("a pipe");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(out));
    let reader = std::thread::spawn(move || lines.next().expect("a line").expect("text"));
    // Nothing is kept of what happened before somebody asked.
    until("an event comes", || {
        ctl(&broker, &["add_vhost", "noise"]);
        ctl(&broker, &["add_user", "ute", "secret"]);
        ctl(&broker, &["delete_user", "ute"]);
        reader.is_finished()
    });
    following.kill().expect("it runs");
    following.wait().expect("its end");
    let line = reader.join().expect("no panic");
    let event: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let kind = event["event"].as_str().expect("a name");
    assert!(["user.created", "user.deleted"].contains(&kind), "{line}");
    assert_eq!(event["name"], "ute");
    assert!(event["timestamp_in_ms"].is_u64(), "{line}");
}

#[test]
fn a_node_by_itself_finds_itself() {
    let broker = Broker::start();
    let found = ctl(&broker, &["discover_peers"]).well();
    let names = ctl(&broker, &["discover_peers", "--formatter", "json"]).well();
    let names: Vec<String> = serde_json::from_str(&names).expect("names");
    assert_eq!(found, format!("Discovering peers nodes ...\n[:{}]\n", names[0]));
    assert_eq!(names.len(), 1);
}

#[test]
fn the_environment_of_the_process_is_shown() {
    let broker = Broker::start();
    let mut shown = Command::new(env!("CARGO_BIN_EXE_warren"));
    shown
        .args(["ctl", "--data-dir"])
        .arg(broker.data_dir())
        .args(["os_env", "--formatter", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&ran(shown).well()).expect("JSON");
    assert_eq!(shown["result"], "ok");
    assert!(shown["variables"].is_object(), "{shown}");
}
