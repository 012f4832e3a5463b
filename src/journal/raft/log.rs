//! A group's log on the store. What openraft calls is in [`super::storage`].
//!
//! In memory: where each entry is ([`Slot`]), and the bodies of the recent tail as clones of what
//! was appended, so that replication and apply read without the disk. Older bodies are read back
//! on a blocking thread. Vote, committed and purge mark are the owner's mark.
//!
//! A log that says so puts its old entries into an archive ([`Archiving`]) and knows no more of them than where they
//! begin and end: what is committed and synced, and older than the newest few megabytes.
//!
//! ```text
//! begin ── in the archive ── first ── slots: in the store ── tail ── bodies in memory too ── next
//! ```
//! An append is reported when the store says so ([`LogShared::durable`]), never before. The
//! committed position rides along with the next append: after a crash it may be older than it
//! was, and what it does not cover is applied again when a leader says how far it is.

mod archiving;

use std::collections::VecDeque;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

pub use archiving::Archiving;

use super::recovery::{Mark, Rebuilt, Slot, meta, read_meta};
use super::types::{Entry, IOFlushed, LogId, Membership, Payload, Vote, log_id};
use super::wire::{Kind, body_of, payload_of};
use crate::logging::Said;
use crate::machine;
use crate::store::{Batch, Keep, Loc, Lsn, OwnerId, Store, StoreError};
use crate::tasks;
use crate::types::NodeId;

/// The log of one group; clones are the same log.
#[derive(Clone)]
pub struct RaftLog(Arc<LogShared>);

/// What openraft's tasks, the store's callbacks and the group share.
pub struct LogShared {
    node: NodeId,
    store: Store,
    owner: OwnerId,
    tails: Arc<Tails>,
    state: Mutex<State>,
    flushes: Mutex<Flushes>,
    /// An entry could not be read that is there.
    has_lost: AtomicBool,
    archiving: Option<Archiving>,
    /// What a record holds.
    span_of: fn(&[u8]) -> Option<machine::Span>,
    /// Index of the first slot where there is something before it in the archive; else 0.
    archived: AtomicU64,
    is_putting_away: AtomicBool,
    /// What keeps old entries from the archive.
    kept_back: Mutex<Said>,
    is_closed: AtomicBool,
    /// The machine's state as of some entries that are not in the archive yet.
    points: Mutex<VecDeque<(u64, Bytes)>>,
}

/// Bytes of tails in memory, of all groups of the node.
#[derive(Default)]
pub struct Tails(AtomicUsize);

struct State {
    mark: Mark,
    /// What the store has of the mark is older.
    mark_is_new: bool,
    begin: u64,
    first: u64,
    /// The last entry in the archive, unless it is purged.
    archived: Option<LogId>,
    /// Purges whose mark is not synced yet: what they leave must not be taken for all there is.
    unsynced_purges: usize,
    slots: VecDeque<Slot>,
    next_seq: u64,
    /// Index of the first entry whose body is in memory; all behind it have theirs too.
    tail: u64,
    /// Those bodies.
    bodies: VecDeque<Bytes>,
    tail_bytes: usize,
    /// Bytes of bodies in the log.
    bytes: u64,
}

/// Where entries are.
pub enum Place {
    /// From the first to before the second they are in the archive.
    Archive(u64, u64),
    Slots(Vec<Found>),
}

/// An entry's index, where it is, and its body while that is in the recent tail.
pub type Found = (u64, Slot, Option<Bytes>);

/// Appends whose sync openraft has not heard of, in order.
#[derive(Default)]
struct Flushes {
    waiting: VecDeque<(u64, IOFlushed)>,
    durable: u64,
    failed: Option<StoreError>,
}

