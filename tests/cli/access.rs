//! The socket in the data directory: whose it is, and what it serves.

use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;

use super::ctl;
use crate::support::{Broker, PATIENCE};

fn ask(broker: &Broker, authorization: &str) -> String {
    let mut socket = UnixStream::connect(broker.data_dir().join("ctl.sock")).expect("the socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let request = format!("GET /api/whoami HTTP/1.0\r\n{authorization}\r\n");
    socket.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn the_socket_is_its_owners_and_needs_no_password() {
    let mut broker = Broker::start();
    let path = broker.data_dir().join("ctl.sock");
    let file = std::fs::metadata(&path).expect("the socket");
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    let answer = ask(&broker, "");
    assert!(
        answer.contains("\"name\":\"rmq-cli\",\"tags\":[\"administrator\"]"),
        "{answer}"
    );
    // Who does say who they are is taken at their word.
    let wrong = ask(&broker, "Authorization: Basic Z3Vlc3Q6d3Jvbmc=\r\n");
    assert!(wrong.starts_with("HTTP/1.0 401 "), "{wrong}");
    // Over TCP nothing changed.
    let address = broker.management.clone().expect("the HTTP API");
    let other = crate::support::Http::as_user(&address, "rmq-cli", "").get("/api/whoami");
    assert_eq!(other.status, 401);
    assert!(broker.stop().success());
    assert!(!path.exists());
}

#[test]
fn a_socket_that_was_left_is_made_anew() {
    let mut broker = Broker::start();
    broker.kill9();
    assert!(broker.data_dir().join("ctl.sock").exists());
    broker.restart();
    ctl(&broker, &["list_vhosts"]).well();
}

#[test]
fn the_socket_knows_no_prefix() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("rabbitmq.conf");
    std::fs::write(&config, "management.path_prefix = /rabbit\n").expect("written");
    let broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
    assert_eq!(ctl(&broker, &["list_vhosts", "-s"]).well(), "/\n");
}
