//! The last number that each producer had taken, so that what is sent again counts once.

use rustc_hash::FxHashMap;

use crate::queue::record::{Origin, ProducerId};

/// Producers that are remembered. Beyond it the half that was quiet for longest is forgotten: they
/// forgot to say that they are gone.
const MOST: usize = 1 << 16;

/// The producers of one queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    last: FxHashMap<ProducerId, Known>,
}

/// What a producer had taken last. Numbers that are missing between those that were taken were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Everything from this number of the producer to the next one was taken.
    pub since: u64,
    /// Its own number for it.
    pub number: u64,
    /// The queue's number for it.
    pub seq: u64,
}

/// What became of a message that is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// It was taken, and is safe when the queue's message of this number is.
    Taken { with: u64 },
    /// It was refused, or it was taken before one that was refused: nobody knows any more.
    Unknown,
}

impl Producers {
    /// What became of a message when it was sent before. `None` when the message is new.
    pub fn knows(&self, Origin { producer, number }: Origin) -> Option<Before> {
        let known = self.last.get(&producer)?;
        if number > known.number {
            return None;
        }
        Some(match number >= known.since {
            true => Before::Taken { with: known.seq },
            false => Before::Unknown,
        })
    }

    /// Notes a message. False when it was taken before.
    pub fn note(&mut self, origin: Origin, seq: u64) -> bool {
        let Origin { producer, number } = origin;
        if let Some(known) = self.last.get_mut(&producer) {
            let is_new = number > known.number;
            if is_new {
                let since = match number == known.number + 1 {
                    true => known.since,
                    false => number,
                };
                *known = Known { since, number, seq };
            }
            return is_new;
        }
        let since = number;
        self.restore(producer, Known { since, number, seq });
        true
    }

    /// Notes what is known of a producer of which nothing was known.
    pub(super) fn restore(&mut self, producer: ProducerId, known: Known) {
        if self.last.len() >= MOST {
            self.forget_quiet();
        }
        self.last.insert(producer, known);
    }

    /// The producer sends nothing again.
    pub fn forget(&mut self, producer: ProducerId) {
        self.last.remove(&producer);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.last.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// All of them, in the order of their ids.
    pub(super) fn in_order(&self) -> Vec<(ProducerId, Known)> {
        let mut all: Vec<_> = self.last.iter().map(|(id, known)| (*id, *known)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// No two have taken the same message last, so every member forgets the same ones.
    fn forget_quiet(&mut self) {
        let mut seqs: Vec<u64> = self.last.values().map(|known| known.seq).collect();
        let (_, middle, _) = seqs.select_nth_unstable(MOST / 2);
        let middle = *middle;
        self.last.retain(|_, known| known.seq >= middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn producers_that_never_say_that_they_are_gone_are_bounded() {
        let mut producers = Producers::default();
        for id in 0..3 * MOST as u64 {
            let origin = Origin {
                producer: ProducerId(id),
                number: 1,
            };
            assert!(producers.note(origin, id + 1));
            assert!(!producers.note(origin, id + 2));
            assert!(producers.len() <= MOST);
            assert_eq!(producers.knows(origin), Some(Before::Taken { with: id + 1 }));
        }
    }

    #[test]
    fn what_was_taken_before_a_refusal_is_not_told_from_what_was_refused() {
        let mut producers = Producers::default();
        let origin = |number| Origin {
            producer: ProducerId(7),
            number,
        };
        for number in [1, 2, 4, 5] {
            producers.note(origin(number), 10 + number);
        }
        let known = (1..=6).map(|number| producers.knows(origin(number)));
        let taken = Some(Before::Taken { with: 15 });
        let unknown = Some(Before::Unknown);
        assert_eq!(
            known.collect::<Vec<_>>(),
            [unknown, unknown, unknown, taken, taken, None]
        );
    }
}
