//! The deliveries of one channel that its client has not settled.
//!
//! Tags count up by one and are never used again on the channel, so this is a deque indexed by
//! `tag - first`, not a map. Holds: the front is unsettled, or the deque is empty. A client that
//! never settles an old one while it settles the later ones would make the deque grow for ever: what
//! is left of a long deque that is mostly empty moves to a map. So memory follows what is unsettled.

use std::collections::{BTreeMap, VecDeque};

use thiserror::Error;

use crate::types::{Refusal, Reply, ReplyCode};

/// Deliveries by tag; `T` is what the broker needs to settle one.
#[derive(Debug)]
pub struct Unacked<T> {
    /// Delivery tag of the front of `slots`.
    first: u64,
    slots: VecDeque<Option<T>>,
    /// Unsettled ones with tags below `first`.
    old: BTreeMap<u64, T>,
    outstanding: usize,
}

/// Which deliveries a client settles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tags {
    One(u64),
    /// All up to and including this one.
    UpTo(u64),
    All,
}

/// The tag is not one of an unsettled delivery.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[error("unknown delivery tag {0}")]
pub struct UnknownTag(pub u64);

impl Refusal for UnknownTag {
    fn reply(&self) -> Reply {
        Reply::channel(ReplyCode::PreconditionFailed, self.to_string())
    }
}

impl Tags {
    /// Reads the pair on the wire; tag 0 with `multiple` means everything (spec `basic.ack`).
    pub fn from_wire(tag: u64, multiple: bool) -> Self {
        match (tag, multiple) {
            (0, true) => Self::All,
            (tag, true) => Self::UpTo(tag),
            (tag, false) => Self::One(tag),
        }
    }
}

impl<T> Default for Unacked<T> {
    fn default() -> Self {
        Self {
            first: 1,
            slots: VecDeque::new(),
            old: BTreeMap::new(),
            outstanding: 0,
        }
    }
}

impl<T> Unacked<T> {
    /// The tag of the next delivery, which needs no settling.
    pub fn skip(&mut self) -> u64 {
        let tag = self.next_tag();
        if self.slots.is_empty() {
            self.first += 1;
        } else {
            self.slots.push_back(None);
            self.trim();
        }
        tag
    }

    /// Takes a delivery in and gives it its tag.
    pub fn push(&mut self, delivery: T) -> u64 {
        let tag = self.next_tag();
        self.slots.push_back(Some(delivery));
        self.outstanding += 1;
        tag
    }

    /// Deliveries not settled.
    pub fn len(&self) -> usize {
        self.outstanding
    }

    /// Whether everything is settled.
    pub fn is_empty(&self) -> bool {
        self.outstanding == 0
    }

    /// Takes the settled deliveries out with their tags, oldest first.
    pub fn settle(&mut self, tags: Tags, mut each: impl FnMut(u64, T)) -> Result<(), UnknownTag> {
        match tags {
            Tags::One(tag) => {
                let delivery = match self.slot_mut(tag) {
                    Some(slot) => slot.take(),
                    None => self.old.remove(&tag),
                };
                let delivery = delivery.ok_or(UnknownTag(tag))?;
                self.outstanding -= 1;
                each(tag, delivery);
            }
            Tags::UpTo(tag) if tag < self.first => {
                if !self.old.contains_key(&tag) {
                    return Err(UnknownTag(tag));
                }
                let later = self.old.split_off(&(tag + 1));
                self.settle_old(&mut each);
                self.old = later;
            }
            Tags::UpTo(tag) => {
                self.slot_mut(tag)
                    .ok_or(UnknownTag(tag))?
                    .as_ref()
                    .ok_or(UnknownTag(tag))?;
                self.settle_old(&mut each);
                let settled = self.slots.drain(..=(tag - self.first) as usize);
                for (own, delivery) in (self.first..).zip(settled) {
                    if let Some(delivery) = delivery {
                        self.outstanding -= 1;
                        each(own, delivery);
                    }
                }
                self.first = tag + 1;
            }
            Tags::All => {
                self.settle_old(&mut each);
                let first = self.first;
                self.first = self.next_tag();
                self.outstanding = 0;
                for (own, delivery) in (first..).zip(self.slots.drain(..)) {
                    if let Some(delivery) = delivery {
                        each(own, delivery);
                    }
                }
            }
        }
        self.trim();
        Ok(())
    }

    /// Makes a delivery unsettled again that was taken out, under its old tag: a transaction was
    /// rolled back.
    pub fn put_back(&mut self, tag: u64, delivery: T) {
        let place = match self.slot_mut(tag) {
            Some(slot) => slot.replace(delivery),
            None => self.old.insert(tag, delivery),
        };
        self.outstanding += usize::from(place.is_none());
    }