impl RaftLog {
    /// The log as it was kept.
    pub fn new(
        node: NodeId,
        store: Store,
        owner: OwnerId,
        tails: Arc<Tails>,
        rebuilt: Rebuilt,
        archiving: Option<Archiving>,
        span_of: fn(&[u8]) -> Option<machine::Span>,
    ) -> Self {
        let Rebuilt {
            mark,
            begin,
            first,
            archived,
            slots,
            next_seq,
            stale,
        } = rebuilt;
        if !stale.is_empty() {
            store.batch(owner).remove(&runs(stale));
        }
        let flushes = Flushes {
            durable: next_seq - 1,
            ..Flushes::default()
        };
        let state = State {
            mark,
            mark_is_new: false,
            begin,
            first,
            archived,
            unsynced_purges: 0,
            tail: first + slots.len() as u64,
            bodies: VecDeque::new(),
            tail_bytes: 0,
            bytes: slots.iter().map(|slot| u64::from(slot.len)).sum(),
            slots,
            next_seq,
        };
        let purged = state.mark.purged;
        let log = Arc::new(LogShared {
            node,
            store,
            owner,
            tails,
            archived: AtomicU64::new(if archived.is_some() { first } else { 0 }),
            state: Mutex::new(state),
            flushes: Mutex::new(flushes),
            has_lost: AtomicBool::new(false),
            archiving,
            span_of,
            is_putting_away: AtomicBool::new(false),
            kept_back: Mutex::default(),
            is_closed: AtomicBool::new(false),
            points: Mutex::default(),
        });
        // Files may be left of it.
        if let Some(purged) = purged {
            log.purge_archive(purged.index);
        }
        Self(log)
    }

    pub fn shared(&self) -> &Arc<LogShared> {
        &self.0
    }
}

impl LogShared {
    /// Everything up to this seq survives a crash.
    pub fn durable(&self, up_to_seq: u64) {
        let mut flushes = self.flushes.lock();
        flushes.durable = flushes.durable.max(up_to_seq);
        let done = flushes.waiting.partition_point(|(seq, _)| *seq <= up_to_seq);
        for (_, flushed) in flushes.waiting.drain(..done) {
            flushed.io_completed(Ok(()));
        }
    }

    /// The store takes no more writes.
    pub fn failed(&self, error: &StoreError) {
        let mut flushes = self.flushes.lock();
        flushes.failed = Some(error.clone());
        for (_, flushed) in flushes.waiting.drain(..) {
            flushed.io_completed(Err(io::Error::other(error.clone())));
        }
    }

    /// Bytes of bodies in the log: what a snapshot would give back, but for the few entries kept
    /// behind it.
    pub fn bytes(&self) -> u64 {
        let archived = self.archive().map_or(0, |archive| archive.bytes());
        self.state.lock().bytes + archived
    }

    /// The last entry.
    pub fn last(&self) -> Option<LogId> {
        self.state.lock().last()
    }

    /// What the mark holds, or will with the next append.
    pub fn mark(&self) -> Mark {
        self.state.lock().mark.clone()
    }

    /// Kept with the next append.
    pub fn set_committed(&self, committed: Option<LogId>) {
        let mut state = self.state.lock();
        state.mark_is_new |= state.mark.committed != committed;
        state.mark.committed = committed;
    }

    /// The last entry of each term in the range; blocks.
    pub fn last_of_terms(&self, (first, last): (LogId, LogId)) -> io::Result<Vec<LogId>> {
        let mut keys = Vec::new();
        let mut before = first;
        let (slots, next) = {
            let state = self.state.lock();
            (state.first, state.next())
        };
        // In the archive by halves: reading all would take as long as the log is.
        if first.index + 1 < slots {
            let archived = log_id(self.term_at(slots - 1)?, slots - 1).min(last);
            self.changes_of_term(first, archived, &mut keys)?;
            before = archived;
        }
        let state = self.state.lock();
        for index in (first.index + 1).max(slots)..last.index.min(next) {
            let Some(slot) = index
                .checked_sub(state.first)
                .and_then(|at| state.slots.get(at as usize))
            else {
                continue;
            };
            let id = log_id(slot.term, index);
            if id.leader_id != before.leader_id {
                keys.push(before);
            }
            before = id;
        }
        if before.leader_id != last.leader_id {
            keys.push(before);
        }
        keys.push(last);
        Ok(keys)
    }

