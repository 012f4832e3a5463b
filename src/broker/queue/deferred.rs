//! What a queue has decided and what is done about it once its lock is free.

use std::collections::VecDeque;
use std::sync::Arc;

use super::handle::{BrokerHandles, Consumer, QueueHandle};
use crate::handover::Unsynced;
use crate::queue::{self, DeathReason, Slot};
use crate::types::{Message, NodeId};

/// A message on its way out of its queue into the dead-letter exchange.
pub struct DeadLetter {
    pub slot: Slot,
    pub message: Message,
    pub reason: DeathReason,
}

/// Effects that are carried out after the queue's lock was released.
#[derive(Default)]
#[must_use = "what a queue decided is to be carried out"]
pub struct Deferred {
    pub dead_letters: Vec<DeadLetter>,
    pub fetch: Vec<Vec<(u64, queue::Loc)>>,
    pub cancelled: Vec<Arc<Consumer>>,
    /// Handed to a channel that closed in the same moment.
    pub undelivered: Vec<Slot>,
    /// The last consumer is gone; of another node, which asked with this number.
    pub ended: Vec<Option<(NodeId, u64)>>,
    /// Who waits until all of this is on the disk.
    pub unsynced: Vec<Unsynced<BrokerHandles>>,
}

impl Deferred {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.dead_letters.is_empty()
            && self.fetch.is_empty()
            && self.cancelled.is_empty()
            && self.undelivered.is_empty()
            && self.ended.is_empty()
            && self.unsynced.is_empty()
    }
}

/// What is still to be carried out, queue by queue.
pub(in crate::broker) type Work = VecDeque<(Arc<QueueHandle>, Deferred)>;

/// Notes what another queue has decided.
pub(in crate::broker) fn note(work: &mut Work, queue: &Arc<QueueHandle>, deferred: Deferred) {
    if !deferred.is_empty() {
        work.push_back((queue.clone(), deferred));
    }
}
