//! A queue that is purged: who purged it hears how many messages that were when they cannot come back.

use crate::handover::effects::{CallResult, Effects, Purged, Purger, Unsynced};
use crate::handover::handles::Handles;
use crate::handover::{ClusteredQueue, Location, wire};
use crate::types::Timestamp;

impl<H: Handles> ClusteredQueue<H> {
    /// Drops all ready messages of the live queue, which is here. Who asked hears how many they were
    /// when they cannot come back.
    pub fn purge<E: Effects<H>>(&mut self, now: Timestamp, call: H::Call, effects: &mut E) {
        self.purge_for(now, Purger::Client(call), effects);
    }

    /// The same for this node or another.
    pub(in crate::handover) fn purge_for<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        by: Purger<H::Call>,
        effects: &mut E,
    ) {
        let purged = self.run(now, effects, |queue, _, output| queue.purge(output));
        // Otherwise whoever asked asks again, or hears that it is away.
        let Some(count) = purged else { return };
        let purged = Purged { by, count };
        match &mut self.location {
            Location::Leading(leader) => {
                leader.flush(effects);
                leader.purged.push((leader.submitted, purged));
                self.tell_all_purged(effects);
            }
            _ if self.is_transient => self.tell_purged(purged, effects),
            _ => effects.when_synced(Unsynced::Purged(purged)),
        }
    }

    /// What was purged is gone for good.
    pub(in crate::handover) fn tell_purged<E: Effects<H>>(&self, purged: Purged<H>, effects: &mut E) {
        let count = purged.count;
        match purged.by {
            // Who does not wait any more does not hear it.
            Purger::Client(call) => drop(effects.answer(call, CallResult::Done(count))),
            Purger::Node { node, call } => {
                self.send(node, effects, |buffer, queue| wire::done(buffer, queue, call, count));
            }
        }
    }

    pub(super) fn tell_all_purged<E: Effects<H>>(&mut self, effects: &mut E) {
        if let Location::Leading(leader) = &mut self.location
            && !leader.purged.is_empty()
        {
            let up_to = leader.committed();
            let committed = leader.purged.partition_point(|(flight, _)| *flight <= up_to);
            let purged: Vec<_> = leader.purged.drain(..committed).collect();
            for (_, purged) in purged {
                self.tell_purged(purged, effects);
            }
        }
    }
}
