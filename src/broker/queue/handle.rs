//! A queue as this node knows it: its machine behind a lock, and the words in which that machine speaks here.
//!
//! The words stand here because they need each other: a consumer's outbox knows the queues that its channels hold
//! messages of. How the machine is given an input is in `input.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, oneshot};

use super::at_least_once::DeadLetterClaim;
use super::capacity::Capacity;
use super::contents::Contents;
use super::joint::JointClaim;
use super::probes::Probes;
use crate::broker::delivery::outbox;
use crate::broker::timers::Timed;
use crate::cluster::line::Line;
use crate::handover::{self, CallResult, ClusteredQueue, ConsumerKey, ConsumerSpec, Handles, LocalConsumer};
use crate::journal::raft::{Group, RECORD_BYTES};
use crate::queue::record::ProducerId;
use crate::queue::{self, Rank};
use crate::spec::{Member, QueueSpec, QueueType};
use crate::statistics::{Latencies, Scope, Stats};
use crate::store::OwnerId;
use crate::types::{ExchangeName, NodeId, Timestamp};

/// A consumer of a client of this node.
pub type Consumer = outbox::Subscriber<QueueHandle>;
/// What waits to be written to one.
pub type Outbox = outbox::Outbox<QueueHandle>;

/// What the machine's words are on this node.
pub enum BrokerHandles {}

impl Handles for BrokerHandles {
    type Consumer = Arc<Consumer>;
    type Publish = ConfirmToken;
    type Settlement = JointClaim;
    type Call = Call;
    type Line = Arc<Line>;
    type Journal = Group<Contents>;

    const RECORD_BYTES: usize = RECORD_BYTES;
}

impl LocalConsumer for Arc<Consumer> {
    fn key(&self) -> ConsumerKey {
        self.key
    }

    fn spec(&self) -> ConsumerSpec<&str> {
        ConsumerSpec {
            key: self.key.0,
            tag: &self.tag,
            prefetch: self.prefetch,
            no_ack: self.no_ack,
            exclusive: self.exclusive,
            priority: self.priority,
            rank: Rank::default(),
        }
    }
}

/// A claim to a confirm.
pub enum ConfirmToken {
    Channel(ChannelClaim),
    /// Of a dead letter that its queue keeps.
    DeadLetter(DeadLetterClaim),
    /// Of something that is done when all of it is.
    Joint(JointClaim),
}

/// A publisher's claim to a confirm.
#[derive(Clone)]
pub struct ChannelClaim {
    pub outbox: Arc<Outbox>,
    pub channel: u16,
    pub incarnation: u64,
    pub seq: u64,
}

/// Somebody on this node who asked something of a queue.
pub struct Call {
    pub answer: oneshot::Sender<CallResult>,
    /// For a consumer that was asked for: it hears `consume-ok` before its first delivery.
    pub consumer: Option<Arc<Consumer>>,
}

impl Call {
    /// A call, and where its answer comes; nothing comes when it is to be asked again.
    pub fn new(consumer: Option<Arc<Consumer>>) -> (Self, oneshot::Receiver<CallResult>) {
        let (answer, answered) = oneshot::channel();
        (Self { answer, consumer }, answered)
    }
}

/// The live queue with this broker's consumers and confirms.
pub type LiveQueue = handover::LiveQueue<BrokerHandles>;

