//! Somebody for the store to call back, who remembers what was said.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::store::error::StoreError;
use crate::store::{OwnerId, Owners, Store};

/// What the store has told; tests wait here for more.
#[derive(Default)]
pub struct TestOwners {
    heard: Mutex<Heard>,
    more: Condvar,
}

#[derive(Default)]
struct Heard {
    durable: HashMap<OwnerId, u64>,
    failed: Option<StoreError>,
}

impl TestOwners {
    /// What was last reported durable of this owner.
    pub fn durable_up_to(&self, owner: OwnerId) -> Option<u64> {
        self.heard.lock().durable.get(&owner).copied()
    }

    /// Waits until the owner's entries up to this one are reported durable.
    pub fn wait_durable(&self, owner: OwnerId, seq: u64) {
        self.wait(|heard| heard.durable.get(&owner).is_some_and(|up_to| *up_to >= seq));
    }

    /// Waits until the store has failed, and tells with what.
    pub fn wait_failed(&self) -> StoreError {
        self.wait(|heard| heard.failed.is_some());
        self.heard.lock().failed.clone().unwrap()
    }

    /// Waits until the store lacks space or has it again.
    pub fn wait_space(&self, store: &Store, lacks: bool) {
        self.wait(|_| store.lacks_space() == lacks);
    }

    /// Waits, but not for ever: a test that hangs says nothing.
    fn wait(&self, until: impl Fn(&Heard) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut heard = self.heard.lock();
        while !until(&heard) {
            let late = self.more.wait_until(&mut heard, deadline).timed_out();
            assert!(!late, "the store has not told in time");
        }
    }
}

impl Owners for TestOwners {
    fn durable(&self, owner: OwnerId, up_to_seq: u64) {
        let before = self.heard.lock().durable.insert(owner, up_to_seq);
        assert!(before < Some(up_to_seq), "reported twice or backwards");
        self.more.notify_all();
    }

    fn space_changed(&self) {
        let _heard = self.heard.lock();
        self.more.notify_all();
    }

    fn failed(&self, error: &StoreError) {
        let before = self.heard.lock().failed.replace(error.clone());
        assert!(before.is_none(), "failed twice");
        self.more.notify_all();
    }
}
