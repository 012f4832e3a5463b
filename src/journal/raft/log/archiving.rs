//! Old entries of a log go into its archive: what is committed and synced, and older than the newest megabytes.
//! The log knows no more of them than where they begin and end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::{Found, LogShared, gone};
use crate::journal::raft::pack::Packed;
use crate::journal::raft::recovery::{meta, read_meta};
use crate::journal::raft::types::{LogId, log_id};
use crate::journal::raft::wire::Kind;
use crate::store::{Archive, Archived, Meta, Span};
use crate::tasks;

/// Where a log puts its old entries.
#[derive(Clone)]
pub struct Archiving {
    pub archive: Arc<Archive>,
    /// Bytes of the newest entries that stay in the store; when there are twice as many some go.
    pub keep_bytes: u64,
    /// Bytes of entries after which the machine's state is worth keeping.
    pub point_bytes: u64,
    /// Bytes after which the archive begins another file.
    pub segment_bytes: u64,
}

impl Archiving {
    /// Into that archive, as it is best for streams.
    pub fn into(archive: Arc<Archive>) -> Self {
        Self {
            archive,
            keep_bytes: KEEP_BYTES,
            point_bytes: POINT_BYTES,
            segment_bytes: SEGMENT_BYTES,
        }
    }
}

impl std::fmt::Debug for Archiving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Archiving({} bytes)", self.archive.bytes())
    }
}

impl LogShared {
    /// Where its old entries are.
    pub fn archive(&self) -> Option<&Arc<Archive>> {
        self.archiving.as_ref().map(|archiving| &archiving.archive)
    }

    /// Up to which index entries are in the archive, if any are.
    pub fn put_away_up_to(&self) -> Option<u64> {
        self.archived.load(Ordering::Acquire).checked_sub(1)
    }

    /// After how many bytes of entries the machine's state is worth keeping, where there is an archive.
    pub fn bytes_between_points(&self) -> Option<u64> {
        self.archiving.as_ref().map(|archiving| archiving.point_bytes)
    }

    /// The machine's state as of an entry: kept with the archive once that entry is in it.
    pub fn add_point(&self, index: u64, point: Bytes) {
        let mut points = self.points.lock();
        // The next one is as good.
        if points.len() < MOST_POINTS {
            points.push_back((index, point));
        }
    }

    /// Tells the last entry of each term between two entries but the last one.
    pub(super) fn changes_of_term(&self, low: LogId, high: LogId, keys: &mut Vec<LogId>) -> io::Result<()> {
        if low.leader_id == high.leader_id {
            return Ok(());
        }
        if high.index - low.index <= 1 {
            keys.push(low);
            return Ok(());
        }
        let middle = low.index.midpoint(high.index);
        let middle = log_id(self.term_at(middle)?, middle);
        self.changes_of_term(low, middle, keys)?;
        self.changes_of_term(middle, high, keys)
    }

    /// The term of an entry in the archive.
    pub(super) fn term_at(&self, index: u64) -> io::Result<u64> {
        let meta = self.archive().map_or(Ok(None), |archive| archive.meta(index))?;
        let meta = meta.ok_or_else(|| gone(index))?;
        Ok(read_meta(&meta).map_err(io::Error::other)?.1)
    }

    /// Meta and body of an entry that is in the archive; blocks.
    pub(super) fn archived_one(&self, index: u64) -> io::Result<Option<(Meta, Bytes)>> {
        let entry = self.archived_from(index, index + 1, 0)?.pop();
        Ok(entry.map(|entry| (entry.meta, entry.body)))
    }

    /// Entries that are in the archive, at least one and then up to so many bytes; blocks.
    pub fn archived_from(&self, from: u64, until: u64, most_bytes: usize) -> io::Result<Vec<Archived>> {
        let Some(archive) = self.archive() else {
            return Ok(Vec::new());
        };
        archive
            .entries(from, until, most_bytes)
            .map_err(|error| self.cannot_read(error))
    }

    /// Puts old entries into the archive beside what goes on, where there are many. To be called when some were added
    /// or committed.
    pub fn put_away_if_worth(self: &Arc<Self>) {
        let Some(archiving) = &self.archiving else { return };
        let has_many = {
            let state = self.state.lock();
            state.bytes >= 2 * archiving.keep_bytes || state.slots.len() >= 2 * KEEP_ENTRIES
        };
        if has_many && !self.is_closed.load(Ordering::Acquire) && !self.is_putting_away.swap(true, Ordering::AcqRel) {
            let log = Arc::clone(self);
            drop(tasks::blocking(move || {
                loop {
                    let done = PuttingAway(&log);
                    if let Err(error) = log.put_away() {
                        // It is tried again with the next entry.
                        if log.kept_back.lock().is_news((), &error) {
                            tracing::warn!(%error, "old entries of a stream stay where they are");
                        }
                        return;
                    }
                    if log.kept_back.lock().is_over(&()) {
                        tracing::info!("old entries of a stream are put away again");
                    }
                    drop(done);
                    // Whoever came in between has found it still at work.
                    if !log.has_old_entries() || log.is_putting_away.swap(true, Ordering::AcqRel) {
                        return;
                    }
                }
            }));
        }
    }

