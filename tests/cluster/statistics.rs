//! What is counted on several nodes is shown whole by any of them.

use serde_json::{Value, json};

use crate::support::*;

/// The totals that matter here.
fn totals(view: &Value) -> Value {
    let stats = &view["message_stats"];
    json!(["publish", "deliver", "ack", "confirm"].map(|name| stats[name].as_u64()))
}

#[tokio::test]
async fn a_queue_shows_whole_statistics_from_any_node() {
    let cluster = Cluster::of(3).await;
    let declaring = cluster.client(1).await;
    for (queue, kind) in [("c", "classic"), ("q", "quorum")] {
        declaring.queue(queue, table([("x-queue-type", text(kind))])).await;
        let [publishing, consuming] = [cluster.client(2).await, cluster.client(3).await];
        publishing.send_all(queue, ["1", "2"]).await;
        declaring.send_all(queue, ["3"]).await;
        let mut consumer = consuming.consume(queue).await;
        for _ in 0..3 {
            ack(&next(&mut consumer).await).await;
        }
        // The answer comes after the acks.
        consuming.ready(queue).await;
        for node in cluster.all() {
            let seen = cluster.queue(node, queue).expect("a queue");
            assert_eq!(totals(&seen), json!([3, 3, 3, null]), "{kind} by node {node}");
            let path = format!("/api/queues/%2f/{queue}/latency");
            let latency = cluster.http(node).get(&path).expect_status(200).json();
            for what in ["wait", "ack", "confirm"] {
                assert!(
                    latency[what]["p50"].is_number(),
                    "{kind} {what} by node {node}: {latency}"
                );
            }
        }
    }
    for node in cluster.all() {
        let overview = cluster.http(node).get("/api/overview").expect_status(200).json();
        assert_eq!(totals(&overview), json!([6, 6, 6, 6]), "by node {node}");
        assert_eq!(overview["churn_rates"]["queue_created"], 2, "by node {node}");
        let exchange = cluster.http(node).get("/api/exchanges/%2f/amq.default");
        let exchange = exchange.expect_status(200).json();
        assert_eq!(exchange["message_stats"]["publish_in"], 6, "by node {node}");
        let path = "/api/series?of=queue:%2F:q&measures=publish&age=60&points=60";
        until("the history is whole", || {
            let series = cluster.http(node).get(path).expect_status(200).json();
            let points = series["values"]["publish"].as_array().cloned().unwrap_or_default();
            points.iter().filter_map(Value::as_f64).sum::<f64>() == 3.0
        })
        .await;
    }
    cluster.http(2).delete("/api/reset").expect_status(204);
    let forgotten = cluster.queue(3, "q").expect("a queue");
    assert!(forgotten.get("message_stats").is_none(), "{forgotten}");
}
