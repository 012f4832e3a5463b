//! Values over ranges of sequence numbers: which entries live where, and how often delivered.
//!
//! Entries arrive and leave mostly in runs, so a run of a million costs as much as one entry. When
//! every second one leaves, a run costs its 16 or 24 bytes and little more: runs lie in blocks.
//! Holds: runs do not overlap, neighbours that touch have different values, no block is empty, and
//! a block has the runs that begin at its key or after it, and before the key of the next.

use std::collections::BTreeMap;

/// A map from `u64` to `V` that stores equal neighbours as one run.
#[derive(Clone, Debug)]
pub(super) struct RangeMap<V> {
    blocks: BTreeMap<u64, Vec<Run<V>>>,
    runs: usize,
}

#[derive(Clone, Copy, Debug)]
struct Run<V> {
    first: u64,
    /// Numbers after the first.
    more: u32,
    value: V,
}

impl<V> Run<V> {
    fn last(&self) -> u64 {
        self.first + u64::from(self.more)
    }
}

impl<V> Default for RangeMap<V> {
    fn default() -> Self {
        Self {
            blocks: BTreeMap::new(),
            runs: 0,
        }
    }
}

impl<V: Copy + Eq> RangeMap<V> {
    pub fn is_empty(&self) -> bool {
        self.runs == 0
    }

    /// Runs there are.
    pub fn len(&self) -> usize {
        self.runs
    }

    /// The value at one number.
    pub fn get(&self, at: u64) -> Option<V> {
        let run = self.floor(at)?;
        (at <= run.last()).then_some(run.value)
    }

    /// Gives every number in the range this value, whatever it had before. (A range of more than
    /// 2^32 numbers is cut there: so many entries are nowhere.)
    pub fn insert(&mut self, mut first: u64, mut last: u64, value: V) {
        // Nearly always the next number after the newest run.
        if let Some(mut newest) = self.blocks.last_entry()
            && let Some(run) = newest.get_mut().last_mut()
            && run.last() < first
        {
            if run.last() + 1 == first && run.value == value && fits(run.first, last) {
                run.more = (last - run.first) as u32;
            } else {
                self.push(first, last, value);
            }
            return;
        }
        self.remove(first, last, |_, _, _| {});
        if let Some(before) = first.checked_sub(1)
            && let Some(&run) = self.floor(before)
            && run.last() == before
            && run.value == value
            && fits(run.first, last)
        {
            self.remove(run.first, before, |_, _, _| {});
            first = run.first;
        }
        if let Some(after) = last.checked_add(1)
            && let Some(&run) = self.floor(after)
            && run.first == after
            && run.value == value
            && fits(first, run.last())
        {
            self.remove(after, run.last(), |_, _, _| {});
            last = run.last();
        }
        self.place(first, last, value);
    }

    /// Takes the range out and tells each piece that was there: first, last, value.
    pub fn remove(&mut self, first: u64, last: u64, mut gone: impl FnMut(u64, u64, V)) {
        if first > last {
            return;
        }
        if let Some(before) = first.checked_sub(1)
            && let Some(run) = self.floor_mut(before)
            && run.last() >= first
        {
            let (end, value) = (run.last(), run.value);
            run.more = (before - run.first) as u32;
            gone(first, end.min(last), value);
            if end > last {
                self.place(last + 1, end, value);
                return;
            }
        }
        let mut from = self.key_of(first);
        while let Some((&key, block)) = self.blocks.range_mut(from..).next() {
            let begin = block.partition_point(|run| run.first < first);
            let end = block.partition_point(|run| run.first <= last);
            let over = block[begin..end].last().filter(|run| run.last() > last).copied();
            for run in block.drain(begin..end) {
                gone(run.first, run.last().min(last), run.value);
            }
            self.runs -= end - begin;
            let done = begin < block.len();
            if block.is_empty() {
                self.blocks.remove(&key);
            } else if block.capacity() > 4 * block.len() {
                block.shrink_to(2 * block.len());
            }
            if let Some(run) = over {
                self.place(last + 1, run.last(), run.value);
                return;
            }
            match key.checked_add(1) {
                Some(next) if !done => from = next,
                _ => return,
            }
        }
    }

