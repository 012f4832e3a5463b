//! What no honest client sends: it is told so, and nobody else waits.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::support::{Broker, PATIENCE};

/// What comes back for these bytes, once no more follow.
fn said(broker: &Broker, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(broker.management.as_ref().expect("the HTTP API")).expect("connects");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    // It may have been refused before all was sent.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        match socket.read(&mut part) {
            Ok(0) => break,
            Ok(read) => answer.extend(&part[..read]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("no answer: {error}"),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of an answer; `None` where the connection was only closed.
fn status(answer: &str) -> Option<u16> {
    answer.split(' ').nth(1)?.parse().ok()
}

const GUEST: &str = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\nContent-Type: application/json\r\n";

/// No failure of the node's own. 503 is what RabbitMQ says of members of queues that cannot be had.
fn is_sound(status: u16) -> bool {
    status < 500 || status == 503
}

fn refused(broker: &Broker, request: &[u8]) {
    let answer = said(broker, request);
    let shown = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
    match status(&answer) {
        None => assert!(answer.is_empty(), "{shown}: {answer}"),
        Some(status) => assert!((400..500).contains(&status), "{shown}: {answer}"),
    }
}

/// The paths that take a body, with the fields that they know.
const BODIES: &[(&str, &str, &[&str])] = &[
    ("PUT", "/queues/%2f/q", &["durable", "auto_delete", "arguments", "node"]),
    (
        "PUT",
        "/exchanges/%2f/x",
        &["type", "durable", "auto_delete", "internal", "arguments"],
    ),
    (
        "POST",
        "/bindings/%2f/e/amq.direct/q/there",
        &["routing_key", "arguments"],
    ),
    (
        "PUT",
        "/vhosts/v",
        &["description", "tags", "default_queue_type", "tracing"],
    ),
    (
        "PUT",
        "/users/u",
        &["password", "password_hash", "hashing_algorithm", "tags"],
    ),
    ("PUT", "/permissions/%2f/guest", &["configure", "write", "read"]),
    ("PUT", "/topic-permissions/%2f/guest", &["exchange", "write", "read"]),
    (
        "PUT",
        "/policies/%2f/p",
        &["pattern", "definition", "priority", "apply-to"],
    ),
    (
        "PUT",
        "/operator-policies/%2f/p",
        &["pattern", "definition", "priority", "apply-to"],
    ),
    ("PUT", "/parameters/operator_policy/%2f/p", &["value"]),
    ("PUT", "/parameters/vhost-limits/%2f/limits", &["value"]),
    ("PUT", "/global-parameters/g", &["value"]),
    ("PUT", "/vhost-limits/%2f/max-queues", &["value"]),
    ("PUT", "/user-limits/guest/max-channels", &["value"]),
    ("PUT", "/cluster-name", &["name"]),
    ("POST", "/users/bulk-delete", &["users"]),
    (
        "POST",
        "/exchanges/%2f/amq.direct/publish",
        &["properties", "routing_key", "payload", "payload_encoding"],
    ),
    (
        "POST",
        "/queues/%2f/there/get",
        &["count", "ackmode", "encoding", "truncate"],
    ),
    ("POST", "/queues/%2f/there/actions", &["action"]),
    (
        "POST",
        "/definitions",
        &[
            "users",
            "vhosts",
            "permissions",
            "parameters",
            "policies",
            "queues",
            "exchanges",
            "bindings",
        ],
    ),
    (
        "POST",
        "/definitions/%2f",
        &["parameters", "policies", "queues", "exchanges", "bindings"],
    ),
    ("POST", "/queues/quorum/%2f/there/replicas/add", &["node"]),
    ("DELETE", "/queues/quorum/%2f/there/replicas/delete", &["node"]),
    (
        "POST",
        "/queues/quorum/replicas/on/none/grow",
        &["vhost_pattern", "queue_pattern", "strategy"],
    ),
    ("POST", "/rebalance/queues", &["vhost_pattern", "queue_pattern"]),
    ("POST", "/session", &["username", "password"]),
    ("POST", "/login", &["username", "password"]),
];

#[test]
fn bodies_that_are_no_objects_break_nothing() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/queues/%2f/there", "{}").expect_status(201);
    let deep = format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000));
    for (method, path, _) in BODIES {
        for body in [
            "", "{", "[", "[]", "null", "5", "\"x\"", "{}{}", "{\"a\":}", "\u{0}", &deep,
        ] {
            let answer = http.call(method, &format!("/api{path}"), body);
            let cut: String = body.chars().take(20).collect();
            assert!(is_sound(answer.status), "{method} {path} {cut}: {answer:?}");
        }
    }
}

