//! The HTTP server itself: connections that stay open, the prefix, other origins.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Broker, PATIENCE};

fn connect(broker: &Broker) -> TcpStream {
    let address = broker.management.as_ref().expect("the HTTP API");
    let socket = TcpStream::connect(address).expect("connects");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket
}

/// Reads until the text was seen.
fn read_until(socket: &mut TcpStream, end: &str) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&seen).contains(end) {
        let count = socket.read(&mut buffer).expect("more");
        assert!(count > 0, "closed after {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

const WHOAMI: &str = "GET /api/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n";

#[test]
fn a_connection_serves_many_requests_and_ends_with_the_node() {
    let mut broker = Broker::start();
    let mut socket = connect(&broker);
    for _ in 0..3 {
        socket.write_all(WHOAMI.as_bytes()).expect("sent");
        read_until(&mut socket, "\"is_internal_user\":true}");
    }
    assert!(broker.stop().success());
    assert_eq!(socket.read(&mut [0; 1]).expect("the end"), 0);
}

#[test]
fn a_request_that_is_none_is_refused() {
    let broker = Broker::start();
    let mut socket = connect(&broker);
    socket.write_all(b"\x00\x01AMQP rubbish\r\n\r\n").expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("the end");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    broker.http().get("/api/whoami").expect_status(200);
}

#[test]
fn the_api_lies_below_its_prefix_and_lets_named_origins_in() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("rabbitmq.conf");
    let lines = "management.path_prefix = /rabbit\nmanagement.cors.allow_origins.1 = https://a.example\n";
    std::fs::write(&config, lines).expect("written");
    let broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
    broker.http().get("/rabbit/api/whoami").expect_status(200);
    for elsewhere in ["/api/whoami", "/rabbitt/api/whoami"] {
        broker.http().get(elsewhere).expect_status(404);
    }
    let moved = broker.http().get("/rabbit/api/");
    assert_eq!(
        crate::header(moved.expect_status(301), "location"),
        Some("/rabbit/api/index.html")
    );
    let mut socket = connect(&broker);
    let asked = "OPTIONS /rabbit/api/queues/%2f/q HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\n\r\n";
    socket.write_all(asked.as_bytes()).expect("sent");
    let answer = read_until(&mut socket, "\r\n\r\n");
    assert!(
        answer.contains("access-control-allow-origin: https://a.example\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("access-control-allow-methods: HEAD, GET, PUT, DELETE, OPTIONS\r\n"),
        "{answer}"
    );
}

#[test]
fn long_answers_are_compressed_for_who_takes_that() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("rabbitmq.conf");
    let ask = |path: &str, broker: &Broker| {
        let mut socket = connect(broker);
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\
             Accept-Encoding: gzip, deflate\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).expect("the end");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let broker = Broker::start();
    let long = ask("/api/overview", &broker);
    assert!(long.contains("content-encoding: gzip\r\n"), "{long}");
    assert!(!long.contains("\"rabbitmq_version\""), "{long}");
    let short = ask("/api/whoami", &broker);
    assert!(!short.contains("content-encoding"), "{short}");
    assert!(short.contains("content-length: "), "{short}");
    std::fs::write(&config, "management.tcp.compress = false\n").expect("written");
    let broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
    let plain = ask("/api/overview", &broker);
    assert!(plain.contains("\"rabbitmq_version\""), "{plain}");
}

#[test]
fn a_hangup_opens_the_log_again_and_ends_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let (config, log) = (dir.path().join("log.conf"), dir.path().join("warren.log"));
    std::fs::write(&config, format!("log.file = {}\n", log.display())).expect("written");
    let mut broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
    std::fs::rename(&log, dir.path().join("warren.log.1")).expect("moved");
    broker.hang_up();
    let end = std::time::Instant::now() + PATIENCE;
    while !read("warren.log").contains("SIGHUP") {
        assert!(std::time::Instant::now() < end, "{}", broker.log());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(read("warren.log.1").contains("configuration read"));
    broker.http().get("/api/whoami").expect_status(200);
    assert!(broker.stop().success());
    assert!(read("warren.log").contains("stopped"));
}

#[test]
fn without_basic_auth_nobody_comes_in_by_a_password() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("rabbitmq.conf");
    std::fs::write(&config, "management.disable_basic_auth = true\n").expect("written");
    let broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
    let refused = broker.http().get("/api/whoami");
    assert_eq!(
        crate::reason(refused.expect_status(401)),
        "HTTP access denied: basic auth disabled"
    );
}
