//! The messages out of the line: held by consumers, fetched with `basic.get`, or on their way to
//! the dead letter exchange.
//!
//! A slab: a [`Slot`] is an index checked by what is there, so settling neither searches nor
//! hashes. Holds: free cells are linked through the slab; `unacked` and `bytes` leave out what is
//! being dead-lettered, which no client holds any more.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::types::Timestamp;

use super::entry::Entry;
use super::sink::{ConsumerId, DeathReason, Slot};

/// The outstanding messages of a queue.
pub(super) struct Outstanding {
    cells: Vec<Cell>,
    /// The index of the first cell: slots of another leader's queue should not name cells here.
    base: u32,
    /// Messages whose slots are of another leader's queue, by sequence number.
    adopted: FxHashMap<u64, Adopted>,
    /// The first free cell; [`END`] when all are taken.
    free: u32,
    held: usize,
    unacked: usize,
    bytes: u64,
    dying_bytes: u64,
    /// Where the walk that takes bodies out of memory goes on.
    hand: usize,
}

/// A message that is out.
pub(super) struct Held {
    pub entry: Entry,
    pub owner: Owner,
    /// When it was handed out.
    pub since: Timestamp,
}

/// A message that its client knows by a slot of another leader's queue.
#[derive(Clone, Copy)]
struct Adopted {
    /// Where it is here.
    index: u32,
    /// Its client's slot.
    known_as: Slot,
}

/// Who has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    Consumer(ConsumerId),
    Get,
    /// The queue's user, until the dead letter is published.
    Dying(DeathReason),
}

enum Cell {
    Held(Held),
    Free { next: u32 },
}

const END: u32 = u32::MAX;

impl Outstanding {
    pub fn new() -> Self {
        Self {
            cells: Vec::new(),
            base: 0,
            adopted: FxHashMap::default(),
            free: END,
            held: 0,
            unacked: 0,
            bytes: 0,
            dying_bytes: 0,
            hand: 0,
        }
    }

    /// Indexes begin here. Only while nothing is out.
    pub fn number_from(&mut self, base: u32) {
        self.base = base;
    }

    /// Every message that is out, with the slot by which its client knows it.
    pub fn slots(&self) -> impl Iterator<Item = (Slot, &Held)> {
        let cells = self.cells.iter().zip(0_u32..);
        cells.filter_map(|(cell, index)| match cell {
            Cell::Held(held) => {
                let slot = match self.adopted.get(&held.entry.seq) {
                    Some(adopted) => adopted.known_as,
                    None => held.entry.slot(self.base.wrapping_add(index)),
                };
                Some((slot, held))
            }
            Cell::Free { .. } => None,
        })
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        *self = Self {
            base: self.base,
            ..Self::new()
        };
    }

    /// A message that goes out now is known to its client by a slot that another leader's queue gave.
    pub fn adopt(&mut self, held: Held, known_as: Slot) {
        let Slot { index, seq, .. } = self.insert(held);
        self.adopted.insert(seq, Adopted { index, known_as });
    }

    /// Whether a message is out that its client knows by this slot.
    pub fn is_out(&self, slot: Slot) -> bool {
        self.index_of(slot).is_some()
    }

    /// Where the message is that its client knows by this slot.
    fn index_of(&self, slot: Slot) -> Option<u32> {
        if let Some(adopted) = self.adopted.get(&slot.seq) {
            return (adopted.known_as == slot).then_some(adopted.index);
        }
        match self.cells.get(slot.index.wrapping_sub(self.base) as usize) {
            Some(Cell::Held(held)) if held.entry.slot(slot.index) == slot => Some(slot.index),
            _ => None,
        }
    }

    /// Takes everything out that these consumers have, in order.
    pub fn take_of(&mut self, ids: &FxHashSet<ConsumerId>) -> Vec<Held> {
        let is_theirs = |owner| matches!(owner, Owner::Consumer(id) if ids.contains(&id));
        let cells = self.cells.iter().zip(0..);
        let mut slots: Vec<Slot> = cells
            .filter_map(|(cell, index): (_, u32)| match cell {
                Cell::Held(held) if is_theirs(held.owner) => Some(held.entry.slot(self.base.wrapping_add(index))),
                _ => None,
            })
            .collect();
        slots.sort_unstable_by_key(|slot| slot.seq);
        slots.into_iter().filter_map(|slot| self.take(slot)).collect()
    }

    /// Messages that clients hold.
    pub fn unacked(&self) -> usize {
        self.unacked
    }

    /// Bytes of the bodies that clients hold.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of the bodies that are being dead-lettered.
    pub fn dying_bytes(&self) -> u64 {
        self.dying_bytes
    }

