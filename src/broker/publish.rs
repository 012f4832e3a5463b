//! Publishing: a message to its queues, in batches.
//!
//! One [`Publisher`] per connection. A publish is routed at once (through a cache) and put into
//! the batch of each of its queues; [`Publisher::flush`] hands every queue its batch under one
//! lock. The order per queue is the order of publishing. Nothing is locked while routing but the
//! router itself, and that only on a cache miss.

use std::sync::Arc;

use hashbrown::HashTable;
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::hash::BuildHasher;

use super::Broker;
use super::outbox::Outbox;
use super::runner::{ConfirmToken, QueueHandle};
use super::vhosts::Vhost;
use crate::queue::Publish;
use crate::types::{Message, QueueId};

/// Messages gathered before the queues get them, whatever else waits.
const BATCH_MESSAGES: usize = 4096;
/// Bytes gathered before the queues get them.
const BATCH_BYTES: usize = 1024 * 1024;
/// Routes remembered by one connection.
const ROUTES: usize = 1024;

/// Where messages of one exchange and routing key go.
#[derive(Clone)]
pub struct Route {
    pub queues: Arc<[Arc<QueueHandle>]>,
}

/// A channel that is in confirm mode, as a publish names it.
#[derive(Clone, Copy)]
pub struct Confirming {
    pub channel: u16,
    pub incarnation: u64,
    pub seq: u64,
}

/// The publishing side of one connection.
pub struct Publisher {
    outbox: Arc<Outbox>,
    routes: RouteCache,
    groups: Vec<Group>,
    group_of: FxHashMap<QueueId, usize>,
    /// Queues each confirm of this batch waits for, in the order of publishing.
    expected: Vec<(Confirming, u32)>,
    messages: usize,
    bytes: usize,
}

struct Group {
    queue: Arc<QueueHandle>,
    batch: Vec<Publish<ConfirmToken>>,
}

struct RouteCache {
    table: HashTable<CachedRoute>,
    version: (u64, u64),
}

struct CachedRoute {
    exchange_len: usize,
    /// Exchange and routing key, one behind the other.
    key: Box<[u8]>,
    route: Route,
}

impl Publisher {
    /// For a connection that has published nothing yet.
    pub fn new(outbox: Arc<Outbox>) -> Self {
        Self {
            outbox,
            routes: RouteCache { table: HashTable::new(), version: (0, 0) },
            groups: Vec::new(),
            group_of: FxHashMap::default(),
            expected: Vec::new(),
            messages: 0,
            bytes: 0,
        }
    }

    /// A route found before, if nothing changed since: neither routes nor rights.
    pub fn cached(&mut self, vhost: &Vhost, rights: u64, exchange: &[u8], key: &[u8]) -> Option<&Route> {
        let version = (vhost.version(), rights);
        if self.routes.version != version {
            self.routes.table.clear();
            self.routes.version = version;
            return None;
        }
        self.routes.get(exchange, key)
    }

    /// Remembers a route that depends on exchange and key alone. `version` is what
    /// [`Vhost::version`] said before routing.
    pub fn remember(&mut self, version: (u64, u64), exchange: &[u8], key: &[u8], route: Route) {
        if self.routes.version == version {
            self.routes.insert(exchange, key, route);
        }
    }

    /// Puts a message into the batches of its queues.
    pub fn enqueue(&mut self, queues: &[Arc<QueueHandle>], message: Message, confirming: Option<Confirming>) {
        self.messages += queues.len();
        self.bytes += message.memory();
        if let Some(confirming) = confirming {
            self.expected.push((confirming, queues.len() as u32));
        }
        let Some((last, others)) = queues.split_last() else { return };
        for queue in others {
            self.push(queue, message.clone(), confirming);
        }
        self.push(last, message, confirming);
    }

    /// Whether the batch should be flushed now.
    pub fn is_full(&self) -> bool {
        self.messages >= BATCH_MESSAGES || self.bytes >= BATCH_BYTES
    }

    /// Hands the queues their messages. Confirms that wait for nothing are sent.
    pub fn flush(&mut self, broker: &Broker) {
        if !self.expected.is_empty() {
            let mut out = self.outbox.lock();
            for (confirming, queues) in self.expected.drain(..) {
                let Some(channel) = out.channel_as(confirming.channel, confirming.incarnation) else { continue };
                if let Some(confirms) = &mut channel.confirms {
                    let seq = confirms.publish(queues);
                    debug_assert_eq!(seq, confirming.seq);
                    out.confirms_changed(confirming.channel);
                }
            }
            out.finish();
        }
        for group in &mut self.groups {
            if !group.batch.is_empty() {
                let batch = group.batch.drain(..);
                group.queue.with(broker, |machine, now, sink| machine.publish(now, batch, sink));
            }
        }
        if self.groups.len() > KEPT_GROUPS {
            self.groups.clear();
            self.group_of.clear();
        }
        self.messages = 0;
        self.bytes = 0;
    }

    fn push(&mut self, queue: &Arc<QueueHandle>, message: Message, confirming: Option<Confirming>) {
        let publish = confirming.map(|confirming| ConfirmToken {
            outbox: self.outbox.clone(),
            channel: confirming.channel,
            incarnation: confirming.incarnation,
            seq: confirming.seq,
        });
        let at = match self.groups.last() {
            Some(group) if Arc::ptr_eq(&group.queue, queue) => self.groups.len() - 1,
            _ => *self.group_of.entry(queue.spec.id).or_insert_with(|| {
                self.groups.push(Group { queue: queue.clone(), batch: Vec::new() });
                self.groups.len() - 1
            }),
        };
        self.groups[at].batch.push(Publish { message, publish });
    }
}

/// Groups kept (with their buffers) from one batch to the next.
const KEPT_GROUPS: usize = 64;

impl RouteCache {
    fn hash(exchange: &[u8], key: &[u8]) -> u64 {
        FxBuildHasher.hash_one((exchange, key))
    }

    fn get(&self, exchange: &[u8], key: &[u8]) -> Option<&Route> {
        let found = self.table.find(Self::hash(exchange, key), |cached| {
            cached.exchange_len == exchange.len()
                && cached.key.len() == exchange.len() + key.len()
                && &cached.key[..exchange.len()] == exchange
                && &cached.key[exchange.len()..] == key
        });
        found.map(|cached| &cached.route)
    }

    fn insert(&mut self, exchange: &[u8], key: &[u8], route: Route) {
        // A publisher with ever new keys starts over rather than growing without bound.
        if self.table.len() >= ROUTES {
            self.table.clear();
        }
        let cached = CachedRoute { exchange_len: exchange.len(), key: [exchange, key].concat().into(), route };
        self.table.insert_unique(Self::hash(exchange, key), cached, |other| {
            let (exchange, key) = other.key.split_at(other.exchange_len);
            Self::hash(exchange, key)
        });
    }
}
