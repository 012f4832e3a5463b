//! How commands are written, and what is said when they are not.

use std::process::Command;

use super::{ctl, ran};
use crate::support::Broker;

#[test]
fn the_binary_is_a_tool_by_its_name() {
    let broker = Broker::start();
    let dir = tempfile::tempdir().expect("a directory");
    let tools = ["rabbitmqctl", "rabbitmq-diagnostics", "rabbitmq-queues"];
    for tool in tools
        .into_iter()
        .chain(["rabbitmq-plugins", "rabbitmq-streams", "rabbitmq-upgrade"])
    {
        let path = dir.path().join(tool);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_warren"), &path).expect("a link");
        for variable in ["WARREN_DATA_DIR", "RABBITMQ_MNESIA_BASE"] {
            let mut command = Command::new(&path);
            command.args(["list_vhosts", "-s"]).env(variable, broker.data_dir());
            assert_eq!(ran(command).well(), "/\n");
        }
        let mut command = Command::new(&path);
        command.args(["-n", "g1@localhost", "add_user"]);
        assert_eq!(
            ran(command).failed(64),
            format!(
                "Error (argument validation): not enough arguments.\nArguments given:\n\
                 \t-n g1@localhost add_user\n\nUsage\n\n\
                 {tool} [--node <node>] [--longnames] [--quiet] add_user <username> [<password>] \
                 [<password_hash> --pre-hashed-password]\n"
            )
        );
    }
}

#[test]
fn a_tool_that_is_not_there_runs_no_node() {
    let dir = tempfile::tempdir().expect("a directory");
    for tool in ["rabbitmqadmin", "rabbitmq-collect-env"] {
        let path = dir.path().join(tool);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_warren"), &path).expect("a link");
        let mut command = Command::new(&path);
        command.env("WARREN_DATA_DIR", dir.path().join("data"));
        let said = ran(command).failed(64);
        assert_eq!(
            said,
            format!("{tool} is not part of Warren; `warren help` says what is\n")
        );
    }
    assert!(!dir.path().join("data").exists());
}

#[test]
fn what_is_not_built_is_refused_as_a_flag() {
    let dir = tempfile::tempdir().expect("a directory");
    for (flag, what) in [("--prometheus", "metrics for Prometheus"), ("--amqps", "AMQP over TLS")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
        command
            .args(["server", flag, "127.0.0.1:0"])
            .env("WARREN_DATA_DIR", dir.path().join("data"));
        let said = ran(command).failed(1);
        assert!(
            said.starts_with(&format!("{flag}: {what}")) && said.contains("not served yet"),
            "{said}"
        );
    }
}

#[test]
fn what_is_no_command_is_answered_with_all_there_are() {
    let broker = Broker::start();
    let said = ctl(&broker, &["frobnicate"]).failed(64);
    let start = "\nCommand 'frobnicate' not found. \n\nUsage\n\nwarren ctl [--node <node>] [--timeout <timeout>] \
                 [--longnames] [--quiet] <command> [<command options>]\n\nAvailable commands:\n\nHelp:\n";
    assert!(said.starts_with(start), "{said}");
    let end = "Use 'warren ctl help <command>' to learn more about a specific command\n";
    assert!(said.ends_with(end), "{said}");
    let said = ctl(&broker, &["list_user"]).failed(64);
    assert!(said.contains("\nDid you mean 'list_users'? \n"), "{said}");
}

#[test]
fn help_needs_no_node() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
        command.args(["ctl", "--data-dir", "/nowhere"]).args(arguments);
        ran(command).well()
    };
    let all = run(&["help"]);
    assert!(all.contains("\nPolicies:\n\n   clear_operator_policy "), "{all}");
    let one = run(&["help", "list_queues"]);
    let usage = "\nUsage\n\nwarren ctl [--node <node>] [--longnames] [--quiet] list_queues [--vhost <vhost>] [--online] \
                 [--offline] [--local] [--no-table-headers] [<column>, ...] [--timeout <timeout>]\n\n\
                 Lists queues and their properties.\n";
    assert!(one.starts_with(usage), "{one}");
    assert_eq!(run(&["list_queues", "--help"]), one);
}
