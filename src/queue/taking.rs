//! Messages taken out of the line wherever they stand, by whoever moves them to another queue.

use crate::types::Timestamp;

use super::Queue;
use super::outstanding::Owner;
use super::sink::{Sink, Slot};

impl<C, P> Queue<C, P> {
    /// Takes those of these messages out that are ready; `seqs` is in order. They are outstanding then,
    /// until they are settled by these slots. No client gets them, so that they count as delivered to
    /// nobody, and those that are requeued go to their old place.
    pub fn take_out_at<S>(&mut self, now: Timestamp, seqs: &[u64], sink: &mut S) -> Vec<Slot>
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        if self.gathering {
            return Vec::new();
        }
        let any_turn = |seq: &u64| Slot {
            index: u32::MAX,
            turn: u32::MAX,
            seq: *seq,
        };
        let mut wanted: Vec<_> = seqs.iter().map(any_turn).collect();
        let taken = self.ready.take_all(&mut wanted);
        let mut slots = Vec::with_capacity(taken.len());
        for entry in taken {
            slots.push(self.outstanding.next_slot(&entry));
            self.hold(now, entry, Owner::Get, sink);
        }
        slots
    }
}
