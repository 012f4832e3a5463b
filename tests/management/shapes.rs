//! What the answers of the HTTP API hold: the keys, and the types of their values; of every route that can be read.
//! `shapes.txt` is the table: for each path a line for each key that RabbitMQ 4.0.5 answers too, that is ours alone (`+`), or that RabbitMQ answers
//! and we do not (`-`; `docs/differences.md` says why). `?` is behind what is there at times only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::{BasicProperties, Consumer, ExchangeKind};
use serde_json::Value;

use warren::stream_protocol::codec::{Command, StartAt};

use crate::routes;
use crate::support::stream::Stream;
use crate::support::{Broker, Client, Http, PATIENCE, Steps, ack, next, table, text};

const TABLE: &str = include_str!("shapes.txt");

/// Paths whose answers hold what those of others do: a part of the same list, or the same under another name.
const ALIKE: &[(&str, &str)] = &[
    ("/all-configuration", "/definitions"),
    ("/bindings/%2f", "/bindings"),
    ("/bindings/%2f/e/shop/e/lost", "/bindings"),
    ("/bindings/%2f/e/shop/q/jobs", "/bindings"),
    ("/bindings/%2f/e/shop/e/lost/all", "/bindings/%2f/e/shop/q/jobs/job"),
    ("/consumers/%2f", "/consumers"),
    ("/exchanges/%2f", "/exchanges"),
    (
        "/exchanges/%2f/lost/bindings/destination",
        "/exchanges/%2f/shop/bindings/source",
    ),
    ("/health/checks/is-in-service", "/health/checks/alarms"),
    ("/health/checks/local-alarms", "/health/checks/alarms"),
    ("/health/checks/ready-to-serve-clients", "/health/checks/alarms"),
    ("/health/checks/virtual-hosts", "/health/checks/alarms"),
    ("/healthchecks/node", "/health/checks/alarms"),
    ("/healthchecks/node/{node}", "/health/checks/alarms"),
    ("/aliveness-test/%2f", "/health/checks/alarms"),
    ("/operator-policies/%2f", "/operator-policies"),
    ("/parameters/operator_policy", "/parameters"),
    ("/parameters/operator_policy/%2f", "/parameters"),
    ("/policies/%2f", "/policies"),
    ("/stream/connections/%2f", "/stream/connections"),
    ("/stream/connections/%2f/{stream}/consumers", "/stream/consumers"),
    ("/stream/connections/%2f/{stream}/publishers", "/stream/publishers"),
    ("/stream/consumers/%2f", "/stream/consumers"),
    ("/stream/groups/%2f", "/stream/groups"),
    ("/stream/publishers/%2f", "/stream/publishers"),
    ("/stream/publishers/%2f/s", "/stream/publishers"),
    ("/stream/super-streams/%2f", "/stream/super-streams"),
    ("/topic-permissions/%2f/guest", "/topic-permissions"),
    ("/user-limits/guest", "/user-limits"),
    ("/users/guest/topic-permissions", "/topic-permissions"),
    ("/vhost-limits/%2f", "/vhost-limits"),
    ("/vhosts/%2f/channels", "/channels"),
    ("/vhosts/%2f/connections", "/connections"),
    ("/vhosts/%2f/topic-permissions", "/topic-permissions"),
];

/// Routes whose answers are no tables of ours, each with the reason.
const OTHER: &[(&str, &str)] = &[
    ("/config/effective", "keys and values of the configuration"),
    ("/index.html", "a page"),
    ("/openapi.json", "a document with a form of its own"),
    ("/settings", "keys and values of the configuration"),
    ("/settings/os-env", "names and values of variables"),
    (
        "/queues/v/q/readable/1",
        "only of what is in quarantine: see the tests of durability",
    ),
];

/// Objects whose keys are names or somebody's own: they are not looked into.
const FREE: [&str; 10] = [
    "arguments",
    "client_properties",
    "cluster_state",
    "cluster_tags",
    "definition",
    "effective_policy_definition",
    "node_tags",
    "open_files",
    "readers",
    "value",
];

/// The keys of an answer by their paths, with the types of their values.
type Shape = BTreeMap<String, BTreeSet<&'static str>>;

/// A line of the table.
#[derive(Clone, Copy)]
struct Line<'a> {
    whose: Whose,
    types: &'a str,
    is_at_times: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Both,
    Ours,
    RabbitMq,
}

