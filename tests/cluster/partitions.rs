//! Nodes that run and do not hear each other, while clients reach all of them.
//!
//! One thread each: only sockets of that thread are in the network with the nodes.

use super::load::Load;
use super::network::Network;
use crate::support::*;

/// Confirms between two changes of the network.
const SOME: usize = 300;

/// Clients at work on a quorum queue in a network, and the node that leads it. None where there is
/// no network to be had.
async fn at_work() -> Option<(Network, Cluster, Load, usize)> {
    let network = Network::enter(3)?;
    let cluster = Cluster::at(network.places()).await;
    let quorum = table([("x-queue-type", text("quorum"))]);
    cluster.client(1).await.queue("orders", quorum).await;
    let leader = cluster.leader(1, "orders", &cluster.all()).await;
    let load = Load::start(&cluster, "orders");
    goes_on(&load).await;
    Some((network, cluster, load, leader))
}

async fn goes_on(load: &Load) {
    load.confirms(SOME).await;
    load.deliveries(SOME).await;
}

/// The network is whole again and everything as if nothing had been.
async fn healed(network: &Network, cluster: &mut Cluster, load: Load) {
    network.heal();
    cluster.all_ready().await;
    goes_on(&load).await;
    load.check(cluster).await;
}

#[tokio::test]
async fn the_leader_is_cut_off() {
    let Some((network, mut cluster, load, leader)) = at_work().await else {
        return;
    };
    let others = cluster.others(leader);
    for &other in &others {
        network.cut(leader, other);
    }
    cluster.leader(others[0], "orders", &others).await;
    goes_on(&load).await;
    healed(&network, &mut cluster, load).await;
}

#[tokio::test]
async fn the_leader_is_not_heard_but_hears() {
    let Some((network, mut cluster, load, leader)) = at_work().await else {
        return;
    };
    let others = cluster.others(leader);
    for &other in &others {
        network.cut_one_way(leader, other);
    }
    cluster.leader(others[0], "orders", &others).await;
    goes_on(&load).await;
    healed(&network, &mut cluster, load).await;
}

#[tokio::test]
async fn the_leader_is_heard_but_hears_nothing() {
    let Some((network, mut cluster, load, leader)) = at_work().await else {
        return;
    };
    let others = cluster.others(leader);
    for &other in &others {
        network.cut_one_way(other, leader);
    }
    cluster.leader(others[0], "orders", &others).await;
    goes_on(&load).await;
    healed(&network, &mut cluster, load).await;
}

#[tokio::test]
async fn a_follower_is_cut_off() {
    let Some((network, mut cluster, load, leader)) = at_work().await else {
        return;
    };
    let others = cluster.others(leader);
    network.cut(others[0], leader);
    network.cut(others[0], others[1]);
    goes_on(&load).await;
    healed(&network, &mut cluster, load).await;
}

#[tokio::test]
async fn the_leader_and_one_follower_do_not_hear_each_other_and_the_other_hears_both() {
    let Some((network, mut cluster, load, leader)) = at_work().await else {
        return;
    };
    network.cut(leader, cluster.others(leader)[0]);
    goes_on(&load).await;
    healed(&network, &mut cluster, load).await;
}

#[tokio::test]
async fn nobody_hears_anybody() {
    let Some((network, mut cluster, load, leader)) = at_work().await else {
        return;
    };
    let others = cluster.others(leader);
    for &other in &others {
        network.cut(leader, other);
    }
    network.cut(others[0], others[1]);
    until("each node sees that it is alone", || {
        let alone = |node| cluster.running(node).is_some_and(|running| running.len() == 1);
        cluster.all().into_iter().all(alone)
    })
    .await;
    healed(&network, &mut cluster, load).await;
}
