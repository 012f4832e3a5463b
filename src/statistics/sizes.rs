//! How large messages are: how many of each size, as a histogram that only grows.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes up to which messages are counted, as by RabbitMQ 4.2.
pub const SIZES: [u64; 8] = [
    100,
    1000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    50_000_000,
    100_000_000,
];

/// All messages of a node. Added to once a batch.
#[derive(Debug, Default)]
pub struct Sizes {
    counts: [AtomicU64; SIZES.len() + 1],
    sum: AtomicU64,
}

/// Some messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SizeTally {
    /// How many are larger than the bound before and not larger than their own; the last are larger than all.
    pub counts: [u64; SIZES.len() + 1],
    /// Bytes of all of them.
    pub sum: u64,
}

impl SizeTally {
    /// A body of so many bytes.
    pub fn note(&mut self, bytes: u64) {
        let at = SIZES.iter().position(|bound| bytes <= *bound).unwrap_or(SIZES.len());
        self.counts[at] += 1;
        self.sum += bytes;
    }

    /// How many messages there are.
    pub fn len(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Sizes {
    /// So many more; they are counted here from now on.
    pub fn take(&self, tally: &mut SizeTally) {
        let SizeTally { counts, sum } = std::mem::take(tally);
        let some = self.counts.iter().zip(counts).filter(|(_, count)| *count > 0);
        for (all, count) in some {
            all.fetch_add(count, Ordering::Relaxed);
        }
        self.sum.fetch_add(sum, Ordering::Relaxed);
    }

    /// All that were counted.
    pub fn read(&self) -> SizeTally {
        SizeTally {
            counts: std::array::from_fn(|at| self.counts[at].load(Ordering::Relaxed)),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_counted_below_its_bound() {
        let (sizes, mut tally) = (Sizes::default(), SizeTally::default());
        [0, 100, 101, 200_000_000]
            .into_iter()
            .for_each(|bytes| tally.note(bytes));
        sizes.take(&mut tally);
        assert!(tally.is_empty());
        let all = sizes.read();
        assert_eq!(all.counts, [2, 1, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((all.len(), all.sum), (4, 200_000_201));
    }
}
