//! What a block says of each of its messages.
//!
//! Once a block is full it is packed, so that a message takes 0 to 20 bytes here and not 24; whoever
//! wants to change one of them unpacks its block.

use crate::queue::column::{Column, first_not};
use crate::queue::sink::DeathReason;

use super::{BLOCK, Place};

/// Of one message.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub place: Place,
    /// From the base of its block to its sequence number.
    pub offset: u32,
    pub body_len: u32,
    pub stored_len: u32,
    /// Which of the block's metas.
    pub meta: u16,
    /// It is gone.
    pub dead: bool,
    pub discarded: Option<DeathReason>,
}

// As the head of this file says.
const _: () = assert!(size_of::<Slot>() == 24);

/// Of all messages of a block, in order.
#[derive(Clone)]
pub(super) enum Slots {
    Open(Vec<Slot>),
    Packed(Packed),
}

/// A full block, of which nothing is gone or discarded.
#[derive(Clone)]
pub(super) struct Packed {
    places: Column,
    offsets: Column,
    body_lens: Column,
    stored_lens: Column,
    metas: Column,
}

impl Default for Slots {
    fn default() -> Self {
        Self::Open(Vec::new())
    }
}

impl Slots {
    pub fn len(&self) -> usize {
        match self {
            Self::Open(slots) => slots.len(),
            Self::Packed(_) => BLOCK,
        }
    }

    pub fn get(&self, at: usize) -> Option<Slot> {
        match self {
            Self::Open(slots) => slots.get(at).copied(),
            Self::Packed(packed) => (at < BLOCK).then(|| packed.slot(at)),
        }
    }

    pub fn last(&self) -> Option<Slot> {
        self.get(self.len().checked_sub(1)?)
    }

    /// The first whose offset is not below this one.
    pub fn lower_bound(&self, offset: u64) -> usize {
        let is_below = |at| self.get(at).is_some_and(|slot| u64::from(slot.offset) < offset);
        first_not(self.len(), is_below)
    }

    /// The slots, to be changed.
    pub fn open(&mut self) -> &mut Vec<Slot> {
        if let Self::Packed(packed) = self {
            *self = Self::Open((0..BLOCK).map(|at| packed.slot(at)).collect());
        }
        match self {
            Self::Open(slots) => slots,
            Self::Packed(_) => unreachable!("it was opened"),
        }
    }

    /// Packs them if they can be.
    pub fn pack(&mut self) {
        if let Self::Open(slots) = self
            && let Some(packed) = Packed::of(slots)
        {
            *self = Self::Packed(packed);
        }
    }
}

impl Packed {
    fn of(slots: &[Slot]) -> Option<Self> {
        let stays = |slot: &Slot| !slot.dead && slot.discarded.is_none();
        if slots.len() != BLOCK || !slots.iter().all(stays) {
            return None;
        }
        Some(Self {
            places: Column::of(slots.iter().map(|slot| slot.place.0))?,
            offsets: Column::of(slots.iter().map(|slot| slot.offset.into()))?,
            body_lens: Column::of(slots.iter().map(|slot| slot.body_len.into()))?,
            stored_lens: Column::of(slots.iter().map(|slot| slot.stored_len.into()))?,
            metas: Column::of(slots.iter().map(|slot| slot.meta.into()))?,
        })
    }

    fn slot(&self, at: usize) -> Slot {
        Slot {
            place: Place(self.places.get(at)),
            offset: self.offsets.get(at) as u32,
            body_len: self.body_lens.get(at) as u32,
            stored_len: self.stored_lens.get(at) as u32,
            meta: self.metas.get(at) as u16,
            dead: false,
            discarded: None,
        }
    }
}
