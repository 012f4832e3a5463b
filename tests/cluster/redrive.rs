//! Messages redriven while nodes end.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn a_redrive_survives_the_end_of_the_node_that_leads_the_queue_without_a_loss() {
    let mut cluster = Cluster::of(3).await;
    let client = cluster.client(1).await;
    let kind = || ("x-queue-type", text("quorum"));
    client.queue("dead", table([kind()])).await;
    client.queue("work", dying_to("dead", [kind()])).await;
    let mut consumer = client.consume("work").await;
    let bodies: BTreeSet<_> = (0..300).map(|number| format!("m{number:03}")).collect();
    for body in &bodies {
        assert!(client.publish("", "work", body, persistent()).await.is_ack());
        discard(&next(&mut consumer).await).await;
    }
    client.cancel(&consumer).await;
    let leader = cluster.leader(1, "dead", &[1, 2, 3]).await;
    let asked = cluster.others(leader)[0];
    until("all are dead", || {
        let queue = cluster.queue(asked, "dead");
        queue.is_some_and(|queue| queue["messages_ready"] == 300)
    })
    .await;
    let http = cluster.http(asked);
    let dry = json!({"to": "origin", "dry_run": true}).to_string();
    let would = http
        .post("/api/queues/%2f/dead/redrive", &dry)
        .expect_status(200)
        .json();
    assert_eq!(
        would["would"],
        json!([{"exchange": "", "routing_key": "work", "count": 300}])
    );
    let wish = json!({"to": "origin", "rate": 200}).to_string();
    let begun = http
        .post("/api/queues/%2f/dead/redrive", &wish)
        .expect_status(200)
        .json();
    let path = format!("/api/jobs/{}", begun["job"].as_str().expect("a job"));
    let other = cluster.others(leader)[1];
    let job = |cluster: &Cluster| -> Value { cluster.http(other).get(&path).expect_status(200).json() };
    until("some are moved", || job(&cluster)["done"].as_u64() > Some(0)).await;
    cluster.kill9(leader);
    until("the job is done", || job(&cluster)["state"] != "running").await;
    let ended = job(&cluster);
    assert_eq!(
        (&ended["state"], &ended["failed_count"]),
        (&json!("done"), &json!(0)),
        "{ended}"
    );
    let client = cluster.client(asked).await;
    let body = |story: &String| story.trim_end_matches(" (redelivered)").to_owned();
    let moved: BTreeSet<_> = client.take("work").await.iter().map(body).collect();
    assert_eq!(moved, bodies, "whatever the job says is moved");
    assert_eq!(client.take("dead").await, [""; 0]);
}
