//! Command lines that deploy scripts, probes and configuration tools are made of.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Ran, ctl, ran};
use crate::support::Broker;

/// The binary under the name of a tool.
fn tool(bin: &Path, broker: &Broker, name: &str, arguments: &[&str]) -> Ran {
    let path = bin.join(name);
    if !path.exists() {
        symlink(env!("CARGO_BIN_EXE_warren"), &path).expect("a link");
    }
    let mut command = Command::new(path);
    command.env("WARREN_DATA_DIR", broker.data_dir());
    command.args(arguments).stdin(Stdio::null());
    ran(command)
}

#[test]
fn each_line_ends_with_rabbitmqs_status() {
    let broker = Broker::start();
    let bin = tempfile::tempdir().expect("a directory");
    ctl(&broker, &["add_user", "app", "pw"]).well();
    let port = broker.amqp.rsplit(':').next().expect("a port");
    let pid = std::process::id().to_string();
    let lines: &[(i32, &str, &[&str])] = &[
        (0, "rabbitmqctl", &["wait", "--pid", &pid, "--timeout", "5"]),
        (69, "rabbitmqctl", &["wait", "--pid", "4194304", "--timeout", "5"]),
        (64, "rabbitmqctl", &["wait"]),
        (0, "rabbitmqctl", &["node_health_check"]),
        (0, "rabbitmqctl", &["set_cluster_name", "case"]),
        (0, "rabbitmqctl", &["clear_password", "app"]),
        (67, "rabbitmqctl", &["clear_password", "nobody"]),
        (
            0,
            "rabbitmqctl",
            &["set_topic_permissions", "-p", "/", "app", "amq.topic", "^a", ".*"],
        ),
        (
            67,
            "rabbitmqctl",
            &["set_topic_permissions", "nobody", "amq.topic", "^a", ".*"],
        ),
        (0, "rabbitmqctl", &["list_user_topic_permissions", "app"]),
        (0, "rabbitmqctl", &["clear_topic_permissions", "app"]),
        (0, "rabbitmqctl", &["set_global_parameter", "gp", r#"{"a":1}"#]),
        (69, "rabbitmqctl", &["set_global_parameter", "gp", "{"]),
        (0, "rabbitmqctl", &["clear_global_parameter", "gp"]),
        (69, "rabbitmqctl", &["clear_global_parameter", "gp"]),
        (0, "rabbitmqctl", &["list_feature_flags", "name", "state"]),
        (0, "rabbitmqctl", &["enable_feature_flag", "all"]),
        (64, "rabbitmqctl", &["enable_feature_flag", "nonsense"]),
        (0, "rabbitmqctl", &["list_deprecated_features"]),
        (0, "rabbitmqctl", &["environment"]),
        (0, "rabbitmqctl", &["report"]),
        (0, "rabbitmqctl", &["hash_password", "secret"]),
        (0, "rabbitmqctl", &["--version"]),
        (0, "rabbitmq-diagnostics", &["-q", "is_running"]),
        (0, "rabbitmq-diagnostics", &["is_booting"]),
        (0, "rabbitmq-diagnostics", &["check_port_listener", port]),
        (69, "rabbitmq-diagnostics", &["check_port_listener", "1"]),
        (0, "rabbitmq-diagnostics", &["check_protocol_listener", "amqp"]),
        (69, "rabbitmq-diagnostics", &["check_protocol_listener", "mqtt"]),
        (0, "rabbitmq-diagnostics", &["memory_breakdown"]),
        (0, "rabbitmq-diagnostics", &["log_location"]),
        (0, "rabbitmq-plugins", &["is_enabled", "rabbitmq_management"]),
        (69, "rabbitmq-plugins", &["is_enabled", "rabbitmq_mqtt"]),
        (0, "rabbitmq-plugins", &["list", "-E", "-m"]),
        (0, "rabbitmq-plugins", &["enable", "--offline", "rabbitmq_management"]),
        (70, "rabbitmq-plugins", &["enable", "--offline", "rabbitmq_mqtt"]),
        (64, "rabbitmqctl", &["enable", "rabbitmq_management"]),
        (0, "rabbitmq-upgrade", &["await_online_quorum_plus_one", "-t", "5"]),
        (0, "rabbitmq-upgrade", &["post_upgrade"]),
    ];
    for (status, program, arguments) in lines {
        let got = tool(bin.path(), &broker, program, arguments);
        assert_eq!(
            got.status, *status,
            "{program} {arguments:?}: {}{}",
            got.out, got.errors
        );
    }
}

#[test]
fn topic_permissions_and_parameters_are_set_and_cleared() {
    let broker = Broker::start();
    let run = |arguments: &[&str]| ctl(&broker, arguments);
    run(&["add_user", "app", "pw"]).well();
    assert_eq!(
        run(&["set_topic_permissions", "app", "amq.topic", "^a", ".*"]).well(),
        "Setting topic permissions on \"amq.topic\" for user \"app\" in vhost \"/\" ...\n"
    );
    assert_eq!(
        run(&["list_user_topic_permissions", "app", "--silent"]).well(),
        "/\tamq.topic\t^a\t.*\n"
    );
    assert_eq!(
        run(&["clear_topic_permissions", "app", "amq.topic"]).well(),
        "Clearing topic permissions on \"amq.topic\" for user \"app\" in vhost \"/\" ...\n"
    );
    assert_eq!(run(&["list_user_topic_permissions", "app", "--silent"]).well(), "");
    assert_eq!(
        run(&["set_global_parameter", "gp", r#"{"a":1}"#]).well(),
        "Setting global runtime parameter \"gp\" to \"{\"a\":1}\" ...\n"
    );
    let listed = run(&["list_global_parameters", "--silent"]).well();
    assert!(listed.lines().any(|line| line == "gp\t{\"a\":1}"), "{listed}");
    assert_eq!(
        run(&["set_global_parameter", "gp", "{"]).failed(69),
        "Error:\nCould not parse JSON document: {error,{failed_to_decode_json,<<\"{\">>}}\n"
    );
    run(&["clear_global_parameter", "gp"]).well();
    let again = run(&["clear_global_parameter", "gp"]).failed(69);
    assert_eq!(again, "Error:\nParameter does not exist\n");
}

#[test]
fn a_password_that_was_cleared_lets_nobody_in_and_the_tags_stay() {
    let broker = Broker::start();
    ctl(&broker, &["add_user", "app", "pw"]).well();
    ctl(&broker, &["set_user_tags", "app", "monitoring"]).well();
    ctl(&broker, &["clear_password", "app"]).well();
    ctl(&broker, &["authenticate_user", "app", "pw"]).failed(65);
    let user = broker.http().get("/api/users/app").expect_status(200).json();
    assert_eq!(user["tags"], json!(["monitoring"]));
}

#[test]
fn limits_of_memory_and_disk_are_changed_in_the_running_node() {
    let broker = Broker::start();
    let node = || {
        let nodes = broker.http().get("/api/nodes").expect_status(200).json();
        nodes[0].clone()
    };
    ctl(&broker, &["set_disk_free_limit", "70MB"]).well();
    assert_eq!(node()["disk_free_limit"], 70_000_000);
    ctl(&broker, &["set_vm_memory_high_watermark", "absolute", "2GB"]).well();
    assert_eq!(node()["mem_limit"], 2_000_000_000_u64);
    let fraction = ctl(&broker, &["set_vm_memory_high_watermark", "2.0"]).failed(65);
    let said = "Error (argument validation): Bad argument: The threshold should be a fraction between 0.0 and 1.0\n";
    assert!(fraction.starts_with(said), "{fraction}");
    let size = ctl(&broker, &["set_disk_free_limit", "x"]).failed(65);
    assert!(
        size.starts_with("Error (argument validation): Bad argument.\n"),
        "{size}"
    );
    assert_eq!(node()["disk_free_limit"], 70_000_000);
}

#[test]
fn the_log_tells_more_once_it_is_told_to() {
    let broker = Broker::start();
    assert_eq!(
        ctl(&broker, &["set_log_level", "debug"]).well(),
        "Setting log level to \"debug\" ...\n"
    );
    ctl(&broker, &["set_log_level", "none"]).well();
    assert!(broker.log().contains("a setting was changed"), "{}", broker.log());
    assert_eq!(
        ctl(&broker, &["set_log_level", "nonsense"]).failed(69),
        "Error:\nlevel nonsense is not supported. Try one of debug, info, warning, error, critical, none\n"
    );
}

#[test]
fn the_environment_shows_what_was_set_and_no_secret() {
    let broker = Broker::start_with(&["--config", &file_of("heartbeat = 17\ndefault_pass = hidden\n")]);
    let shown = ctl(&broker, &["environment", "--formatter", "json"]).well();
    let keys: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(keys["heartbeat"], "17");
    assert_eq!(keys["default_vhost"], "/");
    assert!(!shown.contains("hidden"), "{shown}");
}

/// A configuration file that stays for the test's run.
fn file_of(text: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory").keep();
    let path = directory.join("rabbitmq.conf");
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

#[test]
fn a_report_has_what_the_parts_show() {
    let broker = Broker::start();
    let path = "/api/queues/%2f/orders";
    broker.http().put(path, r#"{"durable":true}"#).expect_status(201);
    let report = ctl(&broker, &["report"]).well();
    for part in [
        "Status of node ",
        "Cluster status of node ",
        "Listing queues for vhost / ...",
        "\norders\t0\n",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
}

#[test]
fn plugins_are_what_is_built_in() {
    let broker = Broker::start();
    let bin = tempfile::tempdir().expect("a directory");
    let run = |arguments: &[&str]| tool(bin.path(), &broker, "rabbitmq-plugins", arguments);
    let listed = run(&["list", "-q", "-m", "-E"]).well();
    assert!(listed.lines().any(|line| line == "rabbitmq_management"), "{listed}");
    let nodes = broker.http().get("/api/nodes").expect_status(200).json();
    let enabled: Vec<_> = nodes[0]["enabled_plugins"].as_array().expect("a list").iter().collect();
    assert_eq!(enabled, listed.lines().collect::<Vec<_>>());
    assert_eq!(
        run(&["enable", "rabbitmq_mqtt"]).failed(70),
        "Error:\n{:plugins_not_found, [:rabbitmq_mqtt]}\n"
    );
}
