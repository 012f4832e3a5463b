//! What waits to be written to the log, already in its final form and place.
//!
//! Records are encoded straight into one buffer and get their place at once, so that whoever
//! puts an entry knows where it will be. The writer swaps the buffer for an empty one. A record
//! never spans two segments: when it does not fit, an end record closes the segment and the
//! buffer goes on with the next; a record larger than a segment gets one of its own size.

use super::frame::{self, Kind, Seal};
use super::{Loc, Lsn, OwnerId};

/// Part of the buffer that goes to one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub segment: u32,
    /// Where in the segment the piece begins.
    pub offset: u64,
    /// Where in the buffer it begins; it ends where the next begins.
    pub from: usize,
}

/// A filled buffer on its way to the disk.
#[derive(Debug, Default)]
pub(super) struct Filled {
    pub buffer: Vec<u8>,
    pub pieces: Vec<Piece>,
    /// For each batch with durable entries its owner and last seq.
    pub durable: Vec<(OwnerId, u64)>,
    pub end: Lsn,
}

/// The buffer being filled.
#[derive(Debug)]
pub(super) struct Pending {
    filled: Filled,
    store_id: u64,
    /// Most bytes of records in one segment; an end record fits behind them.
    capacity: u64,
    segment: u32,
    /// The segment before; 0 for none.
    previous: u32,
    seal: Seal,
    offset: u64,
    /// The newest position that a `Synced` record has told of.
    told: Lsn,
    /// Something here should be written at once.
    pub urgent: bool,
    /// A sync is wanted that covers this position.
    pub sync_to: Lsn,
}

impl Pending {
    /// An empty buffer that goes on at the start of this segment, which follows `previous`.
    pub fn new(store_id: u64, segment_bytes: u64, previous: u32, segment: u32) -> Self {
        let start = Lsn::at(segment, 0);
        Self {
            filled: Filled {
                end: start,
                ..Filled::default()
            },
            store_id,
            capacity: segment_bytes.saturating_sub(frame::record_len(0)),
            segment,
            previous,
            seal: Seal::of(store_id, segment),
            offset: 0,
            told: start,
            urgent: false,
            sync_to: start,
        }
    }

    pub fn len(&self) -> usize {
        self.filled.buffer.len()
    }

    /// Bytes that the buffer has room for.
    #[cfg(test)]
    pub fn room(&self) -> usize {
        self.filled.buffer.capacity()
    }

    pub fn is_empty(&self) -> bool {
        self.filled.buffer.is_empty()
    }

    /// End of the last record.
    pub fn end(&self) -> Lsn {
        self.filled.end
    }

    /// The segment that the next record goes to, if it fits.
    pub fn segment(&self) -> u32 {
        self.segment
    }

    /// Appends a record and tells where it begins. `synced` is what the disk is known to hold:
    /// told along now and then, it lets recovery tell damage from a torn tail.
    pub fn append(&mut self, kind: Kind, owner: OwnerId, parts: &[&[u8]], synced: Lsn) -> Loc {
        if self.is_empty() && synced > self.told {
            self.told = synced;
            self.place(Kind::Synced, OwnerId::LOG, &[&synced.0.to_le_bytes()]);
        }
        self.place(kind, owner, parts)
    }

    /// A batch has put durable entries up to this seq.
    pub fn durable(&mut self, owner: OwnerId, seq: u64) {
        self.sync_to = self.filled.end;
        self.filled.durable.push((owner, seq));
    }

    /// Hands out what is there and goes on in the empty buffer given.
    pub fn swap(&mut self, empty: &mut Filled) {
        debug_assert!(empty.buffer.is_empty());
        empty.end = self.filled.end;
        std::mem::swap(&mut self.filled, empty);
        self.urgent = false;
    }

    /// Gives back the memory of an empty buffer.
    pub fn shrink(&mut self) {
        if self.is_empty() {
            self.filled.buffer = Vec::new();
        }
    }

    /// Drops what is there: the store has failed.
    pub fn discard(&mut self) {
        self.filled.clear();
        self.urgent = false;
    }

