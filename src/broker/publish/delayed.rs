//! Messages that `x-delayed-message` exchanges hold back, on disk until they are due.
//!
//! Each exchange has a [`Delays`] machine and is an owner in the store, with an id made from its
//! names: it has no number of its own. What happens to the messages is in `detour.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

use crate::broker::queue::claims::{ConfirmToken, answer};
use crate::broker::queue::recovery::entries;
use crate::broker::timers::{Timed, Timers};
use crate::channel::ConfirmOutcome;
use crate::queue::delay::{DelaySink, Delays};
use crate::queue::{self, META_LEN};
use crate::store::{Keep, Loc, OwnerId, OwnerLedger, Store};
use crate::types::{ExchangeName, Message, VhostName};

/// All exchanges that hold messages back.
#[derive(Default)]
pub struct Delayer {
    held: Mutex<FxHashMap<OwnerId, Arc<Held>>>,
    /// Numbers that were used under an owner that is not there: they are not used again.
    next_seqs: Mutex<FxHashMap<OwnerId, u64>>,
    pub(in crate::broker) timers: Timers<Held>,
}

/// The messages of one exchange.
pub struct Held {
    pub(super) owner: OwnerId,
    pub(super) vhost: VhostName,
    pub(super) exchange: ExchangeName,
    pub(super) delays: Mutex<Delays<ConfirmToken>>,
    /// The exchange is gone; written under the lock of `delays`.
    pub(super) dropped: AtomicBool,
    /// The machine has panicked and is made anew; written under the lock of `delays`.
    pub(super) is_broken: AtomicBool,
    /// How often it has.
    pub(super) panics: AtomicU32,
    /// See [`Timed`].
    pub(super) scheduled: AtomicU64,
}

/// Marks the owners that are exchanges; queues are numbered from below.
const EXCHANGE_OWNER: u64 = 1 << 63;

/// The owner of an exchange's messages. It is on disk, so it is the same in every version, and
/// nobody can find two exchanges that share one.
pub fn owner_of(vhost: &str, exchange: &str) -> OwnerId {
    let mut hasher = Sha256::new();
    hasher.update((vhost.len() as u64).to_le_bytes());
    hasher.update(vhost);
    hasher.update(exchange);
    let mut id = [0; 8];
    id.copy_from_slice(&hasher.finalize()[..8]);
    OwnerId(u64::from_le_bytes(id) | EXCHANGE_OWNER)
}

/// Whether the owner is an exchange.
pub fn is_exchange(owner: OwnerId) -> bool {
    owner.0 & EXCHANGE_OWNER != 0
}

impl Delayer {
    /// What the exchange of an owner holds back, if it is there.
    pub(super) fn held(&self, owner: OwnerId) -> Option<Arc<Held>> {
        self.held.lock().get(&owner).cloned()
    }

    /// Messages of an exchange that survived; `None` for an owner without one.
    pub fn recover(&self, exchange: Option<(&VhostName, &ExchangeName)>, owner: OwnerId, ledger: OwnerLedger) {
        let Some((vhost, exchange)) = exchange else {
            self.next_seqs.lock().insert(owner, ledger.next_seq);
            return;
        };
        if ledger.damaged {
            tracing::error!(%exchange, %vhost, "records of delayed messages are damaged: some are lost");
        }
        let next_seq = ledger.next_seq;
        let delays = Delays::recover(entries(ledger.entries), next_seq);
        let held = Arc::new(Held::new(owner, vhost.clone(), exchange.clone(), delays));
        if let Some(deadline) = held.delays.lock().deadline() {
            self.timers.schedule(&held, deadline);
        }
        self.held.lock().insert(owner, held);
    }

    /// How many messages each exchange holds back on this node.
    pub(super) fn counts(&self) -> Vec<(VhostName, ExchangeName, u64)> {
        let all: Vec<Arc<Held>> = self.held.lock().values().cloned().collect();
        let count = |held: Arc<Held>| {
            let waiting = held.delays.lock().waiting() as u64;
            (held.vhost.clone(), held.exchange.clone(), waiting)
        };
        all.into_iter().map(count).collect()
    }

