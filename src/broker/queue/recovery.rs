//! What the store kept of a queue of this node, in the words of its machine.

use crate::queue;
use crate::store::LedgerEntry;

/// Entries as the queue machine takes them.
pub(in crate::broker) fn entries(entries: Vec<LedgerEntry>) -> Vec<queue::Recovered> {
    entries
        .into_iter()
        .map(|entry| queue::Recovered {
            seq: entry.seq,
            loc: entry.loc.to_raw(),
            meta: entry.meta,
            count: entry.count,
            // A queue of this node does not keep dead letters.
            discarded: None,
            len: entry.len,
        })
        .collect()
}

/// Up to where messages may have been delivered.
pub(in crate::broker) fn mark(bytes: Option<&[u8]>) -> u64 {
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}
