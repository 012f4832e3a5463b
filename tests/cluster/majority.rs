//! A node that does not hear a majority of the others says so, and sends its clients away where it is
//! told to.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::*;

/// A node has to say within one and a half seconds that it is cut off; the machine is shared.
const SOON: Duration = Duration::from_secs(3);

const CHECKS: [&str; 2] = ["ready-to-serve-clients", "is-in-service"];

/// Why a node is not ready; none when it is.
fn not_ready(cluster: &Cluster, node: usize, check: &str) -> Option<String> {
    let path = format!("/api/health/checks/{check}");
    let answer = cluster.http(node).get(&path);
    match answer.status {
        200 => None,
        _ => Some(
            answer.expect_status(503).json()["reason"]
                .as_str()
                .expect("a reason")
                .to_owned(),
        ),
    }
}

/// The nodes that one does not hear, in the eyes of another.
fn partitions(cluster: &Cluster, asked: usize, node: usize) -> serde_json::Value {
    let path = format!("/api/nodes/{}", cluster.name(node));
    cluster.http(asked).get(&path).expect_status(200).json()["partitions"].clone()
}

#[tokio::test]
async fn a_node_that_hears_no_majority_is_not_ready_and_says_whom_it_misses() {
    let mut cluster = Cluster::of(3).await;
    cluster.pause(3);
    until("node 1 misses node 3", || {
        partitions(&cluster, 1, 1) == json!(["rabbit@n3"])
    })
    .await;
    for check in CHECKS {
        assert_eq!(not_ready(&cluster, 1, check), None, "two of three are a majority");
    }
    until("node 2 says that it misses node 3", || {
        partitions(&cluster, 1, 2) == json!(["rabbit@n3"])
    })
    .await;
    assert_eq!(partitions(&cluster, 1, 3), json!([]), "nothing is known of it");
    cluster.pause(2);
    let begun = Instant::now();
    for check in CHECKS {
        until(&format!("{check} fails"), || not_ready(&cluster, 1, check).is_some()).await;
        let why = not_ready(&cluster, 1, check);
        assert_eq!(
            why.as_deref(),
            Some("a majority of the cluster's nodes cannot be reached")
        );
    }
    assert!(begun.elapsed() < SOON, "after {:?}", begun.elapsed());
    assert_eq!(partitions(&cluster, 1, 1), json!(["rabbit@n2", "rabbit@n3"]));
    let said = "a majority of the cluster's nodes cannot be reached";
    until("the log says it", || cluster.log(1).contains(said)).await;
    let status = cluster.ctl(1, &["cluster_status", "--formatter", "json"], 0);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(
        status["partitions"],
        json!({"rabbit@n1": ["rabbit@n2", "rabbit@n3"]}),
        "{status}"
    );
    cluster.resume(2);
    cluster.resume(3);
    cluster.all_ready().await;
    assert_eq!(partitions(&cluster, 1, 1), json!([]));
    until("the log says that it is over", || {
        cluster.log(1).contains("heard again")
    })
    .await;
}

#[tokio::test]
async fn a_node_whose_others_have_ended_is_not_ready_and_misses_nobody() {
    let mut cluster = Cluster::of(3).await;
    cluster.kill9(2);
    cluster.kill9(3);
    until("node 1 is not ready", || {
        not_ready(&cluster, 1, "ready-to-serve-clients").is_some()
    })
    .await;
    until("they have ended and are not cut off", || {
        partitions(&cluster, 1, 1) == json!([])
    })
    .await;
    cluster.start(2);
    cluster.ready(&[1, 2]).await;
}

/// Whether clients can connect.
fn listens(cluster: &Cluster, node: usize) -> bool {
    TcpStream::connect(cluster.amqp(node)).is_ok()
}

/// Whether the client was sent away, as by a node that stops.
fn was_sent_away(mut client: Raw) {
    let close = client.expect(10, 50).payload;
    let code = u16::from_be_bytes([close[4], close[5]]);
    let text = String::from_utf8_lossy(&close[7..7 + usize::from(close[6])]).into_owned();
    let why = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
    assert_eq!((code, text.as_str()), (320, why));
    client.method(0, (10, 51), &[]);
    assert_eq!(client.read(), None);
}

#[tokio::test]
async fn a_minority_that_pauses_sends_its_clients_away_until_it_is_a_majority() {
    let pausing = |_| "cluster_partition_handling = pause_minority\n".to_owned();
    let mut cluster = Cluster::with_settings(3, pausing).await;
    let client = Raw::open(&cluster.amqp(1), "/", 0);
    cluster.kill9(2);
    cluster.ready(&[1, 3]).await;
    assert!(listens(&cluster, 1), "two of three are a majority");
    cluster.kill9(3);
    was_sent_away(client);
    until("node 1 refuses connections", || !listens(&cluster, 1)).await;
    assert!(not_ready(&cluster, 1, "ready-to-serve-clients").is_some());
    cluster.start(3);
    cluster.ready(&[1, 3]).await;
    until("node 1 accepts connections", || listens(&cluster, 1)).await;
    let client = cluster.client(1).await;
    client.plain_queue("orders").await;
    assert!(client.send("orders", "m").await.is_ack());
}

#[tokio::test]
async fn a_node_that_needs_certain_others_pauses_without_them() {
    let pausing = |_| {
        let handling = "cluster_partition_handling = pause_if_all_down\n";
        let node = "cluster_partition_handling.pause_if_all_down.nodes.1 = rabbit@n2\n";
        format!("{handling}{node}cluster_partition_handling.pause_if_all_down.recover = ignore\n")
    };
    let mut cluster = Cluster::with_settings(3, pausing).await;
    let client = Raw::open(&cluster.amqp(1), "/", 0);
    cluster.kill9(2);
    was_sent_away(client);
    until("node 1 refuses connections", || !listens(&cluster, 1)).await;
    cluster.start(2);
    until("node 1 accepts connections", || listens(&cluster, 1)).await;
}

#[tokio::test]
async fn a_minority_keeps_its_clients_unless_it_is_told_not_to() {
    let healing = |_| "cluster_partition_handling = autoheal\n".to_owned();
    let mut cluster = Cluster::with_settings(3, healing).await;
    let client = cluster.client(1).await;
    client.queue("orders", table([("x-queue-type", text("quorum"))])).await;
    cluster.pause(2);
    cluster.pause(3);
    until("node 1 is not ready", || {
        not_ready(&cluster, 1, "ready-to-serve-clients").is_some()
    })
    .await;
    assert!(listens(&cluster, 1));
    let options = lapin::options::BasicPublishOptions::default();
    let published = client.basic_publish("".into(), "orders".into(), options, b"held", persistent());
    let confirm = published.await.expect("published");
    cluster.resume(2);
    cluster.resume(3);
    let confirm = tokio::time::timeout(CLUSTER_PATIENCE, confirm).await.expect("in time");
    assert!(confirm.expect("a confirm").is_ack());
}