    /// The exchange is gone, and what it held.
    pub fn drop_exchange(&self, store: &Store, vhost: &str, exchange: &str) {
        let owner = owner_of(vhost, exchange);
        if let Some(held) = self.held.lock().remove(&owner) {
            self.drop_held(store, &held);
        }
    }

    /// The vhost is gone, and what its exchanges held.
    pub(super) fn drop_vhost(&self, store: &Store, vhost: &VhostName) {
        let gone: Vec<_> = self.held.lock().extract_if(|_, held| held.vhost == *vhost).collect();
        for (_, held) in gone {
            self.drop_held(store, &held);
        }
    }

    fn drop_held(&self, store: &Store, held: &Held) {
        let next_seq = {
            let mut delays = held.delays.lock();
            held.dropped.store(true, Ordering::Release);
            delays.end(&mut Decided::new(store, held.owner));
            delays.next_seq()
        };
        self.next_seqs.lock().insert(held.owner, next_seq);
        store.batch(held.owner).remove(&[(0, u64::MAX)]);
    }

    pub(super) fn held_by(&self, vhost: &VhostName, exchange: &ExchangeName) -> Arc<Held> {
        let owner = owner_of(vhost, exchange);
        let mut held = self.held.lock();
        let held = held.entry(owner).or_insert_with(|| {
            let next_seq = self.next_seqs.lock().remove(&owner).unwrap_or(1);
            let delays = Delays::recover(Vec::new(), next_seq);
            Arc::new(Held::new(owner, vhost.clone(), exchange.clone(), delays))
        });
        held.clone()
    }
}

impl Timed for Held {
    fn scheduled(&self) -> &AtomicU64 {
        &self.scheduled
    }

    fn is_gone(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }
}

impl Held {
    fn new(owner: OwnerId, vhost: VhostName, exchange: ExchangeName, delays: Delays<ConfirmToken>) -> Self {
        Self {
            owner,
            vhost,
            exchange,
            delays: Mutex::new(delays),
            dropped: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            panics: AtomicU32::new(0),
            scheduled: AtomicU64::new(u64::MAX),
        }
    }
}

/// Takes what the machine decided.
pub(super) struct Decided<'a> {
    store: &'a Store,
    owner: OwnerId,
    pub(super) due: Vec<(u64, Message)>,
    pub(super) fetch: Vec<Vec<(u64, Loc)>>,
}

impl<'a> Decided<'a> {
    pub(super) fn new(store: &'a Store, owner: OwnerId) -> Self {
        Self {
            store,
            owner,
            due: Vec::new(),
            fetch: Vec::new(),
        }
    }
}

impl DelaySink for Decided<'_> {
    type Publish = ConfirmToken;

    fn store(&mut self, seq: u64, meta: [u8; META_LEN], message: &Message) -> queue::Loc {
        let (head, [names, large]) = message.stored();
        let mut batch = self.store.batch(self.owner);
        batch.put(seq, meta, &[&head, names, large], Keep::Durable).to_raw()
    }

    fn settled(&mut self, seq: u64) {
        self.store.batch(self.owner).remove(&[(seq, seq)]);
    }

    fn confirm(&mut self, publish: ConfirmToken) {
        answer([publish], ConfirmOutcome::Ack);
    }

    fn fetch(&mut self, wanted: &[(u64, queue::Loc)]) {
        let run = wanted.iter().map(|&(seq, loc)| (seq, Loc::from_raw(loc)));
        self.fetch.push(run.collect());
    }

    fn due(&mut self, seq: u64, message: Message) {
        self.due.push((seq, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_the_same_in_every_version() {
        assert_eq!(owner_of("/", "later"), OwnerId(0xd7f8_2e46_05da_c24c));
        assert_ne!(owner_of("a", "bc"), owner_of("ab", "c"));
    }
}
