//! Who may do what: every operation by every user tag and every permission. Every route of the API is among them.
//!
//! `access_matrix.txt` is what RabbitMQ 4.0.5 answered, written by this test itself, run on RabbitMQ with
//! `rabbitmq_stream_management`: `WARREN_MATRIX_FROM=host:port cargo nextest run --test management access_matrix`.
//! Each of its lines is an operation and the statuses of all users, by tag, then by permission in the vhost `mine`.
//! `access_own.txt` is what Warren answers to operations of its own, and where it answers otherwise on purpose;
//! `WARREN_MATRIX_OWN=1` writes it, to be read before it is taken.

use std::collections::HashMap;
use std::fmt::Write;

use crate::routes;
use crate::support::{Broker, Http};

const TAGS: [&str; 5] = ["", "management", "policymaker", "monitoring", "administrator"];

/// What a user may do in the vhost: the patterns configure, write and read; or no permission at all.
const PERMISSIONS: [(&str, Option<[&str; 3]>); 6] = [
    ("none", None),
    ("empty", Some(["", "", ""])),
    ("configure", Some([".*", "", ""])),
    ("write", Some(["", ".*", ""])),
    ("read", Some(["", "", ".*"])),
    ("all", Some([".*", ".*", ".*"])),
];

/// Operations that Warren answers otherwise on purpose, each with the reason.
const OTHERWISE: &[(&str, &str)] = &[
    (
        "GET /connections/missing",
        "RabbitMQ fails with 500, also for /channels of it",
    ),
    ("GET /channels/missing", "RabbitMQ fails with 500"),
    ("DELETE /connections/missing", "RabbitMQ fails with 500"),
    ("DELETE /nodes/", "RabbitMQ 4.0 forgets nodes by its command line only"),
    ("GET /stream/connections/mine/missing", "RabbitMQ fails with 500"),
    ("DELETE /stream/connections/mine/missing", "RabbitMQ fails with 500"),
    (
        "GET /stream/publishers/mine",
        "RabbitMQ shows them to users without a permission in the vhost",
    ),
    (
        "GET /stream/consumers/mine",
        "RabbitMQ shows them to users without a permission in the vhost",
    ),
    (
        "GET /stream/mine/",
        "RabbitMQ shows what is tracked to users without a permission in the vhost",
    ),
];

