//! Everybody around a queue, as a record of what it told them.

use super::*;

/// Everybody around the queue: what it told them, in order, and what they keep.
#[derive(Default)]
pub(super) struct Watch {
    pub events: Vec<Event>,
    pub journal: Journal,
    pub stalled: BTreeSet<usize>,
    pub wanted: Vec<Vec<(u64, Loc)>>,
}

pub(super) enum Event {
    Delivered {
        to: usize,
        number: u64,
        slot: Slot,
        redelivered: bool,
    },
    Dead {
        slot: Slot,
        number: u64,
        reason: DeathReason,
    },
    Confirmed(u64),
    Refused(u64),
}

impl Sink for Watch {
    type Consumer = usize;
    type Publish = u64;

    fn room(&mut self, consumer: &usize) -> bool {
        !self.stalled.contains(consumer)
    }

    fn deliver(&mut self, consumer: &usize, _id: ConsumerId, delivery: Delivery<'_>) {
        assert!(!self.stalled.contains(consumer));
        self.events.push(Event::Delivered {
            to: *consumer,
            number: number_of(delivery.message),
            slot: delivery.slot,
            redelivered: delivery.redelivered,
        });
    }

    fn confirm(&mut self, publish: u64) {
        self.events.push(Event::Confirmed(publish));
    }

    fn refuse(&mut self, publish: u64) {
        self.events.push(Event::Refused(publish));
    }

    fn dead_letter(&mut self, slot: Slot, message: Message, reason: DeathReason) {
        let number = number_of(&message);
        self.events.push(Event::Dead { slot, number, reason });
    }

    fn cancel(&mut self, _consumer: usize) {
        panic!("the queue is not deleted here");
    }

    fn store(&mut self, seq: u64, meta: [u8; META_LEN], message: &Message, keep: Keep) -> Loc {
        self.journal.store(seq, meta, message, keep)
    }

    fn settled(&mut self, seq: u64) {
        assert!(self.journal.durable.remove(&seq).is_some(), "{seq} settled twice");
    }

    fn returned(&mut self, seq: u64, count: u32) {
        self.journal.durable.get_mut(&seq).expect("not settled yet").count = count;
    }

    fn discarded(&mut self, seq: u64, count: u32, reason: DeathReason) {
        self.journal.discarded(seq, count, reason);
    }

    fn delivered_up_to(&mut self, mark: u64) {
        assert_ne!(mark, self.journal.mark);
        self.journal.mark = mark;
    }

    fn unpaged(&mut self, _seq: u64, loc: Loc) {
        assert!(self.journal.paged.remove(&loc).is_some(), "{loc} was not paged");
    }

    fn fetch(&mut self, wanted: &[(u64, Loc)]) {
        self.wanted.push(wanted.to_vec());
    }
}

pub(super) fn number_of(message: &Message) -> u64 {
    name_of(message).parse().expect("bodies are numbers")
}

impl Event {
    /// The number of the message, if it was refused.
    pub fn refused(&self) -> Option<u64> {
        match self {
            Self::Refused(number) => Some(*number),
            _ => None,
        }
    }

    /// The slot of the message, if it was delivered.
    pub fn delivered_slot(&self) -> Option<Slot> {
        match self {
            Self::Delivered { slot, .. } => Some(*slot),
            _ => None,
        }
    }
}
