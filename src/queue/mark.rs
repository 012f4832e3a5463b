//! How far the stored messages may have been delivered, as the journal knows it.
//!
//! A message that was delivered must come back flagged as redelivered after a restart, but a record
//! for each delivery would cost as much as the message. So one mark is recorded, and ahead of the
//! deliveries: by the time a message under it is delivered the mark is mostly long on disk. A crash
//! so flags some messages too many; an orderly stop records exactly what was delivered.

use super::entry::{Entry, STORED};
use super::sink::Sink;

/// The mark of a queue.
pub(super) struct Mark {
    /// What the journal was told.
    recorded: u64,
    /// The last stored message that was delivered.
    reached: u64,
}

impl Mark {
    /// The mark that the journal has.
    pub fn at(recorded: u64) -> Self {
        let reached = recorded;
        Self { recorded, reached }
    }

    /// A message is about to be delivered.
    pub fn note<S: Sink>(&mut self, entry: &Entry, sink: &mut S) {
        if !entry.is(STORED) {
            return;
        }
        self.reached = self.reached.max(entry.seq);
        if entry.seq.saturating_add(AHEAD / 2) > self.recorded {
            self.recorded = entry.seq.saturating_add(AHEAD);
            sink.delivered_up_to(self.recorded);
        }
    }

    /// Takes back what was recorded ahead.
    pub fn stop<S: Sink>(&mut self, sink: &mut S) {
        if self.reached < self.recorded {
            self.recorded = self.reached;
            sink.delivered_up_to(self.recorded);
        }
    }
}

/// How far ahead the mark is recorded, in messages.
const AHEAD: u64 = 256;