#[test]
fn wrong_types_in_any_field_are_refused() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/queues/%2f/there", "{}").expect_status(201);
    let values = [
        "null",
        "true",
        "-1",
        "1.5",
        "1e308",
        "18446744073709551616",
        "-9223372036854775809",
        "\"x\"",
        "\"\\u0000\"",
        "\"(\"",
        "[]",
        "[null]",
        "[{}]",
        "[[1]]",
        "{}",
        r#"{"x":null}"#,
        r#"{"x":{"y":[{"z":1}]}}"#,
    ];
    // What stands in the other fields, so that they are not what is refused.
    let good = |field: &str| match field {
        "arguments" | "definition" | "properties" => "{}",
        "value" | "count" | "priority" | "truncate" => "1",
        "durable" | "auto_delete" | "internal" | "tracing" => "true",
        "type" => "\"direct\"",
        "users" | "vhosts" | "permissions" | "parameters" | "policies" | "queues" | "exchanges" | "bindings" => "[]",
        "ackmode" => "\"ack_requeue_true\"",
        "encoding" => "\"auto\"",
        "payload_encoding" => "\"string\"",
        "default_queue_type" => "\"classic\"",
        "hashing_algorithm" => "\"rabbit_password_hashing_sha256\"",
        "exchange" => "\"amq.topic\"",
        "apply-to" => "\"queues\"",
        _ => "\"\"",
    };
    for (method, path, fields) in BODIES {
        for wrong in *fields {
            for value in values {
                let fields = fields
                    .iter()
                    .map(|field| format!("\"{field}\":{}", if field == wrong { value } else { good(field) }));
                let body = format!("{{{}}}", fields.collect::<Vec<_>>().join(","));
                let answer = http.call(method, &format!("/api{path}"), &body);
                assert!(is_sound(answer.status), "{method} {path} {body}: {answer:?}");
            }
        }
        // The password may have been changed to something that is none.
        assert_eq!(http.get("/api/whoami").status, 200, "{method} {path}");
    }
}

#[test]
fn paths_that_are_tricks_lead_nowhere() {
    let broker = Broker::start();
    let long = format!("/api/queues/%2f/{}", "a".repeat(20_000));
    for path in [
        "/api/../api/overview",
        "/api/queues/../../etc/passwd",
        "/api//queues",
        "//api/queues",
        "/api/queues/%2f/..%2f..%2fusers",
        "/api/queues/%00",
        "/api/queues/%2f/%ff%fe",
        "/api/queues/%2",
        "/api/queues/%2f/none%0d%0aX-Injected:%201",
        "/api/{vhost}",
        "/api/queues;x=1",
        "/API/overview",
        "/cli/../../etc/passwd",
        "/cli/%2e%2e/rabbitmqadmin",
        &long,
    ] {
        refused(
            &broker,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{GUEST}\r\n").as_bytes(),
        );
    }
    // Names that hold line ends are escaped in what is answered.
    let http = broker.http();
    http.put("/api/queues/%2f/a%0d%0aX-Injected:%201", "{}")
        .expect_status(201);
    let bound = http.post(
        "/api/bindings/%2f/e/amq.direct/q/a%0d%0aX-Injected:%201",
        r#"{"routing_key":"k\r\nX-Injected: 1"}"#,
    );
    assert!(bound.expect_status(201).header("x-injected").is_none());
}

#[test]
fn floods_of_headers_are_cut_off() {
    let broker = Broker::start();
    let many: String = (0..1000).map(|number| format!("X-{number}: y\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "y".repeat(2_000_000));
    for headers in [many, long] {
        let request = format!("GET /api/overview HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}{GUEST}\r\n");
        refused(&broker, request.as_bytes());
    }
    broker.http().get("/api/overview").expect_status(200);
}

#[test]
fn what_is_no_http_is_refused() {
    let broker = Broker::start();
    let with = |headers: &str, body: &str| {
        format!("PUT /api/queues/%2f/q HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{GUEST}{headers}\r\n{body}")
    };
    for request in [
        "AMQP\u{0}\u{0}\u{9}\u{1}".to_owned(),
        "\u{16}\u{3}\u{1}\u{0}\u{5}hello".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "GET /api/overview HTTP/9.9\r\n\r\n".to_owned(),
        with("Content-Length: -1\r\n", ""),
        with("Content-Length: 99999999999999999999\r\n", ""),
        with("Content-Length: 5\r\nContent-Length: 6\r\n", "{}   "),
        with("Content-Length: 500\r\n", "{"),
        with("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"),
        with("Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n"),
        with("Bad Header\r\nContent-Length: 2\r\n", "{}"),
        with("Content-Length: 20000000\r\n", &"x".repeat(11_000_000)),
    ] {
        refused(&broker, request.as_bytes());
    }
    broker.http().get("/api/queues/%2f/q").expect_status(404);
}

#[test]
fn nobody_waits_for_clients_that_are_slow() {
    let broker = Broker::start();
    let address = broker.management.as_ref().expect("the HTTP API");
    let slow: Vec<_> = (0..200)
        .map(|number| {
            let mut socket = TcpStream::connect(address).expect("connects");
            // Some have not ended their headers, some their bodies.
            let part = match number % 2 {
                0 => "GET /api/overview HTTP/1.1\r\nHost: x\r\nX-Slow".to_owned(),
                _ => format!("PUT /api/queues/%2f/q HTTP/1.1\r\nHost: x\r\n{GUEST}Content-Length: 100\r\n\r\n{{"),
            };
            socket.write_all(part.as_bytes()).expect("sent");
            socket
        })
        .collect();
    broker.http().get("/api/overview").expect_status(200);
    drop(slow);
}
