//! Whoever asks any node hears of all of them: connections, channels, the nodes themselves.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::{Confirmation, ExchangeKind};
use serde_json::{Value, json};

use crate::support::*;

/// Other nodes have a second to answer; the machine is shared.
const SOON: Duration = Duration::from_secs(5);

fn list(cluster: &Cluster, asked: usize, path: &str) -> Vec<Value> {
    let answer = cluster.http(asked).get(path);
    let list = answer.expect_status(200).json();
    list.as_array().expect("a list").clone()
}

/// A field of each, sorted.
fn each(list: &[Value], field: &str) -> Vec<String> {
    let mut values: Vec<_> = list
        .iter()
        .map(|item| item[field].as_str().expect(field).to_owned())
        .collect();
    values.sort();
    values
}

/// A name in a path.
fn escaped(name: &str) -> String {
    let pairs = [(' ', "%20"), ('>', "%3E"), ('(', "%28"), (')', "%29")];
    pairs
        .into_iter()
        .fold(name.to_owned(), |name, (letter, code)| name.replace(letter, code))
}

/// The name of the connection at that node, which has one.
fn at(connections: &[Value], node: &str) -> String {
    let mut connections = connections.iter();
    let found = connections.find(|connection| connection["node"] == node);
    found.expect("a connection")["name"]
        .as_str()
        .expect("a name")
        .to_owned()
}

#[tokio::test]
async fn connections_and_channels_are_shown_by_every_node() {
    let cluster = Cluster::of(3).await;
    let clients = [
        cluster.client(1).await,
        cluster.client(2).await,
        cluster.client(3).await,
    ];
    clients[0].plain_queue("orders").await;
    let _deliveries = clients[2].consume("orders").await;
    let names = ["rabbit@n1", "rabbit@n2", "rabbit@n3"];
    for asked in cluster.all() {
        for path in ["connections", "vhosts/%2f/connections", "connections/username/guest"] {
            let all = list(&cluster, asked, &format!("/api/{path}"));
            assert_eq!(each(&all, "node"), names, "{path} at node {asked}");
        }
        for path in ["channels", "vhosts/%2f/channels"] {
            let all = list(&cluster, asked, &format!("/api/{path}"));
            assert_eq!(each(&all, "node"), names, "{path} at node {asked}");
        }
        let name = at(&list(&cluster, asked, "/api/connections"), "rabbit@n3");
        let one = cluster.http(asked).get(&format!("/api/connections/{}", escaped(&name)));
        let one = one.expect_status(200).json();
        assert_eq!(
            (&one["channels"], &one["state"]),
            (&json!(1), &json!("running")),
            "{one}"
        );
        let channels = list(
            &cluster,
            asked,
            &format!("/api/connections/{}/channels", escaped(&name)),
        );
        assert_eq!(channels[0]["consumer_count"], 1, "{channels:?}");
        let channel = channels[0]["name"].as_str().expect("a name");
        let channel = cluster.http(asked).get(&format!("/api/channels/{}", escaped(channel)));
        let channel = channel.expect_status(200).json();
        assert_eq!(channel["consumer_details"][0]["queue"]["name"], "orders", "{channel}");
        let said = cluster.ctl(asked, &["list_connections", "name", "-q", "--no-table-headers"], 0);
        assert!(said.contains(&name), "{said}");
        assert_eq!(said.lines().count(), 3, "{said}");
        let said = cluster.ctl(asked, &["list_channels", "name", "-q", "--no-table-headers"], 0);
        assert_eq!(said.lines().count(), 3, "{said}");
    }
}

/// Code and text of the close that the broker sends.
fn closed_with(client: &mut Raw) -> (u16, String) {
    let close = client.expect(10, 50).payload;
    let text = String::from_utf8_lossy(&close[7..7 + usize::from(close[6])]).into_owned();
    (u16::from_be_bytes([close[4], close[5]]), text)
}

#[tokio::test]
async fn connections_are_closed_from_every_node() {
    let cluster = Cluster::of(3).await;
    let mut clients = [1, 2, 3].map(|node| Raw::open(&cluster.amqp(node), "/", 0));
    let all = list(&cluster, 1, "/api/connections");
    let path = format!("/api/connections/{}", escaped(&at(&all, "rabbit@n3")));
    cluster.http(1).close(&path, "go home").expect_status(204);
    assert_eq!(
        closed_with(&mut clients[2]),
        (320, "CONNECTION_FORCED - go home".to_owned())
    );
    clients[2].method(0, (10, 51), &[]);
    assert_eq!(clients[2].read(), None);
    until("it is gone", || list(&cluster, 2, "/api/connections").len() == 2).await;
    cluster.http(1).delete(&path).expect_status(404);
    cluster
        .http(3)
        .delete("/api/connections/username/guest")
        .expect_status(204);
    for client in &mut clients[..2] {
        let why = "CONNECTION_FORCED - Closed via management plugin";
        assert_eq!(closed_with(client), (320, why.to_owned()));
    }
}