    /// Whether an entry could not be read that is there.
    pub fn has_lost(&self) -> bool {
        self.has_lost.load(Ordering::Acquire)
    }

    fn cannot_read(&self, error: StoreError) -> io::Error {
        self.has_lost.fetch_or(is_damage(&self.store, &error), Ordering::AcqRel);
        io::Error::other(error)
    }

    /// The store has failed.
    pub fn has_failed(&self) -> bool {
        self.flushes.lock().failed.is_some()
    }

    /// Writes the committed position, so that an orderly stop keeps it.
    pub fn write_mark(&self) {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.mark_is_new) {
            self.store.batch(self.owner).mark(&state.mark.encode());
        }
    }

    /// Puts entries behind the last one; they can be read at once, and `flushed` hears when they
    /// are safe. `room` is to be asked for before.
    pub fn append(&self, entries: impl Iterator<Item = Entry>, flushed: IOFlushed) -> io::Result<()> {
        let mut state = self.state.lock();
        let mut puts: Vec<(LogId, Kind, Bytes)> = Vec::new();
        let mut next = state.next();
        for entry in entries {
            if state.slots.is_empty() && puts.is_empty() && state.mark.purged.max(state.archived).is_none() {
                next = entry.log_id.index;
            }
            if entry.log_id.index != next {
                return Err(io::Error::other(format!(
                    "entry {} after a log up to {next}",
                    entry.log_id.index
                )));
            }
            next += 1;
            let (kind, body) = body_of(&entry.payload);
            puts.push((entry.log_id, kind, body));
        }
        if let Some((first, ..)) = puts.first()
            && state.slots.is_empty()
        {
            if state.archived.is_none() {
                state.begin = first.index;
            }
            state.first = first.index;
            state.tail = first.index;
        }
        // Before the store may call back.
        let last_seq = state.next_seq + puts.len() as u64 - 1;
        self.flushes.lock().add(last_seq, flushed);
        let is_led_here = state.is_led_by(self.node);
        let batch = self.put(&mut state, puts);
        // A leader has its members to send to first.
        if is_led_here {
            drop(batch);
        } else {
            drop(state);
            batch.commit_and_write();
        }
        Ok(())
    }

    /// Puts the first entry into an empty log: who the group's voters are. It is the same on all of
    /// them, and so need not be waited for: what a crash takes is put in again.
    pub fn begin(&self, voters: &[NodeId]) {
        let membership = Membership::new_with_defaults(vec![voters.iter().copied().collect()], []);
        let (kind, body) = body_of(&Payload::Membership(membership));
        let batch = self.put(&mut self.state.lock(), vec![(log_id(0, 0), kind, body)]);
        batch.commit_and_write();
    }

    fn put(&self, state: &mut State, puts: Vec<(LogId, Kind, Bytes)>) -> Batch<'_> {
        let mut batch = self.store.batch(self.owner);
        for (id, kind, body) in puts {
            let seq = state.next_seq;
            let loc = batch.put(seq, meta(&id, kind), &[&body], Keep::Durable);
            state.next_seq += 1;
            state.push(
                Slot {
                    seq,
                    loc,
                    term: id.leader_id.term,
                    kind,
                    len: body.len() as u32,
                },
                body,
                &self.tails,
            );
        }
        if std::mem::take(&mut state.mark_is_new) {
            batch.mark(&state.mark.encode());
        }
        state.shorten_tail(self.tails.limit(self.archiving.as_ref()), &self.tails);
        batch
    }

    /// Where entries of the range are that the log has: at least one if there is one, and then up to
    /// this many bytes, as far as they lie in the same place.
    pub fn find(&self, range: impl RangeBounds<u64>, max_bytes: usize) -> Place {
        let state = self.state.lock();
        let from = match range.start_bound() {
            Bound::Included(&index) => index,
            Bound::Excluded(&index) => index + 1,
            Bound::Unbounded => 0,
        };
        let until = match range.end_bound() {
            Bound::Included(&index) => index.saturating_add(1),
            Bound::Excluded(&index) => index,
            Bound::Unbounded => u64::MAX,
        };
        let (from, until) = (from.max(state.begin.min(state.first)), until.min(state.next()));
        if from < until && from < state.first {
            return Place::Archive(from, until.min(state.first));
        }
        let mut found = Vec::new();
        let mut bytes = 0;
        for index in from..until {
            let slot = state.slots[(index - state.first) as usize];
            bytes += slot.len as usize;
            if !found.is_empty() && bytes > max_bytes {
                break;
            }
            let in_tail = index.checked_sub(state.tail);
            let body = in_tail.and_then(|at| state.bodies.get(at as usize).cloned());
            found.push((index, slot, body));
        }
        Place::Slots(found)
    }

    /// The entries of the range that the log has: at least one if there is one, and then up to so many bytes.
    pub async fn load(self: &Arc<Self>, range: impl RangeBounds<u64>, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let end = range.end_bound().cloned();
        let mut start = range.start_bound().cloned();
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            match self.find((start, end), max_bytes) {
                Place::Archive(from, until) => {
                    let log = Arc::clone(self);
                    let read = tasks::blocking(move || log.archived_from(from, until, max_bytes)).await;
                    let archived = read.map_err(io::Error::other)??;
                    if archived.is_empty() {
                        // Purged in this moment, or never there.
                        return Err(gone(from));
                    }
                    for one in archived {
                        let (index, term, kind) = read_meta(&one.meta).map_err(io::Error::other)?;
                        entries.push(entry_of(index, term, kind, one.body)?);
                        start = Bound::Excluded(index);
                    }
                    // Whoever takes some asks for the next when it has these.
                    if max_bytes < usize::MAX {
                        return Ok(entries);
                    }
                }
                Place::Slots(found) => {
                    for (index, slot, body) in self.bodies(found).await? {
                        entries.push(entry_of(index, slot.term, slot.kind, body)?);
                    }
                    return Ok(entries);
                }
            }
        }
    }

    /// The bodies of entries, those that are not in memory read from the store.
    async fn bodies(self: &Arc<Self>, found: Vec<Found>) -> io::Result<Vec<(u64, Slot, Bytes)>> {
        if found.iter().all(|(.., body)| body.is_some()) {
            return self.bodies_now(found);
        }
        let log = Arc::clone(self);
        let read = tasks::blocking(move || log.bodies_now(found)).await;
        read.map_err(io::Error::other)?
    }

    /// The same; blocks where some are not in memory.
    fn bodies_now(&self, found: Vec<Found>) -> io::Result<Vec<(u64, Slot, Bytes)>> {
        let missing = found.iter().filter(|(.., body)| body.is_none());
        let wanted: Vec<(u64, Slot)> = missing.map(|(index, slot, _)| (*index, *slot)).collect();
        let mut read = match wanted.is_empty() {
            true => Vec::new(),
            false => self.stored(&wanted)?,
        }
        .into_iter();
        let whole = |(index, slot, body): Found| {
            let body = body.or_else(|| read.next()).ok_or_else(|| gone(index))?;
            Ok((index, slot, body))
        };
        found.into_iter().map(whole).collect()
    }

    /// Bodies from the store, or from the archive where they were put in this moment; blocks.
    fn stored(&self, wanted: &[(u64, Slot)]) -> io::Result<Vec<Bytes>> {
        let places: Vec<(u64, Loc)> = wanted.iter().map(|(_, slot)| (slot.seq, slot.loc)).collect();
        let read = self.store.read(self.owner, &places);
        let read = read.map_err(|error| self.cannot_read(error))?;
        let mut bodies = Vec::with_capacity(wanted.len());
        for ((index, _), body) in wanted.iter().zip(read) {
            bodies.push(match body {
                Some(body) => body,
                None => self.archived_one(*index)?.ok_or_else(|| gone(*index))?.1,
            });
        }
        Ok(bodies)
    }

    /// The body of an entry that the log has, and its kind; blocks.
    pub fn body(&self, index: u64) -> io::Result<(Kind, Bytes)> {
        let found = match self.find(index..=index, usize::MAX) {
            Place::Archive(..) => None,
            Place::Slots(mut found) => Some(found.pop().ok_or_else(|| gone(index))?),
        };
        match found {
            Some((_, slot, Some(body))) => Ok((slot.kind, body)),
            Some((_, slot, None)) => {
                let body = self.stored(&[(index, slot)])?.pop();
                Ok((slot.kind, body.ok_or_else(|| gone(index))?))
            }
            None => {
                let (meta, body) = self.archived_one(index)?.ok_or_else(|| gone(index))?;
                Ok((read_meta(&meta).map_err(io::Error::other)?.2, body))
            }
        }
    }

    /// The same of an entry of the recent tail; does not block.
    pub fn body_in_memory(&self, index: u64) -> Option<(Kind, Bytes)> {
        let state = self.state.lock();
        let body = state.bodies.get(index.checked_sub(state.tail)? as usize)?;
        let slot = state.slots.get(index.checked_sub(state.first)? as usize)?;
        Some((slot.kind, body.clone()))
    }

    /// Keeps the vote; it is safe when this returns.
    pub async fn write_vote(&self, vote: Vote) -> io::Result<()> {
        let lsn = {
            let mut state = self.state.lock();
            state.mark.vote = Some(vote);
            state.mark_is_new = false;
            let mut batch = self.store.batch(self.owner);
            batch.mark(&state.mark.encode());
            batch.commit()
        };
        self.store.synced(lsn).await.map_err(io::Error::other)
    }

    /// Cuts the entries from this index on.
    pub fn truncate_from(&self, index: u64) {
        let mut state = self.state.lock();
        let keep = (index.max(state.first) - state.first) as usize;
        let mut cut = Vec::new();
        while state.slots.len() > keep {
            cut.extend(state.pop_back(&self.tails));
        }
        cut.reverse();
        self.store.batch(self.owner).remove(&runs(cut));
    }

    /// Removes the entries up to this one, which a snapshot has.
    pub fn purge(self: &Arc<Self>, up_to: LogId) {
        let marked = self.purge_slots(up_to);
        if self.archiving.is_none() {
            return;
        }
        let log = Arc::clone(self);
        tasks::spawn("purge of an archive", async move {
            // Files go when a start knows that they are not missing.
            let synced = log.store.synced(marked).await;
            log.state.lock().unsynced_purges -= 1;
            if synced.is_ok() {
                log.purge_archive(up_to.index);
            }
        });
    }

    fn purge_slots(&self, up_to: LogId) -> Lsn {
        let mut state = self.state.lock();
        let mut gone = Vec::new();
        while state.first <= up_to.index
            && let Some(seq) = state.pop_front(&self.tails)
        {
            gone.push(seq);
        }
        // A snapshot may be ahead of the whole log.
        state.begin = state.begin.max(up_to.index + 1);
        state.first = state.first.max(state.begin);
        state.tail = state.tail.max(state.first);
        if state.archived.is_some_and(|archived| archived.index <= up_to.index) {
            state.archived = None;
            self.archived.store(0, Ordering::Release);
        }
        state.unsynced_purges += usize::from(self.archiving.is_some());
        state.mark.purged = state.mark.purged.max(Some(up_to));
        state.mark_is_new = false;
        let mut batch = self.store.batch(self.owner);
        batch.mark(&state.mark.encode());
        batch.remove(&runs(gone));
        batch.commit()
    }

    /// Waits while the store is far behind, so that no batch blocks the thread.
    pub async fn room(&self) -> io::Result<()> {
        if self.store.pressure() {
            self.store.drained().await;
        }
        match &self.flushes.lock().failed {
            Some(error) => Err(io::Error::other(error.clone())),
            None => Ok(()),
        }
    }
}