    fn place(&mut self, kind: Kind, owner: OwnerId, parts: &[&[u8]]) -> Loc {
        let len = frame::record_len(parts.iter().map(|part| part.len()).sum());
        if self.offset > BEGIN && self.offset + len > self.capacity {
            self.encode(Kind::End, OwnerId::LOG, &[]);
            self.previous = self.segment;
            self.segment += 1;
            self.seal = Seal::of(self.store_id, self.segment);
            self.offset = 0;
        }
        if self.offset == 0 {
            let previous = u64::from(self.previous).to_le_bytes();
            self.encode(Kind::Begin, OwnerId::LOG, &[&previous]);
        }
        self.encode(kind, owner, parts)
    }

    fn encode(&mut self, kind: Kind, owner: OwnerId, parts: &[&[u8]]) -> Loc {
        let filled = &mut self.filled;
        let from = filled.buffer.len();
        if filled.pieces.last().is_none_or(|piece| piece.segment != self.segment) {
            filled.pieces.push(Piece {
                segment: self.segment,
                offset: self.offset,
                from,
            });
        }
        frame::encode(&mut filled.buffer, self.seal, kind, owner, parts);
        let loc = Loc::at(self.segment, self.offset);
        self.offset += (filled.buffer.len() - from) as u64;
        filled.end = Lsn::at(self.segment, self.offset);
        loc
    }
}

impl Filled {
    /// Whether little of its room is used.
    pub fn is_idle(&self) -> bool {
        self.buffer.len() < self.buffer.capacity() / IDLE_PART
    }

    /// Empties it, keeping the buffer's memory.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.pieces.clear();
        self.durable.clear();
    }
}

/// What part of its room a buffer uses at least while it is worth its room.
const IDLE_PART: usize = 8;
/// Bytes of the first record of a segment.
const BEGIN: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::frame::{HEADER, Header};

    #[test]
    fn a_record_that_does_not_fit_closes_the_segment() {
        let mut pending = Pending::new(1, 256, 4, 5);
        let body = [7; 100];
        let start = Lsn::at(5, 0);
        let locs: Vec<_> = (0..3)
            .map(|_| pending.append(Kind::Put, OwnerId(1), &[&body], start))
            .collect();
        assert_eq!(locs, [Loc::at(5, BEGIN), Loc::at(6, BEGIN), Loc::at(7, BEGIN)]);
        let mut filled = Filled::default();
        pending.swap(&mut filled);
        assert_eq!(filled.pieces.len(), 3);
        let second = filled.pieces[1];
        let end = Header::decode(&filled.buffer[second.from - HEADER..], Seal::of(1, 5));
        assert_eq!(end.map(|header| header.kind), Some(Kind::End));
    }

    #[test]
    fn a_record_larger_than_a_segment_has_one_of_its_own() {
        let mut pending = Pending::new(1, 256, 0, 1);
        let start = Lsn::at(1, 0);
        pending.append(Kind::Mark, OwnerId(1), &[b"x"], start);
        assert_eq!(
            pending.append(Kind::Put, OwnerId(1), &[&[1; 1000]], start),
            Loc::at(2, BEGIN)
        );
        assert_eq!(
            pending.append(Kind::Mark, OwnerId(1), &[b"x"], start),
            Loc::at(3, BEGIN)
        );
    }

    #[test]
    fn the_synced_position_is_told_once() {
        let mut pending = Pending::new(1, 4096, 0, 1);
        let synced = Lsn::at(1, 40);
        for expected in [1, 0] {
            pending.append(Kind::Mark, OwnerId(1), &[b"x"], synced);
            let mut filled = Filled::default();
            pending.swap(&mut filled);
            let begin = if expected == 1 { BEGIN as usize } else { 0 };
            let first = Header::decode(&filled.buffer[begin..], Seal::of(1, 1)).unwrap();
            assert_eq!(usize::from(first.kind == Kind::Synced), expected);
        }
    }
}
