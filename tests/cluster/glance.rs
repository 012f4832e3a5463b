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
    cluster.ready(&[1, 2]).await;
    let risky = cluster.http(2).get("/api/cluster").expect_status(200).json();
    assert_eq!(
        risky["at_risk"],
        json!([{"vhost": "/", "queue": "safe", "members": 3, "online": 2}])
    );
    assert_eq!(risky["nodes"][2]["running"], false);
    let notices = cluster.http(1).get("/api/notices").expect_status(200).json();
    assert_eq!(codes(&notices), ["node_down rabbit@n3"]);
    cluster.kill9(2);
    let mut told = Vec::new();
    until("a minority is told", || {
        told = codes(&cluster.http(1).get("/api/notices").expect_status(200).json());
        told.first().is_some_and(|first| first == "minority -")
    })
    .await;
    assert_eq!(
        told,
        [
            "minority -",
            "node_down rabbit@n2",
            "node_down rabbit@n3",
            "queue_unavailable safe"
        ]
    );
}
