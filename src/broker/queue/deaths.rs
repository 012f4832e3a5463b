//! How many messages died on this node, by the type of their queue, what was done with them, and why.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::queue::{DeathReason, Dying};
use crate::spec::QueueType;

/// Reasons, in the order of their codes.
const REASONS: usize = 4;
/// Ways, in the order of [`Dying`].
const WAYS: usize = 3;

/// See the head of this file. Never counts back.
#[derive(Debug, Default)]
pub(in crate::broker) struct Deaths {
    died: [[[AtomicU64; REASONS]; WAYS]; 3],
    confirmed: AtomicU64,
}

impl Deaths {
    /// A message died.
    pub fn count(&self, kind: QueueType, dying: Dying, reason: DeathReason) {
        let of_dying = &self.died[kind as usize][dying as usize];
        of_dying[usize::from(reason.code()) - 1].fetch_add(1, Ordering::Relaxed);
    }

    /// A dead letter that its queue has kept is where it was to get to.
    pub fn confirm(&self) {
        self.confirmed.fetch_add(1, Ordering::Relaxed);
    }

    /// How many died so.
    pub fn read(&self, kind: QueueType, dying: Dying, reason: DeathReason) -> u64 {
        let of_dying = &self.died[kind as usize][dying as usize];
        of_dying[usize::from(reason.code()) - 1].load(Ordering::Relaxed)
    }

    /// How many dead letters that were kept got to where they were to get to.
    pub fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }
}
