//! A long first-in-first-out line in blocks of [`BLOCK`] items.
//!
//! Growing never copies the line, as a doubling ring would with a peak of twice its size, and
//! what was consumed is given back block by block. Holds: every block but the first and the last
//! is full, so any position is found by arithmetic.

use std::collections::VecDeque;

/// Items in a block.
pub(super) const BLOCK: usize = 512;

/// The line.
pub(super) struct Blocks<T> {
    blocks: VecDeque<VecDeque<T>>,
    len: usize,
    /// The last emptied block, kept so that a line moving along allocates nothing.
    spare: Option<VecDeque<T>>,
}

impl<T> Blocks<T> {
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

    pub fn push_back(&mut self, item: T) {
        self.len += 1;
        if let Some(last) = self.blocks.back_mut()
            && last.len() < BLOCK
        {
            last.push_back(item);
            return;
        }
        // The first block grows as needed, so that a queue with few messages stays small.
        let mut block = match self.spare.take() {
            Some(spare) => spare,
            None if self.blocks.is_empty() => VecDeque::new(),
            None => VecDeque::with_capacity(BLOCK),
        };
        block.push_back(item);
        self.blocks.push_back(block);
    }

    pub fn front(&self) -> Option<&T> {
        self.blocks.front()?.front()
    }

    pub fn pop_front(&mut self) -> Option<T> {
        let first = self.blocks.front_mut()?;
        let item = first.pop_front()?;
        self.len -= 1;
        if first.is_empty() && self.blocks.len() > 1 {
            self.spare = self.blocks.pop_front();
        }
        Some(item)
    }

    pub fn get(&self, position: usize) -> Option<&T> {
        let (block, offset) = self.locate(position)?;
        self.blocks.get(block)?.get(offset)
    }

    pub fn get_mut(&mut self, position: usize) -> Option<&mut T> {
        let (block, offset) = self.locate(position)?;
        self.blocks.get_mut(block)?.get_mut(offset)
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flatten()
    }

    pub fn into_items(self) -> impl Iterator<Item = T> {
        self.blocks.into_iter().flatten()
    }

    /// The first position at which `before` no longer holds, in a line ordered by it.
    pub fn partition_point(&self, mut before: impl FnMut(&T) -> bool) -> usize {
        let block = self
            .blocks
            .partition_point(|block| block.back().is_some_and(&mut before));
        let skipped = match block {
            0 => 0,
            _ => self.blocks[0].len() + (block - 1) * BLOCK,
        };
        match self.blocks.get(block) {
            Some(found) => skipped + found.partition_point(before),
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_stay_right_while_the_line_moves_along() {
        let mut line = Blocks::new();
        let (mut first, mut next) = (0_usize, 0_usize);
        for round in 0..40 {
            for _ in 0..(round * 97) % 700 {
                line.push_back(next);
                next += 1;
            }
            for _ in 0..(round * 61) % 500 {
                if let Some(item) = line.pop_front() {
                    assert_eq!(item, first);
                    first += 1;
                }
            }
            assert_eq!(line.len(), next - first);
            assert_eq!(line.front().copied(), (first < next).then_some(first));
            for position in (0..line.len()).step_by(37) {
                assert_eq!(line.get(position), Some(&(first + position)));
                assert_eq!(line.partition_point(|item| *item < first + position), position);
                assert_eq!(line.get_mut(position).map(|item| *item), Some(first + position));
            }
            assert_eq!(line.get(line.len()), None);
            assert_eq!(line.partition_point(|_| true), line.len());
            assert!(line.iter().copied().eq(first..next));
        }
    }
}