/// What there is before each operation that may change it: a request of the administrator.
type Fixture = (&'static str, &'static str, &'static str);

struct Operation {
    method: &'static str,
    path: &'static str,
    body: &'static str,
    /// Made again where an operation before may have taken it away.
    before: &'static [Fixture],
}

const fn get(path: &'static str) -> Operation {
    changing("GET", path, "", &[])
}

const fn changing(
    method: &'static str,
    path: &'static str,
    body: &'static str,
    before: &'static [Fixture],
) -> Operation {
    Operation {
        method,
        path,
        body,
        before,
    }
}

const ALL: &str = r#"{"configure":".*","write":".*","read":".*"}"#;
const TOPIC: &str = r#"{"exchange":"amq.topic","write":".*","read":".*"}"#;
const POLICY: &str = r#"{"pattern":"^none$","definition":{"max-length":1},"apply-to":"queues"}"#;
const KEY: &str = r#"{"routing_key":"k"}"#;
const USER: &str = r#"{"password":"x","tags":""}"#;
const MESSAGE: &str = r#"{"properties":{},"routing_key":"none","payload":"x","payload_encoding":"string"}"#;
const TAKE: &str = r#"{"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}"#;
const LIMIT: &str = r#"{"value":1000}"#;

const QUEUE: Fixture = ("PUT", "/queues/mine/gone", "{}");
const EXCHANGE: Fixture = ("PUT", "/exchanges/mine/gone", r#"{"type":"fanout"}"#);

const OPERATIONS: &[Operation] = &[
    get("/overview"),
    get("/cluster-name"),
    get("/nodes"),
    get("/nodes/{node}"),
    get("/nodes/missing"),
    get("/nodes/{node}/memory"),
    get("/extensions"),
    get("/definitions"),
    get("/definitions/mine"),
    get("/definitions/missing"),
    get("/parameters"),
    get("/parameters/operator_policy"),
    get("/parameters/operator_policy/mine"),
    get("/parameters/operator_policy/mine/op"),
    get("/parameters/operator_policy/mine/missing"),
    get("/parameters/operator_policy/missing"),
    get("/global-parameters"),
    get("/global-parameters/g"),
    get("/global-parameters/missing"),
    get("/policies"),
    get("/policies/mine"),
    get("/policies/missing"),
    get("/policies/mine/p"),
    get("/policies/mine/missing"),
    get("/operator-policies"),
    get("/operator-policies/mine"),
    get("/operator-policies/mine/op"),
    get("/operator-policies/mine/missing"),
    get("/vhost-limits"),
    get("/vhost-limits/mine"),
    get("/vhost-limits/missing"),
    get("/user-limits"),
    get("/user-limits/guest"),
    get("/user-limits/missing"),
    get("/connections"),
    get("/connections/missing"),
    get("/connections/missing/channels"),
    get("/connections/username/guest"),
    get("/channels"),
    get("/channels/missing"),
    get("/consumers"),
    get("/consumers/mine"),
    get("/consumers/missing"),
    get("/exchanges"),
    get("/exchanges/mine"),
    get("/exchanges/missing"),
    get("/exchanges/mine/x"),
    get("/exchanges/mine/missing"),
    get("/exchanges/mine/x/bindings/source"),
    get("/exchanges/mine/x/bindings/destination"),
    get("/queues"),
    get("/queues/detailed"),
    get("/queues/mine"),
    get("/queues/missing"),
    get("/queues/mine/q"),
    get("/queues/mine/missing"),
    get("/queues/mine/q/bindings"),
    get("/queues/quorum/mine/quorum/status"),
    get("/queues/quorum/mine/missing/status"),
    get("/bindings"),
    get("/bindings/mine"),
    get("/bindings/missing"),
    get("/bindings/mine/e/x/q/q"),
    get("/bindings/mine/e/x/q/q/b"),
    get("/bindings/mine/e/x/q/q/missing"),
    get("/bindings/mine/e/x/e/y"),
    get("/vhosts"),
    get("/vhosts/mine"),
    get("/vhosts/missing"),
    get("/vhosts/mine/permissions"),
    get("/vhosts/mine/topic-permissions"),
    get("/vhosts/mine/connections"),
    get("/vhosts/mine/channels"),
    get("/users"),
    get("/users/guest"),
    get("/users/missing"),
    get("/users/without-permissions"),
    get("/users/guest/permissions"),
    get("/users/guest/topic-permissions"),
    get("/permissions"),
    get("/permissions/mine/guest"),
    get("/permissions/mine/missing"),
    get("/topic-permissions"),
    get("/topic-permissions/mine/guest"),
    get("/feature-flags"),
    get("/deprecated-features"),
    get("/deprecated-features/used"),
    get("/whoami"),
    get("/auth"),
    get("/auth/attempts/{node}"),
    get("/auth/attempts/{node}/source"),
    get("/auth/hash_password/x"),
    get("/health/checks/alarms"),
    get("/health/checks/local-alarms"),
    get("/health/checks/certificate-expiration/1/days"),
    get("/health/checks/port-listener/1"),
    get("/health/checks/protocol-listener/amqp"),
    get("/health/checks/virtual-hosts"),
    get("/health/checks/node-is-quorum-critical"),
    get("/aliveness-test/mine"),
    get("/healthchecks/node"),
    get("/healthchecks/node/{node}"),
    get("/missing"),
    get("/vhosts/mine/missing"),
    changing("PUT", "/cluster-name", r#"{"name":"matrix"}"#, &[]),
    changing("PUT", "/vhosts/made", "{}", &[("DELETE", "/vhosts/made", "")]),
    changing("DELETE", "/vhosts/made", "", &[("PUT", "/vhosts/made", "{}")]),
    changing("DELETE", "/vhosts/missing", "", &[]),
    changing("POST", "/vhosts/mine/start/{node}", "", &[]),
    changing("PUT", "/users/made", USER, &[("DELETE", "/users/made", "")]),
    changing("PUT", "/users/made", "{}", &[]),
    changing("DELETE", "/users/made", "", &[("PUT", "/users/made", USER)]),
    changing("DELETE", "/users/missing", "", &[]),
    changing("POST", "/users/bulk-delete", r#"{"users":[]}"#, &[]),
    changing(
        "PUT",
        "/permissions/mine/other",
        ALL,
        &[("DELETE", "/permissions/mine/other", "")],
    ),
    changing(
        "DELETE",
        "/permissions/mine/other",
        "",
        &[("PUT", "/permissions/mine/other", ALL)],
    ),
    changing("PUT", "/permissions/mine/missing", ALL, &[]),
    changing(
        "PUT",
        "/topic-permissions/mine/other",
        TOPIC,
        &[("DELETE", "/topic-permissions/mine/other", "")],
    ),
    changing(
        "DELETE",
        "/topic-permissions/mine/other",
        "",
        &[("PUT", "/topic-permissions/mine/other", TOPIC)],
    ),
    changing("PUT", "/vhost-limits/mine/max-queues", LIMIT, &[]),
    changing(
        "DELETE",
        "/vhost-limits/mine/max-queues",
        "",
        &[("PUT", "/vhost-limits/mine/max-queues", LIMIT)],
    ),
    changing("PUT", "/user-limits/other/max-channels", LIMIT, &[]),
    changing(
        "DELETE",
        "/user-limits/other/max-channels",
        "",
        &[("PUT", "/user-limits/other/max-channels", LIMIT)],
    ),
    changing(
        "PUT",
        "/policies/mine/made",
        POLICY,
        &[("DELETE", "/policies/mine/made", "")],
    ),
    changing("PUT", "/policies/mine/made", "{}", &[]),
    changing("PUT", "/policies/missing/made", POLICY, &[]),
    changing(
        "DELETE",
        "/policies/mine/made",
        "",
        &[("PUT", "/policies/mine/made", POLICY)],
    ),
    changing("DELETE", "/policies/mine/missing", "", &[]),
    changing(
        "PUT",
        "/operator-policies/mine/made",
        POLICY,
        &[("DELETE", "/operator-policies/mine/made", "")],
    ),
    changing(
        "DELETE",
        "/operator-policies/mine/made",
        "",
        &[("PUT", "/operator-policies/mine/made", POLICY)],
    ),
    changing("PUT", "/parameters/nosuch/mine/made", LIMIT, &[]),
    changing("DELETE", "/parameters/operator_policy/mine/missing", "", &[]),
    changing(
        "PUT",
        "/global-parameters/made",
        LIMIT,
        &[("DELETE", "/global-parameters/made", "")],
    ),
    changing(
        "DELETE",
        "/global-parameters/made",
        "",
        &[("PUT", "/global-parameters/made", LIMIT)],
    ),
    changing("DELETE", "/global-parameters/missing", "", &[]),
    changing("PUT", "/queues/mine/gone", "{}", &[("DELETE", "/queues/mine/gone", "")]),
    changing("PUT", "/queues/mine/q", "{}", &[]),
    changing("PUT", "/queues/missing/q", "{}", &[]),
    changing("PUT", "/queues/mine/gone", "[", &[]),
    changing("DELETE", "/queues/mine/gone", "", &[QUEUE]),
    changing("DELETE", "/queues/mine/missing", "", &[]),
    changing("DELETE", "/queues/mine/q/contents", "", &[]),
    changing("POST", "/queues/mine/q/actions", r#"{"action":"none"}"#, &[]),
    changing("POST", "/queues/mine/q/get", TAKE, &[]),
    changing("POST", "/queues/mine/missing/get", TAKE, &[]),
    changing(
        "PUT",
        "/exchanges/mine/gone",
        r#"{"type":"fanout"}"#,
        &[("DELETE", "/exchanges/mine/gone", "")],
    ),
    changing("DELETE", "/exchanges/mine/gone", "", &[EXCHANGE]),
    changing("DELETE", "/exchanges/mine/missing", "", &[]),
    changing("POST", "/exchanges/mine/x/publish", MESSAGE, &[]),
    changing("POST", "/exchanges/mine/amq.default/publish", MESSAGE, &[]),
    changing("POST", "/exchanges/mine/missing/publish", MESSAGE, &[]),
    changing("POST", "/exchanges/missing/x/publish", MESSAGE, &[]),
    changing("POST", "/bindings/mine/e/x/q/q", KEY, &[]),
    changing("POST", "/bindings/mine/e/x/q/missing", KEY, &[]),
    changing("POST", "/bindings/mine/e/x/e/y", KEY, &[]),
    changing(
        "DELETE",
        "/bindings/mine/e/x/q/q/k",
        "",
        &[("POST", "/bindings/mine/e/x/q/q", KEY)],
    ),
    changing("DELETE", "/bindings/mine/e/x/q/q/missing", "", &[]),
    changing("DELETE", "/connections/missing", "", &[]),
    changing("DELETE", "/connections/username/missing", "", &[]),
    changing("POST", "/definitions", "{}", &[]),
    changing("POST", "/definitions", "[", &[]),
    changing("POST", "/definitions/mine", "{}", &[]),
    changing("POST", "/definitions/missing", "{}", &[]),
    changing("DELETE", "/auth/attempts/{node}", "", &[]),
    changing("DELETE", "/reset", "", &[]),
    changing("DELETE", "/reset/{node}", "", &[]),
    changing("PUT", "/feature-flags/quorum_queue/enable", "{}", &[]),
    changing("PUT", "/feature-flags/missing/enable", "{}", &[]),
    changing("POST", "/rebalance/queues", "", &[]),
    changing(
        "POST",
        "/queues/quorum/mine/quorum/replicas/add",
        r#"{"node":"none@nowhere"}"#,
        &[],
    ),
    changing(
        "DELETE",
        "/queues/quorum/mine/quorum/replicas/delete",
        r#"{"node":"none@nowhere"}"#,
        &[],
    ),
    changing(
        "POST",
        "/queues/quorum/replicas/on/{node}/grow",
        r#"{"strategy":"all","vhost_pattern":"none","queue_pattern":"none"}"#,
        &[],
    ),
    changing("DELETE", "/queues/quorum/replicas/on/none@nowhere/shrink", "", &[]),
    changing("DELETE", "/nodes/{node}", "", &[]),
    changing("POST", "/overview", "", &[]),
    changing("PATCH", "/queues/mine/q", "", &[]),
    get("/index.html"),
    get("/version"),
    get("/nodes/{node}/memory/relative"),
    get("/nodes/missing/memory"),
    get("/bindings/mine/e/x/e/y/b"),
    get("/bindings/mine/e/x/e/y/missing"),
    get("/topic-permissions/mine/guest/amq.topic"),
    get("/all-configuration"),
    get("/stream/connections"),
    get("/stream/connections/mine"),
    get("/stream/connections/missing"),
    get("/stream/connections/mine/missing"),
    get("/stream/connections/mine/missing/publishers"),
    get("/stream/connections/mine/missing/consumers"),
    get("/stream/publishers"),
    get("/stream/publishers/mine"),
    get("/stream/publishers/missing"),
    get("/stream/publishers/mine/stream"),
    get("/stream/publishers/mine/missing"),
    get("/stream/consumers"),
    get("/stream/consumers/mine"),
    get("/stream/consumers/missing"),
    get("/stream/mine/stream/tracking"),
    get("/stream/mine/missing/tracking"),
    changing("POST", "/all-configuration", "{}", &[]),
    changing("DELETE", "/auth/attempts/{node}/source", "", &[]),
    changing(
        "DELETE",
        "/bindings/mine/e/x/e/y/k",
        "",
        &[("POST", "/bindings/mine/e/x/e/y", KEY)],
    ),
    changing("DELETE", "/bindings/mine/e/x/e/y/missing", "", &[]),
    changing("DELETE", "/stream/connections/mine/missing", "", &[]),
];

const NOWHERE: &str = r#"{"node":"none@nowhere"}"#;
const ROUTED: &str = r#"{"exchange":"x","routing_key":"b"}"#;
const SUPER: &str = r#"{"partitions":1}"#;
const NO_SUPER_STREAM: Fixture = ("DELETE", "/stream/super-streams/mine/made", "");
const SUPER_STREAM: Fixture = ("PUT", "/stream/super-streams/mine/made", SUPER);

/// What RabbitMQ 4.0.5 has no route for.
const OWN: &[Operation] = &[
    get("/health/checks/ready-to-serve-clients"),
    get("/health/checks/is-in-service"),
    get("/health/checks/below-node-connection-limit"),
    get("/config/effective"),
    get("/openapi.json"),
    get("/session"),
    get("/sessions"),
    get("/queues/mine/q/health"),
    get("/queues/mine/missing/health"),
    get("/queues/mine/q/readable/{node}"),
    get("/queues/mine/q/messages"),
    get("/queues/mine/missing/messages"),
    get("/queues/mine/q/messages/0"),
    get("/queues/mine/q/latency"),
    get("/queues/mine/missing/latency"),
    get("/nodes/{node}/latency"),
    get("/series?of=cluster"),
    get("/stream/groups"),
    get("/stream/groups/mine"),
    get("/stream/groups/missing"),
    get("/stream/groups/mine/missing"),
    get("/stream/super-streams"),
    get("/stream/super-streams/mine"),
    get("/stream/super-streams/missing"),
    get("/stream/mine/stream/status"),
    get("/stream/mine/missing/status"),
    get("/arguments"),
    get("/search?q=q"),
    get("/certificates"),
    get("/cluster"),
    get("/cluster/metadata-store"),
    get("/notices"),
    get("/jobs"),
    get("/jobs/missing"),
    get("/topology/mine"),
    get("/topology/missing"),
    get("/log"),
    get("/events"),
    get("/maintenance"),
    get("/settings"),
    get("/settings/os-env"),
    changing(
        "DELETE",
        "/topic-permissions/mine/other/amq.topic",
        "",
        &[("PUT", "/topic-permissions/mine/other", TOPIC)],
    ),
    changing("POST", "/policies/mine/made/preview", POLICY, &[]),
    changing("POST", "/operator-policies/mine/made/preview", POLICY, &[]),
    changing("POST", "/login", "", &[]),
    changing("POST", "/session", "", &[]),
    changing("DELETE", "/session", "", &[]),
    changing("DELETE", "/sessions/missing", "", &[]),
    changing(
        "POST",
        "/stream/groups/mine/missing/reset",
        r#"{"offset":"first"}"#,
        &[],
    ),
    changing("DELETE", "/stream/groups/mine/missing", "", &[]),
    changing("PUT", "/stream/super-streams/mine/made", SUPER, &[NO_SUPER_STREAM]),
    changing("PUT", "/stream/super-streams/mine/made", "{}", &[]),
    changing("PUT", "/stream/super-streams/missing/made", SUPER, &[]),
    changing("DELETE", "/stream/super-streams/mine/made", "", &[SUPER_STREAM]),
    changing(
        "POST",
        "/stream/super-streams/mine/made/partitions",
        r#"{"binding-key":"k"}"#,
        &[NO_SUPER_STREAM, SUPER_STREAM],
    ),
    changing("POST", "/stream/mine/stream/replicas/add", NOWHERE, &[]),
    changing("DELETE", "/stream/mine/stream/replicas/delete", NOWHERE, &[]),
    changing("POST", "/stream/mine/missing/restart", "", &[]),
    changing(
        "POST",
        "/queues/quorum/mine/quorum/replicas/transfer-leadership",
        NOWHERE,
        &[],
    ),
    changing("POST", "/route/mine", ROUTED, &[]),
    changing("POST", "/route/missing", ROUTED, &[]),
    changing(
        "POST",
        "/jobs",
        r#"{"kind":"purge","vhost":"mine","queues":["missing"]}"#,
        &[],
    ),
    changing("DELETE", "/jobs/missing", "", &[]),
    changing(
        "POST",
        "/queues/mine/q/redrive",
        r#"{"to":{"exchange":"x","routing_key":"b"},"dry_run":true}"#,
        &[],
    ),
    changing("POST", "/log/reopen", "", &[]),
    changing("PUT", "/maintenance/missing", "", &[]),
    changing("PUT", "/settings/missing", r#"{"value":"1"}"#, &[]),
];

/// What stands in the vhost for all operations.
const STANDING: &[Fixture] = &[
    ("PUT", "/vhosts/mine", "{}"),
    ("PUT", "/permissions/mine/guest", ALL),
    ("PUT", "/topic-permissions/mine/guest", TOPIC),
    ("PUT", "/users/other", USER),
    ("PUT", "/queues/mine/q", "{}"),
    (
        "PUT",
        "/queues/mine/quorum",
        r#"{"durable":true,"arguments":{"x-queue-type":"quorum"}}"#,
    ),
    (
        "PUT",
        "/queues/mine/stream",
        r#"{"durable":true,"arguments":{"x-queue-type":"stream"}}"#,
    ),
    ("PUT", "/exchanges/mine/x", r#"{"type":"direct"}"#),
    ("PUT", "/exchanges/mine/y", r#"{"type":"direct"}"#),
    ("POST", "/bindings/mine/e/x/q/q", r#"{"routing_key":"b"}"#),
    ("POST", "/bindings/mine/e/x/e/y", r#"{"routing_key":"b"}"#),
    ("PUT", "/policies/mine/p", POLICY),
    ("PUT", "/operator-policies/mine/op", POLICY),
    ("PUT", "/global-parameters/g", LIMIT),
];

struct User {
    http: Http,
    tag: usize,
}

/// Makes what all operations need, and the users.
fn prepare(admin: &Http, address: &str) -> Vec<User> {
    for (method, path, body) in STANDING {
        let answer = admin.call(method, &format!("/api{path}"), body);
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
    }
    let mut users = Vec::new();
    for (tag, name) in TAGS.iter().enumerate() {
        for (permission, patterns) in PERMISSIONS {
            let user = format!("{name}-{permission}");
            let body = format!(r#"{{"password":"secret","tags":"{name}"}}"#);
            assert!(admin.put(&format!("/api/users/{user}"), &body).status < 300);
            if let Some([configure, write, read]) = patterns {
                let body = format!(r#"{{"configure":"{configure}","write":"{write}","read":"{read}"}}"#);
                assert!(admin.put(&format!("/api/permissions/mine/{user}"), &body).status < 300);
            }
            let http = Http::as_user(address, &user, "secret");
            users.push(User { http, tag });
        }
    }
    users
}

/// The matrix of a broker, a line for each operation.
fn matrix(admin: &Http, users: &[User], operations: &[Operation]) -> String {
    let node = admin.get("/api/overview").json()["node"]
        .as_str()
        .expect("a name")
        .to_owned();
    let mut lines = String::new();
    for operation in operations {
        let path = format!("/api{}", operation.path.replace("{node}", &node));
        write!(lines, "{} {}", operation.method, operation.path).expect("memory");
        if !operation.body.is_empty() {
            write!(lines, " {}", operation.body).expect("memory");
        }
        let mut is_changed = true;
        let mut last_tag = None;
        for user in users {
            if std::mem::take(&mut is_changed) {
                for (method, path, body) in operation.before {
                    admin.call(method, &format!("/api{path}"), body);
                }
            }
            if last_tag.replace(user.tag) != Some(user.tag) {
                lines.push_str(" |");
            }
            let status = user.http.call(operation.method, &path, operation.body).status;
            is_changed = status < 300;
            write!(lines, " {status}").expect("memory");
        }
        lines.push('\n');
    }
    lines
}

/// The lines of a matrix by their operations.
fn by_operation(matrix: &str) -> HashMap<&str, &str> {
    let split = matrix.lines().map(|line| line.split_once(" |").expect("an operation"));
    split.collect()
}

fn file(name: &str) -> String {
    format!("{}/tests/management/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn is_otherwise(operation: &str) -> bool {
    OTHERWISE.iter().any(|(otherwise, _)| operation.starts_with(otherwise))
}

#[test]
fn every_user_may_do_what_rabbitmq_lets_them() {
    if let Ok(address) = std::env::var("WARREN_MATRIX_FROM") {
        let admin = Http::new(&address);
        let users = prepare(&admin, &address);
        std::fs::write(file("access_matrix.txt"), matrix(&admin, &users, OPERATIONS)).expect("written");
        return;
    }
    let broker = Broker::start();
    let address = broker.management.as_ref().expect("the HTTP API");
    let admin = broker.http();
    let users = prepare(&admin, address);
    let found = matrix(&admin, &users, OPERATIONS) + &matrix(&admin, &users, OWN);
    if std::env::var("WARREN_MATRIX_OWN").is_ok() {
        let theirs = std::fs::read_to_string(file("access_matrix.txt")).expect("readable");
        let theirs = by_operation(&theirs);
        let is_ours = |line: &&str| {
            let operation = line.split_once(" |").expect("an operation").0;
            is_otherwise(operation) || !theirs.contains_key(operation)
        };
        let lines: Vec<_> = found.lines().filter(is_ours).collect();
        std::fs::write(file("access_own.txt"), lines.join("\n") + "\n").expect("written");
        return;
    }
    let read = |name| std::fs::read_to_string(file(name)).expect("readable");
    let (theirs, ours) = (read("access_matrix.txt"), read("access_own.txt"));
    let (theirs, ours) = (by_operation(&theirs), by_operation(&ours));
    let found = by_operation(&found);
    assert_eq!(found.len(), OPERATIONS.len() + OWN.len(), "an operation is there twice");
    let mut different = Vec::new();
    for (operation, statuses) in found {
        let (whose, expected) = match ours.get(operation) {
            Some(expected) => ("Warren", expected),
            None => ("RabbitMQ", theirs.get(operation).expect("in one of the files")),
        };
        if statuses != *expected {
            different.push(format!("{operation} |{statuses}\n  {whose}: {expected}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    // What is in both files has its reason.
    let both = ours.keys().filter(|operation| theirs.contains_key(*operation));
    let unexplained: Vec<_> = both.filter(|operation| !is_otherwise(operation)).collect();
    assert!(unexplained.is_empty(), "{unexplained:?}");
}

#[test]
fn every_route_is_in_the_matrix() {
    let broker = Broker::start();
    let operations: Vec<_> = OPERATIONS.iter().chain(OWN).collect();
    let missing: Vec<_> = routes(&broker.http())
        .into_iter()
        .filter(|route| {
            let is_it = |operation: &&&Operation| route.takes(operation.method, operation.path);
            !operations.iter().any(|operation| is_it(&operation))
        })
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
