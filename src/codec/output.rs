//! What waits to be written to one client: small frames in one buffer, large bodies chained.
//!
//! One system call can then take many frames, and a large body goes out of the buffer it came in
//! with. Holds: `cuts` ascend, each the place in `bytes` before which its body belongs.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

/// Bodies of this many bytes or more are chained instead of copied.
pub const CHAINED_BODY: usize = 8 * 1024;
/// Capacity kept from one use to the next; idle connections give back what is more.
const KEPT_CAPACITY: usize = 64 * 1024;

/// Output in order. Filled at one end and, once swapped out, written from the other.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// Bytes already written.
    written: usize,
    cuts: VecDeque<(usize, Bytes)>,
    chained: usize,
}

impl Output {
    /// Where small frames are encoded to.
    #[inline]
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// A piece of a body goes here without being copied.
    pub fn chain(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.chained += piece.len();
            self.cuts.push_back((self.bytes.len(), piece));
        }
    }

    /// Bytes that wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.written + self.chained
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first pieces to write, at most as many as `slices` holds. Returns how many were filled.
    pub fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        let mut from = self.written;
        let mut put = |piece: &'a [u8]| {
            if !piece.is_empty() && filled < slices.len() {
                slices[filled] = IoSlice::new(piece);
                filled += 1;
            }
        };
        for (cut, body) in &self.cuts {
            put(&self.bytes[from..*cut]);
            put(body);
            from = *cut;
        }
        put(&self.bytes[from..]);
        filled
    }

    /// That many bytes, which [`Output::fill`] gave, are written.
    pub fn advance(&mut self, mut count: usize) {
        while let Some((cut, body)) = self.cuts.front_mut() {
            let before = *cut - self.written;
            if count < before {
                break;
            }
            self.written = *cut;
            count -= before;
            let taken = count.min(body.len());
            self.chained -= taken;
            count -= taken;
            if taken < body.len() {
                let _ = body.split_to(taken);
                return;
            }
            self.cuts.pop_front();
        }
        self.written += count;
        if self.is_empty() {
            self.clear();
        }
    }

    /// Forgets everything and gives back memory beyond what a busy connection needs.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_CAPACITY);
        self.written = 0;
        self.cuts.clear();
        self.chained = 0;
    }

    /// Gives back all memory: the connection is idle. Nothing may wait.
    pub fn release(&mut self) {
        debug_assert!(self.is_empty());
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(output: &mut Output, most: usize, slices: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !output.is_empty() {
            let mut pieces = vec![IoSlice::new(&[]); slices];
            let filled = output.fill(&mut pieces);
            let mut now: Vec<u8> = pieces[..filled]
                .iter()
                .flat_map(|piece| piece.iter().copied())
                .collect();
            now.truncate(most);
            output.advance(now.len());
            all.extend(now);
        }
        all
    }

    proptest! {
        #[test]
        fn everything_comes_out_in_order_however_little_is_written_at_once(
            pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..20)), 0..20),
            most in 1usize..30,
            slices in 1usize..5,
        ) {
            let mut output = Output::default();
            for (chained, piece) in &pieces {
                if *chained { output.chain(Bytes::copy_from_slice(piece)); } else { output.bytes().extend(piece); }
            }
            let expected: Vec<u8> = pieces.iter().flat_map(|(_, piece)| piece.iter().copied()).collect();
            prop_assert_eq!(output.len(), expected.len());
            prop_assert_eq!(written(&mut output, most, slices), expected);
            output.release();
        }
    }
}