fn shape(value: &Value, path: &str, all: &mut Shape) {
    let mut note = |kind| {
        all.entry(path.to_owned()).or_default().insert(kind);
    };
    match value {
        Value::Null => note("null"),
        Value::Bool(_) => note("bool"),
        Value::Number(_) => note("number"),
        Value::String(_) => note("string"),
        Value::Array(items) => {
            note("list");
            items.iter().for_each(|item| shape(item, &format!("{path}[]"), all));
        }
        Value::Object(fields) => {
            note("object");
            let last = path.rsplit('.').next().unwrap_or_default();
            for (key, field) in fields.iter().filter(|_| !FREE.contains(&last)) {
                shape(field, &format!("{path}.{key}"), all);
            }
        }
    }
}

/// The lines of the table by path of the API and of the key.
fn expected() -> Vec<(&'static str, BTreeMap<&'static str, Line<'static>>)> {
    let mut all = Vec::<(_, BTreeMap<_, _>)>::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if line.starts_with('/') {
            all.push((line, BTreeMap::new()));
            continue;
        }
        let (whose, rest) = line.split_at(2);
        let is_at_times = rest.ends_with(" ?");
        // Some keys have spaces.
        let (key, types) = rest
            .trim_end_matches(" ?")
            .rsplit_once(' ')
            .expect("a key and its types");
        let line = Line {
            whose: match whose {
                "  " => Whose::Both,
                "+ " => Whose::Ours,
                "- " => Whose::RabbitMq,
                other => panic!("no line begins with {other:?}"),
            },
            types,
            is_at_times,
        };
        all.last_mut().expect("a path first").1.insert(key, line);
    }
    all
}

/// What is wrong with a shape.
fn faults(seen: &Shape, expected: &BTreeMap<&str, Line<'_>>) -> Vec<String> {
    let mut faults = Vec::new();
    for (key, types) in seen {
        let types = types.iter().copied().collect::<Vec<_>>().join("/");
        match expected.get(key.as_str()) {
            None => faults.push(format!("{key} {types} is not in the table")),
            Some(line) if line.whose == Whose::RabbitMq => faults.push(format!("{key} {types} is there by now")),
            Some(line)
                if !types
                    .split('/')
                    .all(|kind| line.types.split('/').any(|known| known == kind)) =>
            {
                faults.push(format!("{key} is {types}, not {}", line.types));
            }
            Some(_) => {}
        }
    }
    let wanted = expected
        .iter()
        .filter(|(_, line)| line.whose != Whose::RabbitMq && !line.is_at_times);
    faults.extend(
        wanted
            .filter(|(key, _)| !seen.contains_key(**key))
            .map(|(key, _)| format!("{key} is missing")),
    );
    faults
}

