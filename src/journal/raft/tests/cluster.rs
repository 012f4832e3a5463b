//! Nodes in one process: each a store, its journals and one group, with a router between them
//! that can be cut.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tempfile::TempDir;

use super::ledger::{Ledger, record};
use crate::journal::raft::{
    Applied, Election, Group, GroupId, GroupSpec, Leadership, Ledgers, Pace, ProposeError, RaftJournals, Role,
    Transport, TransportError,
};
use crate::store::tests::sim::SimDisk;
use crate::store::{OwnerId, Owners, Recovered, Store, StoreError, StoreOptions};
use crate::types::NodeId;

/// The nodes, numbered from 1.
pub struct Cluster {
    pub router: Arc<Router>,
    nodes: Vec<Node>,
    pace: Pace,
    /// The voters that a log begins with.
    founders: Vec<NodeId>,
}

struct Node {
    dir: TempDir,
    disk: SimDisk,
    running: Option<Running>,
}

/// A node that is up.
pub struct Running {
    pub store: Store,
    pub journals: RaftJournals,
    pub group: Group<Ledger>,
}

/// Carries requests between the journals of nodes that are up.
#[derive(Default)]
pub struct Router {
    nodes: Mutex<FxHashMap<NodeId, RaftJournals>>,
    /// Links on which everything is lost.
    cut: Mutex<HashSet<(NodeId, NodeId)>>,
    /// Appends carried, with their bytes.
    pub carried: Mutex<Vec<usize>>,
    /// Held by every buffer that requests came in.
    buffers: Arc<()>,
}

/// What one read of a link gives: the request and what came with it.
struct Buffer {
    bytes: Vec<u8>,
    _held: Arc<()>,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A node's side of the router.
pub struct Port(pub Arc<Router>, pub NodeId);

/// Hands on what the store calls back.
#[derive(Default)]
pub struct Delegate(pub OnceLock<RaftJournals>);

impl Owners for Delegate {
    fn durable(&self, owner: OwnerId, up_to_seq: u64) {
        if let Some(journals) = self.0.get() {
            journals.durable(owner, up_to_seq);
        }
    }

    fn failed(&self, error: &StoreError) {
        if let Some(journals) = self.0.get() {
            journals.failed(error);
        }
    }
}

impl Transport for Port {
    fn send(
        &self,
        to: NodeId,
        group: GroupId,
        request: Bytes,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Bytes, TransportError>> {
        let (router, from) = (Arc::clone(&self.0), self.1);
        let lost = move || {
            let lost = async move {
                tokio::time::sleep(deadline).await;
                Err(TransportError::Timeout(to))
            };
            Box::pin(lost)
        };
        if router.is_cut(from, to) {
            return lost();
        }
        router.carried.lock().push(request.len());
        let Some(journals) = router.nodes.lock().get(&to).cloned() else {
            return Box::pin(std::future::ready(Err(TransportError::Unreachable(to))));
        };
        let answer = journals.receive(group, router.as_read(&request));
        Box::pin(async move {
            let answer = tokio::time::timeout(deadline, answer).await;
            if router.is_cut(to, from) {
                return lost().await;
            }
            answer.map_err(|_| TransportError::Timeout(to))
        })
    }
}

impl Router {
    /// The request as a slice of the buffer it was read into.
    fn as_read(&self, request: &[u8]) -> Bytes {
        const BEFORE: usize = 100;
        let mut bytes = vec![0; BEFORE];
        bytes.extend_from_slice(request);
        bytes.extend_from_slice(&[0; 100]);
        let buffer = Buffer {
            bytes,
            _held: Arc::clone(&self.buffers),
        };
        Bytes::from_owner(buffer).slice(BEFORE..BEFORE + request.len())
    }

    /// Buffers that somebody still has a part of.
    pub fn buffers(&self) -> usize {
        Arc::strong_count(&self.buffers) - 1
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut.lock().contains(&(from, to))
    }

