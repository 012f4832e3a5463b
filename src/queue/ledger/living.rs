//! The messages of a ledger in blocks, by sequence number.
//!
//! A block is up to 24 bytes a message, see [`slots`]. Metas are kept once for neighbours that have the
//! same; delivery counts and bodies in rows of their own, which are there only in blocks that have some.
//! What is gone leaves a dead slot; a block that is half dead is compacted, and joins its neighbour when both
//! fit into one, so that a few messages which stay do not keep the memory of those that went.

mod slots;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::queue::record::Seqs;
use crate::queue::sink::{DeathReason, META_LEN};

use slots::{Slot, Slots};

/// Messages in a block; few in tests, so that the small ledgers there have several.
pub(super) const BLOCK: usize = if cfg!(test) { 8 } else { 512 };

/// Where a stored form lies: in the log entry of an index, or in a piece of a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Place(u64);

/// Marks a piece.
const PIECE: u64 = 1 << 63;

impl Place {
    pub fn entry(index: u64) -> Self {
        Self(index & !PIECE)
    }

    pub fn piece(number: u64) -> Self {
        Self(number | PIECE)
    }

    /// The number of the piece, if it is one, or else the index of the entry.
    pub fn get(self) -> Result<u64, u64> {
        match self.0 & PIECE {
            0 => Err(self.0),
            _ => Ok(self.0 & !PIECE),
        }
    }
}

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct One {
    pub seq: u64,
    pub place: Place,
    pub meta: [u8; META_LEN],
    pub count: u32,
    /// Why it is dead.
    pub discarded: Option<DeathReason>,
    pub body_len: u32,
    pub stored_len: u32,
    /// Empty when it is not in memory.
    pub stored: Bytes,
}

/// The messages that are there.
#[derive(Default)]
pub(super) struct Living {
    /// None is empty; in order.
    blocks: VecDeque<Arc<Block>>,
    len: u64,
    bytes: u64,
    /// Up to here no bodies are in memory.
    released: u64,
}

/// Messages one after the other, not all of them there any more.
#[derive(Clone, Default)]
pub(super) struct Block {
    /// What the slots' offsets count from.
    base: u64,
    slots: Slots,
    metas: Vec<[u8; META_LEN]>,
    /// One for each slot, or none at all.
    counts: Vec<u32>,
    /// One for each slot, or none at all; empty for those that are not in memory.
    bodies: Vec<Bytes>,
    living: usize,
    bytes: u64,
}