/// One of everything, in use.
async fn populate(broker: &Broker, http: &Http) -> (Client, Consumer) {
    let client = broker.client().await;
    client.exchange("lost", ExchangeKind::Fanout, Default::default()).await;
    let alternate = table([("alternate-exchange", text("lost"))]);
    client.exchange("shop", ExchangeKind::Topic, alternate).await;
    client
        .queue("jobs", table([("x-dead-letter-exchange", text("lost"))]))
        .await;
    client.queue("orders", table([("x-queue-type", text("quorum"))])).await;
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    let own = client.queue_declare("own".into(), exclusive, Default::default());
    own.await.expect("a queue");
    client.bind("orders", "shop", "order", Default::default()).await;
    client.bind("jobs", "shop", "job", Default::default()).await;
    let leads_on = r#"{"routing_key":"all"}"#;
    http.post("/api/bindings/%2f/e/shop/e/lost", leads_on)
        .expect_status(201);
    http.put("/api/users/nobody", r#"{"password":"x","tags":""}"#)
        .expect_status(201);
    http.post("/api/session", "");
    for (path, body) in [
        (
            "policies/%2f/limits",
            r#"{"pattern":"^jobs","definition":{"max-length":50},"apply-to":"queues"}"#,
        ),
        (
            "operator-policies/%2f/guard",
            r#"{"pattern":".*","definition":{"delivery-limit":5},"apply-to":"quorum_queues"}"#,
        ),
        ("vhost-limits/%2f/max-queues", r#"{"value":100}"#),
        ("user-limits/guest/max-channels", r#"{"value":1000}"#),
        (
            "topic-permissions/%2f/guest",
            r#"{"exchange":"amq.topic","write":"a","read":"b"}"#,
        ),
        ("global-parameters/own", r#"{"name":"own","value":{"a":1}}"#),
        ("vhosts/%2f", r#"{"tags":"one,two"}"#),
        ("cluster-name", r#"{"name":"shapes"}"#),
    ] {
        let answer = http.put(&format!("/api/{path}"), body);
        assert!([201, 204].contains(&answer.status), "{path}: {answer:?}");
    }
    let mut consumer = client.consume("orders").await;
    for _ in 0..3 {
        client.publish("shop", "order", "x", Default::default()).await;
        ack(&next(&mut consumer).await).await;
    }
    let persistent = BasicProperties::default().with_delivery_mode(2);
    client.publish("shop", "job", "x", persistent).await;
    client.publish("shop", "job", "x", Default::default()).await;
    let got = client.basic_get("jobs".into(), BasicGetOptions { no_ack: true });
    assert!(got.await.expect("an answer").is_some());
    (client, consumer)
}

/// A name in a path.
fn escaped(name: &str) -> String {
    let pairs = [(' ', "%20"), ('>', "%3E"), ('(', "%28"), (')', "%29")];
    let escape = |name: String, (letter, code)| name.replace(letter, code);
    pairs.into_iter().fold(name.to_owned(), escape)
}

/// Compares the answers of those paths with the table.
async fn compare(http: &Http, names: &[(&str, String)], is_meant: impl Fn(&str) -> bool) {
    let table = expected();
    let of_path = |path: &str| table.iter().find(|(own, _)| *own == path);
    let own = table.iter().map(|(path, lines)| (*path, lines));
    let alike = ALIKE.iter().map(|(path, other)| {
        let (_, lines) = of_path(other).unwrap_or_else(|| panic!("{other} is in the table"));
        (*path, lines)
    });
    let mut failed = Vec::new();
    for (path, expected) in own.chain(alike).filter(|(path, _)| is_meant(path)) {
        let asked = names
            .iter()
            .fold(path.to_owned(), |path, (what, name)| path.replace(what, name));
        // What is counted is shown a moment later.
        let end = tokio::time::Instant::now() + PATIENCE / 4;
        let faults = loop {
            let mut seen = Shape::new();
            let answer = http.get(&format!("/api{asked}"));
            if answer.status != 200 {
                break vec![format!("is answered with {}: {}", answer.status, answer.body)];
            }
            shape(&answer.json(), "", &mut seen);
            let faults = faults(&seen, expected);
            if faults.is_empty() || tokio::time::Instant::now() > end {
                break faults;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        failed.extend(faults.into_iter().map(|fault| format!("{path} {fault}")));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Whether a path is about clients of the stream protocol.
fn is_of_streams(path: &str) -> bool {
    path.starts_with("/stream/")
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_hold_what_the_table_says() {
    let broker = Broker::start_measured(&[]);
    let http = broker.http();
    let _in_use = populate(&broker, &http).await;
    let job = http.post("/api/jobs", r#"{"kind":"purge","vhost":"/","queues":["orders"]}"#);
    let job = job.expect_status(200).json()["job"].clone();
    let name = |path: &str| {
        let name = http.get(path).json()[0]["name"].clone();
        escaped(name.as_str().expect("a name"))
    };
    let names = [
        ("{node}", name("/api/nodes")),
        ("{connection}", name("/api/connections")),
        ("{channel}", name("/api/channels")),
        ("{job}", job.as_str().expect("a job").to_owned()),
        (
            "{position}",
            http.get("/api/queues/%2f/jobs/messages").json()["messages"][0]["position"].to_string(),
        ),
        ("{port}", broker.amqp.rsplit(':').next().expect("a port").to_owned()),
    ];
    compare(&http, &names, |path| !is_of_streams(path)).await;
}

#[test]
fn answers_about_streams_hold_what_the_table_says() {
    let broker = Broker::start_with(&["--stream", "127.0.0.1:0"]);
    let http = broker.http();
    let mut client = Stream::open(&broker);
    client.create("s");
    client.create_super("parts", &[("parts-0", "0"), ("parts-1", "1")]);
    client.declare("me", "s");
    client.publish(&[1, 2, 3]);
    client.subscribe("s", StartAt::First, &[("name", "audit")]);
    assert_eq!(client.read(3).len(), 3);
    client.send(&Command::StoreOffset {
        reference: b"audit",
        stream: b"s",
        offset: 2,
    });
    let connection = http.get("/api/stream/connections").json()[0]["name"].clone();
    let names = [("{stream}", escaped(connection.as_str().expect("a name")))];
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(compare(&http, &names, is_of_streams));
}

#[test]
fn every_route_that_can_be_read_has_its_shape() {
    let broker = Broker::start();
    let table = expected();
    let own = table.iter().map(|(path, _)| *path);
    let paths: Vec<_> = own.chain(ALIKE.iter().chain(OTHER).map(|(path, _)| *path)).collect();
    let missing: Vec<_> = routes(&broker.http())
        .into_iter()
        .filter(|route| route.takes("GET", &route.path) && !paths.iter().any(|path| route.takes("GET", path)))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