    /// Cuts a node off from these others, both ways.
    pub fn cut(&self, node: u64, others: &[u64]) {
        let mut cut = self.cut.lock();
        for other in others {
            cut.insert((NodeId(node), NodeId(*other)));
            cut.insert((NodeId(*other), NodeId(node)));
        }
    }

    pub fn heal(&self) {
        self.cut.lock().clear();
    }

    pub fn join(&self, node: NodeId, journals: RaftJournals) {
        self.nodes.lock().insert(node, journals);
    }
}

impl Cluster {
    /// So many nodes, all up, with an empty group.
    pub async fn empty(nodes: u64, pace: Pace) -> Self {
        Self::begun_by(nodes, pace, Vec::new()).await
    }

    /// The same, with logs that begin with these voters.
    pub async fn begun_by(nodes: u64, pace: Pace, founders: Vec<NodeId>) -> Self {
        log_to_stderr();
        let mut cluster = Self {
            router: Arc::default(),
            nodes: Vec::new(),
            pace,
            founders,
        };
        for number in 1..=nodes {
            cluster.nodes.push(Node {
                dir: tempfile::tempdir().expect("a directory"),
                disk: SimDisk::default(),
                running: None,
            });
            cluster.start(number).await;
        }
        cluster
    }

    /// Three nodes whose group node 1 has founded and leads.
    pub async fn of_three() -> Self {
        let cluster = Self::empty(3, Pace::Quiet).await;
        cluster.group(1).found([1, 2, 3].map(NodeId)).await.expect("founded");
        cluster.led_by(1).await;
        cluster
    }

    pub fn node(&self, number: u64) -> &Running {
        self.nodes[number as usize - 1].running.as_ref().expect("it is up")
    }

    pub fn group(&self, number: u64) -> &Group<Ledger> {
        &self.node(number).group
    }

    pub fn disk(&self, number: u64) -> &SimDisk {
        &self.nodes[number as usize - 1].disk
    }

    /// Starts a node with what its disk holds.
    pub async fn start(&mut self, number: u64) {
        let id = NodeId(number);
        let node = &mut self.nodes[number as usize - 1];
        let (store, mut recovered) = open_store(node.dir.path(), &node.disk);
        let ledgers = Ledgers {
            log: recovered.owners.remove(&LOG),
            snapshots: recovered.owners.remove(&SNAPSHOTS),
            archiving: None,
            founders: self.founders.clone(),
        };
        let port = Port(Arc::clone(&self.router), id);
        let journals = RaftJournals::new(id, store.clone(), Arc::new(port));
        let delegate = Delegate::default();
        assert!(delegate.0.set(journals.clone()).is_ok());
        store.start(Arc::new(delegate));
        let spec = GroupSpec {
            id: GROUP,
            log: LOG,
            snapshots: SNAPSHOTS,
            pace: self.pace,
            is_shut: false,
        };
        let group = journals
            .open(spec, ledgers, Ledger::default())
            .await
            .expect("a whole group");
        self.router.join(id, journals.clone());
        node.running = Some(Running { store, journals, group });
    }

    /// The node's machine stops at this moment: what was not synced is partly there, partly not.
    pub async fn crash(&mut self, number: u64, seed: u64) {
        self.router.nodes.lock().remove(&NodeId(number));
        let node = &mut self.nodes[number as usize - 1];
        // Nothing is written from now on, and then what was not synced is lost.
        node.disk.fail_after(0);
        let running = node.running.take().expect("it is up");
        running.end().await;
        self.nodes[number as usize - 1].disk.crash(seed);
    }

    /// The node stops in order.
    pub async fn stop(&mut self, number: u64) {
        self.router.nodes.lock().remove(&NodeId(number));
        let running = self.nodes[number as usize - 1].running.take().expect("it is up");
        running.end().await;
    }

    /// Waits until all nodes that are up know that this one leads, with everything applied there.
    pub async fn led_by(&self, number: u64) {
        within("a leader", async {
            let mut watch = self.group(number).watch();
            assert!(watch.until(|now| now.role == Role::Leader).await);
            self.group(number).barrier().await.expect("a majority");
            let status = self.group(number).status();
            for node in status.voters.union(&status.learners) {
                let is_so = |now: &Leadership| now.leader == Some(NodeId(number));
                if let Some(node) = &self.nodes[node.0 as usize - 1].running
                    && self.router.cut.lock().is_empty()
                {
                    assert!(node.group.watch().until(is_so).await);
                }
            }
        })
        .await;
    }

