//! The cluster and its notices as any node shows them.

use serde_json::{Value, json};

use crate::support::*;

fn codes(notices: &Value) -> Vec<String> {
    let notices = notices.as_array().expect("a list").iter();
    let told = notices.map(|notice| {
        let name = notice["subject"]["name"].as_str().unwrap_or("-");
        format!("{} {name}", notice["code"].as_str().expect("a code"))
    });
    told.collect()
}

#[tokio::test]
async fn a_node_that_is_gone_is_told_with_the_queues_at_risk() {
    let mut cluster = Cluster::of(3).await;
    let client = cluster.client(1).await;
    client.queue("safe", table([("x-queue-type", text("quorum"))])).await;
    let whole = cluster.http(2).get("/api/cluster").expect_status(200).json();
    let nodes = whole["nodes"].as_array().expect("a list");
    assert_eq!(
        nodes.iter().map(|node| node["members"].as_u64()).collect::<Vec<_>>(),
        [Some(1); 3]
    );
    assert_eq!(
        (&whole["at_risk_count"], &nodes[0]["name"]),
        (&json!(0), &json!("rabbit@n1"))
    );
    let links = nodes[0]["links"].as_object().expect("by node");
    assert_eq!(links.keys().collect::<Vec<_>>(), ["rabbit@n2", "rabbit@n3"]);
    cluster.kill9(3);
    let mut risky = Value::Null;
    until("the node is missed", || {
        risky = cluster.http(2).get("/api/cluster").expect_status(200).json();
        risky["at_risk_count"] == 1
    })
    .await;
    assert_eq!(
        risky["at_risk"],
        json!([{"vhost": "/", "queue": "safe", "members": 3, "online": 2}])
    );
    assert_eq!(risky["nodes"][2]["running"], false);
    until("the node is told to be missed", || {
        let notices = cluster.http(1).get("/api/notices").expect_status(200).json();
        codes(&notices) == ["node_down rabbit@n3"]
    })
    .await;
    cluster.kill9(2);
    until("a minority is told", || {
        let told = codes(&cluster.http(1).get("/api/notices").expect_status(200).json());
        let all = [
            "minority -",
            "node_down rabbit@n2",
            "node_down rabbit@n3",
            "queue_unavailable safe",
        ];
        told == all
    })
    .await;
}

/// Whoever is asked, the node that has the queue answers.
#[tokio::test]
async fn messages_and_health_are_seen_from_every_node() {
    let mut cluster = Cluster::of(3).await;
    for kind in ["classic", "quorum"] {
        let client = cluster.client(1).await;
        let queue = unique(kind);
        client.queue(&queue, table([("x-queue-type", text(kind))])).await;
        client.send_all(&queue, ["m1", "m2"]).await;
        let holder = cluster.client(2).await;
        holder.prefetch(1).await;
        let mut consumer = holder.consume(&queue).await;
        let held = next(&mut consumer).await;
        for node in cluster.all() {
            let http = cluster.http(node);
            let look = |query: &str| {
                let path = format!("/api/queues/%2f/{queue}/messages?{query}");
                http.get(&path).expect_status(200).json()
            };
            assert_eq!(look("")["messages"][0]["body"], "m2", "{kind} at {node}");
            let unacked = look("state=unacked");
            assert_eq!(unacked["messages"][0]["body"], "m1", "{kind} at {node}");
            let by = &unacked["messages"][0]["held_by"]["consumer_tag"];
            assert_eq!(by, consumer.tag().as_str(), "{kind} at {node}");
            let health = http
                .get(&format!("/api/queues/%2f/{queue}/health"))
                .expect_status(200)
                .json();
            assert_eq!(health["reasons"][0]["code"], "prefetch_full", "{kind} at {node}");
            let link = health["reasons"][0]["link"].as_str().expect("a link");
            assert!(link.starts_with("#/channels/"), "{link}");
        }
        ack(&held).await;
    }
    let client = cluster.client(1).await;
    client.queue("threes", table([("x-queue-type", text("quorum"))])).await;
    cluster.kill9(2);
    cluster.kill9(3);
    let mut health = Value::Null;
    until("the queue is not available", || {
        let answer = cluster.http(1).get("/api/queues/%2f/threes/health");
        health = answer.expect_status(200).json();
        health["health"] == "unavailable"
    })
    .await;
    let reason = &health["reasons"][0];
    assert_eq!(reason["code"], "no_majority");
    let said = reason["text"].as_str().expect("a text");
    assert!(said.ends_with("Missing: rabbit@n2, rabbit@n3."), "{said}");
}
