//! A long first-in-first-out line of messages in blocks of [`BLOCK`].
//!
//! Growing never copies the line, as a doubling ring would with a peak of twice its size, and what
//! was consumed is given back block by block. Blocks in the middle whose bodies are not in memory
//! are packed, so that a message of a long line takes 0 to 24 bytes and not [`Entry`]'s 48; whoever
//! wants to change one of them unpacks its block. Holds: sequence numbers grow; every block but the
//! first and the last is full, so any position is found by arithmetic; neither of those is packed.

use std::borrow::Cow;
use std::collections::VecDeque;

use crate::types::Timestamp;

use super::column::{Column, first_not};
use super::entry::{Entry, FETCHING};

/// Messages in a block; few in tests, so that the short lines there have several.
const BLOCK: usize = if cfg!(test) { 4 } else { 512 };

/// The line.
pub(super) struct Line {
    blocks: VecDeque<Block>,
    len: usize,
    /// The room of the last block that was emptied, kept so that a line moving along allocates nothing.
    spare: Option<VecDeque<Entry>>,
}

enum Block {
    Open(VecDeque<Entry>),
    Packed(Packed),
}

/// A full block without bodies.
struct Packed {
    seqs: Column,
    locs: Column,
    expiries: Column,
    lens: Column,
    counts: Column,
    /// Lane and marks.
    kinds: Column,
}

impl Line {
    pub fn new() -> Self {
        Self {
            blocks: VecDeque::new(),
            len: 0,
            spare: None,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn push_back(&mut self, entry: Entry) {
        self.len += 1;
        if let Some(Block::Open(last)) = self.blocks.back_mut()
            && last.len() < BLOCK
        {
            last.push_back(entry);
            return;
        }
        if let Some(full) = self.blocks.len().checked_sub(1) {
            self.pack(full);
        }
        // The first block grows as needed, so that a queue with few messages stays small.
        let mut block = match self.spare.take() {
            Some(spare) => spare,
            None if self.blocks.is_empty() => VecDeque::new(),
            None => VecDeque::with_capacity(BLOCK),
        };
        block.push_back(entry);
        self.blocks.push_back(Block::Open(block));
    }

    pub fn front(&self) -> Option<&Entry> {
        match self.blocks.front()? {
            Block::Open(first) => first.front(),
            Block::Packed(_) => None,
        }
    }

    pub fn pop_front(&mut self) -> Option<Entry> {
        let entry = self.open(0)?.pop_front()?;
        self.len -= 1;
        if self.blocks.len() > 1 && self.blocks[0].len() == 0 {
            if let Some(Block::Open(emptied)) = self.blocks.pop_front() {
                self.spare = Some(emptied);
            }
            self.open(0);
        }
        Some(entry)
    }

    pub fn get(&self, position: usize) -> Option<Cow<'_, Entry>> {
        let (block, offset) = self.locate(position)?;
        self.blocks.get(block)?.get(offset)
    }

    /// The entry at this position, for changing it; [`Line::pack_again`] is to be called afterwards.
    pub fn get_mut(&mut self, position: usize) -> Option<&mut Entry> {
        let (block, offset) = self.locate(position)?;
        self.open(block)?.get_mut(offset)
    }

    /// Packs the blocks of these positions again, as far as they can be.
    pub fn pack_again(&mut self, positions: std::ops::Range<usize>) {
        if let Some((first, _)) = self.locate(positions.start)
            && let Some((last, _)) = self.locate(positions.end)
        {
            // The last one has a successor that is not full yet.
            (first.max(1)..=last.min(self.blocks.len().saturating_sub(2))).for_each(|block| self.pack(block));
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Cow<'_, Entry>> {
        self.blocks
            .iter()
            .flat_map(|block| (0..block.len()).filter_map(|at| block.get(at)))
    }

    pub fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.blocks.into_iter().flat_map(|block| match block {
            Block::Open(entries) => entries,
            Block::Packed(packed) => packed.entries().collect(),
        })
    }

    /// The first position whose sequence number is not below this one.
    pub fn lower_bound(&self, seq: u64) -> usize {
        let block = self
            .blocks
            .partition_point(|block| block.last().is_some_and(|last| last < seq));
        let skipped = match block {
            0 => 0,
            _ => self.blocks[0].len() + (block - 1) * BLOCK,
        };
        match self.blocks.get(block) {
            Some(found) => skipped + found.lower_bound(seq),
            None => self.len,
        }
    }

    fn locate(&self, position: usize) -> Option<(usize, usize)> {
        let first = self.blocks.front()?.len();
        if position < first {
            return Some((0, position));
        }
        let rest = position - first;
        Some((1 + rest / BLOCK, rest % BLOCK))
    }

    /// Makes a block's entries ones that can be changed.
    fn open(&mut self, block: usize) -> Option<&mut VecDeque<Entry>> {
        let block = self.blocks.get_mut(block)?;
        if let Block::Packed(packed) = block {
            let mut entries = self.spare.take().unwrap_or_default();
            entries.extend(packed.entries());
            *block = Block::Open(entries);
        }
        match block {
            Block::Open(entries) => Some(entries),
            Block::Packed(_) => None,
        }
    }

    /// Packs a block unless it is the first, or not worth it, or in use.
    fn pack(&mut self, number: usize) {
        if number > 0
            && let Some(block) = self.blocks.get_mut(number)
            && let Block::Open(entries) = block
            && let Some(packed) = Packed::of(entries)
            && let Block::Open(mut emptied) = std::mem::replace(block, Block::Packed(packed))
        {
            emptied.clear();
            self.spare = Some(emptied);
        }
    }
}

impl Block {
    fn len(&self) -> usize {
        match self {
            Self::Open(entries) => entries.len(),
            Self::Packed(_) => BLOCK,
        }
    }

