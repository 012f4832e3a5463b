//! Disks that fail and machines that stop at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::cluster::{Cluster, within};
use super::ledger::record;
use crate::journal::raft::{Election, ProposeError, Role};

/// What was acknowledged is on every node, once and in order, whatever the disks lose.
#[tokio::test(flavor = "multi_thread")]
async fn torn_stores_lose_nothing_that_was_acknowledged() {
    let first: u64 = std::env::var("SEED").map_or_else(|_| rand::random(), |seed| seed.parse().expect("a seed"));
    for seed in (0..6).map(|n| first.wrapping_add(n)) {
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let mut cluster = Cluster::of_three().await;
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let mut next = 0;
        for round in 0..3 {
            let mut order = [1, 2, 3];
            order.rotate_left(random.random_range(0..3));
            let leader = match round {
                0 => 1,
                _ => cluster.one_takes_over(&order).await,
            };
            let done = Arc::new(AtomicBool::new(false));
            let proposers: Vec<_> = (0..4)
                .map(|proposer| {
                    let (group, done) = (cluster.group(leader).clone(), Arc::clone(&done));
                    let acknowledged = Arc::clone(&acknowledged);
                    let size = random.random_range(1..5000);
                    tokio::spawn(async move {
                        let mut number = next + proposer;
                        while !done.load(Ordering::Acquire) {
                            match group.propose(record(number, size)).await {
                                Ok(_) => acknowledged.lock().push(number),
                                Err(_) => return,
                            }
                            number += 4;
                        }
                    })
                })
                .collect();
            let enough = acknowledged.lock().len() + random.random_range(20..200);
            within("acknowledgements", async {
                while acknowledged.lock().len() < enough {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            // All of them, the leader at a random place in the row.
            order.rotate_left(random.random_range(0..3));
            for node in order {
                cluster.crash(node, random.random()).await;
            }
            done.store(true, Ordering::Release);
            for proposer in proposers {
                within("the proposers", proposer).await.expect("no panic");
            }
            for node in 1..=3 {
                cluster.start(node).await;
            }
            next += 100_000;
        }
        let leader = cluster.one_takes_over(&[2, 3, 1]).await;
        cluster.append(leader, [next]).await;
        acknowledged.lock().push(next);
        let order = cluster.group(leader).machine().order.clone();
        for node in 1..=3 {
            cluster.has_applied(node, order.iter().copied()).await;
        }
        let mut sorted = order.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), order.len(), "applied twice, seed {seed}");
        for number in acknowledged.lock().iter() {
            assert!(sorted.binary_search(number).is_ok(), "{number} is lost, seed {seed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_disk_fails_stops_and_another_leads() {
    let mut cluster = Cluster::of_three().await;
    cluster.append(1, 0..50).await;
    cluster.disk(1).fail_syncs();
    // A majority of the others may still have it; then this node stops all the same.
    let group = cluster.group(1).clone();
    let mut acknowledged: Vec<u64> = (0..50).collect();
    let error = within("the disk to be noticed", async {
        for number in 50.. {
            match group.propose(record(number, 100)).await {
                Ok(_) => acknowledged.push(number),
                Err(error) => return Some(error),
            }
        }
        None
    })
    .await;
    assert_eq!(error, Some(ProposeError::Stopped));
    assert!(!cluster.group(1).holds_lease());
    within(
        "the stop to show",
        cluster.group(1).watch().until(|now| now.role == Role::Stopped),
    )
    .await;
    assert!(!cluster.group(1).is_leader());
    cluster.crash(1, 1).await;
    // The last entry may have come to one of them only.
    let leader = cluster.one_takes_over(&[2, 3]).await;
    let order = cluster.group(leader).machine().order.clone();
    assert!(order.starts_with(&acknowledged), "{order:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_disk_does_not_sync_is_not_counted() {
    let mut cluster = Cluster::of_three().await;
    cluster.append(1, 0..10).await;
    cluster.crash(3, 1).await;
    cluster.disk(2).fail_syncs();
    let group = cluster.group(1).clone();
    let proposal = tokio::spawn(async move { group.propose(record(10, 100)).await });
    // The one that could make a majority fails, and says so.
    within("the member to stop", async {
        while !cluster.node(2).store.failed() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!proposal.is_finished());
    assert_eq!(cluster.group(1).machine().order.len(), 10);
    cluster.start(3).await;
    let applied = within("a majority", async {
        cluster.group(1).heartbeat().await.expect("sent");
        proposal.await
    });
    applied.await.expect("no panic").expect("applied");
    cluster.has_applied(3, 0..11).await;
    let refused = cluster.group(2).elect(Election::LeaderGone).await;
    assert!(refused.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_machine_panics_stops_and_has_all_of_its_log_when_it_is_opened_again() {
    for panicking in [3, 1] {
        let mut cluster = Cluster::of_three().await;
        cluster.append(1, 0..10).await;
        for node in 1..=3 {
            cluster.has_applied(node, 0..10).await;
        }
        cluster.group(panicking).meddle(|machine| machine.panics_at = Some(12));
        let results = cluster.propose(1, 10..15).await;
        within(
            "the stop to show",
            cluster.group(panicking).watch().until(|now| now.role == Role::Stopped),
        )
        .await;
        assert!(cluster.group(panicking).has_panicked() && !cluster.group(panicking).has_lost());
        let all_done = results.iter().all(Result::is_ok);
        assert_eq!(all_done, panicking == 3, "{results:?}");
        cluster.stop(panicking).await;
        if panicking == 1 {
            // What the leader had in its log may be with nobody else.
            cluster.one_takes_over(&[2, 3]).await;
        }
        cluster.start(panicking).await;
        let leader = cluster.one_takes_over(&[2, 3, 1]).await;
        cluster.append(leader, [20]).await;
        let order = cluster.group(leader).machine().order.clone();
        cluster.has_applied(panicking, order).await;
    }
}