impl Living {
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All blocks, as they are now.
    pub fn blocks(&self) -> Vec<Arc<Block>> {
        self.blocks.iter().cloned().collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = One> {
        self.blocks.iter().flat_map(|block| block.living())
    }

    pub fn get(&self, seq: u64) -> Option<One> {
        let block = self.blocks.get(self.find(seq))?;
        block.position(seq).map(|(at, slot)| block.one(at, slot))
    }

    /// Whether the number is beyond all that are there.
    pub fn goes_on_with(&self, seq: u64) -> bool {
        self.blocks.back().is_none_or(|block| block.last() < seq)
    }

    /// Puts a message at the end; numbers grow.
    pub fn push(&mut self, one: One) {
        debug_assert!(self.goes_on_with(one.seq));
        self.len += 1;
        self.bytes += u64::from(one.stored_len);
        if let Some(last) = self.blocks.back_mut()
            && last.slots.len() < BLOCK
            && last.reaches(one.seq)
        {
            return Arc::make_mut(last).push(one);
        }
        // One that a snapshot being made has too is packed when it gets its place in it.
        if let Some(full) = self.blocks.back_mut().and_then(Arc::get_mut) {
            full.slots.pack();
        }
        let mut block = Block {
            base: one.seq,
            ..Block::default()
        };
        block.push(one);
        self.blocks.push_back(Arc::new(block));
    }

    /// Those of the range that are there are gone.
    pub fn remove(&mut self, seqs: Seqs) {
        let mut at = self.find(seqs.first);
        while let Some(block) = self.blocks.get_mut(at)
            && block.base <= seqs.last
        {
            let (living, bytes) = (block.living, block.bytes);
            let all = seqs.first <= block.base && block.last() <= seqs.last;
            if !all {
                Arc::make_mut(block).kill(seqs);
            }
            let left = if all { 0 } else { block.living };
            let bytes_left = if left == 0 { 0 } else { block.bytes };
            self.len -= (living - left) as u64;
            self.bytes -= bytes - bytes_left;
            if left == 0 {
                self.blocks.remove(at);
            } else if left * 2 < block.slots.len() {
                Arc::make_mut(block).compact();
                // Not with the next one yet: it may be in the range too.
                if !self.join_next(at.wrapping_sub(1)) {
                    at += 1;
                }
            } else {
                at += 1;
            }
        }
        self.join_next(at.wrapping_sub(1));
    }

    pub fn set_count(&mut self, seqs: Seqs, count: u32) {
        let mut at = self.find(seqs.first);
        while let Some(block) = self.blocks.get_mut(at)
            && block.base <= seqs.last
        {
            Arc::make_mut(block).set_count(seqs, count);
            at += 1;
        }
    }

    /// Those of the range that are there are dead, for this reason and with this delivery count.
    pub fn discard(&mut self, seqs: Seqs, count: u32, reason: DeathReason) {
        let mut at = self.find(seqs.first);
        while let Some(block) = self.blocks.get_mut(at)
            && block.base <= seqs.last
        {
            Arc::make_mut(block).discard(seqs, count, reason);
            at += 1;
        }
    }

    /// Those of the range that are there lie in this place.
    pub fn set_place(&mut self, seqs: Seqs, place: Place) {
        let mut at = self.find(seqs.first);
        while let Some(block) = self.blocks.get_mut(at)
            && block.base <= seqs.last
        {
            let within = block.within(seqs);
            let slots = &mut Arc::make_mut(block).slots;
            slots.open()[within].iter_mut().for_each(|slot| slot.place = place);
            slots.pack();
            at += 1;
        }
    }

    /// Bodies up to `last` leave memory.
    pub fn release(&mut self, last: u64) {
        let mut at = self.find(self.released.saturating_add(1));
        while let Some(block) = self.blocks.get_mut(at)
            && block.base <= last
        {
            if !block.bodies.is_empty() {
                Arc::make_mut(block).release(last);
            }
            at += 1;
        }
        self.released = self.released.max(last);
    }

    /// The first block that may have the number, or one after it.
    fn find(&self, seq: u64) -> usize {
        match self.blocks.front() {
            Some(first) if first.last() >= seq => 0,
            _ => self.blocks.partition_point(|block| block.last() < seq),
        }
    }

    /// Puts a block and the one after it together, if both are there and fit into one.
    fn join_next(&mut self, at: usize) -> bool {
        let after = at.wrapping_add(1);
        let (Some(block), Some(next)) = (self.blocks.get(at), self.blocks.get(after)) else {
            return false;
        };
        if block.slots.len() + next.slots.len() > BLOCK || !block.reaches(next.last()) {
            return false;
        }
        if let Some(next) = self.blocks.remove(after) {
            let block = Arc::make_mut(&mut self.blocks[at]);
            next.living().for_each(|one| block.push(one));
        }
        true
    }
}

impl Block {
    /// The first message from this slot on, and the slot after it.
    pub fn living_from(&self, at: usize) -> Option<(One, usize)> {
        let mut slots = (at..self.slots.len()).filter_map(|at| Some((at, self.slots.get(at)?)));
        let (found, slot) = slots.find(|(_, slot)| !slot.dead)?;
        Some((self.one(found, slot), found + 1))
    }

    fn living(&self) -> impl Iterator<Item = One> {
        let next = |(_, at): &(_, usize)| self.living_from(*at);
        std::iter::successors(self.living_from(0), next).map(|(one, _)| one)
    }

    fn last(&self) -> u64 {
        self.base + self.slots.last().map_or(0, |slot| u64::from(slot.offset))
    }

