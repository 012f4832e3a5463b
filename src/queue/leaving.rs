//! Holders of messages go, each way as one step of the queue.
//!
//! ```text
//! consumers taken out → what they held back in its place → whoever is left is served
//! ```
//! In any other order the next one would get what comes after before what was held: the single
//! active consumer's successor most of all.

use rustc_hash::FxHashSet;

use crate::types::Timestamp;

use super::Queue;
use super::entry::Entry;
use super::outstanding::{Held, Owner};
use super::sink::{ConsumerId, Sink, Slot};

impl<C, P> Queue<C, P> {
    /// A client is gone for good with these consumers: all that they hold comes back, and these
    /// messages too, which it got otherwise. They count as delivered once more. Returns how many of
    /// the consumers were there.
    pub fn give_back<S>(
        &mut self,
        now: Timestamp,
        ids: impl IntoIterator<Item = ConsumerId>,
        slots: impl IntoIterator<Item = Slot>,
        sink: &mut S,
    ) -> usize
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        let (ids, unacked) = self.take_out(now, ids);
        let (mut back, found) = self.take_held(&ids, slots);
        if found < unacked {
            let rest = self.outstanding.take_of(&ids);
            back.extend(rest.into_iter().map(|held| held.entry));
            back.sort_unstable_by_key(|entry| entry.seq);
        }
        self.take_all_back(now, back, sink);
        ids.len()
    }

    /// These consumers end, and these messages never came to their client: they come back. What else
    /// the consumers hold stays outstanding until it is settled.
    pub fn cancel_without<S>(
        &mut self,
        now: Timestamp,
        ids: impl IntoIterator<Item = ConsumerId>,
        lost: impl IntoIterator<Item = Slot>,
        sink: &mut S,
    ) where
        S: Sink<Consumer = C, Publish = P>,
    {
        let (ids, _) = self.take_out(now, ids);
        let (mut back, _) = self.take_held(&ids, lost);
        back.sort_unstable_by_key(|entry| entry.seq);
        self.take_all_back(now, back, sink);
    }

    /// Those of the consumers that are there end. Returns them, and how many messages they hold.
    fn take_out(&mut self, now: Timestamp, ids: impl IntoIterator<Item = ConsumerId>) -> (FxHashSet<ConsumerId>, u64) {
        let mut unacked = 0;
        let mut gone = FxHashSet::default();
        for id in ids {
            let holds = self.consumers.get(id).map_or(0, |consumer| consumer.unacked);
            if self.consumers.remove(id).is_some() {
                unacked += u64::from(holds);
                gone.insert(id);
                self.last_used = now;
            }
        }
        (gone, unacked)
    }

    /// Takes messages out that clients hold, and says how many of them were of these consumers.
    fn take_held(&mut self, ids: &FxHashSet<ConsumerId>, slots: impl IntoIterator<Item = Slot>) -> (Vec<Entry>, u64) {
        let mut found = 0;
        let mut back = Vec::new();
        for slot in slots {
            let Some(Held { entry, owner, .. }) = self.outstanding.take_unacked(slot) else {
                continue;
            };
            match owner {
                Owner::Consumer(id) if ids.contains(&id) => found += 1,
                Owner::Consumer(id) => self.consumers.settled(id),
                Owner::Get | Owner::Dying(_) => {}
            }
            back.push(entry);
        }
        (back, found)
    }

    fn take_all_back<S>(&mut self, now: Timestamp, back: Vec<Entry>, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        for entry in back {
            self.take_back(entry, sink);
        }
        self.settle_down(now, sink);
    }
}
