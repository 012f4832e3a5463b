//! Routes that a connection has found before, by exchange and routing key.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use crate::broker::queue::handle::QueueHandle;
use crate::statistics::{Scope, Stats};
use crate::types::ExchangeName;

/// Routes remembered by one connection.
const ROUTES: usize = 1024;

/// The queues that messages of one exchange and routing key go to. Each connection makes its own.
#[derive(Clone)]
pub struct Route(pub(super) Arc<Found>);

/// What a [`Route`] has found.
pub(super) struct Found {
    pub(super) queues: Box<[Arc<QueueHandle>]>,
    /// What is counted of the exchange, and in its vhost.
    pub(super) name: ExchangeName,
    pub(super) exchange: Arc<Stats>,
    /// Also by its queues.
    pub(super) is_detailed: bool,
    pub(super) scope: Arc<Scope>,
}

/// Routes that one connection has found before.
pub(super) struct RouteCache {
    table: HashTable<CachedRoute>,
    version: (u64, u64, u64),
}

struct CachedRoute {
    exchange_len: usize,
    /// Exchange and routing key, one behind the other.
    key: Box<[u8]>,
    route: Route,
}

impl RouteCache {
    /// None yet.
    pub(super) fn new() -> Self {
        Self {
            table: HashTable::new(),
            version: (0, 0, 0),
        }
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.table = HashTable::new();
    }

    fn hash(exchange: &[u8], key: &[u8]) -> u64 {
        FxBuildHasher.hash_one((exchange, key))
    }

    /// A route found before, if nothing changed since: neither routes nor rights.
    pub(super) fn get(&mut self, version: (u64, u64, u64), exchange: &[u8], key: &[u8]) -> Option<Route> {
        if self.version != version {
            self.table.clear();
            self.version = version;
            return None;
        }
        let found = self.table.find(Self::hash(exchange, key), |cached| {
            cached.exchange_len == exchange.len()
                && cached.key.len() == exchange.len() + key.len()
                && &cached.key[..exchange.len()] == exchange
                && &cached.key[exchange.len()..] == key
        });
        found.map(|cached| cached.route.clone())
    }

    /// Remembers a route that depends on exchange and key alone, found under `version`.
    pub(super) fn insert(&mut self, version: (u64, u64, u64), exchange: &[u8], key: &[u8], route: Route) {
        if self.version != version {
            return;
        }
        // A publisher with ever new keys starts over rather than growing without bound.
        if self.table.len() >= ROUTES {
            self.table.clear();
        }
        let cached = CachedRoute {
            exchange_len: exchange.len(),
            key: [exchange, key].concat().into(),
            route,
        };
        self.table.insert_unique(Self::hash(exchange, key), cached, |other| {
            let (exchange, key) = other.key.split_at(other.exchange_len);
            Self::hash(exchange, key)
        });
    }
}
