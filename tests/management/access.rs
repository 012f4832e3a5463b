//! Who may ask, and what is answered when there is nothing to ask.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Broker, Http, PATIENCE};
use crate::{header, names, reason};

/// A request as it stands on the wire; the answer as it comes.
fn raw(broker: &Broker, request: &str) -> String {
    let mut socket = TcpStream::connect(broker.management.as_ref().expect("the HTTP API")).expect("connects");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("answered");
    answer
}

fn user(broker: &Broker, name: &str, tags: &str, vhosts: &[&str]) -> Http {
    let admin = broker.http();
    let body = format!(r#"{{"password":"secret","tags":"{tags}"}}"#);
    admin.put(&format!("/api/users/{name}"), &body).expect_status(201);
    let all = r#"{"configure":".*","write":".*","read":".*"}"#;
    for vhost in vhosts {
        admin
            .put(&format!("/api/permissions/{vhost}/{name}"), all)
            .expect_status(201);
    }
    Http::as_user(broker.management.as_ref().expect("the HTTP API"), name, "secret")
}

#[test]
fn without_a_password_nobody_gets_in() {
    let broker = Broker::start();
    let answer = raw(&broker, "GET /api/overview HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 401"), "{answer}");
    assert!(
        answer.contains("www-authenticate: Basic realm=\"RabbitMQ Management\""),
        "{answer}"
    );
    let other = Http::as_user(broker.management.as_ref().expect("the HTTP API"), "guest", "nope");
    let refused = other.get("/api/overview");
    assert_eq!(
        refused.expect_status(401).body,
        r#"{"error":"not_authorized","reason":"Not_Authorized"}"#
    );
    let garbage = raw(
        &broker,
        "GET /api/overview HTTP/1.0\r\nAuthorization: Basic !!!\r\n\r\n",
    );
    assert!(garbage.starts_with("HTTP/1.0 400"), "{garbage}");
}

#[test]
fn tags_decide_what_may_be_asked() {
    let broker = Broker::start();
    broker.http().put("/api/vhosts/mine", "").expect_status(201);
    broker.http().put("/api/vhosts/other", "").expect_status(201);
    let none = user(&broker, "none", "", &["mine"]);
    assert_eq!(
        reason(none.get("/api/overview").expect_status(401)),
        "Not management user"
    );
    let plain = user(&broker, "plain", "management", &["mine"]);
    plain.get("/api/overview").expect_status(200);
    assert_eq!(names(&plain.get("/api/vhosts")), ["mine"]);
    assert_eq!(reason(plain.get("/api/nodes").expect_status(401)), "Not monitor user");
    assert_eq!(
        reason(plain.get("/api/users").expect_status(401)),
        "Not administrator user"
    );
    assert_eq!(
        reason(plain.get("/api/queues/other").expect_status(401)),
        "User not authorised to access virtual host"
    );
    let policy = r#"{"pattern":"^q","definition":{"max-length":1}}"#;
    let refused = plain.put("/api/policies/mine/p", policy);
    assert_eq!(
        reason(refused.expect_status(401)),
        "User not authorised to access object"
    );
    let maker = user(&broker, "maker", "policymaker", &["mine"]);
    maker.put("/api/policies/mine/p", policy).expect_status(201);
    maker.put("/api/operator-policies/mine/p", policy).expect_status(401);
    let monitor = user(&broker, "monitor", "monitoring", &[]);
    monitor.get("/api/nodes").expect_status(200);
    assert_eq!(names(&monitor.get("/api/vhosts")), ["/", "mine", "other"]);
    // Whoever administers reads everything, and does nothing where nothing is permitted.
    let administrator = user(&broker, "administrator", "administrator", &[]);
    for place in [
        "vhosts/mine",
        "queues/mine",
        "exchanges/mine",
        "exchanges/mine/amq.direct",
        "bindings/mine",
    ] {
        administrator.get(&format!("/api/{place}")).expect_status(200);
        monitor.get(&format!("/api/{place}")).expect_status(401);
    }
    administrator.get("/api/queues/mine/none").expect_status(404);
    administrator.put("/api/queues/mine/q", "{}").expect_status(401);
}

#[test]
fn rights_in_the_vhost_hold_as_they_do_for_clients() {
    let broker = Broker::start();
    let user = user(&broker, "limited", "management", &[]);
    let own = r#"{"configure":"^mine","write":"","read":""}"#;
    broker
        .http()
        .put("/api/permissions/%2f/limited", own)
        .expect_status(201);
    user.put("/api/queues/%2f/mine-1", "{}").expect_status(201);
    let refused = user.put("/api/queues/%2f/other", "{}");
    assert_eq!(
        refused.expect_status(401).body,
        r#"{"error":"not_authorised","reason":"Access refused."}"#
    );
}

#[test]
fn unknown_paths_and_methods_are_told() {
    let broker = Broker::start();
    let http = broker.http();
    let missing = r#"{"error":"Object Not Found","reason":"Not Found"}"#;
    assert_eq!(http.get("/api/nonsense").expect_status(404).body, missing);
    assert_eq!(http.get("/nonsense").expect_status(404).body, missing);
    let other = http.delete("/api/nodes");
    assert_eq!(header(other.expect_status(405), "allow"), Some("HEAD, GET, OPTIONS"));
    let patch = http.call("PATCH", "/api/queues/%2f/q", "{}");
    assert_eq!(
        header(patch.expect_status(405), "allow"),
        Some("HEAD, GET, PUT, DELETE, OPTIONS")
    );
    let options = raw(&broker, "OPTIONS /api/overview HTTP/1.0\r\n\r\n");
    assert!(options.starts_with("HTTP/1.0 200"), "{options}");
    assert!(options.contains("allow: HEAD, GET, OPTIONS\r\n"), "{options}");
}

#[test]
fn bodies_are_bounded_and_must_be_objects() {
    let broker = Broker::start_with(&["--config", "/dev/null"]);
    let http = broker.http();
    let refused = |body: &str| reason(http.put("/api/queues/%2f/q", body).expect_status(400));
    assert_eq!(refused("{not json"), "not_json");
    assert_eq!(refused("[1]"), "not_json");
    assert!(refused("\"x\"").starts_with("invalid payload"));
    let large = format!(r#"{{"x":"{}"}}"#, "a".repeat(10_000_001));
    assert_eq!(refused(&large), "Exceeded HTTP request body size limit");
    let deep = "[".repeat(100_000);
    assert_eq!(refused(&deep), "not_json");
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let broker = Broker::start();
    let (get, head) = (
        broker.http().get("/api/whoami"),
        broker.http().call("HEAD", "/api/whoami", ""),
    );
    assert_eq!(head.expect_status(200).body, "");
    assert_eq!(header(&head, "content-length"), header(&get, "content-length"));
}
