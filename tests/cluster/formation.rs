//! Nodes that are given the same list become one cluster, in whatever order they start.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

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

#[tokio::test]
async fn what_fails_again_and_again_is_said_once() {
    let mut cluster = Cluster::stopped(loopback(1));
    cluster.configure(
        1,
        "cluster_formation.peer_discovery_backend = dns\ncluster_formation.dns.hostname = nodes.invalid\n",
    );
    cluster.start(1);
    let times = |cluster: &Cluster, words: &str| cluster.log(1).matches(words).count();
    let (unknown, refused) = (
        "the nodes of the cluster cannot be looked up",
        "a connection of another node is refused",
    );
    until("the name is looked up", || times(&cluster, unknown) > 0).await;
    for _ in 0..3 {
        // As a node with another secret dials, once a second and from another port each time.
        let address = cluster.address(1);
        until("the node lets others in", || TcpStream::connect(&address).is_ok()).await;
        let mut socket = TcpStream::connect(&address).expect("the node listens");
        socket.write_all(&[b'?'; 256]).expect("written");
        let _ = socket.read_to_end(&mut Vec::new());
    }
    until("the refusal is said", || times(&cluster, refused) > 0).await;
    // It is asked for once a second.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(times(&cluster, unknown), 1, "{}", cluster.log(1));
    assert_eq!(times(&cluster, refused), 1, "{}", cluster.log(1));
}
