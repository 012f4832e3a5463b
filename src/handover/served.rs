//! A live queue that is here, whether its group leads here or it lives here alone.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rustc_hash::{FxHashMap, FxHashSet};

use super::handles::{Handles, LiveQueue};
use super::message::ConsumerKey;
use super::remote_nodes::RemoteNodes;
use crate::queue::{ConsumerId, Holder, Slot};

/// A live queue, and whom it serves.
pub struct Served<H: Handles> {
    pub queue: LiveQueue<H>,
    /// Consumers of this node's clients.
    pub local: FxHashMap<ConsumerKey, ConsumerId>,
    pub remote: RemoteNodes<H::Line>,
}

impl<H: Handles> Served<H> {
    /// A queue that serves nobody yet.
    pub fn new(queue: LiveQueue<H>) -> Self {
        Self {
            queue,
            local: FxHashMap::default(),
            remote: RemoteNodes::default(),
        }
    }

    /// What these consumers hold, by sequence number; it stays outstanding when they are cancelled.
    pub fn held_by(&self, ids: impl IntoIterator<Item = ConsumerId>) -> FxHashMap<u64, Slot> {
        let ids: FxHashSet<ConsumerId> = ids.into_iter().collect();
        let held = (!ids.is_empty()).then(|| self.queue.held()).into_iter().flatten();
        held.filter(|(holder, _)| matches!(holder, Holder::Consumer(id) if ids.contains(id)))
            .map(|(_, slot)| (slot.seq(), slot))
            .collect()
    }
}

/// What a command gives, unless it panics.
pub(super) fn caught<R>(command: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(command)).ok()
}
