//! What a queue should be, message by message, and whether what it told agrees with that.

use std::collections::VecDeque;

use super::watch::{Event, Watch};
use super::*;
use crate::queue::entry::LOST;
use crate::spec::Overflow;

/// A message as the model knows it.
pub(super) struct One {
    pub number: u64,
    pub lane: u8,
    pub expires: u64,
    pub stored: bool,
    pub redelivered: bool,
    pub returns: u32,
    pub place: Stand,
}

/// Where the model has it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Stand {
    /// In the line, or not committed.
    Waiting,
    /// With a consumer, or with whoever got it.
    Held(usize, Slot),
    /// To be dead-lettered: its body is being read, or it is kept until its turn comes.
    Leaving,
    /// Dead-lettered, which the queue does not know yet.
    Dying(Slot),
}

/// Whoever uses `basic.get`.
pub(super) const GETTER: usize = 99;

/// The journal at the end of a command, and what had been delivered by then.
pub(super) struct Moment {
    pub journal: Journal,
    pub delivered: BTreeSet<u64>,
}

pub(super) struct World {
    pub queue: Queue<usize, u64>,
    pub watch: Watch,
    pub now: Timestamp,
    pub kind: QueueType,
    pub durable: bool,
    pub settings: QueueSettings,
    pub consumers: BTreeMap<usize, (ConsumerId, Option<u32>)>,
    pub living: BTreeMap<u64, One>,
    /// What came back to a quorum queue, in order of return.
    pub first: VecDeque<u64>,
    pub published: u64,
    /// Publishes that are neither confirmed nor refused.
    pub unanswered: BTreeSet<u64>,
    pub confirmed: BTreeSet<u64>,
    pub delivered: BTreeSet<u64>,
    pub lost: BTreeSet<u64>,
    pub history: Vec<Moment>,
    pub synced: usize,
    /// Messages of different priority may have come in this command.
    pub mixed: bool,
}

impl World {
    /// Looks at what the queue told, and whether model and queue agree.
    pub fn look(&mut self) {
        for event in std::mem::take(&mut self.watch.events) {
            match event {
                Event::Delivered {
                    to,
                    number,
                    slot,
                    redelivered,
                } => self.saw(to, number, slot, redelivered),
                Event::Dead { slot, number, reason } => self.saw_death(slot, number, reason),
                Event::Confirmed(number) => {
                    assert!(self.unanswered.remove(&number), "{number} confirmed twice");
                    self.confirmed.insert(number);
                }
                Event::Refused(number) => assert!(self.unanswered.remove(&number)),
            }
        }
        let discarded = self.queue.discards.iter().map(|entry| &entry.seq);
        for seq in self.queue.dying.keys().chain(discarded) {
            if let Some(one) = self.living.get_mut(seq) {
                one.place = Stand::Leaving;
            }
        }
        self.forget_lost();
        for (seq, _) in self.watch.wanted.iter().flatten() {
            let synced = *seq <= self.queue.durable_up_to || !self.watch.journal.durable.contains_key(seq);
            assert!(synced, "{seq} is asked for before the journal has it");
        }
        self.mixed = false;
        self.queue.check();
        let count = |is: fn(&Stand) -> bool| self.living.values().filter(|one| is(&one.place)).count() as u64;
        let waiting = self.queue.ready() + self.queue.uncommitted.len() as u64;
        assert_eq!(count(|place| *place == Stand::Waiting), waiting);
        assert_eq!(count(|place| matches!(place, Stand::Held(..))), self.queue.unacked());
        let leaving = self.queue.dying.len() + self.queue.discards.iter().count();
        assert_eq!(count(|place| *place == Stand::Leaving), leaving as u64);
        let stored = self.living.iter().filter(|(_, one)| one.stored).map(|(seq, _)| *seq);
        assert!(
            stored.eq(self.watch.journal.durable.keys().copied()),
            "what the journal has"
        );
    }

    /// Messages whose body was lost go when they reach the head.
    fn forget_lost(&mut self) {
        let still: BTreeSet<u64> = self
            .queue
            .ready
            .iter()
            .filter(|entry| entry.is(LOST))
            .map(|entry| entry.seq)
            .collect();
        for seq in self.lost.clone() {
            if !still.contains(&seq) {
                self.lost.remove(&seq);
                self.living.remove(&seq);
            }
        }
    }

    fn saw(&mut self, to: usize, number: u64, slot: Slot, redelivered: bool) {
        let (seq, one) = self
            .living
            .iter()
            .find(|(_, one)| one.number == number)
            .expect("it is not gone");
        let seq = *seq;
        assert_eq!(one.place, Stand::Waiting, "{number} is delivered twice");
        assert!(!self.lost.contains(&seq));
        assert!(!self.is_discarded(seq), "{number} was discarded");
        assert_eq!(redelivered, one.redelivered, "the flag of {number}");
        self.check_order(seq);
        self.first.retain(|other| *other != seq);
        self.delivered.insert(seq);
        if slot == Slot::NONE {
            self.living.remove(&seq);
            return;
        }
        assert_eq!(slot.seq(), seq);
        self.living.get_mut(&seq).expect("just found").place = Stand::Held(to, slot);
        if let Some((_, Some(prefetch))) = self.consumers.get(&to) {
            let held = |one: &&One| matches!(one.place, Stand::Held(by, _) if by == to);
            assert!(
                self.living.values().filter(held).count() <= *prefetch as usize,
                "credit of {to}"
            );
        }
    }

    /// Nothing that can be delivered stands before it.
    fn check_order(&self, seq: u64) {
        let live = |seq: &u64| {
            let one = &self.living[seq];
            one.place == Stand::Waiting
                && one.expires > self.now.0
                && !self.lost.contains(seq)
                && !self.queue.dying.contains_key(seq)
                && !self.is_discarded(*seq)
        };
        let lane = self.living[&seq].lane;
        let first = |seq: &&u64| self.living.contains_key(seq) && live(seq);
        if self.kind == QueueType::Quorum {
            if let Some(before) = self.first.iter().find(first) {
                return assert_eq!(*before, seq, "what came back goes first");
            }
        } else if !self.mixed {
            let higher = |other: &&u64| self.living[other].lane > lane && live(other);
            assert_eq!(self.living.keys().find(higher), None, "a higher priority waits");
        }
        let before = |other: &&u64| **other < seq && self.living[other].lane == lane && live(other);
        assert_eq!(self.living.keys().find(before), None, "{seq} overtakes");
    }

    /// Whether it was discarded, maybe in this command.
    fn is_discarded(&self, seq: u64) -> bool {
        let stored = self.watch.journal.durable.get(&seq);
        stored.is_some_and(|stored| stored.discarded.is_some())
    }

    fn saw_death(&mut self, slot: Slot, number: u64, reason: DeathReason) {
        if slot == Slot::NONE {
            assert_eq!(
                (reason, self.settings.overflow),
                (DeathReason::MaxLen, Overflow::RejectPublishDlx)
            );
            assert!(self.living.values().all(|one| one.number != number));
            return;
        }
        let one = self.living.get_mut(&slot.seq()).expect("it is not gone");
        assert_eq!(one.number, number);
        match reason {
            DeathReason::Rejected => assert_eq!(one.place, Stand::Leaving),
            DeathReason::Expired => assert!(one.expires <= self.now.0),
            DeathReason::MaxLen => {}
            DeathReason::DeliveryLimit => {
                assert!(self.settings.delivery_limit.is_some_and(|limit| one.returns > limit));
            }
        }
        assert!(matches!(one.place, Stand::Waiting | Stand::Leaving));
        one.place = Stand::Dying(slot);
    }
}
