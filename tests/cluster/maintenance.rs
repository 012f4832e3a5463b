//! A node of a cluster is taken out of service: the others serve, and lead what it led.

use serde_json::{Value, json};

use crate::support::*;

fn quorum() -> lapin::types::FieldTable {
    table([("x-queue-type", text("quorum"))])
}

/// How many queues a node leads, as another says.
fn led(cluster: &Cluster, asked: usize, node: usize) -> usize {
    let queues = cluster.http(asked).get("/api/queues").json();
    let queues = queues.as_array().cloned().unwrap_or_default();
    let name = cluster.name(node);
    queues.iter().filter(|queue| queue["leader"] == name.as_str()).count()
}

fn drained(cluster: &Cluster, asked: usize, node: usize) -> Value {
    let path = format!("/api/nodes/{}", cluster.name(node));
    cluster.http(asked).get(&path).json()["being_drained"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_node_leads_nothing_until_it_is_revived() {
    let mut cluster = Cluster::of(3).await;
    let client = cluster.client(1).await;
    let names: Vec<_> = (0..6).map(|number| format!("q{number}")).collect();
    for name in &names {
        client.queue(name, quorum()).await;
    }
    for name in &names[..4] {
        cluster.transfer(name, 1).await;
    }
    until("node 1 leads some", || led(&cluster, 2, 1) >= 4).await;
    cluster.ctl(1, &["drain"], 0);
    until("the others lead all", || {
        led(&cluster, 2, 1) == 0 && led(&cluster, 3, 1) == 0
    })
    .await;
    for asked in [1, 2, 3] {
        assert_eq!(drained(&cluster, asked, 1), true, "as node {asked} says");
    }
    assert!(!cluster.serves(1) && cluster.serves(2));
    // What is declared by it goes elsewhere, and what is confirmed meanwhile is safe.
    let body = r#"{"durable":true,"arguments":{"x-queue-type":"quorum"}}"#;
    cluster.http(1).put("/api/queues/%2f/new", body).expect_status(201);
    until("a new queue is led by another", || {
        let queue = cluster.queue(2, "new");
        queue.is_some_and(|queue| queue["leader"].is_string() && queue["leader"] != cluster.name(1).as_str())
    })
    .await;
    let other = cluster.client(2).await;
    assert!(matches!(other.send("new", "safe").await, lapin::Confirmation::Ack(_)));
    // It votes: with another node gone the rest is a majority still.
    cluster.kill9(3);
    until("node 2 leads all", || led(&cluster, 2, 2) == names.len() + 1).await;
    assert!(matches!(other.send("q0", "safe").await, lapin::Confirmation::Ack(_)));
    cluster.start(3);
    until("node 3 serves again", || cluster.serves(3)).await;
    cluster.ctl(1, &["revive"], 0);
    until("it serves again", || cluster.serves(1)).await;
    assert_eq!(drained(&cluster, 3, 1), false);
    cluster.transfer("q0", 1).await;
    until("it leads again", || led(&cluster, 2, 1) == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_drains_and_revives_another() {
    let mut cluster = Cluster::of(3).await;
    let path = |action: &str| format!("/api/maintenance{action}?node={}", cluster.name(1));
    let service = |asked: usize| cluster.http(asked).get(&path("")).expect_status(200).json();
    assert_eq!(service(2), json!({"drained": false, "takes_clients": true}));
    let done = cluster.http(2).put(&path("/drain"), "{}").expect_status(200).json();
    assert_eq!(done, json!({"leaders": 0}));
    assert_eq!(service(3), json!({"drained": true, "takes_clients": false}));
    assert!(!cluster.serves(1) && cluster.serves(2));
    cluster.http(3).put(&path("/revive"), "{}").expect_status(204);
    until("it serves again", || cluster.serves(1)).await;
    assert_eq!(service(1), json!({"drained": false, "takes_clients": true}));
    cluster.http(2).put(&path("/drain-it"), "{}").expect_status(404);
    let unknown = "/api/maintenance/drain?node=rabbit@nowhere";
    cluster.http(2).put(unknown, "{}").expect_status(404);
    let away = format!("/api/maintenance/drain?node={}", cluster.name(3));
    cluster.kill9(3);
    cluster.http(2).put(&away, "{}").expect_status(503);
}
