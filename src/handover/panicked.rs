//! A live queue that has panicked. Half of a change may have been made, so it does not serve on.
//!
//! What it recorded before stays recorded. One that is only here is put aside until it was read again
//! from the disk, or is empty from now on where it is transient; a leader steps down with it, and its
//! clients keep what they hold.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rustc_hash::FxHashSet;

use super::effects::{Effects, Panicked};
use super::handles::{ConsumerHandle, Handles};
use super::location::Here;
use super::served::Served;
use super::{ClusteredQueue, Location, Waiting, send, session_of, wire};
use crate::queue::Queue;
use crate::types::{Millis, Timestamp};

/// Panics within this time of each other belong together.
pub(super) const TOGETHER: Millis = Millis(60_000);

/// Panics of a live queue that came one soon after the other.
#[derive(Clone, Copy, Default)]
pub(super) struct Panics {
    /// Lately.
    count: u32,
    last: Timestamp,
    /// Since the node started.
    total: u32,
}

impl Panics {
    /// One more. Returns how many there were lately.
    pub fn note(&mut self, now: Timestamp) -> u32 {
        let is_together = self.count > 0 && now.since(self.last) <= TOGETHER;
        self.count = if is_together { self.count + 1 } else { 1 };
        self.last = now;
        self.total = self.total.wrapping_add(1);
        self.count
    }
}

impl<H: Handles> ClusteredQueue<H> {
    /// How often the queue panicked since the node started.
    pub fn panics(&self) -> u32 {
        self.panics.total
    }

    /// The live queue, which was here, has panicked: it is taken away, and its clients are told.
    pub(super) fn on_panic<E: Effects<H>>(&mut self, now: Timestamp, effects: &mut E) {
        let times = self.panics.note(now);
        let what = match &self.location {
            Location::Here(_) if self.is_transient => Panicked::Transient,
            Location::Here(_) => Panicked::Durable,
            _ => Panicked::Leader,
        };
        effects.panicked(what, times);
        match &mut self.location {
            Location::Elsewhere(_) | Location::Unknown => {}
            Location::Leading(_) => {
                // Who holds what it may not be able to say any more: then that comes back.
                let _ = catch_unwind(AssertUnwindSafe(|| self.take_leader()));
                self.keep_held(effects);
            }
            Location::Here(here) => {
                let is_durable = !self.is_transient;
                let settings = here.served.queue.settings().clone();
                let timeout = here.served.queue.consumer_timeout();
                let mut fresh = Queue::new(self.kind, is_durable, settings, now);
                fresh.set_consumer_timeout(now, timeout);
                let fresh = Here {
                    served: Served::new(fresh.remade(self.panics.total)),
                    is_quarantined: is_durable,
                };
                let broken = std::mem::replace(&mut **here, fresh).served;
                self.abandon(broken, effects);
            }
        }
    }

    /// Of what the live queue said that clients hold, what they do: it may have meant to hand it out.
    fn keep_held<E: Effects<H>>(&mut self, effects: &mut E) {
        let session = session_of(&mut self.session);
        let mut held = FxHashSet::default();
        for one in session.consumers.values() {
            held.extend(effects.held_by_client(&one.consumer));
        }
        session.held.retain(|_, one| held.contains(&one.slot));
    }

    /// What waits at a queue that is no more is refused, and its consumers are cancelled.
    fn abandon<E: Effects<H>>(&self, mut broken: Served<H>, effects: &mut E) {
        let left = catch_unwind(AssertUnwindSafe(|| broken.queue.abandon()));
        let (consumers, publishes) = left.unwrap_or_default();
        for waiting in publishes {
            // The node of a session is told below.
            if let Waiting::Client(publish) = waiting {
                effects.refuse(publish);
            }
        }
        for consumer in consumers {
            if let ConsumerHandle::Local(consumer) = consumer {
                effects.cancel(consumer);
            }
        }
        for node in broken.remote.nodes() {
            send(self.id, node, effects, wire::not_leader);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_long_after_each_other_do_not_belong_together() {
        let mut panics = Panics::default();
        let start = Timestamp(1_000);
        assert_eq!([panics.note(start), panics.note(start + TOGETHER)], [1, 2]);
        assert_eq!(panics.note(start + TOGETHER + TOGETHER + Millis(1)), 1);
    }
}
