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

/// What a producer had taken last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its own number for it.
    pub number: u64,
    /// The queue's number for it.
    pub seq: u64,
}

impl Producers {
    /// What was taken last from the producer of a message that was taken before. `None` when the
    /// message is new.
    pub fn knows(&self, origin: Origin) -> Option<Known> {
        let known = self.last.get(&origin.producer)?;
        (origin.number <= known.number).then_some(*known)
    }

    /// Notes a message. False when it was taken before.
    pub fn note(&mut self, origin: Origin, seq: u64) -> bool {
        let Origin { producer, number } = origin;
        if let Some(known) = self.last.get_mut(&producer) {
            let is_new = number > known.number;
            if is_new {
                *known = Known { number, seq };
            }
            return is_new;
        }
        if self.last.len() >= MOST {
            self.forget_quiet();
        }
        self.last.insert(producer, Known { number, seq });
        true
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
            assert_eq!(producers.knows(origin), Some(Known { number: 1, seq: id + 1 }));
        }
    }
}
