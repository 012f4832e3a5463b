//! The history of one measure: rings of fixed size, each coarser and longer than the one before.
//!
//! A slot of a ring covers `every` seconds and is known by its number, the second in which it begins
//! divided by that. A thing in which nothing moves is not sampled: its slots are filled when it moves
//! again, or while they are read.

use std::collections::VecDeque;

/// A ring: so many slots of so many seconds.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    pub every: u64,
    pub slots: usize,
}

/// A minute, ten minutes, an hour, eight hours, a day.
pub const LEVELS: [Level; 5] = [
    Level { every: 1, slots: 60 },
    Level { every: 5, slots: 120 },
    Level { every: 30, slots: 120 },
    Level { every: 240, slots: 120 },
    Level { every: 600, slots: 144 },
];

/// Levels of what comes and goes with clients: ten minutes.
pub const SHORT: usize = 2;

/// What a slot holds in which nothing was recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fill {
    /// Nothing was added; what is recorded in one slot is added up.
    Zero,
    /// It is as it was; the last of what is recorded in one slot counts.
    Last,
    /// Nobody looked; what is recorded in one slot is added up.
    Missing,
}

/// The rings of one measure. 32 bits hold numbers up to 16 million exactly, and seven digits of others.
#[derive(Debug)]
pub struct Rings {
    fill: Fill,
    rings: Vec<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    /// The number of the last slot.
    newest: u64,
    values: VecDeque<f32>,
}

impl Rings {
    /// Empty rings of the first so many levels.
    pub fn new(fill: Fill, levels: usize) -> Self {
        let rings = LEVELS[..levels].iter().map(|_| Ring::default()).collect();
        Self { fill, rings }
    }

    /// Takes in what was so, or was added, in that second. Seconds before the last one count for that.
    pub fn record(&mut self, second: u64, value: f32) {
        for (ring, level) in self.rings.iter_mut().zip(LEVELS) {
            ring.record(second / level.every, value, level.slots, self.fill);
        }
    }

    /// How many levels there are.
    pub fn levels(&self) -> usize {
        self.rings.len()
    }

    /// Whether a slot lies before all that was ever recorded: nothing was dropped since.
    pub fn begins_after(&self, level: usize, slot: u64) -> bool {
        self.rings.get(level).is_none_or(|ring| {
            let first = (ring.newest + 1).saturating_sub(ring.values.len() as u64);
            ring.values.is_empty() || (slot < first && ring.values.len() < LEVELS[level].slots)
        })
    }

    /// What a slot holds; `None` where it is older than what is kept, or where nobody looked.
    pub fn at(&self, level: usize, slot: u64) -> Option<f32> {
        let ring = self.rings.get(level)?;
        let last = *ring.values.back()?;
        if slot > ring.newest {
            return self.fill.after(last);
        }
        let from_back = usize::try_from(ring.newest - slot).ok()?;
        let at = (ring.values.len() - 1).checked_sub(from_back)?;
        Some(ring.values[at]).filter(|value| !value.is_nan())
    }
}

impl Fill {
    fn after(self, last: f32) -> Option<f32> {
        match self {
            Self::Zero => Some(0.0),
            Self::Last => Some(last),
            Self::Missing => None,
        }
    }
}

impl Ring {
    fn record(&mut self, slot: u64, value: f32, most: usize, fill: Fill) {
        let Some(last) = self.values.back_mut() else {
            self.newest = slot;
            self.values.push_back(value);
            return;
        };
        if slot <= self.newest {
            match fill {
                Fill::Last => *last = value,
                Fill::Zero => *last += value,
                Fill::Missing => *last = value + if last.is_nan() { 0.0 } else { *last },
            }
            return;
        }
        let between = fill.after(*last).unwrap_or(f32::NAN);
        let skipped = usize::try_from(slot - self.newest - 1).unwrap_or(most).min(most);
        for value in std::iter::repeat_n(between, skipped).chain([value]) {
            if self.values.len() == most {
                self.values.pop_front();
            }
            self.values.push_back(value);
        }
        self.newest = slot;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_nobody_looked_at_is_missing_and_what_rested_is_not() {
        let [mut counted, mut length, mut beats] = [Fill::Zero, Fill::Last, Fill::Missing].map(|f| Rings::new(f, 1));
        for rings in [&mut counted, &mut length, &mut beats] {
            rings.record(100, 7.0);
            rings.record(103, 1.0);
        }
        let read = |rings: &Rings| [99, 100, 101, 103, 104].map(|slot| rings.at(0, slot));
        assert_eq!(read(&counted), [None, Some(7.0), Some(0.0), Some(1.0), Some(0.0)]);
        assert_eq!(read(&length), [None, Some(7.0), Some(7.0), Some(1.0), Some(1.0)]);
        assert_eq!(read(&beats), [None, Some(7.0), None, Some(1.0), None]);
    }

    proptest! {
        /// Against a map of seconds that forgets nothing.
        #[test]
        fn every_level_adds_up_what_lies_in_its_slots(
            steps in proptest::collection::vec((0u64..400, 0u16..1000), 1..80)
        ) {
            let mut rings = Rings::new(Fill::Zero, LEVELS.len());
            let mut lengths = Rings::new(Fill::Last, LEVELS.len());
            let mut all = BTreeMap::<u64, f32>::new();
            let mut second = 1_000_000;
            for (pause, value) in steps {
                second += pause;
                let value = f32::from(value);
                rings.record(second, value);
                lengths.record(second, value);
                *all.entry(second).or_default() += value;
            }
            for (level, Level { every, slots }) in LEVELS.into_iter().enumerate() {
                let newest = second / every;
                let first = all.keys().next().expect("one") / every;
                for slot in newest.saturating_sub(slots as u64 - 1).max(first)..=newest {
                    let sum: f32 = all.range(slot * every..(slot + 1) * every).map(|(_, value)| value).sum();
                    prop_assert_eq!(rings.at(level, slot), Some(sum));
                    prop_assert!(lengths.at(level, slot).is_some());
                }
                prop_assert_eq!(rings.at(level, newest.saturating_sub(slots as u64)), None);
                prop_assert!(rings.rings[level].values.len() <= slots);
            }
        }
    }
}
