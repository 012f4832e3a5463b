//! All queues as this node knows them, and what they need of the node: its store, its clock, the lines to
//! other nodes.
//!
//! What queues cannot do by themselves, because it is the business of rooms above this one, they ask
//! through [`Above`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use rand::random;
use rustc_hash::FxHashMap;
use tokio::task::JoinHandle;

use super::at_least_once::DeadLetterOutcomes;
use super::contents::Contents;
use super::counting::DeletedQueues;
use super::deaths::Deaths;
use super::deferred::{DeadLetter, Work};
use super::handle::QueueHandle;
use super::leader_lookups::LeaderLookups;
use super::peers::Peers;
use super::stream::Streams;
use crate::broker::clock::Clock;
use crate::broker::nodes::Nodes;
use crate::broker::observers::Observers;
use crate::broker::timers::Timers;
use crate::config::Config;
use crate::handover::ConsumerKey;
use crate::journal::raft::Group;
use crate::metadata::Catalogue;
use crate::store::{Store, StoreError};
use crate::types::{NodeId, QueueId, Timestamp};

/// What queues ask of the rooms above them. None of it is asked for a message by itself.
pub trait Above: Send + Sync {
    /// Publishes dead letters of a queue; what other queues decide then is noted as work.
    fn dead_letter(self: Arc<Self>, queue: &Arc<QueueHandle>, dead_letters: Vec<DeadLetter>, work: &mut Work);
    /// Has the queue, which is marked as deleted, deleted everywhere; it is when the task ends.
    fn delete(self: Arc<Self>, queue: &Arc<QueueHandle>) -> JoinHandle<()>;
    /// Has this node's member of the queue's group looked at again.
    fn look_again(&self, queue: QueueId);
    /// This node's member of the queue's group cannot read what it has.
    fn member_fails(self: Arc<Self>, queue: &Arc<QueueHandle>, group: &Group<Contents>);
}

/// See the head of this file.
pub struct Queues {
    pub(super) config: Arc<Config>,
    pub(super) clock: Clock,
    pub(super) store: Store,
    pub(super) nodes: Arc<Nodes>,
    catalogue: Arc<RwLock<Catalogue>>,
    pub(super) observers: Arc<Observers>,
    pub(super) by_id: RwLock<FxHashMap<QueueId, Arc<QueueHandle>>>,
    pub(super) timers: Timers<QueueHandle>,
    pub(in crate::broker) peers: Peers,
    pub(super) leader_lookups: LeaderLookups,
    pub(in crate::broker) streams: Streams,
    pub(in crate::broker) dead_letter_outcomes: Arc<DeadLetterOutcomes>,
    pub(in crate::broker) deaths: Deaths,
    /// What was counted of those that are deleted.
    pub(in crate::broker) deleted: Mutex<DeletedQueues>,
    /// Those in which something has moved, for the sampler.
    pub(super) moving: Mutex<Vec<Arc<QueueHandle>>>,
    pub(super) runtime: tokio::runtime::Handle,
    next_consumer: AtomicU64,
    above: OnceLock<Weak<dyn Above>>,
}

impl Queues {
    /// None yet.
    pub(in crate::broker) fn new(
        config: Arc<Config>,
        clock: Clock,
        store: Store,
        nodes: Arc<Nodes>,
        catalogue: Arc<RwLock<Catalogue>>,
        observers: Arc<Observers>,
    ) -> Self {
        Self {
            config,
            clock,
            store,
            nodes,
            catalogue,
            observers,
            by_id: RwLock::default(),
            timers: Timers::default(),
            peers: Peers::default(),
            leader_lookups: LeaderLookups::default(),
            streams: Streams::default(),
            dead_letter_outcomes: Arc::default(),
            deaths: Deaths::default(),
            deleted: Mutex::default(),
            moving: Mutex::default(),
            runtime: tokio::runtime::Handle::current(),
            // Unique in the cluster.
            next_consumer: AtomicU64::new((u64::from(random::<u32>()) << 32) | 1),
            above: OnceLock::new(),
        }
    }

    /// Who is asked from now on.
    pub(in crate::broker) fn stand_below(&self, above: Weak<dyn Above>) {
        // It is said once, when the node starts.
        let _ = self.above.set(above);
    }

    /// The rooms above; none while the node starts or ends.
    pub(super) fn above(&self) -> Option<Arc<dyn Above>> {
        self.above.get()?.upgrade()
    }

    /// The queue of that id.
    pub(in crate::broker) fn by_id(&self, id: QueueId) -> Option<Arc<QueueHandle>> {
        self.by_id.read().get(&id).cloned()
    }

    /// Those that are streams, by their own words.
    pub fn streams(&self) -> &Streams {
        &self.streams
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<QueueHandle>> {
        self.by_id.read().values().cloned().collect()
    }

    /// A queue is known from now on.
    pub(in crate::broker) fn insert(&self, queue: &Arc<QueueHandle>) {
        self.by_id.write().insert(queue.spec.id, queue.clone());
        if let Some(deadline) = queue.deadline() {
            self.timers.schedule(queue, deadline);
        }
    }

    /// A number for a consumer of this node.
    pub fn next_consumer(&self) -> ConsumerKey {
        ConsumerKey(self.next_consumer.fetch_add(1, Ordering::Relaxed))
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// This node.
    pub fn us(&self) -> NodeId {
        self.nodes.us()
    }

    /// What is declared; not to be held over an await.
    pub(super) fn catalogue(&self) -> RwLockReadGuard<'_, Catalogue> {
        self.catalogue.read()
    }

    /// Where what blocks is run.
    pub(in crate::broker) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }

    /// Waits until everything that was handed to the store so far survives a crash.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn synced(&self) -> Result<(), StoreError> {
        self.store.synced(self.store.end()).await
    }

    /// Ticks queues whose deadline is due, until the task is dropped.
    pub(in crate::broker) async fn run_timers(self: &Arc<Self>) {
        let fire = |queue: Arc<QueueHandle>| self.tick(&queue);
        self.timers.run(|| self.now(), fire).await;
    }

    /// Has all that serve write down what survives a stop.
    pub(in crate::broker) fn stop(self: &Arc<Self>) {
        for queue in self.all().iter().filter(|queue| !queue.is_quarantined()) {
            queue.with(self, |machine, _, sink| machine.stop(sink));
        }
    }
}