    /// The slot that this message gets when it is the next.
    pub fn next_slot(&self, entry: &Entry) -> Slot {
        let index = if self.free == END {
            self.cells.len() as u32
        } else {
            self.free
        };
        entry.slot(self.base.wrapping_add(index))
    }

    pub fn insert(&mut self, held: Held) -> Slot {
        self.held += 1;
        let bytes = u64::from(held.entry.len);
        if matches!(held.owner, Owner::Dying(_)) {
            self.dying_bytes += bytes;
        } else {
            self.unacked += 1;
            self.bytes += bytes;
        }
        let slot = self.next_slot(&held.entry);
        match self.cell(slot.index) {
            Some(cell) => {
                if let Cell::Free { next } = std::mem::replace(cell, Cell::Held(held)) {
                    self.free = next;
                }
            }
            None => self.cells.push(Cell::Held(held)),
        }
        slot
    }

    /// The message of a slot of this queue, unless the slot is stale.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Held> {
        match self.cell(slot.index) {
            Some(Cell::Held(held)) if held.entry.seq == slot.seq => Some(held),
            _ => None,
        }
    }

    /// Takes a message out that a client holds; `None` for a stale slot.
    pub fn take_unacked(&mut self, slot: Slot) -> Option<Held> {
        let slot = Slot {
            index: self.index_of(slot)?,
            ..slot
        };
        match self.get_mut(slot)?.owner {
            Owner::Dying(_) => None,
            _ => self.take(slot),
        }
    }

    /// Takes a message out that was being dead-lettered; `None` for a stale slot.
    pub fn take_dying(&mut self, slot: Slot) -> Option<Held> {
        match self.get_mut(slot)?.owner {
            Owner::Dying(_) => self.take(slot),
            _ => None,
        }
    }

    /// Every message that is out.
    pub fn iter(&self) -> impl Iterator<Item = &Held> {
        self.cells.iter().filter_map(|cell| match cell {
            Cell::Held(held) => Some(held),
            Cell::Free { .. } => None,
        })
    }

    /// Shows up to `most` messages to `change`, going round from call to call, until it says to
    /// stop.
    pub fn go_round(&mut self, most: usize, mut change: impl FnMut(&mut Held) -> bool) {
        for _ in 0..most.min(self.cells.len()) {
            self.hand = if self.hand + 1 < self.cells.len() {
                self.hand + 1
            } else {
                0
            };
            if let Cell::Held(held) = &mut self.cells[self.hand]
                && !change(held)
            {
                return;
            }
        }
    }

    /// Panics when the totals or the free cells are not as they should be.
    pub fn check(&self) {
        let clients = || self.iter().filter(|held| !matches!(held.owner, Owner::Dying(_)));
        assert_eq!(self.held, self.iter().count());
        assert_eq!(self.unacked, clients().count());
        assert_eq!(self.bytes, clients().map(|held| u64::from(held.entry.len)).sum::<u64>());
        let all: u64 = self.iter().map(|held| u64::from(held.entry.len)).sum();
        assert_eq!(self.bytes + self.dying_bytes, all);
        let mut free = 0;
        let mut next = self.free;
        while let Some(Cell::Free { next: after }) = self.cells.get(next as usize) {
            free += 1;
            next = *after;
        }
        assert_eq!(next, END, "the free cells end in one that is held");
        assert_eq!(free + self.held, self.cells.len(), "a cell is lost");
        for (seq, adopted) in &self.adopted {
            let cell = self.cells.get(adopted.index.wrapping_sub(self.base) as usize);
            let there = matches!(cell, Some(Cell::Held(held)) if held.entry.seq == *seq);
            assert!(there, "{seq} was brought along and is gone");
        }
    }

    fn take(&mut self, slot: Slot) -> Option<Held> {
        let next = self.free;
        let cell = self.cell(slot.index)?;
        let Cell::Held(held) = std::mem::replace(cell, Cell::Free { next }) else {
            return None;
        };
        self.free = slot.index.wrapping_sub(self.base);
        if !self.adopted.is_empty() {
            self.adopted.remove(&slot.seq);
        }
        self.held -= 1;
        let bytes = u64::from(held.entry.len);
        if matches!(held.owner, Owner::Dying(_)) {
            self.dying_bytes -= bytes;
        } else {
            self.unacked -= 1;
            self.bytes -= bytes;
        }
        if self.held == 0 && self.cells.len() > IDLE_CELLS {
            // A burst is over: give its memory back.
            self.clear();
        }
        Some(held)
    }

    fn cell(&mut self, index: u32) -> Option<&mut Cell> {
        self.cells.get_mut(index.wrapping_sub(self.base) as usize)
    }
}

/// Cells kept when nothing is out.
const IDLE_CELLS: usize = 4096;
