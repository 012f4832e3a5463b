//! A queue out of its ledger, and into it again when the node stops.

use std::borrow::Cow;

use crate::spec::{QueueSettings, QueueType};
use crate::types::Timestamp;

use super::Queue;
use super::entry::{Entry, REDELIVERED, STORED};
use super::mark::Mark;
use super::sink::{Loc, Recovered, Sink};

impl<C, P> Queue<C, P> {
    /// The queue as the journal knows it. Messages that may have been delivered, up to
    /// `delivered_up_to` or by their count, are flagged as redelivered; bodies are read back when
    /// they are wanted. Limits and expiry apply at the first `tick`, which is due at once.
    pub fn recover(
        kind: QueueType,
        settings: QueueSettings,
        now: Timestamp,
        mut ledger: Vec<Recovered>,
        next_seq: u64,
        delivered_up_to: u64,
    ) -> Self {
        let mut queue = Self::new(kind, true, settings, now);
        ledger.sort_unstable_by_key(|message| message.seq);
        ledger.dedup_by_key(|message| message.seq);
        let last = ledger.last().map_or(0, |message| message.seq);
        // A number below the mark would be taken for a delivered message after the next restart.
        queue.next_seq = next_seq.max(last.max(delivered_up_to).saturating_add(1));
        queue.durable_up_to = queue.next_seq - 1;
        queue.delivered = Mark::at(delivered_up_to);
        for message in ledger {
            let mut entry = Entry::recovered(message.seq, message.loc, &message.meta, message.len, message.count);
            if entry.count > 0 || message.seq <= delivered_up_to {
                entry.mark(REDELIVERED);
            }
            queue.persistent.0 += 1;
            queue.persistent.1 += u64::from(message.len);
            match message.discarded {
                Some(reason) => queue.discards.push(entry, reason),
                None => queue.ready.push(entry),
            }
        }
        queue
    }

    /// The node stops in good order: records which messages were delivered, so that no others are
    /// flagged when it starts again. To be called last; a replicated queue that is not handed over
    /// after all goes on with [`Queue::unstall_all`]. Returns whether a mark that was recorded before is taken back:
    /// from then on it does not count, also if it is committed only then.
    pub fn stop<S>(&mut self, sink: &mut S) -> bool
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        self.gathering = self.delivered.is_gated();
        self.delivered.stop(sink)
    }

    /// The stored messages: sequence number, place and delivery count, in order.
    pub fn living(&self) -> Vec<(u64, Loc, u32)> {
        let outstanding = self.outstanding.iter().map(|held| &held.entry);
        let others = self.uncommitted.iter().chain(self.discards.iter());
        let entries = self.ready.iter().chain(outstanding.chain(others).map(Cow::Borrowed));
        let mut living: Vec<_> = entries
            .filter(|entry| entry.is(STORED))
            .map(|entry| (entry.seq, entry.loc, entry.count))
            .collect();
        living.sort_unstable();
        living
    }
}