    fn get(&self, at: usize) -> Option<Cow<'_, Entry>> {
        match self {
            Self::Open(entries) => entries.get(at).map(Cow::Borrowed),
            Self::Packed(packed) => (at < BLOCK).then(|| Cow::Owned(packed.entry(at))),
        }
    }

    /// The last sequence number.
    fn last(&self) -> Option<u64> {
        match self {
            Self::Open(entries) => entries.back().map(|entry| entry.seq),
            Self::Packed(packed) => Some(packed.seqs.get(BLOCK - 1)),
        }
    }

    fn lower_bound(&self, seq: u64) -> usize {
        match self {
            Self::Open(entries) => entries.partition_point(|entry| entry.seq < seq),
            Self::Packed(packed) => packed.lower_bound(seq),
        }
    }
}

impl Packed {
    /// `None` when a body is there or on its way, or when the entries differ too much.
    fn of(entries: &VecDeque<Entry>) -> Option<Self> {
        let in_use = |entry: &Entry| entry.message.is_some() || entry.is(FETCHING);
        if entries.len() != BLOCK || entries.iter().any(in_use) {
            return None;
        }
        Some(Self {
            seqs: Column::of(entries.iter().map(|entry| entry.seq))?,
            locs: Column::of(entries.iter().map(|entry| entry.loc))?,
            expiries: Column::of(entries.iter().map(|entry| entry.expires.0))?,
            lens: Column::of(entries.iter().map(|entry| entry.len.into()))?,
            counts: Column::of(entries.iter().map(|entry| entry.count.into()))?,
            kinds: Column::of(entries.iter().map(|entry| entry.kind().into()))?,
        })
    }

    fn entry(&self, at: usize) -> Entry {
        Entry::packed(
            self.seqs.get(at),
            self.locs.get(at),
            Timestamp(self.expiries.get(at)),
            self.lens.get(at) as u32,
            self.counts.get(at) as u32,
            self.kinds.get(at) as u16,
        )
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        (0..BLOCK).map(|at| self.entry(at))
    }

    fn lower_bound(&self, seq: u64) -> usize {
        first_not(BLOCK, |at| self.seqs.get(at) < seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::entry::{LOST, NEVER, REDELIVERED, STORED};

    /// A message without its body; every so many differ.
    fn entry(seq: u64) -> Entry {
        let mut entry = Entry::packed(seq, 1000 + 7 * seq, NEVER, 100, 0, 0);
        entry.mark(STORED);
        if seq.is_multiple_of(5) {
            entry.mark(REDELIVERED);
            entry.count = seq as u32;
            entry.len = 3;
        }
        entry
    }

    fn parts(entry: &Entry) -> (u64, u64, Timestamp, u32, u32, u16) {
        (
            entry.seq,
            entry.loc,
            entry.expires,
            entry.len,
            entry.count,
            entry.kind(),
        )
    }

    fn packed(line: &Line) -> usize {
        let is_packed = |block: &&Block| matches!(block, Block::Packed(_));
        line.blocks.iter().filter(is_packed).count()
    }

    #[test]
    fn positions_stay_right_while_the_line_moves_along() {
        let mut line = Line::new();
        let (mut first, mut next) = (0_u64, 0_u64);
        for round in 0..40 {
            for _ in 0..(round * 97) % 70 {
                line.push_back(entry(next));
                next += 1;
            }
            for _ in 0..(round * 61) % 50 {
                if let Some(one) = line.pop_front() {
                    assert_eq!(parts(&one), parts(&entry(first)));
                    first += 1;
                }
            }
            assert_eq!(line.len() as u64, next - first);
            assert_eq!(line.front().map(|one| one.seq), (first < next).then_some(first));
            for position in (0..line.len()).step_by(7) {
                let there = entry(first + position as u64);
                assert_eq!(line.get(position).map(|one| parts(&one)), Some(parts(&there)));
                assert_eq!(line.lower_bound(there.seq), position);
                assert_eq!(
                    line.get_mut(position).map(|one| parts(one)),
                    Some(parts(&there)),
                    "the block is opened"
                );
            }
            assert!(line.get(line.len()).is_none());
            assert_eq!(line.lower_bound(u64::MAX), line.len());
            assert!(line.iter().map(|one| one.seq).eq(first..next));
            line.pack_again(0..line.len());
            assert_eq!(packed(&line), line.blocks.len().saturating_sub(2));
        }
        assert!(
            line.into_entries()
                .map(|one| parts(&one))
                .eq((first..next).map(|seq| parts(&entry(seq))))
        );
    }

    #[test]
    fn what_is_in_use_or_changed_is_not_packed() {
        let mut line = Line::new();
        (0..5 * BLOCK as u64).for_each(|seq| line.push_back(entry(seq)));
        assert_eq!(packed(&line), 3);
        let change = |line: &mut Line, position: usize, change: fn(&mut Entry)| {
            line.get_mut(position).map(change).expect("there");
            line.pack_again(position..position + 1);
            packed(line)
        };
        assert_eq!(change(&mut line, BLOCK, |one| one.mark(FETCHING)), 2);
        assert_eq!(change(&mut line, BLOCK, |one| one.unmark(FETCHING)), 3);
        assert_eq!(change(&mut line, BLOCK + 1, |one| one.mark(LOST)), 3);
        assert_eq!(line.get(BLOCK + 1).map(|one| one.is(LOST)), Some(true));
        assert_eq!(
            change(&mut line, BLOCK + 1, |one| one.expires = Timestamp(1)),
            2,
            "too far apart"
        );
        assert_eq!(change(&mut line, 0, |_| {}), 2, "the first is next");
    }
}
