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

#[tokio::test]
async fn nodes_that_know_only_a_part_of_the_cluster_do_not_take_the_others_for_removed() {
    let mut cluster = Cluster::of(3).await;
    // Only the leader knows by now that whoever came last is a member. It is not to hand that on.
    let leader = cluster
        .all()
        .into_iter()
        .find(|&node| cluster.log(node).contains("joined the cluster"));
    let leader = leader.expect("one has let the others in");
    let others = cluster.others(leader);
    for &node in others.iter().chain([&leader]) {
        cluster.kill9(node);
    }
    for &node in &others {
        cluster.start(node);
    }
    cluster.ready(&others).await;
    are_one(&cluster, &others).await;
    cluster.start(leader);
    cluster.all_ready().await;
}
