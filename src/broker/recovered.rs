//! What the store kept of queues, exchanges and members of groups, until their owners are declared.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::store::{OwnerId, OwnerLedger, Store};

/// See the head of this file.
pub struct Recovered {
    store: Store,
    ledgers: Mutex<HashMap<OwnerId, OwnerLedger>>,
    /// Records are lost of which nobody knows whose they were.
    has_lost: AtomicBool,
    has_others: bool,
}

impl Recovered {
    /// What `store` kept; `has_others` says whether there are nodes to have again from what is lost.
    pub fn new(store: Store, ledgers: HashMap<OwnerId, OwnerLedger>, has_lost: bool, has_others: bool) -> Self {
        Self {
            store,
            ledgers: Mutex::new(ledgers),
            has_lost: AtomicBool::new(has_lost),
            has_others,
        }
    }

    /// What was kept of an owner, once.
    pub fn take(&self, owner: OwnerId) -> Option<OwnerLedger> {
        self.ledgers.lock().remove(&owner)
    }

    /// What nobody has taken.
    pub fn take_rest(&self) -> HashMap<OwnerId, OwnerLedger> {
        std::mem::take(&mut *self.ledgers.lock())
    }

    /// Whether who has no records may have lost them.
    pub fn has_lost_records(&self) -> bool {
        self.has_lost.load(Ordering::Acquire)
    }

    /// All who may have lost records are known to the store.
    pub fn lost_records_are_known(&self) {
        self.store.damage_settled();
        self.has_lost.store(false, Ordering::Release);
    }

    /// Whether there are other nodes.
    pub fn has_others(&self) -> bool {
        self.has_others
    }
}
