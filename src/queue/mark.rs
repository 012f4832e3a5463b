//! How far the stored messages may have been delivered, as the journal knows it.
//!
//! A message that was delivered must come back flagged as redelivered, but a record for each
//! delivery would cost as much as the message. So one mark is recorded, ahead of the deliveries.
//!
//! On a queue of one node the mark is recorded far ahead, and by the time a message under it is
//! delivered it is mostly long on disk: a crash flags some messages too many. Of a replicated queue
//! nothing is delivered before the journal has committed a mark that covers it: the next leader
//! knows what clients may have seen of the last one. There the mark keeps close to what consumers
//! may take, so that few messages are flagged which nobody got.
//!
//! An orderly stop records exactly what was delivered.

use crate::types::Timestamp;

use super::Queue;
use super::consumers::Wanted;
use super::entry::{Entry, REDELIVERED, STORED};
use super::ready::Place;
use super::sink::Sink;

/// The mark of a queue.
pub(super) struct Mark {
    /// What the journal was told.
    recorded: u64,
    /// The last stored message that was delivered.
    reached: u64,
    /// What the journal has committed; `None` where deliveries do not wait for it.
    committed: Option<u64>,
}

impl Mark {
    /// The mark that the journal has.
    pub fn at(recorded: u64) -> Self {
        Self {
            recorded,
            reached: recorded,
            committed: None,
        }
    }

    /// From now on deliveries wait for the mark.
    pub fn gate(&mut self) {
        self.committed = Some(self.recorded);
    }

    /// Whether a message may be delivered now.
    pub fn lets(&self, entry: &Entry) -> bool {
        self.committed
            .is_none_or(|committed| entry.seq <= committed || entry.is(REDELIVERED) || !entry.is(STORED))
    }

    /// A message is about to be delivered.
    pub fn note<S: Sink>(&mut self, entry: &Entry, sink: &mut S) {
        if !entry.is(STORED) {
            return;
        }
        self.reached = self.reached.max(entry.seq);
        if self.committed.is_some() {
            // Before its delivery it was asked for; a client that brings one along may be ahead.
            self.ask(entry.seq, sink);
        } else if entry.seq.saturating_add(AHEAD / 2) > self.recorded {
            self.ask(entry.seq.saturating_add(AHEAD), sink);
        }
    }

    /// Has the journal told, unless it knows.
    fn ask<S: Sink>(&mut self, mark: u64, sink: &mut S) {
        if mark > self.recorded {
            self.recorded = mark;
            sink.delivered_up_to(mark);
        }
    }

    /// Whether deliveries wait for the journal.
    pub fn is_gated(&self) -> bool {
        self.committed.is_some()
    }

    /// Takes back what was recorded ahead. Returns whether there was something.
    pub fn stop<S: Sink>(&mut self, sink: &mut S) -> bool {
        let takes_back = self.reached < self.recorded;
        if takes_back {
            self.recorded = self.reached;
            sink.delivered_up_to(self.recorded);
        }
        self.committed = self.committed.map(|committed| committed.min(self.recorded));
        takes_back
    }
}

impl<C, P> Queue<C, P> {
    /// Makes deliveries wait for [`Queue::marked`], as those of a replicated queue must, and dead
    /// dead letters that are kept for [`Queue::discards_committed`]. `epoch`
    /// tells the slots of this leader from those of the ones before it: the lower eight bits of the
    /// term do. For a queue that was just made.
    ///
    /// Until [`Queue::unstall_all`] is called, those who hold messages of the leader before are heard
    /// with [`Queue::adopt`]: meanwhile nothing is delivered, expires or is dropped for length.
    pub fn replicated(mut self, epoch: u32) -> Self {
        self.delivered.gate();
        self.discards.gate();
        self.outstanding.number_from(epoch << EPOCH_SHIFT);
        self.consumers.gather(u64::from(epoch) << NUMBERS_BITS);
        self.gathering = true;
        self
    }

    /// Tells the slots of a machine that was made anew on a node that goes on from those of the ones
    /// before it. For a queue that was just made.
    pub fn remade(mut self, times: u32) -> Self {
        self.outstanding.number_from(times << EPOCH_SHIFT);
        self
    }

    /// The journal has committed that messages up to `mark` may have been delivered. To be called
    /// before [`Queue::durable`] when one batch brings both, and not for what [`Queue::stop`] has taken back.
    pub fn marked<S>(&mut self, now: Timestamp, mark: u64, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        let mark = mark.min(self.delivered.recorded);
        if self.delivered.committed.is_some_and(|committed| mark > committed) {
            self.delivered.committed = Some(mark);
            self.settle_down(now, sink);
        }
    }

    /// Whether the message at a head may be delivered as far as the mark goes.
    pub(super) fn is_marked(&self, place: Place) -> bool {
        self.ready.entry(place).is_some_and(|entry| self.delivered.lets(entry))
    }

    /// Has the mark moved so that this message may be delivered.
    pub(super) fn mark_head<S>(&mut self, place: Place, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        if let Some(entry) = self.ready.entry(place) {
            self.delivered.ask(entry.seq, sink);
        }
    }

    /// Has the mark moved before the consumers come to it.
    pub(super) fn mark_ahead<S>(&mut self, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        if !self.delivered.is_gated() || self.consumers.len() == 0 {
            return;
        }
        let head = self.ready.head().filter(|place| !self.is_marked(*place));
        let head = head.and_then(|place| Some(self.ready.entry(place)?.seq));
        let next = self.ready.fresh_head().or_else(|| self.uncommitted.first());
        let Some(next) = head.max(next) else {
            return;
        };
        let last = self.next_seq - 1;
        let lookahead = match self.consumers.wanted() {
            // Whatever arrives is theirs at once.
            Wanted::Everything if self.ready.is_empty() => u64::MAX,
            Wanted::Everything => MOST_AHEAD,
            Wanted::Most(prefetch) => (2 * prefetch + SPARE).min(MOST_AHEAD),
        };
        let goal = next.saturating_add(lookahead).min(last);
        let soon = next.saturating_add(lookahead / 2).min(last);
        if soon > self.delivered.recorded {
            self.delivered.ask(goal, sink);
        }
    }
}

/// How far ahead the mark of a queue of one node is recorded, in messages.
const AHEAD: u64 = 256;

/// How far ahead the mark of a replicated queue goes beyond what consumers may hold.
const SPARE: u64 = 8;

/// And how far at most.
const MOST_AHEAD: u64 = 1024;

/// The bits of a slot's index above this one are the epoch.
const EPOCH_SHIFT: u32 = 24;

/// Bits of the numbers that a leader gives to consumers; those above are the epoch.
const NUMBERS_BITS: u32 = 32;
