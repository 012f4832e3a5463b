//! Virtual hosts: each its own router and queues.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use crate::broker::queue::handle::QueueHandle;
use crate::exchange;
use crate::router::Router;
use crate::statistics::{Scope, Stats};
use crate::types::{ExchangeName, QueueName, VhostName};

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
