//! Between a live queue and its group: what the queue decides becomes records, what it wants done
//! goes on to whoever does it.
//!
//! The [`Deduplicator`] is the way in. It turns messages away that a publisher sends again though the queue
//! has them, and tells the recorder where each of the others comes from, which the queue itself
//! does not know.

use std::cell::{Cell, RefCell};

use crate::types::Message;

use super::ledger::{Before, Producers};
use super::record::{Origin, ProducerId, Records};
use super::sink::{ConsumerId, DeathReason, Delivery, Dying, Keep, Loc, META_LEN, Publish, Sink, Slot};

/// A sink that writes records down and hands effects on.
pub struct Recorder<'a, S> {
    pub effects: &'a mut S,
    pub recording: Recording<'a>,
}

/// How records are written down: what a sink of a replicated queue does with them.
pub struct Recording<'a> {
    pub records: &'a mut Records,
    pub deduplicator: &'a Deduplicator,
}

impl Recording<'_> {
    /// For [`Sink::store`] with [`Keep::Durable`]. The place of a message is its number: the ledger
    /// knows where that is.
    pub fn append(&mut self, seq: u64, meta: &[u8; META_LEN], message: &Message) -> Loc {
        self.records.append(seq, meta, self.deduplicator.entered(seq), message);
        seq
    }

    /// For [`Sink::settled`].
    pub fn settled(&mut self, seq: u64) {
        self.records.gone(seq);
    }

    /// For [`Sink::returned`].
    pub fn returned(&mut self, seq: u64, count: u32) {
        self.records.returned(seq, count);
    }

    /// For [`Sink::discarded`].
    pub fn discarded(&mut self, seq: u64, count: u32, reason: DeathReason) {
        self.records.discarded(seq, count, reason);
    }

    /// For [`Sink::delivered_up_to`].
    pub fn delivered_up_to(&mut self, mark: u64) {
        self.records.delivered_up_to(mark);
    }
}

/// Where messages come into a queue. It belongs to the live queue, behind the same lock, and
/// begins with the producers of the ledger that the queue was recovered from.
#[derive(Default)]
pub struct Deduplicator {
    /// Of the message that the queue is looking at.
    origin: Cell<Option<Origin>>,
    producers: RefCell<Producers>,
}

/// A message that comes in.
pub struct Arrival<P> {
    pub publish: Publish<P>,
    /// Present where the publisher may send it again.
    pub origin: Option<Origin>,
}

impl Deduplicator {
    /// Of a queue recovered from a ledger with these.
    pub fn new(producers: Producers) -> Self {
        Self {
            origin: Cell::new(None),
            producers: RefCell::new(producers),
        }
    }

    /// How many producers are remembered.
    pub fn producers(&self) -> usize {
        self.producers.borrow().len()
    }

    /// The batch for [`Queue::publish`](super::Queue::publish), to be run through there with a
    /// [`Recorder`] of this deduplicator as the sink. What is not new is left out and goes to `again`.
    pub fn admit<P>(
        &self,
        batch: impl IntoIterator<Item = Arrival<P>>,
        mut again: impl FnMut(Publish<P>, Before),
    ) -> impl Iterator<Item = Publish<P>> {
        batch.into_iter().filter_map(move |Arrival { publish, origin }| {
            let known = origin.and_then(|origin| self.producers.borrow().knows(origin));
            if let Some(known) = known {
                again(publish, known);
                return None;
            }
            self.origin.set(origin);
            Some(publish)
        })
    }

    /// The producer sends nothing again.
    pub fn forget(&self, producer: ProducerId, records: &mut Records) {
        self.producers.borrow_mut().forget(producer);
        records.forget(producer);
    }

    /// The message that comes in is in.
    fn entered(&self, seq: u64) -> Option<Origin> {
        let origin = self.origin.take()?;
        self.producers.borrow_mut().note(origin, seq);
        Some(origin)
    }
}

impl<S: Sink> Sink for Recorder<'_, S> {
    type Consumer = S::Consumer;
    type Publish = S::Publish;

    fn room(&mut self, consumer: &S::Consumer) -> bool {
        self.effects.room(consumer)
    }

    fn deliver(&mut self, consumer: &S::Consumer, id: ConsumerId, delivery: Delivery<'_>) {
        self.effects.deliver(consumer, id, delivery);
    }

    fn confirm(&mut self, publish: S::Publish) {
        self.effects.confirm(publish);
    }

    fn refuse(&mut self, publish: S::Publish) {
        self.effects.refuse(publish);
    }

    fn dead_letter(&mut self, slot: Slot, message: Message, reason: DeathReason) {
        self.effects.dead_letter(slot, message, reason);
    }

    fn died(&mut self, dying: Dying, reason: DeathReason) {
        self.effects.died(dying, reason);
    }

    fn delivery_limit_reached(&mut self) {
        self.effects.delivery_limit_reached();
    }

    fn leaves(&mut self, seq: u64) {
        self.effects.leaves(seq);
    }

    fn cancel(&mut self, consumer: S::Consumer) {
        self.effects.cancel(consumer);
    }

    fn store(&mut self, seq: u64, meta: [u8; META_LEN], message: &Message, keep: Keep) -> Loc {
        match keep {
            Keep::Durable => self.recording.append(seq, &meta, message),
            Keep::Page => self.effects.store(seq, meta, message, keep),
        }
    }

    fn settled(&mut self, seq: u64) {
        self.recording.settled(seq);
    }

    fn returned(&mut self, seq: u64, count: u32) {
        self.recording.returned(seq, count);
    }

    fn discarded(&mut self, seq: u64, count: u32, reason: DeathReason) {
        self.recording.discarded(seq, count, reason);
    }

    fn delivered_up_to(&mut self, mark: u64) {
        self.recording.delivered_up_to(mark);
    }

    fn unpaged(&mut self, seq: u64, loc: Loc) {
        self.effects.unpaged(seq, loc);
    }

    fn fetch(&mut self, wanted: &[(u64, Loc)]) {
        self.effects.fetch(wanted);
    }
}
