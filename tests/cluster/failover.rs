//! Nodes go away in every way while clients publish to a quorum queue and consume from it: nothing
//! that was confirmed is lost, and nothing is out of order.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;

use super::load::Load;
use crate::support::*;

/// Confirms between two blows.
const SOME: usize = 500;
/// Long enough to be given up by the others, and to come back while they still deal with it.
const PAUSE: Duration = Duration::from_secs(5);

/// A cluster with a quorum queue, clients at work, and the number of the node that leads it.
async fn at_work() -> (Cluster, Load, usize) {
    let cluster = Cluster::of(3).await;
    let quorum = table([("x-queue-type", text("quorum"))]);
    cluster.client(1).await.queue("orders", quorum).await;
    let leader = cluster.leader(1, "orders", &cluster.all()).await;
    let load = Load::start(&cluster, "orders");
    goes_on(&load).await;
    (cluster, load, leader)
}

/// Publishers get confirms and consumers messages.
async fn goes_on(load: &Load) {
    load.confirms(SOME).await;
    load.deliveries(SOME).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_goes_away_and_all_is_well() {
    let (cluster, load, _) = at_work().await;
    load.check(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_is_killed() {
    let (mut cluster, load, leader) = at_work().await;
    cluster.kill9(leader);
    let others = cluster.others(leader);
    cluster.leader(others[0], "orders", &others).await;
    goes_on(&load).await;
    cluster.start(leader);
    cluster.all_ready().await;
    goes_on(&load).await;
    load.check(&cluster).await;
}

/// The node that a new queue began on may not have told anybody of it, beyond that it is declared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_leader_of_new_queues_is_killed_at_once() {
    let mut cluster = Cluster::of(3).await;
    let client = cluster.client(1).await;
    let names: Vec<_> = (0..20).map(|number| format!("q{number}")).collect();
    let quorum = || table([("x-queue-type", text("quorum"))]);
    let declared = names.iter().map(|name| async {
        let channel = client.another().await;
        let durable = QueueDeclareOptions::durable();
        let answer = channel.queue_declare(name.as_str().into(), durable, quorum()).await;
        answer.expect("declare-ok");
    });
    futures_util::future::join_all(declared).await;
    cluster.kill9(1);
    let other = cluster.client(2).await;
    for name in &names {
        assert!(matches!(other.send(name, "safe").await, lapin::Confirmation::Ack(_)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_is_killed() {
    let (mut cluster, load, leader) = at_work().await;
    let follower = cluster.others(leader)[0];
    cluster.kill9(follower);
    goes_on(&load).await;
    cluster.start(follower);
    cluster.all_ready().await;
    goes_on(&load).await;
    load.check(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_is_paused() {
    let (mut cluster, load, leader) = at_work().await;
    cluster.pause(leader);
    // The pause is what is tested.
    tokio::time::sleep(PAUSE).await;
    goes_on(&load).await;
    cluster.resume(leader);
    cluster.all_ready().await;
    goes_on(&load).await;
    load.check(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_is_stopped_in_order() {
    let (mut cluster, load, leader) = at_work().await;
    cluster.stop(leader);
    let others = cluster.others(leader);
    cluster.leader(others[0], "orders", &others).await;
    goes_on(&load).await;
    cluster.start(leader);
    cluster.all_ready().await;
    goes_on(&load).await;
    load.check(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_are_restarted_one_after_the_other() {
    let (mut cluster, load, _) = at_work().await;
    for node in cluster.all() {
        cluster.restart(node).await;
        goes_on(&load).await;
    }
    load.check(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_is_killed_in_turn() {
    let (mut cluster, load, _) = at_work().await;
    for node in cluster.all() {
        cluster.kill9(node);
        goes_on(&load).await;
        cluster.start(node);
        cluster.all_ready().await;
    }
    goes_on(&load).await;
    load.check(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_are_killed_and_the_leader_is_not_started() {
    let (mut cluster, load, leader) = at_work().await;
    for node in cluster.all() {
        cluster.kill9(node);
    }
    for node in cluster.others(leader) {
        cluster.start(node);
    }
    goes_on(&load).await;
    cluster.start(leader);
    cluster.all_ready().await;
    goes_on(&load).await;
    load.check(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_are_killed_and_started() {
    let (mut cluster, load, _) = at_work().await;
    for node in cluster.all() {
        cluster.kill9(node);
    }
    for node in cluster.all() {
        cluster.start(node);
    }
    cluster.all_ready().await;
    goes_on(&load).await;
    load.check(&cluster).await;
}
