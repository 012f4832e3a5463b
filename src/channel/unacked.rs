//! The deliveries of one channel that its client has not settled.
//!
//! Tags count up by one and are never used again on the channel, so this is a deque indexed by
//! `tag - first`, not a map. Holds: the front is unsettled, or the deque is empty. Long runs of
//! settled entries behind an old unsettled one are bounded by the prefetch of well-behaved clients;
//! without a prefetch they cost one empty slot each until the old one is settled.

use std::collections::VecDeque;

/// Deliveries by tag; `T` is what the broker needs to settle one.
#[derive(Debug)]
pub struct Unacked<T> {
    /// Delivery tag of the front of `slots`.
    first: u64,
    slots: VecDeque<Option<T>>,
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
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct UnknownTag(pub u64);

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
                let delivery = self.slot_mut(tag).and_then(Option::take).ok_or(UnknownTag(tag))?;
                self.outstanding -= 1;
                each(tag, delivery);
            }
            Tags::UpTo(tag) => {
                self.slot_mut(tag)
                    .ok_or(UnknownTag(tag))?
                    .as_ref()
                    .ok_or(UnknownTag(tag))?;
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
        while tag < self.first {
            self.first -= 1;
            self.slots.push_front(None);
        }
        if let Some(slot) = self.slot_mut(tag)
            && slot.is_none()
        {
            *slot = Some(delivery);
            self.outstanding += 1;
        }
    }

    /// Looks at every unsettled delivery, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }

    fn next_tag(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    fn slot_mut(&mut self, tag: u64) -> Option<&mut Option<T>> {
        tag.checked_sub(self.first)
            .and_then(|at| self.slots.get_mut(at as usize))
    }

    fn trim(&mut self) {
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
        if self.slots.is_empty() && self.slots.capacity() > IDLE_CAPACITY {
            self.slots = VecDeque::new();
        }
    }
}

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