/// A queue as this node knows it: its machine, and what is known of it without the lock.
pub struct QueueHandle {
    /// As it was declared.
    pub spec: Arc<QueueSpec>,
    /// The nodes that are to have it, where it is replicated.
    pub members: RwLock<Vec<Member>>,
    pub(in crate::broker) state: Mutex<State>,
    /// Whether it may be elsewhere, which is so or not for good.
    has_session: bool,
    deleted: AtomicBool,
    /// It is a stream, and too much of what was published to it here is unanswered.
    is_crowded: AtomicBool,
    /// Some of its records are damaged, or its machine has panicked and is not made anew yet: it is not
    /// served, and nothing of it is thrown away. The machine knows too; changed under the lock.
    quarantined: AtomicBool,
    /// It is being asked who leads it.
    pub(super) is_looked_up: AtomicBool,
    /// See [`Timed`].
    scheduled: AtomicU64,
    /// The node that had the live queue last, as far as is known.
    pub(in crate::broker) last_leader: AtomicU64,
    pub(in crate::broker) changing: Changing,
    /// Something is different: bodies are there, a mark is committed, another node leads.
    pub changed: Notify,
    /// What this node's clients do with it; its lengths where it is here.
    pub stats: Stats,
    /// What of it came from which exchange, by this node's clients, where that is counted.
    pub(super) incoming: Mutex<FxHashMap<ExchangeName, Arc<Stats>>>,
    /// How long its messages wait where it is here, and how long this node's clients take and wait.
    pub latencies: Latencies,
    /// What is counted in its vhost.
    pub scope: Arc<Scope>,
}

/// What keeps changes of one queue's group apart.
#[derive(Default)]
pub(in crate::broker) struct Changing {
    pub(in crate::broker) turn: tokio::sync::Mutex<()>,
    /// The leader is at work on the group.
    pub(in crate::broker) is_reconciling: AtomicBool,
}

/// What the lock of a queue protects.
pub struct State {
    pub machine: ClusteredQueue<BrokerHandles>,
    /// This node's member of the queue's group.
    pub replica: Option<Group<Contents>>,
    pub(super) probes: Probes,
    pub(super) capacity: Capacity,
}

impl State {
    /// Which part of the time its consumers could have had more; `None` where there are none.
    pub fn capacity(&self) -> Option<f64> {
        let queue = self.machine.queue().filter(|queue| queue.consumer_count() > 0)?;
        let is_full = queue.ready() > 0;
        let known = self.capacity.at(Instant::now());
        // Where nothing has ever held consumers back it is a whole.
        Some(if is_full || known < 0.999 { known } else { 1.0 })
    }
}

impl Timed for QueueHandle {
    fn scheduled(&self) -> &AtomicU64 {
        &self.scheduled
    }

    fn is_gone(&self) -> bool {
        self.is_deleted()
    }
}

impl QueueHandle {
    /// A queue whose live queue is here.
    pub fn here(us: NodeId, spec: Arc<QueueSpec>, scope: Arc<Scope>, queue: LiveQueue, quarantined: bool) -> Self {
        let machine = ClusteredQueue::here(us, &spec, queue, quarantined);
        Self::new(spec, scope, machine, quarantined)
    }

    /// A queue that another node has, if it is known which, or that has yet to find a leader.
    pub fn elsewhere(us: NodeId, spec: Arc<QueueSpec>, scope: Arc<Scope>, node: Option<NodeId>) -> Self {
        let producer = ProducerId(rand::random());
        let machine = ClusteredQueue::elsewhere(us, &spec, node, producer);
        Self::new(spec, scope, machine, false)
    }

    fn new(spec: Arc<QueueSpec>, scope: Arc<Scope>, machine: ClusteredQueue<BrokerHandles>, quarantined: bool) -> Self {
        Self {
            members: RwLock::new(spec.members.clone()),
            has_session: machine.has_session(),
            last_leader: AtomicU64::new(spec.home.0),
            changing: Changing::default(),
            spec,
            state: Mutex::new(State {
                machine,
                replica: None,
                probes: Probes::default(),
                capacity: Capacity::new(Instant::now()),
            }),
            deleted: AtomicBool::new(false),
            is_crowded: AtomicBool::new(false),
            quarantined: AtomicBool::new(quarantined),
            is_looked_up: AtomicBool::new(false),
            scheduled: AtomicU64::new(u64::MAX),
            changed: Notify::new(),
            stats: Stats::default(),
            incoming: Mutex::default(),
            latencies: Latencies::of_queue(),
            scope,
        }
    }

    /// The nodes that have the queue: where it lives, or the members of its group.
    pub fn member_nodes(&self) -> Vec<NodeId> {
        let members = self.members.read();
        match members.is_empty() {
            true => vec![self.spec.home],
            false => members.iter().map(|member| member.node).collect(),
        }
    }

