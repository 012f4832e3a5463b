//! A node that is asked over HTTP: by a user, and by whoever has the cluster's secret.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Ran, ctl, ran};
use crate::support::Broker;
use crate::support::authority::Authority;

/// Asks without the node's data directory.
fn ask(data_dir: &Path, node: &str, arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
    command.args(["ctl", "--data-dir"]).arg(data_dir).args(["-n", node]);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env("WARREN_PASSWORD", "guest");
    ran(command)
}

fn url(broker: &Broker) -> String {
    format!("http://{}", broker.management.as_ref().expect("the HTTP API"))
}

#[test]
fn a_user_asks_with_a_password() {
    let broker = Broker::start_with(&["--node-name", "g1@localhost"]);
    let (empty, node) = (tempfile::tempdir().expect("a directory"), url(&broker));
    let guest = ["--username", "guest"];
    let run = |arguments: &[&str]| ask(empty.path(), &node, &[&guest[..], arguments].concat());
    assert_eq!(run(&["list_vhosts", "-s"]).well(), "/\n");
    assert_eq!(run(&["ping", "-q"]).well(), "Ping succeeded\n");
    let status = run(&["status"]).well();
    assert!(status.starts_with("Status of node g1@localhost ...\n"), "{status}");
    run(&["add_vhost", "made"]).well();
    assert!(
        ctl(&broker, &["list_vhosts", "-s"])
            .well()
            .lines()
            .any(|line| line == "made")
    );
    let wrong = run(&["list_vhosts", "--password", "wrong"]).failed(69);
    assert!(wrong.starts_with("Error:\n"), "{wrong}");
    // What is for the process is for its machine.
    let order = run(&["stop_app"]).failed(64);
    assert_eq!(
        order,
        "Error:\nstop_app is an order to a process: it is given on the machine of the node\n"
    );
    // A user has the rights of the user.
    ctl(&broker, &["add_user", "app", "pw"]).well();
    ctl(&broker, &["set_user_tags", "app", "management"]).well();
    let app = ["--username", "app", "--password", "pw"];
    ask(empty.path(), &node, &[&app[..], &["list_users"]].concat()).failed(69);
}

#[test]
fn the_secret_of_the_cluster_is_enough_and_another_is_not() {
    let broker = Broker::start_linked(&[]);
    let (here, node) = (tempfile::tempdir().expect("a directory"), url(&broker));
    let run = |arguments: &[&str]| ask(here.path(), &node, arguments);
    let without = run(&["list_users"]).failed(65);
    assert!(without.contains("cluster.secret"), "{without}");
    let cookie = broker.data_dir().join(".erlang.cookie");
    std::fs::copy(cookie, here.path().join(".erlang.cookie")).expect("copied");
    assert_eq!(run(&["list_users", "-s"]).well(), "guest\t[administrator]\n");
    run(&["add_user", "app", "pw"]).well();
    run(&["set_permissions", "app", ".*", ".*", ".*"]).well();
    run(&["drain"]).well();
    run(&["revive"]).well();
    std::fs::write(here.path().join(".erlang.cookie"), "another").expect("written");
    let refused = run(&["list_users"]).failed(69);
    assert!(refused.starts_with("Error:\n"), "{refused}");
}

#[test]
fn another_machine_is_asked_over_tls_only() {
    let broker = Broker::start();
    let empty = tempfile::tempdir().expect("a directory");
    let refused = ask(empty.path(), "http://192.0.2.1:15672", &["--username", "guest", "ping"]).failed(64);
    assert!(refused.contains("over https only"), "{refused}");
    let authority = Authority::new("ours");
    let papers = authority.issue_for("server", &["localhost"], empty.path());
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("its address").port();
    drop(free);
    let config = empty.path().join("tls.conf");
    let lines = format!(
        "management.ssl.port = {port}\nmanagement.ssl.ip = 127.0.0.1\nmanagement.ssl.certfile = {}\n\
         management.ssl.keyfile = {}\nmanagement.ssl.cacertfile = {}\n",
        papers.certfile.display(),
        papers.keyfile.display(),
        papers.cacertfile.display()
    );
    std::fs::write(&config, lines).expect("written");
    drop(broker);
    let _broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
    let node = format!("https://localhost:{port}");
    let trusted = [
        "--username",
        "guest",
        "--ca-file",
        papers.cacertfile.to_str().expect("a path"),
    ];
    let run = |arguments: &[&str]| ask(empty.path(), &node, arguments);
    assert_eq!(run(&[&trusted[..], &["list_vhosts", "-s"]].concat()).well(), "/\n");
    let unknown = run(&["--username", "guest", "list_vhosts"]).failed(69);
    assert!(unknown.contains("certificate"), "{unknown}");
}
