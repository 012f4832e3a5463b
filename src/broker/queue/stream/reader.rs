//! A consumer of a stream, as what it is given is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::Notify;

use crate::broker::queue::clients::Consumer;
use crate::handover::ConsumerKey;
use crate::queue::Slot;

/// A consumer that reads.
pub(super) struct Reading {
    pub consumer: Arc<Consumer>,
    /// Messages that it may still be given; what has no prefetch has no end of it.
    pub credit: AtomicU32,
    /// There is credit or room again, or it has ended.
    pub wake: Notify,
    /// It has ended.
    pub end: Notify,
    pub ended: AtomicBool,
}

impl Reading {
    pub fn give_back(&self, credit: u32) {
        self.credit.fetch_add(credit, Ordering::AcqRel);
        self.wake.notify_one();
    }

    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub fn stop(&self) {
        self.ended.store(true, Ordering::Release);
        self.wake.notify_one();
        self.end.notify_one();
    }

    /// Which delivery it is, as the channel keeps it: whose, and which message.
    pub fn slot(&self, offset: u64) -> Slot {
        let ConsumerKey(key) = self.consumer.key;
        Slot::from_parts((key as u32, (key >> 32) as u32, offset))
    }
}

/// Whose delivery that is.
pub(super) fn consumer_of(slot: Slot) -> ConsumerKey {
    let (low, high, _) = slot.parts();
    ConsumerKey(u64::from(high) << 32 | u64::from(low))
}
