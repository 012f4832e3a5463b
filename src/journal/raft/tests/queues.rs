//! Ledgers of queues over their groups: bodies are in the log until a snapshot has them, and stay
//! readable when the log goes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;

use super::cluster::{Delegate, GROUP, LOG, Port, Router, SNAPSHOTS, within};
use crate::journal::raft::{Election, Group, GroupSpec, Ledgers, Pace, RaftJournals, Role};
use crate::queue::META_LEN;
use crate::queue::ledger::{IN_MEMORY, Ledger, Memory, Stored};
use crate::queue::record::Records;
use crate::store::{Store, StoreOptions};
use crate::types::{Message, MessageParts, NodeId, Traits};

/// Bytes of each body.
const BODY: usize = 1024;
/// Messages proposed together.
const BATCH: u64 = 100;

/// Nodes with real stores and one queue's group.
struct Nodes {
    router: Arc<Router>,
    dirs: Vec<TempDir>,
    up: BTreeMap<u64, Node>,
}

struct Node {
    store: Store,
    journals: RaftJournals,
    group: Group<Ledger>,
}

impl Nodes {
    /// So many, led by the first.
    async fn new(count: u64) -> Self {
        let dir = |_| tempfile::tempdir().expect("a directory");
        let mut nodes = Self {
            router: Arc::default(),
            dirs: (0..count).map(dir).collect(),
            up: BTreeMap::new(),
        };
        for number in 1..=count {
            nodes.start(number).await;
        }
        let founded = nodes.group(1).found((1..=count).map(NodeId)).await;
        founded.expect("founded");
        nodes.leads(1).await;
        nodes
    }

    async fn start(&mut self, number: u64) {
        let (id, dir) = (NodeId(number), self.dirs[number as usize - 1].path());
        let options = StoreOptions {
            segment_bytes: 8 << 20,
            window_bytes: 24 << 20,
            epoch_bytes: 8 << 20,
        };
        let (store, mut recovered) = Store::open(dir, options).expect("a store");
        let ledgers = Ledgers {
            log: recovered.owners.remove(&LOG),
            snapshots: recovered.owners.remove(&SNAPSHOTS),
            ..Ledgers::default()
        };
        let journals = RaftJournals::new(id, store.clone(), Arc::new(Port(Arc::clone(&self.router), id)));
        let delegate = Delegate::default();
        assert!(delegate.0.set(journals.clone()).is_ok());
        store.start(Arc::new(delegate));
        let spec = GroupSpec {
            id: GROUP,
            log: LOG,
            snapshots: SNAPSHOTS,
            pace: Pace::Quiet,
            is_shut: false,
        };
        let memory = Arc::new(Memory::default());
        let group = journals
            .open_with(spec, ledgers, |source| Ledger::over(source, IN_MEMORY).sharing(memory))
            .await
            .expect("a whole group");
        self.router.join(id, journals.clone());
        self.up.insert(number, Node { store, journals, group });
    }

    async fn stop(&mut self, number: u64) {
        let Node { store, journals, group } = self.up.remove(&number).expect("it is up");
        group.shutdown().await;
        drop((group, journals));
        let stopped = tokio::task::spawn_blocking(move || store.stop());
        stopped.await.expect("the store stops");
    }

    fn group(&self, number: u64) -> &Group<Ledger> {
        &self.up[&number].group
    }

    async fn leads(&self, number: u64) {
        let mut watch = self.group(number).watch();
        let leads = within("a leader", watch.until(|now| now.role == Role::Leader)).await;
        assert!(leads);
        self.group(number).barrier().await.expect("a majority");
    }

    /// Appends these messages.
    async fn append(&self, at: u64, seqs: std::ops::RangeInclusive<u64>) {
        let (mut first, last) = seqs.into_inner();
        while first <= last {
            let end = (first + BATCH - 1).min(last);
            self.propose(at, |records| {
                for seq in first..=end {
                    records.append(seq, &[1; META_LEN], None, &message(seq));
                }
            })
            .await;
            first = end + 1;
        }
    }

