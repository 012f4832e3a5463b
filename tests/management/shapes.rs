//! What the answers of the HTTP API hold: the keys, and the types of their values. `shapes.txt` is the table: for
//! each path a line for each key that RabbitMQ 4.0.5 answers too, that is ours alone (`+`), or that RabbitMQ answers
//! and we do not (`-`; `docs/differences.md` says why). `?` is behind what is there at times only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::{BasicProperties, Consumer, ExchangeKind};
use serde_json::Value;

use crate::support::{Broker, Client, Http, PATIENCE, Steps, ack, next, table, text};

const TABLE: &str = include_str!("shapes.txt");

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

#[tokio::test(flavor = "multi_thread")]
async fn answers_hold_what_the_table_says() {
    let broker = Broker::start_measured(&[]);
    let http = broker.http();
    let _in_use = populate(&broker, &http).await;
    let name = |path: &str| {
        let name = http.get(path).json()[0]["name"].clone();
        escaped(name.as_str().expect("a name"))
    };
    let names = [
        ("{node}", name("/api/nodes")),
        ("{connection}", name("/api/connections")),
        ("{channel}", name("/api/channels")),
    ];
    let mut failed = Vec::new();
    for (path, expected) in expected() {
        let asked = names
            .iter()
            .fold(path.to_owned(), |path, (what, name)| path.replace(what, name));
        // What is counted is shown a moment later.
        let end = tokio::time::Instant::now() + PATIENCE / 4;
        let faults = loop {
            let mut seen = Shape::new();
            let answer = http.get(&format!("/api{asked}"));
            shape(&answer.expect_status(200).json(), "", &mut seen);
            let faults = faults(&seen, &expected);
            if faults.is_empty() || tokio::time::Instant::now() > end {
                break faults;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        failed.extend(faults.into_iter().map(|fault| format!("{path} {fault}")));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