    /// Looks at every unsettled delivery, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.old.values().chain(self.slots.iter().flatten())
    }

    fn next_tag(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    fn slot_mut(&mut self, tag: u64) -> Option<&mut Option<T>> {
        tag.checked_sub(self.first)
            .and_then(|at| self.slots.get_mut(at as usize))
    }

    fn settle_old(&mut self, each: &mut impl FnMut(u64, T)) {
        for (tag, delivery) in std::mem::take(&mut self.old) {
            self.outstanding -= 1;
            each(tag, delivery);
        }
    }

    /// Moves what is left of the older half of a long deque that is mostly empty.
    fn thin_out(&mut self) {
        let long = self.slots.len();
        if long < LONG || self.outstanding - self.old.len() > long / 8 {
            return;
        }
        let older = (self.first..).zip(self.slots.drain(..long / 2));
        self.old.extend(older.filter_map(|(tag, slot)| Some((tag, slot?))));
        self.first += (long / 2) as u64;
    }

    fn trim(&mut self) {
        self.thin_out();
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
        if self.slots.is_empty() && self.slots.capacity() > IDLE_CAPACITY {
            self.slots = VecDeque::new();
        }
    }
}

/// Slots from which on it is looked whether they are mostly empty.
const LONG: usize = 4096;
/// Slots kept allocated while nothing is outstanding.
const IDLE_CAPACITY: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(unacked: &mut Unacked<char>, tags: Tags) -> Result<String, UnknownTag> {
        let mut out = String::new();
        unacked.settle(tags, |_, delivery| out.push(delivery))?;
        Ok(out)
    }

    #[test]
    fn a_multiple_ack_takes_everything_up_to_its_tag() {
        let mut unacked = Unacked::default();
        "abcd".chars().for_each(|delivery| {
            unacked.push(delivery);
        });
        assert_eq!(settled(&mut unacked, Tags::One(2)), Ok("b".into()));
        assert_eq!(settled(&mut unacked, Tags::UpTo(3)), Ok("ac".into()));
        assert_eq!(settled(&mut unacked, Tags::from_wire(0, true)), Ok("d".into()));
        assert_eq!(unacked.push('e'), 5);
    }

    #[test]
    fn what_is_put_back_has_its_old_tag() {
        let mut unacked = Unacked::default();
        "abc".chars().for_each(|delivery| {
            unacked.push(delivery);
        });
        let mut taken = Vec::new();
        let all = unacked.settle(Tags::UpTo(2), |tag, delivery| taken.push((tag, delivery)));
        assert_eq!((all, &taken[..]), (Ok(()), &[(1, 'a'), (2, 'b')][..]));
        for (tag, delivery) in taken.into_iter().rev() {
            unacked.put_back(tag, delivery);
        }
        assert_eq!(unacked.len(), 3);
        assert_eq!(settled(&mut unacked, Tags::One(2)), Ok("b".into()));
        assert_eq!(settled(&mut unacked, Tags::All), Ok("ac".into()));
    }

    #[test]
    fn an_old_one_costs_nothing_but_itself() {
        let mut unacked = Unacked::default();
        let mut held = std::collections::BTreeSet::new();
        for number in 1..100_000_u64 {
            let tag = match number % 3 {
                0 => unacked.skip(),
                _ => unacked.push(number),
            };
            assert_eq!(tag, number);
            if number % 18_000 == 1 {
                held.insert(tag);
            } else if number % 3 != 0 {
                let settled = unacked.settle(Tags::One(tag), |own, delivery| assert_eq!((own, delivery), (tag, tag)));
                assert_eq!(settled, Ok(()));
            }
        }
        assert!(unacked.slots.capacity() <= 2 * LONG, "{}", unacked.slots.capacity());
        assert_eq!(unacked.len(), held.len());
        assert!(unacked.iter().copied().eq(held.iter().copied()));
        let nothing = |_, _| panic!("nothing is to be settled");
        assert_eq!(unacked.settle(Tags::One(2), nothing), Err(UnknownTag(2)));
        assert_eq!(unacked.settle(Tags::UpTo(2), nothing), Err(UnknownTag(2)));
        let mut taken = Vec::new();
        let settled = unacked.settle(Tags::UpTo(18_001), |tag, delivery| taken.push((tag, delivery)));
        assert_eq!((settled, &taken[..]), (Ok(()), &[(1, 1), (18_001, 18_001)][..]));
        for (tag, delivery) in taken {
            unacked.put_back(tag, delivery);
        }
        let last = unacked.push(7);
        let mut all = Vec::new();
        let settled = unacked.settle(Tags::UpTo(last), |tag, _| all.push(tag));
        held.insert(last);
        assert_eq!((settled, unacked.len()), (Ok(()), 0));
        assert!(all.into_iter().eq(held));
        assert_eq!(unacked.push(8), last + 1);
    }

    #[test]
    fn settled_skipped_and_future_tags_are_unknown() {
        let mut unacked = Unacked::default();
        assert_eq!(unacked.skip(), 1);
        assert_eq!(unacked.push('a'), 2);
        assert_eq!(unacked.skip(), 3);
        for tag in [0, 1, 3, 4] {
            assert_eq!(settled(&mut unacked, Tags::One(tag)), Err(UnknownTag(tag)));
        }
        assert_eq!(settled(&mut unacked, Tags::UpTo(9)), Err(UnknownTag(9)));
        assert_eq!(settled(&mut unacked, Tags::One(2)), Ok("a".into()));
        assert_eq!(settled(&mut unacked, Tags::One(2)), Err(UnknownTag(2)));
        assert_eq!(settled(&mut unacked, Tags::All), Ok(String::new()));
        assert_eq!(unacked.push('b'), 4);
    }
}
