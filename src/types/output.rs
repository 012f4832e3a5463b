//! What is to be written to one socket: many small frames in one buffer, large bodies beside it.
//!
//! Frames are appended to one contiguous buffer; a large body is chained at the place it belongs
//! without being copied. A writer takes the pieces in order as [`IoSlice`]s and reports how far it
//! came with [`Output::advance`], as often as it likes, also in the middle of a piece.
//!
//! To go on filling while a full one is written, keep two and `std::mem::swap` them: both keep
//! their buffers. A buffer that turns out too large for its use shrinks by half each time it is
//! emptied, so a connection that falls idle soon holds [`REST_CAPACITY`] or less.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Bytes of buffer that are kept however small the use.
pub const REST_CAPACITY: usize = 2 * 1024;
/// Places for chained pieces that are kept.
const REST_PIECES: usize = 16;

/// Bytes waiting to be written, in order.
#[derive(Debug, Default)]
pub struct Output {
    buffer: Vec<u8>,
    /// Bytes of `buffer` already written.
    written: usize,
    /// Pieces to be written between bytes of the buffer, and the buffer position each one precedes;
    /// positions ascend.
    chained: VecDeque<(usize, Bytes)>,
    chained_bytes: usize,
}

impl Output {
    /// Nothing to write, and no memory taken.
    pub fn new() -> Self {
        Self::default()
    }

    /// The buffer, to append to; what is in it must stay.
    #[inline]
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Appends `piece` without copying it.
    pub fn chain(&mut self, piece: Bytes) {
        self.chained_bytes += piece.len();
        self.chained.push_back((self.buffer.len(), piece));
    }

    /// Bytes still to be written.
    #[inline]
    pub fn len(&self) -> usize {
        self.buffer.len() - self.written + self.chained_bytes
    }

    /// Whether everything is written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces still to be written, in order.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = self.written;
        let between = self.chained.iter().flat_map(move |(position, piece)| {
            let before = &self.buffer[from..*position];
            from = *position;
            [before, piece]
        });
        let last = self.chained.back().map_or(self.written, |(position, _)| *position);
        between
            .chain(std::iter::once(&self.buffer[last..]))
            .filter(|piece| !piece.is_empty())
    }

    /// Fills `slices` with the first pieces; gives how many it filled.
    pub fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slice, piece) in slices.iter_mut().zip(self.pieces()) {
            *slice = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    /// Takes note that the first `count` bytes are written; more than there are count as all.
    /// When nothing is left the buffer begins anew.
    pub fn advance(&mut self, mut count: usize) {
        while let Some((position, piece)) = self.chained.front_mut() {
            let before = *position - self.written;
            if count < before {
                break;
            }
            self.written = *position;
            count -= before;
            let part = count.min(piece.len());
            piece.advance(part);
            self.chained_bytes -= part;
            count -= part;
            if !piece.is_empty() {
                return;
            }
            self.chained.pop_front();
        }
        self.written = (self.written + count).min(self.buffer.len());
        if self.is_empty() {
            self.clear();
        }
    }

    /// Drops everything, written or not, and lets go of memory that was not needed.
    pub fn clear(&mut self) {
        let used = self.buffer.len();
        self.buffer.clear();
        self.written = 0;
        self.chained.clear();
        self.chained.shrink_to(REST_PIECES);
        self.chained_bytes = 0;
        if used < self.buffer.capacity() / 4 {
            self.buffer.shrink_to((self.buffer.capacity() / 2).max(REST_CAPACITY));
        }
    }

    /// Bytes of memory held, chained bodies not counted.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity() + self.chained.capacity() * size_of::<(usize, Bytes)>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(output: &Output) -> Vec<u8> {
        output.pieces().collect::<Vec<_>>().concat()
    }

    #[test]
    fn small_pieces_share_one_buffer() {
        let mut output = Output::new();
        output.bytes().extend_from_slice(b"one");
        output.bytes().extend_from_slice(b"two");
        assert_eq!(output.pieces().count(), 1);
        output.chain(Bytes::from_static(b"BODY"));
        output.bytes().extend_from_slice(b"three");
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(output.io_slices(&mut slices), 3);
        assert_eq!(&*slices[1], b"BODY");
        assert_eq!(output.len(), 15);
    }

    #[test]
    fn an_unused_buffer_shrinks_to_its_rest() {
        let mut output = Output::new();
        output.bytes().resize(1 << 20, 0);
        output.advance(1 << 20);
        for _ in 0..20 {
            output.bytes().push(1);
            output.advance(1);
        }
        assert!(output.capacity() <= REST_CAPACITY, "{}", output.capacity());
    }

    proptest! {
        #[test]
        fn any_partial_writes_give_the_same_bytes(
            pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..20)), 0..20),
            steps in proptest::collection::vec(0usize..30, 1..40),
        ) {
            let mut output = Output::new();
            let mut expected = Vec::new();
            for (chain, piece) in pieces {
                expected.extend_from_slice(&piece);
                if chain {
                    output.chain(Bytes::from(piece));
                } else {
                    output.bytes().extend_from_slice(&piece);
                }
            }
            prop_assert_eq!(output.len(), expected.len());
            let mut done = 0;
            for step in steps {
                prop_assert_eq!(&all(&output), &expected[done..]);
                output.advance(step);
                done = (done + step).min(expected.len());
                prop_assert_eq!(output.len(), expected.len() - done);
            }
        }
    }
}
