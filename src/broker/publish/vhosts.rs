//! Virtual hosts: each its own router and queues; all of them together, with what it takes to publish.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{RwLock, RwLockReadGuard};
use rustc_hash::FxHashMap;

use super::delayed::Delayer;
use super::reply_to::ReplyTo;
use crate::broker::nodes::Nodes;
use crate::broker::observers::Observers;
use crate::broker::queue::clients::Connections;
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::queues::Queues;
use crate::config::Config;
use crate::exchange;
use crate::metadata::Catalogue;
use crate::router::Router;
use crate::statistics::{Scope, Stats};
use crate::store::Store;
use crate::types::{ExchangeName, QueueName, Timestamp, VhostName};

/// The live virtual hosts, and what it takes to publish in them.
pub struct Vhosts {
    pub(super) config: Arc<Config>,
    /// The name of this node.
    pub(super) node: String,
    pub(super) store: Store,
    pub(super) nodes: Arc<Nodes>,
    pub(super) queues: Arc<Queues>,
    pub(super) observers: Arc<Observers>,
    pub(super) connections: Arc<Connections>,
    catalogue: Arc<RwLock<Catalogue>>,
    /// Copy of the catalogue's count of changed rights, for caches.
    rights: AtomicU64,
    by_name: RwLock<FxHashMap<VhostName, Arc<Vhost>>>,
    pub(in crate::broker) delayed: Delayer,
    pub(in crate::broker) reply_to: ReplyTo,
}

impl Vhosts {
    /// None yet.
    pub(in crate::broker) fn new(
        config: Arc<Config>,
        store: Store,
        nodes: Arc<Nodes>,
        catalogue: Arc<RwLock<Catalogue>>,
        connections: Arc<Connections>,
        observers: Arc<Observers>,
        queues: Arc<Queues>,
    ) -> Self {
        Self {
            node: config.node.name.clone(),
            config,
            store,
            nodes,
            queues,
            observers,
            connections,
            catalogue,
            rights: AtomicU64::new(0),
            by_name: RwLock::default(),
            delayed: Delayer::default(),
            reply_to: ReplyTo::default(),
        }
    }

    /// The live virtual host of that name.
    pub fn get(&self, name: &str) -> Option<Arc<Vhost>> {
        self.by_name.read().get(name).cloned()
    }

    /// All of them.
    pub(in crate::broker) fn all(&self) -> Vec<Arc<Vhost>> {
        self.by_name.read().values().cloned().collect()
    }

    /// A new one is live.
    pub(in crate::broker) fn insert(&self, vhost: Vhost) {
        self.by_name.write().insert(vhost.name.clone(), Arc::new(vhost));
    }

    /// One is gone, and what its exchanges held back.
    pub(in crate::broker) fn remove(&self, name: &VhostName) -> Option<Arc<Vhost>> {
        let vhost = self.by_name.write().remove(name)?;
        self.delayed.drop_vhost(&self.store, name);
        Some(vhost)
    }

    /// How often rights changed: a cached permission of an older count is dead.
    pub(super) fn rights_version(&self) -> u64 {
        self.rights.load(Ordering::Acquire)
    }

    /// Rights changed.
    pub(in crate::broker) fn set_rights_version(&self, version: u64) {
        self.rights.store(version, Ordering::Release);
    }

    /// What is declared; not to be held over an await.
    pub(super) fn catalogue(&self) -> RwLockReadGuard<'_, Catalogue> {
        self.catalogue.read()
    }

    /// The time.
    pub(super) fn now(&self) -> Timestamp {
        self.queues.now()
    }
}

/// A live virtual host.
pub struct Vhost {
    pub name: VhostName,
    /// Written under the catalogue's lock, in the order of its changes.
    pub router: RwLock<Router<QueueRef>>,
    queues: RwLock<FxHashMap<QueueName, Arc<QueueHandle>>>,
    /// What is counted in it.
    pub scope: Arc<Scope>,
    /// Of exchanges that were published to.
    exchanges: RwLock<FxHashMap<ExchangeName, Arc<Stats>>>,
    /// Counts changes of routes; a cached route of an older version is dead.
    version: AtomicU64,
}

/// A queue as the router knows it: equal when it is the same queue.
#[derive(Clone)]
pub struct QueueRef(pub Arc<QueueHandle>);

impl PartialEq for QueueRef {
    fn eq(&self, other: &Self) -> bool {
        self.0.spec.id == other.0.spec.id
    }
}
impl Eq for QueueRef {}
impl std::hash::Hash for QueueRef {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.spec.id.hash(state);
    }
}

impl exchange::Queue for QueueRef {
    fn is_here(&self) -> bool {
        self.0.is_here()
    }
}

impl Vhost {
    /// An empty vhost; its exchanges come as changes of the catalogue.
    pub fn new(name: VhostName, scope: Arc<Scope>) -> Self {
        Self {
            name,
            router: RwLock::new(Router::new()),
            queues: RwLock::default(),
            scope,
            exchanges: RwLock::default(),
            version: AtomicU64::new(1),
        }
    }

    /// The live queue of that name.
    pub fn queue(&self, name: &str) -> Option<Arc<QueueHandle>> {
        self.queues.read().get(name).cloned()
    }

    /// All live queues.
    pub fn queues(&self) -> Vec<Arc<QueueHandle>> {
        self.queues.read().values().cloned().collect()
    }

    /// What was counted of an exchange, if it was ever published to on this node.
    pub fn exchange_stats(&self, name: &str) -> Option<Arc<Stats>> {
        self.exchanges.read().get(name).cloned()
    }

    /// All that were ever published to on this node.
    pub fn counted_exchanges(&self) -> Vec<(ExchangeName, Arc<Stats>)> {
        let exchanges = self.exchanges.read();
        exchanges
            .iter()
            .map(|(name, stats)| (name.clone(), stats.clone()))
            .collect()
    }

    /// The same, for whoever publishes to it.
    pub(super) fn stats_of(&self, name: &str) -> Arc<Stats> {
        if let Some(stats) = self.exchange_stats(name) {
            return stats;
        }
        self.exchanges.write().entry(name.into()).or_default().clone()
    }

    /// The exchange is gone.
    pub fn forget_exchange(&self, name: &str) {
        self.exchanges.write().remove(name);
    }

    /// Takes a queue in.
    pub fn insert(&self, queue: Arc<QueueHandle>) {
        self.queues.write().insert(queue.spec.name.clone(), queue);
        self.changed();
    }

    /// Takes a queue out, with its routes.
    pub fn remove(&self, name: &str) -> Option<Arc<QueueHandle>> {
        let queue = self.queues.write().remove(name)?;
        self.router.write().remove_queue(&QueueRef(queue.clone()));
        self.changed();
        Some(queue)
    }

    /// The version that a route computed now belongs to. Read it before routing.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Routes changed: every cached one is dead.
    pub fn changed(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }
}