    /// Whether an offset can name the number.
    fn reaches(&self, seq: u64) -> bool {
        seq - self.base <= u32::MAX.into()
    }

    fn one(&self, at: usize, slot: Slot) -> One {
        One {
            seq: self.base + u64::from(slot.offset),
            place: slot.place,
            meta: self.metas[usize::from(slot.meta)],
            count: self.counts.get(at).copied().unwrap_or(0),
            discarded: slot.discarded,
            body_len: slot.body_len,
            stored_len: slot.stored_len,
            stored: self.bodies.get(at).cloned().unwrap_or_default(),
        }
    }

    fn push(&mut self, one: One) {
        let at = self.slots.len();
        if self.metas.last() != Some(&one.meta) {
            self.metas.push(one.meta);
        }
        self.slots.open().push(Slot {
            place: one.place,
            offset: (one.seq - self.base) as u32,
            body_len: one.body_len,
            stored_len: one.stored_len,
            meta: (self.metas.len() - 1) as u16,
            dead: false,
            discarded: one.discarded,
        });
        if one.count > 0 || !self.counts.is_empty() {
            self.counts.resize(at, 0);
            self.counts.push(one.count);
        }
        if !one.stored.is_empty() || !self.bodies.is_empty() {
            self.bodies.resize(at, Bytes::new());
            self.bodies.push(one.stored);
        }
        self.living += 1;
        self.bytes += u64::from(one.stored_len);
    }

    /// The slot of a message that is there.
    fn position(&self, seq: u64) -> Option<(usize, Slot)> {
        let at = self.lower_bound(seq);
        let slot = self.slots.get(at)?;
        (self.base + u64::from(slot.offset) == seq && !slot.dead).then_some((at, slot))
    }

    /// The first slot whose number is not below this one.
    fn lower_bound(&self, seq: u64) -> usize {
        let Some(offset) = seq.checked_sub(self.base) else {
            return 0;
        };
        // Mostly no number is missing.
        if let Ok(guess) = usize::try_from(offset)
            && self
                .slots
                .get(guess)
                .is_some_and(|slot| u64::from(slot.offset) == offset)
        {
            return guess;
        }
        self.slots.lower_bound(offset)
    }

    /// The slots of a range.
    fn within(&self, seqs: Seqs) -> std::ops::Range<usize> {
        let from = self.lower_bound(seqs.first);
        from..self.lower_bound(seqs.last.saturating_add(1)).max(from)
    }

    fn kill(&mut self, seqs: Seqs) {
        let within = self.within(seqs);
        let slots = self.slots.open();
        for at in within {
            let slot = &mut slots[at];
            if std::mem::replace(&mut slot.dead, true) {
                continue;
            }
            self.living -= 1;
            self.bytes -= u64::from(slot.stored_len);
            if let Some(body) = self.bodies.get_mut(at) {
                *body = Bytes::new();
            }
        }
    }

    fn set_count(&mut self, seqs: Seqs, count: u32) {
        let within = self.within(seqs);
        if !within.is_empty() {
            self.counts.resize(self.slots.len(), 0);
            self.counts[within].fill(count);
        }
    }

    fn discard(&mut self, seqs: Seqs, count: u32, reason: DeathReason) {
        self.set_count(seqs, count);
        let within = self.within(seqs);
        self.slots.open()[within]
            .iter_mut()
            .for_each(|slot| slot.discarded = Some(reason));
    }

    fn release(&mut self, last: u64) {
        let up_to = self.lower_bound(last.saturating_add(1));
        if up_to >= self.slots.len() {
            self.bodies = Vec::new();
        } else {
            self.bodies.iter_mut().take(up_to).for_each(|body| *body = Bytes::new());
        }
    }

    /// Leaves the dead slots out.
    fn compact(&mut self) {
        let mut closed = Self {
            base: self.base,
            ..Self::default()
        };
        self.living().for_each(|one| closed.push(one));
        *self = closed;
    }
}