#[tokio::test]
async fn who_is_deleted_on_one_node_is_closed_on_all() {
    let cluster = Cluster::of(3).await;
    let http = cluster.http(1);
    http.put("/api/vhosts/other", "{}").expect_status(201);
    let rights = r#"{"configure":".*","write":".*","read":".*"}"#;
    http.put("/api/permissions/other/guest", rights);
    let mut client = Raw::open(&cluster.amqp(3), "other", 0);
    http.delete("/api/vhosts/other").expect_status(204);
    assert_eq!(closed_with(&mut client).0, 320);
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_named_and_the_others_are_shown() {
    let mut cluster = Cluster::of(3).await;
    let _clients = [
        cluster.client(1).await,
        cluster.client(2).await,
        cluster.client(3).await,
    ];
    let all = list(&cluster, 1, "/api/connections");
    let lost = format!("/api/connections/{}", escaped(&at(&all, "rabbit@n3")));
    cluster.pause(3);
    // Before it is suspected, and after.
    for _ in 0..2 {
        let begun = Instant::now();
        let answer = cluster.http(1).get("/api/connections");
        assert!(begun.elapsed() < SOON, "after {:?}", begun.elapsed());
        let shown = answer.expect_status(200).json();
        let shown = shown.as_array().expect("a list");
        assert_eq!(each(shown, "node"), ["rabbit@n1", "rabbit@n2"]);
        assert_eq!(answer.header("x-silent-nodes"), Some("rabbit@n3"));
        let why = cluster.http(1).delete(&lost).expect_status(404).json();
        assert_eq!(why["reason"], "not found, but rabbit@n3 did not answer");
        let said = cluster.ctl(1, &["list_connections", "name", "-q"], 0);
        assert!(said.contains("rabbit@n3 did not answer"), "{said}");
        until("it is suspected", || {
            cluster.running(1).is_some_and(|running| running.len() == 2)
        })
        .await;
    }
    cluster.resume(3);
    cluster.all_ready().await;
    let answer = cluster.http(1).get("/api/connections");
    assert_eq!(answer.header("x-silent-nodes"), None);
}

#[tokio::test]
async fn every_node_describes_the_others_as_they_do_themselves() {
    let cluster = Cluster::of(2).await;
    let keys = |view: &Value| {
        view.as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    for node in cluster.all() {
        for path in ["", "/memory"] {
            let path = format!("/api/nodes/{}{path}", cluster.name(node));
            let views = [1, 2].map(|asked| cluster.http(asked).get(&path).expect_status(200).json());
            assert_eq!(keys(&views[0]), keys(&views[1]), "{path}");
        }
        let path = format!("/api/nodes/{}", cluster.name(node));
        let of_process = |asked| {
            let view = cluster.http(asked).get(&path).json();
            let used = view["fd_used"].as_u64().expect("a number");
            assert!(used > 0, "{view}");
            [&view["os_pid"], &view["db_dir"], &view["fd_total"], &view["mem_limit"]].map(Value::clone)
        };
        assert_eq!(of_process(1), of_process(2));
        let contexts = cluster.http(1).get("/api/overview").json()["contexts"].clone();
        let contexts = contexts.as_array().expect("a list").clone();
        assert!(each(&contexts, "node").contains(&cluster.name(node)), "{contexts:?}");
    }
}

#[tokio::test]
async fn the_owner_of_an_exclusive_queue_is_known_to_every_node() {
    let cluster = Cluster::of(2).await;
    let client = cluster.client(2).await;
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..Default::default()
    };
    client
        .queue_declare("own".into(), exclusive, table([]))
        .await
        .expect("a queue");
    let name = at(&list(&cluster, 2, "/api/connections"), "rabbit@n2");
    for asked in cluster.all() {
        let queue = cluster.queue(asked, "own").expect("it is there");
        assert_eq!(
            queue["owner_pid_details"]["name"],
            name.as_str(),
            "at node {asked}: {queue}"
        );
    }
}

/// Publishes through the exchange at a node, and says whether it went anywhere.
async fn goes_somewhere(cluster: &Cluster, node: usize, exchange: &str) -> bool {
    let client = cluster.client(node).await;
    let options = BasicPublishOptions {
        mandatory: true,
        ..Default::default()
    };
    let published = client.basic_publish(exchange.into(), "".into(), options, b"m", persistent());
    let confirm = published.await.expect("published").await.expect("a confirm");
    matches!(confirm, Confirmation::Ack(None))
}

#[tokio::test]
async fn a_local_random_exchange_gives_to_queues_of_the_publishers_node_only() {
    let cluster = Cluster::of(3).await;
    let client = cluster.client(1).await;
    let kind = ExchangeKind::Custom("x-local-random".into());
    client.exchange("nearest", kind, table([])).await;
    for node in [1, 2] {
        let client = cluster.client(node).await;
        client.plain_queue(&format!("at{node}")).await;
        client.bind(&format!("at{node}"), "nearest", "", table([])).await;
    }
    for _ in 0..5 {
        for node in [1, 2] {
            assert!(goes_somewhere(&cluster, node, "nearest").await, "node {node}");
        }
        assert!(!goes_somewhere(&cluster, 3, "nearest").await, "none is there");
    }
    for node in [1, 2] {
        assert_eq!(client.ready(&format!("at{node}")).await, 5);
    }
}

#[tokio::test]
async fn messages_that_are_held_back_are_counted_on_all_nodes() {
    let cluster = Cluster::of(3).await;
    let kind = ExchangeKind::Custom("x-delayed-message".into());
    let arguments = table([("x-delayed-type", text("fanout"))]);
    cluster.client(1).await.exchange("later", kind, arguments).await;
    for node in [1, 2, 2] {
        let delay = headers([("x-delay", number(3_600_000))]);
        assert!(
            cluster
                .client(node)
                .await
                .publish("later", "", "m", delay)
                .await
                .is_ack()
        );
    }
    for asked in cluster.all() {
        let exchange = cluster.http(asked).get("/api/exchanges/%2f/later").json();
        assert_eq!(exchange["messages_delayed"], 3, "at node {asked}");
    }
}
