//! Messages that are stored but not yet the queue's to give away: those of a quorum queue until
//! the journal has them.
//!
//! Their bodies do not count as the queue's memory: they cannot leave it before they are safe,
//! which is soon. Holds: ordered by sequence number; the sums are those of the entries.

use std::collections::VecDeque;

use super::entry::Entry;

/// The uncommitted messages of a queue.
pub(super) struct Uncommitted {
    entries: VecDeque<Entry>,
    bytes: u64,
    memory: u64,
}

impl Uncommitted {
    pub fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            memory: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The first of them.
    pub fn first(&self) -> Option<u64> {
        Some(self.entries.front()?.seq)
    }

    /// Bytes of the bodies.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of memory that the messages take.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Adds a message that was just published.
    pub fn push(&mut self, entry: Entry) {
        self.bytes += u64::from(entry.len);
        self.memory += entry.memory();
        self.entries.push_back(entry);
    }

    /// Takes the first message out if it is not later than `seq`.
    pub fn pop_up_to(&mut self, seq: u64) -> Option<Entry> {
        if self.entries.front()?.seq > seq {
            return None;
        }
        let entry = self.entries.pop_front()?;
        self.bytes -= u64::from(entry.len);
        self.memory -= entry.memory();
        Some(entry)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Panics when the sums or the order are not as they should be.
    pub fn check(&self) {
        assert!(self.entries.iter().is_sorted_by(|one, next| one.seq < next.seq));
        let sums = |entry: &Entry| (u64::from(entry.len), entry.memory());
        let (bytes, memory): (Vec<_>, Vec<_>) = self.entries.iter().map(sums).unzip();
        assert_eq!((self.bytes, self.memory), (bytes.iter().sum(), memory.iter().sum()));
    }
}
