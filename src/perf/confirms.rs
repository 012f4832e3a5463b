//! The messages a publisher sent and has not yet seen confirmed.
//!
//! Publish sequence numbers count up by one from 1, so this is a ring indexed by number with the time each was sent;
//! 0 marks one that is settled. Holds: the message at `first` is outstanding, or nothing is.

/// How a confirm ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Acked,
    Nacked,
}

/// A confirm for a number that is not outstanding.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the broker confirmed delivery tag {0}, which is not outstanding")]
pub struct StrangeConfirm(pub u64);

/// The ring of unconfirmed messages, as large as the confirm window.
pub struct Confirms {
    sent_ns: Vec<u64>,
    /// The oldest outstanding number.
    first: u64,
    /// The number the next message gets.
    next: u64,
    outstanding: usize,
}

impl Confirms {
    /// Room for `window` messages, at least one.
    pub fn new(window: usize) -> Self {
        Self {
            sent_ns: vec![0; window.max(1)],
            first: 1,
            next: 1,
            outstanding: 0,
        }
    }

    /// How many more messages may be sent. A gap left by confirms out of order is not free before it is first.
    pub fn room(&self) -> usize {
        self.sent_ns.len() - (self.next - self.first) as usize
    }

    /// Messages sent and not confirmed.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Counts `count` messages as sent at `now_ns` (not 0); `count` is at most [`Confirms::room`].
    pub fn sent(&mut self, count: usize, now_ns: u64) {
        debug_assert!(count <= self.room());
        for number in self.next..self.next + count as u64 {
            let slot = self.slot(number);
            self.sent_ns[slot] = now_ns;
        }
        self.next += count as u64;
        self.outstanding += count;
    }

    /// Settles one message, or all up to it, and calls `each` with its number and when it was sent. Tag 0 with
    /// `multiple` means all (spec section 1.8.3.13).
    pub fn confirm(&mut self, tag: u64, multiple: bool, mut each: impl FnMut(u64, u64)) -> Result<(), StrangeConfirm> {
        let tag = if tag == 0 && multiple { self.next - 1 } else { tag };
        if tag >= self.next || tag < self.first && !multiple {
            return Err(StrangeConfirm(tag));
        }
        let from = if multiple { self.first } else { tag };
        for number in from..=tag {
            let slot = self.slot(number);
            let sent_ns = std::mem::take(&mut self.sent_ns[slot]);
            if sent_ns != 0 {
                self.outstanding -= 1;
                each(number, sent_ns);
            } else if !multiple {
                return Err(StrangeConfirm(tag));
            }
        }
        while self.first < self.next && self.sent_ns[self.slot(self.first)] == 0 {
            self.first += 1;
        }
        Ok(())
    }

    /// The numbers that are outstanding, oldest first.
    pub fn unconfirmed(&self) -> impl Iterator<Item = u64> {
        (self.first..self.next).filter(|number| self.sent_ns[self.slot(*number)] != 0)
    }

    fn slot(&self, number: u64) -> usize {
        (number % self.sent_ns.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn confirm(confirms: &mut Confirms, tag: u64, multiple: bool) -> Result<Vec<u64>, StrangeConfirm> {
        let mut settled = Vec::new();
        confirms.confirm(tag, multiple, |number, _| settled.push(number))?;
        Ok(settled)
    }

    #[test]
    fn a_multiple_confirm_settles_everything_up_to_its_tag() {
        let mut confirms = Confirms::new(10);
        confirms.sent(5, 7);
        assert_eq!(confirm(&mut confirms, 3, true), Ok(vec![1, 2, 3]));
        assert_eq!(confirms.room(), 8);
        assert_eq!(confirm(&mut confirms, 0, true), Ok(vec![4, 5]));
        assert_eq!(confirms.outstanding(), 0);
    }

    #[test]
    fn a_confirm_out_of_order_frees_its_place_when_the_older_ones_are_settled() {
        let mut confirms = Confirms::new(3);
        confirms.sent(3, 1);
        assert_eq!(confirm(&mut confirms, 2, false), Ok(vec![2]));
        assert_eq!((confirms.room(), confirms.outstanding()), (0, 2));
        assert_eq!(confirms.unconfirmed().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(confirm(&mut confirms, 1, false), Ok(vec![1]));
        assert_eq!(confirms.room(), 2);
    }

    #[test]
    fn a_confirm_for_what_was_never_sent_or_is_settled_is_an_error() {
        let mut confirms = Confirms::new(3);
        confirms.sent(2, 1);
        assert_eq!(confirm(&mut confirms, 3, true), Err(StrangeConfirm(3)));
        assert_eq!(confirm(&mut confirms, 2, false), Ok(vec![2]));
        assert_eq!(confirm(&mut confirms, 2, false), Err(StrangeConfirm(2)));
        assert_eq!(confirm(&mut confirms, 0, false), Err(StrangeConfirm(0)));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_set(window in 1..20usize, steps in prop::collection::vec((any::<bool>(), any::<bool>(), 1..30u64), 0..100)) {
            let mut confirms = Confirms::new(window);
            let (mut set, mut next) = (BTreeSet::new(), 1u64);
            for (send, multiple, number) in steps {
                if send {
                    let count = confirms.room().min(number as usize);
                    confirms.sent(count, 1);
                    set.extend(next..next + count as u64);
                    next += count as u64;
                } else {
                    let tag = next.saturating_sub(number).max(1);
                    let expected: Vec<u64> = match multiple {
                        true => set.range(..=tag).copied().collect(),
                        false => set.get(&tag).copied().into_iter().collect(),
                    };
                    if let Ok(settled) = confirm(&mut confirms, tag, multiple) {
                        prop_assert_eq!(&settled, &expected);
                        for number in settled {
                            set.remove(&number);
                        }
                    } else {
                        prop_assert!(expected.is_empty());
                    }
                }
                prop_assert_eq!(confirms.unconfirmed().collect::<BTreeSet<_>>(), set.clone());
                prop_assert_eq!(confirms.outstanding(), set.len());
            }
        }
    }
}
