//! Who is dialled, and again when a connection ends: peers that are known, seeds, and what a DNS name has.
//!
//! For each peer and class one task dials whenever there is no connection, trying every address
//! the peer is known by; both sides do, and [`super::links`] keeps one. A seed is dialled until it
//! is known which node it is.

use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::hello::Class;
use super::link::{DialError, Dialled, dial};
use super::peers::Backoff;
use super::shared::Shared;
use crate::logging::Said;
use crate::tasks;
use crate::types::NodeId;

/// How much longer the node that is not preferred as dialler waits before it dials.
const SECOND: Duration = Duration::from_millis(20);
/// Wait after a refusal that only people can change.
const HOPELESS: Duration = Duration::from_secs(5);

impl Shared {
    /// Sees to it that a peer is dialled whenever it is not connected.
    pub(super) fn keep(self: &Arc<Self>, id: NodeId) {
        if id == self.us {
            return;
        }
        if let Entry::Vacant(vacant) = self.kept.lock().entry(id) {
            let wanted = vacant.insert(watch::Sender::new(()));
            for class in Class::ALL {
                tasks::spawn("link dialler", keep(self.clone(), id, class, wanted.subscribe()));
            }
        }
    }

    /// Asks for a name's addresses again and again; each is a seed for as long as the name has it.
    pub(super) async fn run_dns(self: Arc<Self>, name: String, port: u16) {
        let mut seeds: FxHashMap<SocketAddr, JoinHandle<()>> = FxHashMap::default();
        let mut said = Said::default();
        loop {
            match tokio::net::lookup_host((name.as_str(), port)).await {
                Ok(addresses) => {
                    if said.is_over(&()) {
                        tracing::info!(name, "the nodes of the cluster can be looked up");
                    }
                    let found: Vec<_> = addresses.take(MOST_SEEDS).collect();
                    seeds.retain(|address, seeking| {
                        let stays = found.contains(address);
                        if !stays {
                            seeking.abort();
                        }
                        stays
                    });
                    for address in found {
                        let seek = || tasks::spawn("link seed", seek(self.clone(), address.to_string()));
                        seeds.entry(address).or_insert_with(seek);
                    }
                }
                Err(error) if said.is_news((), &error) => {
                    tracing::warn!(name, %error, "the nodes of the cluster cannot be looked up");
                }
                Err(_) => {}
            }
            let wait = match self.links.all(Class::Control).is_empty() {
                true => self.settings.timing.discovery,
                false => ASK_AGAIN,
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stopped() => return,
            }
        }
    }
}

/// Keeps a peer connected, one class of connections, until it is not `wanted` any more or this
/// node stops.
async fn keep(shared: Arc<Shared>, id: NodeId, class: Class, mut wanted: watch::Receiver<()>) {
    let dialling = keep_dialling(&shared, id, class);
    tokio::select! {
        () = dialling => {}
        // Nothing is ever sent: this ends when the sender is gone.
        _ = wanted.changed() => {}
        () = shared.stopped() => {}
    }
}

async fn keep_dialling(shared: &Arc<Shared>, id: NodeId, class: Class) {
    let (peer, _) = shared.links.peer(id);
    let mut current = peer.watch(class);
    let mut backoff = Backoff::new();
    // One class tells for all.
    let mut log = DialLog::new(class == Class::Control && current.borrow().is_none());
    let preferred = shared.us < id;
    let mut hopeless = false;
    // An error is the links dropped.
    while current.wait_for(Option::is_none).await.is_ok() {
        let mut wait = backoff.next(rand::random());
        if !preferred {
            // Mostly the other side has connected by then.
            wait += SECOND;
        }
        if hopeless {
            wait = HOPELESS;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = current.wait_for(Option::is_some) => {
                backoff = Backoff::new();
                log = DialLog::new(false);
                hopeless = false;
                continue;
            }
        }
        for (at, address) in shared.addresses(id).iter().enumerate() {
            match dial(shared, address, class).await {
                Ok(Dialled::Linked(found)) if found == id => {
                    backoff = Backoff::new();
                    log = DialLog::new(false);
                    hopeless = false;
                    break;
                }
                Ok(Dialled::Duplicate(found)) if found == id => break,
                Ok(_) => {
                    shared.moved(id, address);
                    hopeless = true;
                }
                Err(error) => {
                    // The first address is where it was last: there it would be.
                    if at == 0 && error.nobody_listens() {
                        shared.on_refused(id);
                    }
                    log.failed(address, &error);
                    hopeless = !error.may_pass();
                }
            }
        }
    }
}

/// Dials a seed until it is known which node it is, and again when that node is not connected:
/// another may have taken its address.
pub(super) async fn seek(shared: Arc<Shared>, address: String) {
    tokio::select! {
        () = keep_seeking(&shared, &address) => {}
        () = shared.stopped() => {}
    }
}

async fn keep_seeking(shared: &Arc<Shared>, address: &str) {
    let mut backoff = Backoff::new();
    let mut log = DialLog::new(true);
    loop {
        let mut hopeless = false;
        match dial(shared, address, Class::Control).await {
            Ok(Dialled::Itself) => {
                tracing::debug!(address, "a seed is this node itself");
                return;
            }
            Ok(Dialled::Linked(id) | Dialled::Duplicate(id)) => {
                shared.reached(id, address);
                let (peer, _) = shared.links.peer(id);
                let mut current = peer.watch(Class::Control);
                // An error is the peer dropped, which is a loss as well.
                let _ = current.wait_for(Option::is_none).await;
                backoff = Backoff::slow();
                log = DialLog::new(false);
            }
            Err(error) => {
                log.failed(address, &error);
                hopeless = !error.may_pass();
            }
        }
        let wait = backoff.next(rand::random());
        tokio::time::sleep(if hopeless { HOPELESS } else { wait }).await;
    }
}

/// What was logged of an address, so that it is logged once and not every second.
struct DialLog {
    said: Said,
    /// Whether it is news that a node cannot be reached. Of one that was connected it is told when
    /// it is lost.
    is_news: bool,
}

impl DialLog {
    fn new(is_news: bool) -> Self {
        let said = Said::default();
        Self { said, is_news }
    }

    fn failed(&mut self, address: &str, error: &DialError) {
        if !self.said.is_news((), format!("{address}: {error}")) {
            return;
        }
        match (error.may_pass(), self.is_news) {
            (true, true) => tracing::info!(address, %error, "a node cannot be reached"),
            (true, false) => tracing::debug!(address, %error, "a node cannot be reached"),
            (false, _) => tracing::warn!(address, %error, "a node does not connect with this one"),
        }
    }
}

/// How often a DNS name is asked for once somebody was found.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// Addresses of a DNS name that are tried.
const MOST_SEEDS: usize = 256;
