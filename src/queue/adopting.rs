//! What clients hold, from one leader of a replicated queue to the next.
//!
//! A client outlives the leader that delivered to it. The next leader has the messages in its line,
//! flagged; those that clients still hold are taken out of it again, for them. They are settled by
//! the slots of the leader that delivered them: a slot names a delivery, whoever leads.

use crate::types::Timestamp;

use super::Queue;
use super::entry::REDELIVERED;
use super::outstanding::Owner;
use super::sink::{ConsumerId, Holder, Sink, Slot};

impl<C, P> Queue<C, P> {
    /// Makes ready messages outstanding with somebody who has them already, by these slots; nothing
    /// is delivered. Returns those that are not theirs: the message is gone, has come back since, or was
    /// delivered anew. What is out by the slot is not among them.
    pub fn adopt<S>(&mut self, now: Timestamp, holder: Holder, mut slots: Vec<Slot>, sink: &mut S) -> Vec<Slot>
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        let owner = match holder {
            Holder::Consumer(id) if self.consumers.get(id).is_none_or(|consumer| consumer.no_ack) => return slots,
            Holder::Consumer(id) => Owner::Consumer(id),
            Holder::Get => Owner::Get,
        };
        slots.retain(|slot| !self.outstanding.is_out(*slot));
        slots.sort_unstable_by_key(|slot| slot.seq);
        slots.dedup_by_key(|slot| slot.seq);
        let mut others = slots.clone();
        let found = self.ready.take_all(&mut others);
        slots.retain(|slot| others.binary_search_by_key(&slot.seq, |other| other.seq).is_err());
        // Both are in order.
        for (mut entry, slot) in found.into_iter().zip(slots) {
            entry.mark(REDELIVERED);
            // It may have come back to the leader before without that being committed.
            entry.count = slot.turn;
            self.delivered.note(&entry, sink);
            if let Owner::Consumer(id) = owner {
                self.consumers.holds_one_more(id);
            }
            let held = self.about_to_hold(now, entry, owner, sink);
            self.outstanding.adopt(held, slot);
        }
        self.settle_down(now, sink);
        others
    }

    /// Who holds which message, in no particular order, by the slots that they know. A consumer that
    /// was cancelled may be among them.
    pub fn held(&self) -> impl Iterator<Item = (Holder, Slot)> {
        self.outstanding.slots().filter_map(|(slot, held)| {
            let holder = match held.owner {
                Owner::Consumer(id) => Holder::Consumer(id),
                Owner::Get => Holder::Get,
                Owner::Dying(_) => return None,
            };
            Some((holder, slot))
        })
    }

    /// Up to where everything is committed.
    pub fn durable_up_to(&self) -> u64 {
        self.durable_up_to
    }

    /// What this consumer holds, also after it was cancelled; in order.
    pub fn held_by(&self, id: ConsumerId) -> Vec<u64> {
        let held = self.outstanding.iter();
        let mut seqs: Vec<_> = held
            .filter(|held| held.owner == Owner::Consumer(id))
            .map(|held| held.entry.seq)
            .collect();
        seqs.sort_unstable();
        seqs
    }

    /// All consumers that had no room are asked again, because the queue may deliver (again): this
    /// node is sure to lead, and everybody who holds messages was heard.
    pub fn unstall_all<S>(&mut self, now: Timestamp, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        self.gathering = false;
        self.consumers.unstall_all();
        self.consumers.open();
        self.settle_down(now, sink);
    }
}