    /// The same now; blocks.
    fn put_away(&self) -> io::Result<()> {
        let Some(archiving) = &self.archiving else {
            return Ok(());
        };
        let archive = &archiving.archive;
        let mut span = archive.last_span().unwrap_or_default();
        let goes_on = || !self.is_closed.load(Ordering::Acquire);
        while goes_on() {
            let old = self.old_entries(archiving);
            let Some(&(last, last_slot, _)) = old.last() else { break };
            let mut entries = Vec::with_capacity(old.len());
            for (index, slot, body) in self.bodies_now(old)? {
                span = self.span_behind(span, slot.kind, &body);
                entries.push(Archived {
                    seq: slot.seq,
                    meta: meta(&log_id(slot.term, index), slot.kind),
                    span,
                    body,
                });
            }
            let written = self.store.put_away(archive, &entries, archiving.segment_bytes, goes_on);
            written.map_err(io::Error::other)?;
            self.forget_slots(last, last_slot.term);
            self.store.archived(self.owner, last_slot.seq);
            self.keep_point(archive, last)?;
        }
        Ok(())
    }

    fn has_old_entries(&self) -> bool {
        let archiving = self.archiving.as_ref();
        !self.is_closed.load(Ordering::Acquire)
            && archiving.is_some_and(|archiving| !self.old_entries(archiving).is_empty())
    }

    /// What goes next: committed and synced, older than what stays.
    fn old_entries(&self, archiving: &Archiving) -> Vec<Found> {
        let state = self.state.lock();
        let durable = self.flushes.lock().durable;
        let committed = state.mark.committed.map_or(0, |committed| committed.index + 1);
        let (mut bytes, mut count) = (state.bytes, state.slots.len());
        let mut taken = 0;
        let mut old = Vec::new();
        if state.unsynced_purges > 0 {
            return old;
        }
        for (index, slot) in (state.first..committed).zip(&state.slots) {
            let is_old = bytes > archiving.keep_bytes || count > KEEP_ENTRIES;
            if !is_old || slot.seq > durable || taken >= PUT_AWAY_BYTES {
                break;
            }
            bytes -= u64::from(slot.len);
            count -= 1;
            taken += slot.len as usize;
            let in_tail = index.checked_sub(state.tail);
            let body = in_tail.and_then(|at| state.bodies.get(at as usize).cloned());
            old.push((index, *slot, body));
        }
        old
    }

    /// What an entry holds behind one that ends there.
    fn span_behind(&self, before: Span, kind: Kind, body: &Bytes) -> Span {
        let mut span = Span {
            first: before.end,
            ..before
        };
        let records = (kind == Kind::Normal).then(|| Packed::from_bytes(body.clone()).records());
        let held = records
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|record| (self.span_of)(&record));
        for (number, held) in held.enumerate() {
            if number == 0 {
                span.first = held.first;
            }
            span.end = held.end;
            span.newest = span.newest.max(held.at);
        }
        span
    }

    /// The entries up to this one are in the archive.
    fn forget_slots(&self, last: u64, term: u64) {
        let mut state = self.state.lock();
        while state.first <= last && state.pop_front(&self.tails).is_some() {}
        // It may have been purged while it was written.
        if state.mark.purged.is_none_or(|purged| purged.index < last) {
            state.archived = Some(log_id(term, last));
            self.archived.store(state.first, Ordering::Release);
        }
    }

    /// Keeps the last point that the archive reaches.
    fn keep_point(&self, archive: &Archive, last: u64) -> io::Result<()> {
        let point = {
            let mut points = self.points.lock();
            let reached = points.partition_point(|(index, _)| *index <= last);
            points.drain(..reached).next_back()
        };
        point.map_or(Ok(()), |(_, point)| archive.set_point(&point))
    }

    pub(super) fn purge_archive(self: &Arc<Self>, up_to: u64) {
        let Some(archive) = self.archive().cloned() else { return };
        drop(tasks::blocking(move || {
            // What is left is removed with the next, or at the next start.
            if let Err(error) = archive.purge(up_to) {
                tracing::warn!(%error, "segments of a stream that nobody needs are still there");
            }
        }));
    }

    /// Waits until nothing is put away any more; nothing will be.
    pub async fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        while self.is_putting_away.load(Ordering::Acquire) {
            tokio::time::sleep(CLOSING).await;
        }
    }
}

/// One at a time, also after a panic.
struct PuttingAway<'a>(&'a LogShared);

impl Drop for PuttingAway<'_> {
    fn drop(&mut self) {
        self.0.is_putting_away.store(false, Ordering::Release);
    }
}

/// Bytes of entries that a log keeps out of its archive: twice as many fit into its tail in memory, so that what goes
/// need not be read,
const KEEP_BYTES: u64 = 4 * 1024 * 1024;
/// or so many of them.
const KEEP_ENTRIES: usize = 32 * 1024;
/// Bytes of entries that a start may have to apply again. Keeping a state takes two syncs of its own.
const POINT_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes that go at a time, and are synced together.
const PUT_AWAY_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of a file of an archive.
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Points that wait for the archive to reach them.
const MOST_POINTS: usize = 16;
/// How often it is looked whether the last entries are put away.
const CLOSING: Duration = Duration::from_millis(2);