    /// The owner of this queue's entries in the store, where it lives on this node.
    pub fn owner(&self) -> OwnerId {
        OwnerId(self.spec.id.0)
    }

    /// Whether it has a Raft group.
    pub fn is_replicated(&self) -> bool {
        matches!(self.spec.queue_type, QueueType::Quorum | QueueType::Stream)
    }

    /// Whether too much of what was published to it here, a stream, is unanswered.
    pub(in crate::broker) fn set_crowded(&self, is_crowded: bool) {
        if self.is_crowded.swap(is_crowded, Ordering::AcqRel) && !is_crowded {
            self.changed.notify_waiters();
        }
    }

    /// Whether the queue was deleted; its machine refuses nothing, so callers look first.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Whether it is not served, because its records are damaged or its machine has panicked.
    pub fn is_quarantined(&self) -> bool {
        self.quarantined.load(Ordering::Acquire)
    }

    /// The machine, which is locked, has put itself aside.
    pub(super) fn note_quarantine(&self) {
        self.quarantined.store(true, Ordering::Release);
    }

    /// Serves it again, with another live queue if there is one.
    pub(in crate::broker) fn end_quarantine(&self, anew: Option<LiveQueue>) {
        let mut state = self.state.lock();
        match anew {
            Some(queue) => state.machine.replace(queue),
            None => state.machine.end_quarantine(),
        }
        self.quarantined.store(false, Ordering::Release);
    }

    /// Marks it deleted.
    pub fn mark_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    /// The queue was used, as declaring it again does: its `x-expires` begins anew.
    pub fn touch(&self, now: Timestamp) {
        self.state.lock().machine.touch(now);
    }

    /// When the queue wants a tick. Nothing expires in one that is not served.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadline_of(&self.state.lock())
    }

    pub(super) fn deadline_of(&self, state: &State) -> Option<Timestamp> {
        state.machine.deadline().filter(|_| !self.is_deleted())
    }

    /// Reads the live queue, when it is here.
    pub fn read<R>(&self, f: impl FnOnce(&LiveQueue) -> R) -> Option<R> {
        self.state.lock().machine.queue().map(f)
    }

    /// Whether it is served here.
    pub fn is_here(&self) -> bool {
        !self.is_quarantined() && self.state.lock().machine.is_here()
    }

    /// The node that has the machine, or had it last, as far as this node knows.
    pub fn leader(&self) -> NodeId {
        let state = self.state.lock();
        let raft = || state.replica.as_ref().and_then(|group| group.leadership().leader);
        let now = state.machine.leader().or_else(raft);
        if let Some(now) = now {
            self.last_leader.store(now.0, Ordering::Relaxed);
        }
        now.unwrap_or_else(|| NodeId(self.last_leader.load(Ordering::Relaxed)))
    }

    /// The queue's numbers where it is here, else none at all.
    pub fn counts(&self) -> queue::Counts {
        self.counts_here().unwrap_or_default()
    }

    /// The queue's numbers where it is here; a stream's where it is led from here.
    pub fn counts_here(&self) -> Option<queue::Counts> {
        if self.spec.queue_type != QueueType::Stream {
            return self.read(|queue| queue.counts());
        }
        let group = self.state.lock().replica.clone().filter(Group::is_leader)?;
        let bounds = group.machine().log()?.bounds();
        Some(queue::Counts {
            ready: bounds.next - bounds.first,
            ready_bytes: bounds.bytes,
            persistent: bounds.next - bounds.first,
            persistent_bytes: bounds.bytes,
            segments: bounds.segments as u64,
            first_offset: bounds.first,
            ..queue::Counts::default()
        })
    }

    /// Whether too much of what was published to it is unanswered. Asked with every read of a
    /// publisher: a queue that is only here is not locked for it.
    pub fn is_behind(&self) -> bool {
        self.is_crowded.load(Ordering::Acquire) || self.has_session && self.state.lock().machine.is_behind()
    }

    /// Waits while it is behind.
    pub async fn caught_up(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.is_behind() || self.is_deleted() {
                return;
            }
            changed.await;
        }
    }
}
