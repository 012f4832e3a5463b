//! Values over ranges of sequence numbers: which entries live where, and how often delivered.
//!
//! Entries arrive and leave mostly in runs, so a run of a million costs as much as one entry.
//! Holds: runs do not overlap, and neighbours that touch have different values.

use std::collections::BTreeMap;

/// A map from `u64` to `V` that stores equal neighbours as one run.
#[derive(Clone, Debug)]
pub(super) struct RangeMap<V> {
    /// First of the run → (last of the run, value).
    runs: BTreeMap<u64, (u64, V)>,
}

impl<V> Default for RangeMap<V> {
    fn default() -> Self {
        Self { runs: BTreeMap::new() }
    }
}

impl<V: Copy + Eq> RangeMap<V> {
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Runs there are.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// The value at one number.
    pub fn get(&self, at: u64) -> Option<V> {
        let (_, &(last, value)) = self.runs.range(..=at).next_back()?;
        (at <= last).then_some(value)
    }

    /// Gives every number in the range this value, whatever it had before.
    pub fn insert(&mut self, mut first: u64, mut last: u64, value: V) {
        // Nearly always the next number after the newest run.
        match self.runs.last_entry() {
            Some(mut newest) if newest.get().0 < first => {
                let run = newest.get_mut();
                if run.0 + 1 == first && run.1 == value {
                    run.0 = last;
                } else {
                    self.runs.insert(first, (last, value));
                }
                return;
            }
            _ => {}
        }
        self.remove(first, last, |_, _, _| {});
        if let Some((&before, &(end, same))) = self.runs.range(..first).next_back()
            && end + 1 == first
            && same == value
        {
            self.runs.remove(&before);
            first = before;
        }
        if let Some(next) = last.checked_add(1)
            && let Some(&(end, same)) = self.runs.get(&next)
            && same == value
        {
            self.runs.remove(&next);
            last = end;
        }
        self.runs.insert(first, (last, value));
    }

    /// Takes the range out and tells each piece that was there: first, last, value.
    pub fn remove(&mut self, first: u64, last: u64, mut gone: impl FnMut(u64, u64, V)) {
        if first > last {
            return;
        }
        if let Some((&start, &(end, value))) = self.runs.range(..first).next_back()
            && end >= first
        {
            self.runs.insert(start, (first - 1, value));
            gone(first, end.min(last), value);
            if end > last {
                self.runs.insert(last + 1, (end, value));
                return;
            }
        }
        while let Some((&start, &(end, value))) = self.runs.range(first..=last).next() {
            self.runs.remove(&start);
            gone(start, end.min(last), value);
            if end > last {
                self.runs.insert(last + 1, (end, value));
                return;
            }
        }
    }

    /// The pieces within the range, clipped to it, ascending.
    pub fn within(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64, V)> + '_ {
        let before = self.runs.range(..first).next_back().filter(|(_, run)| run.0 >= first);
        let from_here = (first <= last)
            .then(|| self.runs.range(first..=last))
            .into_iter()
            .flatten();
        before
            .into_iter()
            .chain(from_here)
            .filter(move |(start, _)| **start <= last)
            .map(move |(start, run)| ((*start).max(first), run.0.min(last), run.1))
    }

    /// Every run, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64, V)> + '_ {
        self.runs.iter().map(|(first, (last, value))| (*first, *last, *value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_range_map_agrees_with_a_plain_map(
            steps in prop::collection::vec((any::<bool>(), 0u64..60, 0u64..12, 0u8..3), 1..60),
        ) {
            let mut ranges = RangeMap::default();
            let mut plain = BTreeMap::new();
            for (insert, first, len, value) in steps {
                let last = first + len;
                if insert {
                    ranges.insert(first, last, value);
                    plain.extend((first..=last).map(|at| (at, value)));
                } else {
                    let mut gone = BTreeMap::new();
                    ranges.remove(first, last, |a, b, v| gone.extend((a..=b).map(|at| (at, v))));
                    let expected: BTreeMap<_, _> =
                        (first..=last).filter_map(|at| plain.remove(&at).map(|v| (at, v))).collect();
                    prop_assert_eq!(gone, expected);
                }
                let runs: Vec<_> = ranges.iter().collect();
                for pair in runs.windows(2) {
                    prop_assert!(pair[0].1 + 1 < pair[1].0 || pair[0].1 < pair[1].0 && pair[0].2 != pair[1].2);
                }
                let flat: BTreeMap<_, _> =
                    runs.iter().flat_map(|&(a, b, v)| (a..=b).map(move |at| (at, v))).collect();
                prop_assert_eq!(&flat, &plain);
                let within: BTreeMap<_, _> =
                    ranges.within(first, last).flat_map(|(a, b, v)| (a..=b).map(move |at| (at, v))).collect();
                let expected: BTreeMap<_, _> = plain.range(first..=last).map(|(a, v)| (*a, *v)).collect();
                prop_assert_eq!(within, expected);
                for at in 0..75 {
                    prop_assert_eq!(ranges.get(at), plain.get(&at).copied());
                }
            }
        }
    }
}
