//! One turn of an owner at the log: a batch of puts, removals, touches and a mark.

use parking_lot::MutexGuard;

use super::frame::Kind;
use super::wal::{Before, Log, Wal};
use super::{Keep, Loc, Lsn, Meta, OwnerId};

/// Records of one owner, appended in order under one lock; dropping it ends the turn. Keep it
/// short: everybody else waits.
pub struct Batch<'a> {
    wal: &'a Wal,
    /// `None` only while the batch ends.
    log: Option<MutexGuard<'a, Log>>,
    before: Before,
    owner: OwnerId,
    durable_up_to: Option<u64>,
    /// Ranges on their way into one record; kept to use its memory again.
    ranges: Vec<u8>,
}

impl<'a> Batch<'a> {
    pub(super) fn begin(wal: &'a Wal, owner: OwnerId) -> Self {
        let log = wal.lock_with_room();
        Self {
            wal,
            before: Before::of(&log),
            log: Some(log),
            owner,
            durable_up_to: None,
            ranges: Vec::new(),
        }
    }

    /// Adds an entry whose body is the parts one after the other. Each seq is used once in an
    /// owner's life. The entry can be read at once; a durable one is safe when
    /// [`super::Owners::durable`] says so.
    pub fn put(&mut self, seq: u64, meta: Meta, parts: &[&[u8]], keep: Keep) -> Loc {
        let owner = self.owner;
        if keep == Keep::Durable {
            self.durable_up_to = self.durable_up_to.max(Some(seq));
        }
        let Some(log) = &mut self.log else {
            return Loc::REST;
        };
        let mut head = [0; super::frame::PUT_HEAD];
        head[..8].copy_from_slice(&seq.to_le_bytes());
        head[8..].copy_from_slice(&meta);
        // Stored messages come in few parts; more are joined first.
        let loc = match parts {
            [] => log.append(keep.into(), owner, &[&head]),
            [a] => log.append(keep.into(), owner, &[&head, a]),
            [a, b] => log.append(keep.into(), owner, &[&head, a, b]),
            [a, b, c] => log.append(keep.into(), owner, &[&head, a, b, c]),
            many => log.append(keep.into(), owner, &[&head, &many.concat()]),
        };
        log.index.put(owner, seq, keep, loc.segment());
        log.pending.urgent = true;
        loc
    }

    /// Entries in these ranges (first and last, both included) are no more. Seqs the store does
    /// not know cost nothing. Written within some milliseconds; nobody can wait for it.
    pub fn remove(&mut self, seqs: &[(u64, u64)]) {
        let Some(log) = &mut self.log else {
            return;
        };
        self.ranges.clear();
        for &(first, last) in seqs {
            // Not what was asked for, but what there was: an entry put later may fall in a range
            // that was too wide.
            if let Some((first, last)) = log.index.remove(self.owner, first, last) {
                self.ranges.extend_from_slice(&first.to_le_bytes());
                self.ranges.extend_from_slice(&last.to_le_bytes());
            }
        }
        if !self.ranges.is_empty() {
            log.append(Kind::Remove, self.owner, &[&self.ranges]);
        }
    }

    /// Entries in these ranges have been delivered `count` times in all; counts only grow.
    /// Written as lazily as removals.
    pub fn touch(&mut self, seqs: &[(u64, u64)], count: u32) {
        let Some(log) = &mut self.log else {
            return;
        };
        self.ranges.clear();
        let segment = log.pending.segment();
        for &(first, last) in seqs {
            if log.index.touch(self.owner, first, last, count, segment) {
                self.ranges.extend_from_slice(&first.to_le_bytes());
                self.ranges.extend_from_slice(&last.to_le_bytes());
            }
        }
        if !self.ranges.is_empty() {
            log.append(
                Kind::Touch,
                self.owner,
                &[&u64::from(count).to_le_bytes(), &self.ranges],
            );
        }
    }

    /// Replaces the owner's small state; the latest survives. Written at once, not necessarily
    /// synced.
    pub fn mark(&mut self, bytes: &[u8]) {
        if let Some(log) = &mut self.log {
            let loc = log.append(Kind::Mark, self.owner, &[bytes]);
            log.index.mark(self.owner, bytes, loc.segment());
            log.pending.urgent = true;
        }
    }

    /// Ends the batch; the position returned covers everything in it (see
    /// [`super::Store::synced`], which fails when the store takes no more records).
    pub fn commit(mut self) -> Lsn {
        let end = self.log.as_ref().map_or(Lsn::default(), |log| log.end());
        self.end();
        end
    }

    /// Ends the batch and writes it on this thread where that is likely to be quick; nothing may be
    /// held that [`super::Owners::told_at_once`] needs.
    pub fn commit_and_write(mut self) {
        if let Some(log) = self.take() {
            self.wal.unlock_and_write(log, self.before);
        }
    }

    fn end(&mut self) {
        if let Some(log) = self.take() {
            self.wal.unlock(log, self.before);
        }
    }

    fn take(&mut self) -> Option<MutexGuard<'a, Log>> {
        let mut log = self.log.take()?;
        if let Some(seq) = self.durable_up_to {
            log.durable(self.owner, seq);
        }
        Some(log)
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