    async fn propose(&self, at: u64, write: impl FnOnce(&mut Records)) {
        let mut records = Records::default();
        write(&mut records);
        let batch = records.take().expect("something");
        self.group(at).propose(batch).await.expect("applied");
    }

    /// Asks for a snapshot where it is worth one, and waits until the log is that small.
    async fn reclaim(&self, at: u64, log_bytes: u64) {
        let group = self.group(at);
        group.reclaim_if_worth().await.expect("asked");
        within("the log to shrink", async {
            while group.log_bytes() > log_bytes {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// These messages, read by a node that is asked now.
    async fn read(&self, at: u64, seqs: &[u64]) {
        let located = self.group(at).machine().locate(seqs);
        let read = tokio::task::spawn_blocking(move || located.read())
            .await
            .expect("no panic");
        for (seq, found) in read {
            let found = found.unwrap_or_else(|error| panic!("{seq} on node {at}: {error}"));
            assert!(found.body() == message(seq).body(), "{seq} is another");
        }
    }

    async fn has(&self, at: u64, messages: u64, next_seq: u64) {
        within("a node to catch up", async {
            loop {
                let (there, next) = {
                    let ledger = self.group(at).machine();
                    (ledger.figures().messages, ledger.next_seq())
                };
                if (there, next) == (messages, next_seq) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

/// Its body begins with its number.
fn message(seq: u64) -> Message {
    let parts = MessageParts {
        exchange: b"",
        routing_key: b"queue",
        properties: &[0, 0],
        traits: Traits::default(),
    };
    let body = format!("{seq:.<BODY$}");
    Message::new(parts, body.as_bytes(), &mut Vec::new())
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let bytes = entries.map(|entry| {
        let entry = entry.expect("readable");
        let about = entry.metadata().expect("readable");
        if about.is_dir() {
            bytes_below(&entry.path())
        } else {
            about.len()
        }
    });
    bytes.sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_stays_is_read_from_the_snapshot_when_the_log_is_gone() {
    let mut nodes = Nodes::new(1).await;
    const LAST: u64 = 50_000;
    const STAYS: u64 = 777;
    nodes.append(1, 1..=LAST).await;
    let all = nodes.group(1).log_bytes();
    assert!(
        !nodes.group(1).machine().figures().worth_reclaiming(),
        "all of it is alive"
    );
    nodes.read(1, &[1, STAYS, STAYS + 1, LAST]).await;
    for gone in [1..=STAYS - 1, STAYS + 1..=LAST] {
        nodes.propose(1, |records| gone.for_each(|seq| records.gone(seq))).await;
    }
    assert!(nodes.group(1).machine().figures().worth_reclaiming());
    let (stored, before) = {
        let ledger = nodes.group(1).machine();
        (ledger.stored(STAYS), ledger.locate(&[STAYS]))
    };
    assert!(matches!(stored, Some(Stored::At(_))), "not in memory");
    nodes.reclaim(1, 4 << 20).await;
    assert!(before.read()[0].1.is_err(), "it is elsewhere by now");
    let (live, left) = (nodes.group(1).machine().figures().live, nodes.group(1).log_bytes());
    assert!(all > LAST * BODY as u64);
    // A few of the last entries are kept for followers.
    assert!(
        left < 3 * live + 16 * BATCH * 2 * BODY as u64,
        "{left} bytes of log for {live}"
    );
    assert!(nodes.group(1).machine().figures().reclaimable < 1 << 20);
    nodes.read(1, &[STAYS]).await;
    nodes.append(1, LAST + 1..=LAST + 3).await;
    nodes.stop(1).await;
    nodes.start(1).await;
    nodes.group(1).elect(Election::LeaderSilent).await.expect("asked");
    nodes.leads(1).await;
    nodes.read(1, &[STAYS, LAST + 1, LAST + 3]).await;
    assert_eq!(nodes.group(1).machine().figures().messages, 4);
    assert_eq!(nodes.group(1).machine().next_seq(), LAST + 4);
    // The second snapshot is made of the first.
    nodes.group(1).snapshot().await.expect("asked");
    nodes.append(1, LAST + 4..=LAST + 10_000).await;
    nodes
        .propose(1, |records| {
            (LAST + 4..=LAST + 10_000).for_each(|seq| records.gone(seq));
        })
        .await;
    nodes.reclaim(1, 4 << 20).await;
    nodes.read(1, &[STAYS, LAST + 2]).await;
    nodes.stop(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_away_gets_the_bodies_with_the_snapshot() {
    let mut nodes = Nodes::new(3).await;
    nodes.stop(3).await;
    const LAST: u64 = 12_000;
    nodes.append(1, 1..=LAST).await;
    nodes
        .propose(1, |records| (1..=LAST - 2000).for_each(|seq| records.gone(seq)))
        .await;
    nodes.reclaim(1, 4 << 20).await;
    nodes.start(3).await;
    nodes.group(1).heartbeat().await.expect("asked");
    nodes.has(3, 2000, LAST + 1).await;
    let alive: Vec<_> = (LAST - 1999..=LAST).collect();
    nodes.read(3, &alive).await;
    nodes.append(1, LAST + 1..=LAST + 100).await;
    nodes.stop(3).await;
    nodes.start(3).await;
    nodes.group(1).heartbeat().await.expect("asked");
    nodes.has(3, 2100, LAST + 101).await;
    nodes.read(3, &(LAST - 1999..=LAST + 100).collect::<Vec<_>>()).await;
    for number in [1, 2, 3] {
        nodes.stop(number).await;
    }
}

/// Figures: `cargo nextest run --release queues::figures --run-ignored only --no-capture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures, and slow"]
async fn figures() {
    let mut nodes = Nodes::new(1).await;
    let megabytes = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    let before = resident();
    let began = Instant::now();
    const BACKLOG: u64 = 1_000_000;
    nodes.append(1, 1..=BACKLOG).await;
    let took = began.elapsed();
    println!(
        "a backlog of {BACKLOG}: {took:?}, {:.0} MiB of memory, {:.0} MiB of log",
        megabytes(resident() - before),
        megabytes(nodes.group(1).log_bytes())
    );
    let began = Instant::now();
    nodes.group(1).snapshot().await.expect("asked");
    while nodes.group(1).log_bytes() > 64 << 20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!(
        "a snapshot of it: {:?}, {:.0} MiB of memory",
        began.elapsed(),
        megabytes(resident() - before)
    );
    nodes
        .propose(1, |records| (1..=BACKLOG).for_each(|seq| records.gone(seq)))
        .await;
    nodes.reclaim(1, 4 << 20).await;
    let written = nodes.up[&1].store.stats().log_bytes_written;
    let began = Instant::now();
    let mut bodies = 0;
    for round in 0..400 {
        let first = BACKLOG + 1 + round * 1000;
        nodes.append(1, first..=first + 999).await;
        nodes
            .propose(1, |records| {
                (first.saturating_sub(10_000)..first - 9000).for_each(|seq| records.gone(seq));
            })
            .await;
        nodes.group(1).reclaim_if_worth().await.expect("asked");
        bodies += 1000 * BODY as u64;
    }
    let written = nodes.up[&1].store.stats().log_bytes_written - written;
    println!(
        "400000 messages through a queue of 10000: {:?}, {:.2} bytes written to the log a byte of body, {:.0} MiB on disk",
        began.elapsed(),
        written as f64 / bodies as f64,
        megabytes(bytes_below(nodes.dirs[0].path()))
    );
    let mut ledger = Ledger::new();
    let batches: Vec<Bytes> = (0..2000)
        .map(|round| {
            let mut records = Records::default();
            for seq in round * BATCH + 1..=round * BATCH + BATCH {
                records.append(seq, &[1; META_LEN], None, &message(seq));
                if round > 0 {
                    records.gone(seq - BATCH);
                }
            }
            records.take().expect("something")
        })
        .collect();
    let began = Instant::now();
    for (index, batch) in (1..).zip(batches) {
        crate::machine::Machine::apply(&mut ledger, index, batch).expect("readable");
    }
    println!("apply: {:?} a message", began.elapsed() / 200_000);
    nodes.stop(1).await;
}

/// Bytes of memory that this process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    kib.expect("a number") << 10
}