    /// The pieces within the range, clipped to it, ascending.
    pub fn within(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64, V)> + '_ {
        let before = first.checked_sub(1).and_then(|before| self.floor(before));
        let from_here = self.blocks.range(self.key_of(first)..).flat_map(|(_, block)| block);
        before
            .filter(|run| run.last() >= first)
            .into_iter()
            .chain(from_here.skip_while(move |run| run.first < first))
            .take_while(move |run| run.first <= last && first <= last)
            .map(move |run| (run.first.max(first), run.last().min(last), run.value))
    }

    /// Every run, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64, V)> + '_ {
        let runs = self.blocks.values().flatten();
        runs.map(|run| (run.first, run.last(), run.value))
    }

    /// Key of the block in which a run that begins here is; 0 when it would be before all.
    fn key_of(&self, at: u64) -> u64 {
        self.blocks.range(..=at).next_back().map_or(0, |(key, _)| *key)
    }

    /// The last run that begins here or before.
    fn floor(&self, at: u64) -> Option<&Run<V>> {
        // In the block this belongs to, or when all there begin later, the last of the one before.
        let mut blocks = self.blocks.range(..=at).rev().take(2);
        blocks.find_map(|(_, block)| block[..block.partition_point(|run| run.first <= at)].last())
    }

    fn floor_mut(&mut self, at: u64) -> Option<&mut Run<V>> {
        let mut blocks = self.blocks.range_mut(..=at).rev().take(2);
        blocks.find_map(|(_, block)| {
            let until = block.partition_point(|run| run.first <= at);
            block[..until].last_mut()
        })
    }

    /// Adds a run behind all others.
    fn push(&mut self, first: u64, last: u64, value: V) {
        match self.blocks.last_entry() {
            Some(mut newest) if newest.get().len() < BLOCK => newest.get_mut().push(run(first, last, value)),
            _ => {
                self.blocks.insert(first, vec![run(first, last, value)]);
            }
        }
        self.runs += 1;
    }

    /// Adds a run where there is none, that does not merge with its neighbours.
    fn place(&mut self, first: u64, last: u64, value: V) {
        self.runs += 1;
        let new = run(first, last, value);
        let key = self.blocks.range(..=first).next_back().map(|(key, _)| *key);
        let key = key.unwrap_or_else(|| {
            // Before all others: the first block takes it, under another key.
            let block = self.blocks.pop_first().map_or(Vec::new(), |(_, block)| block);
            self.blocks.insert(first, block);
            first
        });
        let block = self.blocks.entry(key).or_default();
        let at = block.partition_point(|run| run.first < first);
        if block.len() < BLOCK {
            block.insert(at, new);
        } else if at == BLOCK {
            // Where runs are appended, full blocks stay behind.
            self.blocks.insert(first, vec![new]);
        } else {
            let mut upper = block.split_off(BLOCK / 2);
            match at.checked_sub(BLOCK / 2 + 1) {
                Some(at) => upper.insert(at + 1, new),
                None => block.insert(at, new),
            }
            self.blocks.insert(upper[0].first, upper);
        }
    }
}

fn run<V>(first: u64, last: u64, value: V) -> Run<V> {
    let more = u32::try_from(last - first).unwrap_or(u32::MAX);
    Run { first, more, value }
}

/// Whether this can be one run.
fn fits(first: u64, last: u64) -> bool {
    last - first <= u64::from(u32::MAX)
}

/// Most runs in a block; few in tests, so that they come to have many blocks.
const BLOCK: usize = if cfg!(all(test, debug_assertions)) { 4 } else { 64 };

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_range_map_agrees_with_a_plain_map(
            steps in prop::collection::vec((any::<bool>(), 0u64..60, 0u64..9, 0u8..3), 1..80),
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
