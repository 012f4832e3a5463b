//! Definitions out of one node and into another.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use super::{command, ctl};
use crate::support::Broker;

#[test]
fn definitions_go_from_one_node_to_another() {
    let from = Broker::start();
    ctl(&from, &["add_vhost", "golden"]).well();
    ctl(&from, &["add_user", "app", "secret"]).well();
    ctl(&from, &["set_permissions", "-p", "golden", "app", ".*", ".*", ".*"]).well();
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("definitions.json");
    let path = file.to_str().expect("a path");
    assert_eq!(
        ctl(&from, &["export_definitions", path]).well(),
        format!("Exporting definitions in JSON to a file at \"{path}\" ...\n")
    );
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let written = read(&std::fs::read_to_string(&file).expect("the file"));
    assert_eq!(read(&ctl(&from, &["export_definitions", "-"]).well()), written);

    let to = Broker::start();
    ctl(&to, &["import_definitions", path]).well();
    assert_eq!(
        ctl(&to, &["list_permissions", "-p", "golden", "-s"]).well(),
        "app\t.*\t.*\t.*\n"
    );
    ctl(&to, &["authenticate_user", "app", "secret"]).well();

    let third = Broker::start();
    let mut import = command(&third, &["import_definitions"]);
    let mut child = import
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(written.to_string().as_bytes()).expect("written");
    drop(input);
    assert!(child.wait().expect("its end").success());
    assert_eq!(ctl(&third, &["list_vhosts", "-s"]).well(), "/\ngolden\n");
}

#[test]
fn what_is_no_definitions_is_refused() {
    let broker = Broker::start();
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("definitions.json");
    std::fs::write(&file, "{oops").expect("written");
    let path = file.to_str().expect("a path");
    assert_eq!(
        ctl(&broker, &["import_definitions", path]).failed(65),
        "Error:\nfailed_to_parse_json\n"
    );
    ctl(&broker, &["import_definitions", "/nowhere/at/all"]).failed(65);
    ctl(&broker, &["export_definitions", "/nowhere/at/all"]).failed(65);
    ctl(&broker, &["export_definitions", "-", "--format", "erlang"]).failed(64);
}
