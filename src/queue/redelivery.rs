//! What becomes of messages that clients settle, and how messages die.
//!
//! A message to be dead-lettered stays outstanding until the broker says that its dead letter is
//! published, so that it is never only on the way. A body that is not in memory is read back first;
//! only [`MOST_WITHOUT_BODY`] messages wait for that at a time, the others keep their place in line.
//! Where dead letters must be confirmed, the message goes to the [`discards`](super::discards) instead.

use crate::types::Timestamp;

use super::Queue;
use super::entry::{DISCARDED, Entry, LOST, REDELIVERED, STORED};
use super::outstanding::{Held, Owner};
use super::ready::Place;
use super::sink::{DeathReason, Dying, Outcome, Sink, Slot};

impl<C, P> Queue<C, P> {
    /// Ends the outstanding state of messages. Stale slots are ignored. Credit is free at once.
    pub fn settle<S>(&mut self, now: Timestamp, slots: impl IntoIterator<Item = Slot>, outcome: Outcome, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        for slot in slots {
            let Some(Held { mut entry, owner, .. }) = self.outstanding.take_unacked(slot) else {
                continue;
            };
            if let Owner::Consumer(id) = owner {
                self.consumers.settled(id);
            }
            match outcome {
                Outcome::Accept => self.gone(entry, sink),
                Outcome::Requeue => self.take_back(entry, sink),
                Outcome::Discard => {
                    entry.count = entry.count.saturating_add(1);
                    self.die(entry, DeathReason::Rejected, sink);
                }
            }
        }
        self.pulse.settled(now);
        self.settle_down(now, sink);
    }

    /// Ends a message for a reason: to the dead letter exchange where there is one.
    pub(super) fn die<S>(&mut self, entry: Entry, reason: DeathReason, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        if self.settings.dead_letter_exchange.is_none() || entry.is(LOST) {
            sink.died(Dying::Disabled, reason);
            return self.gone(entry, sink);
        }
        match self.keeps_dead_letters() {
            true => {
                sink.died(Dying::AtLeastOnce, reason);
                self.discard(entry, reason, sink);
            }
            false => {
                sink.died(Dying::AtMostOnce, reason);
                self.send_dead_letter(entry, reason, sink);
            }
        }
    }

    /// Has a message published to the dead letter exchange, as soon as its body is there.
    pub(super) fn send_dead_letter<S>(&mut self, entry: Entry, reason: DeathReason, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        if entry.is(DISCARDED) {
            self.discards.sent();
        }
        let message = self.rules.dead_letter_of(&entry);
        let slot = self.outstanding.insert(Held {
            entry,
            owner: Owner::Dying(reason),
            since: Timestamp(0),
        });
        match message {
            Some(message) => sink.dead_letter(slot, message, reason),
            None => {
                self.dying.insert(slot.seq, slot);
                self.paging.want_dying(slot.seq);
            }
        }
    }

    /// Whether the message at a head may die now.
    pub(super) fn may_die(&self, place: Place) -> bool {
        let here = self
            .ready
            .entry(place)
            .is_some_and(|entry| entry.message.is_some() || entry.is(LOST));
        here || !self.deaths_wait()
    }

    /// Whether so many dead letters wait for their body, or to be published, that no bodies are
    /// read back for more of them. Those that are kept wait elsewhere.
    pub(super) fn deaths_wait(&self) -> bool {
        let many = self.dying.len() >= MOST_WITHOUT_BODY || self.outstanding.dying_bytes() >= MOST_BYTES;
        many && self.settings.dead_letter_exchange.is_some() && !self.keeps_dead_letters()
    }

    /// Puts a message back that came back, unless it came back too often.
    pub(super) fn take_back<S>(&mut self, mut entry: Entry, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        entry.count = entry.count.saturating_add(1);
        entry.mark(REDELIVERED);
        if self.rules.counts_deliveries {
            if self.settings.delivery_limit.is_some_and(|limit| entry.count > limit) {
                if !std::mem::replace(&mut self.limit_told, true) {
                    sink.delivery_limit_reached();
                }
                return self.die(entry, DeathReason::DeliveryLimit, sink);
            }
            if entry.is(STORED) {
                sink.returned(entry.seq, entry.count);
            }
        }
        self.ready.put_back(entry);
    }
}

/// Dead letters that wait for their body at a time.
const MOST_WITHOUT_BODY: usize = 1024;

/// Bytes of bodies that are being dead-lettered beyond which no more are read back for it.
const MOST_BYTES: u64 = 16 << 20;
