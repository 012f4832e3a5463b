//! Members come and go, and snapshots take the place of the log.

use super::cluster::{Cluster, within};
use super::ledger::record;
use crate::journal::raft::{GroupError, Pace, Role};
use crate::types::NodeId;

/// Makes a snapshot on a node and waits until the log is gone but for a little.
async fn snapshot(cluster: &Cluster, node: u64) {
    let group = cluster.group(node);
    let applied = group.status().applied;
    group.snapshot().await.expect("asked");
    within("the snapshot", async {
        while group.status().snapshot < applied || group.log_bytes() > 200_000 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn same_payloads(cluster: &Cluster, one: u64, other: u64) {
    let payloads = cluster.group(one).machine().keys.clone();
    assert!(payloads == cluster.group(other).machine().keys);
}

async fn fill(cluster: &Cluster, at: u64, from: u64, count: u64) {
    for n in from..from + count {
        cluster.group(at).propose(record(n, 10_000)).await.expect("applied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_away_catches_up_by_snapshot() {
    let mut cluster = Cluster::of_three().await;
    fill(&cluster, 1, 0, 10).await;
    cluster.crash(3, 1).await;
    fill(&cluster, 1, 10, 200).await;
    assert!(cluster.group(1).log_bytes() > 2_000_000);
    snapshot(&cluster, 1).await;
    cluster.start(3).await;
    cluster.group(1).heartbeat().await.expect("sent");
    fill(&cluster, 1, 210, 10).await;
    cluster.has_applied(3, 0..220).await;
    assert!(cluster.group(3).machine().restored > 0);
    same_payloads(&cluster, 1, 3);

    // And has it for itself: it starts again, and leads.
    cluster.stop(3).await;
    cluster.start(3).await;
    cluster.take_over(3).await;
    cluster.has_applied(3, 0..220).await;
    same_payloads(&cluster, 1, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_away_catches_up_by_log_in_messages_of_bounded_size() {
    let mut cluster = Cluster::of_three().await;
    cluster.crash(3, 1).await;
    // More than what is kept in memory, so that the first entries are read from the store.
    fill(&cluster, 1, 0, 600).await;
    cluster.router.carried.lock().clear();
    cluster.start(3).await;
    cluster.group(1).heartbeat().await.expect("sent");
    cluster.has_applied(3, 0..600).await;
    assert_eq!(cluster.group(3).machine().restored, 0);
    let largest = cluster.router.carried.lock().iter().copied().max();
    assert!(
        largest.is_some_and(|bytes| (500_000..1_100_000).contains(&bytes)),
        "{largest:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_state_comes_from_snapshot_and_log() {
    let mut cluster = Cluster::of_three().await;
    fill(&cluster, 1, 0, 100).await;
    for node in 1..=3 {
        cluster.has_applied(node, 0..100).await;
        snapshot(&cluster, node).await;
    }
    fill(&cluster, 1, 100, 20).await;
    for node in 1..=3 {
        cluster.has_applied(node, 0..120).await;
    }
    // A second snapshot takes the place of the first.
    snapshot(&cluster, 2).await;
    fill(&cluster, 1, 120, 20).await;
    for node in 1..=3 {
        cluster.has_applied(node, 0..140).await;
    }
    for node in 1..=3 {
        cluster.crash(node, node).await;
    }
    for node in 1..=3 {
        cluster.start(node).await;
    }
    cluster.take_over(2).await;
    for node in 1..=3 {
        cluster.has_applied(node, 0..140).await;
        assert!(cluster.group(node).machine().restored > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_stops_in_order_knows_at_its_start_what_was_committed() {
    let mut cluster = Cluster::of_three().await;
    cluster.append(1, 0..100).await;
    cluster.has_applied(2, 0..100).await;
    cluster.stop(2).await;
    cluster.stop(1).await;
    cluster.stop(3).await;
    cluster.start(2).await;
    // Alone.
    cluster.has_applied(2, 0..100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_a_group_is_founded_with_vote_before_anything_is_committed() {
    let cluster = Cluster::empty(3, Pace::Quiet).await;
    cluster.router.cut(1, &[2, 3]);
    cluster.group(1).found([1, 2, 3].map(NodeId)).await.expect("founded");
    let told = async {
        while cluster.group(1).settled_voters() != [1, 2, 3].map(NodeId).into() {
            tokio::task::yield_now().await;
        }
    };
    within("the voters", told).await;
    assert_eq!(cluster.group(1).status().committed, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_member_learns_and_then_votes() {
    let mut cluster = Cluster::empty(4, Pace::Quiet).await;
    cluster.group(1).found([1, 2, 3].map(NodeId)).await.expect("founded");
    within(
        "a leader",
        cluster.group(1).watch().until(|now| now.role == Role::Leader),
    )
    .await;
    cluster.append(1, 0..100).await;
    cluster.group(1).add_learner(NodeId(4)).await.expect("added");
    cluster.has_applied(4, 0..100).await;
    assert_eq!(cluster.group(1).status().learners, [NodeId(4)].into());
    assert_eq!(cluster.group(4).leadership().role, Role::Learner);

    let unknown = cluster.group(1).change_voters([1, 2, 9].map(NodeId).into()).await;
    assert!(matches!(unknown, Err(GroupError::Members(_))), "{unknown:?}");

    cluster
        .group(1)
        .change_voters([1, 2, 4].map(NodeId).into())
        .await
        .expect("changed");
    let status = cluster.group(1).status();
    assert_eq!(
        (status.voters, status.learners),
        ([1, 2, 4].map(NodeId).into(), [].into())
    );
    // It counts: without it there is no majority.
    cluster.crash(2, 1).await;
    cluster.append(1, 100..150).await;
    cluster.crash(1, 1).await;
    cluster.start(2).await;
    cluster.take_over(4).await;
    cluster.has_applied(4, 0..150).await;
    cluster.has_applied(2, 0..150).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_group_leaves_nothing_behind() {
    let mut cluster = Cluster::empty(1, Pace::Quiet).await;
    cluster.group(1).found([NodeId(1)]).await.expect("founded");
    cluster.led_by(1).await;
    cluster.append(1, 0..100).await;
    snapshot(&cluster, 1).await;
    cluster.group(1).delete().await;
    cluster.stop(1).await;
    cluster.start(1).await;
    let status = cluster.group(1).status();
    assert_eq!((status.last_index, status.snapshot), (None, None));
    cluster.group(1).found([NodeId(1)]).await.expect("a new one");
}