    /// Lets a node take over, and waits until it leads.
    pub async fn take_over(&self, number: u64) {
        assert_eq!(self.one_takes_over(&[number]).await, number);
    }

    /// Lets these nodes try to take over, one after the other, until one leads: a log may be too
    /// old, and a node that has just started may refuse its vote for a moment. Only the first one
    /// insists, or they would outbid each other's terms for ever.
    pub async fn one_takes_over(&self, nodes: &[u64]) -> u64 {
        let election = async {
            let whys = std::iter::once(Election::LeaderGone).chain(std::iter::repeat(Election::LeaderSilent));
            for (number, why) in nodes.iter().cycle().zip(whys) {
                let mut watch = self.group(*number).watch();
                self.group(*number).elect(why).await.expect("asked");
                let leads = watch.until(|now| now.role == Role::Leader);
                if tokio::time::timeout(Duration::from_millis(500), leads).await.is_ok() {
                    return *number;
                }
            }
            unreachable!("somebody was to try")
        };
        let leader = within("a new leader", election).await;
        self.led_by(leader).await;
        leader
    }

    /// Proposes these numbers in order at a node; what came of each.
    pub async fn propose(&self, at: u64, numbers: impl IntoIterator<Item = u64>) -> Vec<Result<u64, ProposeError>> {
        let waiting: Vec<_> = numbers
            .into_iter()
            .map(|number| {
                let (told, hears) = tokio::sync::oneshot::channel();
                self.group(at)
                    .submit(record(number, 100), |done: Result<Applied<usize>, _>| {
                        let _ = told.send(done.map(|applied| applied.index));
                    });
                hears
            })
            .collect();
        let mut results = Vec::new();
        for hears in waiting {
            results.push(within("proposals", hears).await.expect("always told"));
        }
        results
    }

    /// Proposes these numbers, which succeed.
    pub async fn append(&self, at: u64, numbers: impl IntoIterator<Item = u64>) {
        for result in self.propose(at, numbers).await {
            result.expect("applied");
        }
    }

    /// Waits until a node has applied exactly these, in this order.
    pub async fn has_applied(&self, at: u64, numbers: impl IntoIterator<Item = u64>) {
        let numbers: Vec<_> = numbers.into_iter().collect();
        let mut count = self.group(at).machine().watch();
        within("entries to be applied", count.wait_for(|count| *count >= numbers.len()))
            .await
            .expect("the machine lives");
        assert_eq!(self.group(at).machine().order, numbers, "on node {at}");
    }
}

impl Running {
    async fn end(self) {
        let Self { store, group, journals } = self;
        group.shutdown().await;
        drop((group, journals));
        let stopped = tokio::task::spawn_blocking(move || store.stop());
        stopped.await.expect("the store stops");
    }
}

/// Opens a store with small segments on that disk.
pub fn open_store(dir: &std::path::Path, disk: &SimDisk) -> (Store, Recovered) {
    let options = StoreOptions {
        segment_bytes: 1024 * 1024,
        window_bytes: 3 * 1024 * 1024,
        epoch_bytes: 1024 * 1024,
    };
    Store::open_on(dir, options, Arc::new(disk.clone())).expect("a store")
}

/// Shows what openraft logs, for whoever looks for the cause of a failure.
pub fn log_to_stderr() {
    let _ = tracing_subscriber::fmt().with_test_writer().try_init();
}

/// Waits, but not for ever.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(Duration::from_secs(30), future).await {
        Ok(output) => output,
        Err(_) => panic!("waited too long for {what}"),
    }
}

pub const GROUP: GroupId = GroupId(7);
pub const LOG: OwnerId = OwnerId(11);
pub const SNAPSHOTS: OwnerId = OwnerId(12);