impl State {
    fn is_led_by(&self, node: NodeId) -> bool {
        let vote = self.mark.vote.as_ref();
        vote.is_some_and(|vote| vote.leader_id.voted_for == node)
    }

    fn next(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    fn push(&mut self, slot: Slot, body: Bytes, tails: &Tails) {
        self.bytes += u64::from(slot.len);
        self.tail_bytes += slot.len as usize;
        tails.0.fetch_add(slot.len as usize, Ordering::Relaxed);
        self.slots.push_back(slot);
        self.bodies.push_back(body);
    }

    fn pop_back(&mut self, tails: &Tails) -> Option<u64> {
        let slot = self.slots.pop_back()?;
        let was_in_memory = self.bodies.pop_back().is_some();
        self.account(&slot, was_in_memory, tails);
        self.tail = self.tail.min(self.next());
        Some(slot.seq)
    }

    fn pop_front(&mut self, tails: &Tails) -> Option<u64> {
        let slot = self.slots.pop_front()?;
        let was_in_memory = self.tail == self.first && self.bodies.pop_front().is_some();
        self.account(&slot, was_in_memory, tails);
        self.first += 1;
        self.tail = self.tail.max(self.first);
        Some(slot.seq)
    }

    fn account(&mut self, gone: &Slot, was_in_memory: bool, tails: &Tails) {
        self.bytes -= u64::from(gone.len);
        if was_in_memory {
            self.tail_bytes -= gone.len as usize;
            tails.0.fetch_sub(gone.len as usize, Ordering::Relaxed);
        }
    }

    fn shorten_tail(&mut self, limit: usize, tails: &Tails) {
        while self.tail_bytes > limit
            && let Some(body) = self.bodies.pop_front()
        {
            self.tail_bytes -= body.len();
            tails.0.fetch_sub(body.len(), Ordering::Relaxed);
            self.tail += 1;
        }
    }

    fn last(&self) -> Option<LogId> {
        match self.slots.back() {
            Some(slot) => Some(log_id(slot.term, self.next() - 1)),
            None => self.mark.purged.max(self.archived),
        }
    }
}

impl Flushes {
    fn add(&mut self, seq: u64, flushed: IOFlushed) {
        match &self.failed {
            Some(error) => flushed.io_completed(Err(io::Error::other(error.clone()))),
            // An append without entries.
            None if seq <= self.durable && self.waiting.is_empty() => flushed.io_completed(Ok(())),
            None => self.waiting.push_back((seq, flushed)),
        }
    }
}

impl Tails {
    /// Bytes a group may keep in memory now: what waits for its way into an archive is written there from memory.
    fn limit(&self, archiving: Option<&Archiving>) -> usize {
        match self.0.load(Ordering::Relaxed) {
            all if all < NODE_TAIL_BYTES => {
                let waiting = archiving.map_or(0, |archiving| archiving.keep_bytes as usize * 5 / 2);
                waiting.max(TAIL_BYTES)
            }
            _ => CROWDED_TAIL_BYTES,
        }
    }
}

impl Drop for LogShared {
    fn drop(&mut self) {
        let tail_bytes = self.state.get_mut().tail_bytes;
        self.tails.0.fetch_sub(tail_bytes, Ordering::Relaxed);
    }
}

/// Whether a read failed because of what is on disk, and not because nothing is read any more.
pub fn is_damage(store: &Store, error: &StoreError) -> bool {
    !store.failed() && !matches!(error, StoreError::Stopped | StoreError::Panicked)
}

fn entry_of(index: u64, term: u64, kind: Kind, body: Bytes) -> io::Result<Entry> {
    Ok(Entry {
        log_id: log_id(term, index),
        payload: payload_of(kind, body).map_err(io::Error::other)?,
    })
}

fn gone(index: u64) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("log entry {index} is gone"))
}

/// Ascending seqs as ranges.
pub fn runs(seqs: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for seq in seqs {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == seq => *last = seq,
            _ => runs.push((seq, seq)),
        }
    }
    runs
}

/// Bytes of entries read, replicated or applied together; one larger entry goes alone.
pub const BATCH_BYTES: usize = 1024 * 1024;
/// Bytes of recent entries a group keeps in memory,
const TAIL_BYTES: usize = 4 * 1024 * 1024;
/// and when all groups together have as much as this,
const NODE_TAIL_BYTES: usize = 64 * 1024 * 1024;
/// each that appends goes down to this.
const CROWDED_TAIL_BYTES: usize = 64 * 1024;
