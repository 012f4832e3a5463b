//! Figures: `cargo test --release raft_speed -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::cluster::{Delegate, Port, Router};
use super::ledger::record;
use crate::journal::raft::{Group, GroupId, GroupSpec, Ledgers, Pace, RaftJournals, Role};
use crate::machine::{Machine, Parts, Unreadable};
use crate::store::{OwnerId, Store, StoreOptions};
use crate::types::NodeId;
use bytes::Bytes;

/// A machine that keeps nothing, so that the group is what is measured.
#[derive(Default)]
struct Count(u64);

impl Machine for Count {
    type Output = u64;

    fn check(_: &[u8]) -> Result<(), Unreadable> {
        Ok(())
    }

    fn apply(&mut self, _: u64, _: Bytes) -> Result<u64, Unreadable> {
        self.0 += 1;
        Ok(self.0)
    }

    fn snapshot(&self) -> Parts {
        Box::new(std::iter::once(Ok(Bytes::copy_from_slice(&self.0.to_le_bytes()))))
    }

    fn restore(&mut self, mut parts: Parts) -> Result<(), Unreadable> {
        let count = parts.next().ok_or_else(|| Unreadable::new("empty"))??;
        let count = count.as_ref().try_into().map_err(|_| Unreadable::new("cut short"))?;
        self.0 = u64::from_le_bytes(count);
        Ok(())
    }
}

struct Node {
    store: Store,
    journals: RaftJournals,
    _dir: tempfile::TempDir,
}

/// Three nodes on real disks.
fn nodes() -> Vec<Node> {
    let router = Arc::new(Router::default());
    let node = |number| {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory");
        let (store, _) = Store::open(dir.path(), StoreOptions::default()).expect("a store");
        let id = NodeId(number);
        let journals = RaftJournals::new(id, store.clone(), Arc::new(Port(Arc::clone(&router), id)));
        let delegate = Delegate::default();
        assert!(delegate.0.set(journals.clone()).is_ok());
        store.start(Arc::new(delegate));
        router.join(id, journals.clone());
        Node {
            store,
            journals,
            _dir: dir,
        }
    };
    (1..=3).map(node).collect()
}

/// A group of all three, led by the first.
async fn group(nodes: &[Node], id: u64) -> Vec<Group<Count>> {
    let spec = GroupSpec {
        id: GroupId(id),
        log: OwnerId(2 * id),
        snapshots: OwnerId(2 * id + 1),
        pace: Pace::Quiet,
        is_shut: false,
    };
    let opened = nodes
        .iter()
        .map(|node| node.journals.open(spec, Ledgers::default(), Count::default()));
    let members: Vec<_> = join_all(opened)
        .await
        .into_iter()
        .map(|group| group.expect("a new one"))
        .collect();
    members[0].found([1, 2, 3].map(NodeId)).await.expect("founded");
    assert!(members[0].watch().until(|now| now.role == Role::Leader).await);
    members
}

fn stop(nodes: Vec<Node>) {
    for node in nodes {
        tokio::task::block_in_place(|| node.store.stop());
    }
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("a number");
    pages * 4096
}

/// Processor time of this process so far.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<_> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: u64 = fields[11..13]
        .iter()
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

async fn entries_per_second(group: &Group<Count>, proposers: usize, time: Duration) -> (f64, f64) {
    let (begin, used) = (Instant::now(), processor());
    let proposing = (0..proposers).map(|_| {
        let group = group.clone();
        tokio::spawn(async move {
            let record = record(1, 1015);
            let mut count = 0;
            while begin.elapsed() < time {
                group.propose(record.clone()).await.expect("applied");
                count += 1;
            }
            count
        })
    });
    let counts = join_all(proposing).await;
    let count: u64 = counts.into_iter().map(|count| count.expect("no panic")).sum();
    let seconds = begin.elapsed().as_secs_f64();
    (count as f64 / seconds, (processor() - used).as_secs_f64() / seconds)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures"]
async fn raft_speed_of_one_group() {
    let nodes = nodes();
    let members = group(&nodes, 1).await;
    for proposers in [64, 1000, 10_000] {
        let before = members[0].status().last_index;
        let (rate, cores) = entries_per_second(&members[0], proposers, Duration::from_secs(5)).await;
        let entries = members[0].status().last_index.unwrap_or(0) - before.unwrap_or(0);
        println!("{proposers} proposers, 1 KiB: {rate:.0} records/s, {entries} entries, {cores:.2} cores");
        for member in &members {
            member.snapshot().await.expect("asked");
        }
    }
    let mut times = Vec::new();
    for _ in 0..5000 {
        let begin = Instant::now();
        members[0].propose(record(1, 1015)).await.expect("applied");
        times.push(begin.elapsed());
    }
    times.sort();
    println!("one at a time: p50 {:?}, p99 {:?}", times[2500], times[4950]);
    for member in &members {
        member.shutdown().await;
    }
    stop(nodes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures"]
async fn raft_speed_of_idle_groups() {
    let nodes = nodes();
    let mut groups = vec![group(&nodes, 1).await];
    let before = resident();
    let begin = Instant::now();
    for id in 2..=1001 {
        groups.push(group(&nodes, id).await);
    }
    println!("1,000 groups of three founded in {:?}", begin.elapsed());
    for members in &groups {
        members[0].propose(record(1, 1015)).await.expect("applied");
    }
    println!("resident: {} KiB a replica", (resident() - before) / 3000 / 1024);
    let used = processor();
    tokio::time::sleep(Duration::from_secs(5)).await;
    println!("processor while idle for 5 s: {:?}", processor() - used);
    let begin = Instant::now();
    for members in &groups {
        members[0].propose(record(1, 1015)).await.expect("applied");
    }
    println!(
        "1,000 first proposals after that, one after the other: {:?}",
        begin.elapsed()
    );
    for member in groups.iter().flatten() {
        member.shutdown().await;
    }
    stop(nodes);
}
