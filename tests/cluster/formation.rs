//! Nodes that are given the same list become one cluster, in whatever order they start.

use crate::support::*;

/// What is declared at one node is there at each of these.
async fn are_one(cluster: &Cluster, nodes: &[usize]) {
    for &node in nodes {
        let queue = unique("declared");
        cluster.client(node).await.plain_queue(&queue).await;
        for &other in nodes {
            let seen = cluster.client(other).await.look(&queue).await;
            assert_eq!(seen.expect("the queue is everywhere"), (0, 0), "at {other}");
        }
    }
}

#[tokio::test]
async fn three_nodes_that_start_at_once_are_one_cluster() {
    let cluster = Cluster::of(3).await;
    are_one(&cluster, &cluster.all()).await;
    let listens = cluster.http(1).get("/api/health/checks/protocol-listener/clustering");
    listens.expect_status(200);
}

#[tokio::test]
async fn the_cluster_begins_with_a_majority_and_the_last_node_joins_it() {
    for order in [[1, 2, 3], [3, 1, 2], [2, 3, 1]] {
        let mut cluster = Cluster::stopped(loopback(3));
        let [first, second, last] = order;
        cluster.start(first);
        cluster.start(second);
        cluster.ready(&[first, second]).await;
        are_one(&cluster, &[first, second]).await;
        cluster.client(first).await.plain_queue("before").await;
        cluster.start(last);
        cluster.all_ready().await;
        let seen = cluster.client(last).await.look("before").await;
        assert_eq!(seen.expect("what was declared before"), (0, 0), "{order:?}");
        are_one(&cluster, &cluster.all()).await;
    }
}

#[tokio::test]
async fn a_node_that_starts_again_is_the_member_that_it_was() {
    let mut cluster = Cluster::of(3).await;
    for node in cluster.all() {
        cluster.restart(node).await;
        are_one(&cluster, &cluster.all()).await;
    }
}
