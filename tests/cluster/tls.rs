//! TLS between the nodes: the cluster is what it is without.

use super::load::Load;
use crate::support::*;

/// Confirms and deliveries that show that the cluster works.
const SOME: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_queue_is_served_by_every_node_and_survives_its_leader() {
    let mut cluster = Cluster::with_tls(3).await;
    let quorum = table([("x-queue-type", text("quorum"))]);
    cluster.client(1).await.queue("orders", quorum).await;
    for (from, to) in [(1, 2), (2, 3), (3, 1)] {
        let body = format!("{from} to {to}");
        let publisher = cluster.client(from).await;
        assert!(publisher.publish("", "orders", &body, persistent()).await.is_ack());
        assert_eq!(cluster.client(to).await.wait_for("orders", 1).await, [body]);
    }
    let leader = cluster.leader(1, "orders", &cluster.all()).await;
    let load = Load::start(&cluster, "orders");
    load.confirms(SOME).await;
    cluster.kill9(leader);
    let others = cluster.others(leader);
    cluster.leader(others[0], "orders", &others).await;
    load.confirms(SOME).await;
    load.deliveries(SOME).await;
    cluster.start(leader);
    cluster.all_ready().await;
    load.check(&cluster).await;
}
