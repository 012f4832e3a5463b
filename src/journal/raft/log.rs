//! A group's log on the store. What openraft calls is in [`super::storage`].
//!
//! In memory: where each entry is ([`Slot`]), and the bodies of the recent tail as clones of what
//! was appended, so that replication and apply read without the disk. Older bodies are read back
//! on a blocking thread. Vote, committed and purge mark are the owner's mark.
//!
//! An append is reported when the store says so ([`LogShared::durable`]), never before. The
//! committed position rides along with the next append: after a crash it may be older than it
//! was, and what it does not cover is applied again when a leader says how far it is.

use std::collections::VecDeque;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::recovery::{Mark, Rebuilt, Slot, meta};
use super::types::{Entry, IOFlushed, LogId, Membership, Payload, Vote, log_id};
use super::wire::{Kind, body_of, payload_of};
use crate::store::{Batch, Keep, Loc, OwnerId, Store, StoreError};
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
}

/// Bytes of tails in memory, of all groups of the node.
#[derive(Default)]
pub struct Tails(AtomicUsize);

struct State {
    mark: Mark,
    /// What the store has of the mark is older.
    mark_is_new: bool,
    first: u64,
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

/// An entry's index, where it is, and its body while that is in the recent tail.
type Found = (u64, Slot, Option<Bytes>);

/// Appends whose sync openraft has not heard of, in order.
#[derive(Default)]
struct Flushes {
    waiting: VecDeque<(u64, IOFlushed)>,
    durable: u64,
    failed: Option<StoreError>,
}

impl RaftLog {
    /// The log as it was kept.
    pub fn new(node: NodeId, store: Store, owner: OwnerId, tails: Arc<Tails>, rebuilt: Rebuilt) -> Self {
        let Rebuilt {
            mark,
            first,
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
            first,
            tail: first + slots.len() as u64,
            bodies: VecDeque::new(),
            tail_bytes: 0,
            bytes: slots.iter().map(|slot| u64::from(slot.len)).sum(),
            slots,
            next_seq,
        };
        Self(Arc::new(LogShared {
            node,
            store,
            owner,
            tails,
            state: Mutex::new(state),
            flushes: Mutex::new(flushes),
            has_lost: AtomicBool::new(false),
        }))
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
        self.state.lock().bytes
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

    /// The last entry of each term in the range.
    pub fn last_of_terms(&self, (first, last): (LogId, LogId)) -> Vec<LogId> {
        let state = self.state.lock();
        let mut keys = Vec::new();
        let mut before = first;
        for index in (first.index + 1).max(state.first)..last.index.min(state.next()) {
            let id = log_id(state.slots[(index - state.first) as usize].term, index);
            if id.leader_id != before.leader_id {
                keys.push(before);
            }
            before = id;
        }
        if before.leader_id != last.leader_id {
            keys.push(before);
        }
        keys.push(last);
        keys
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
            if state.slots.is_empty() && puts.is_empty() && state.mark.purged.is_none() {
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
        state.shorten_tail(self.tails.limit(), &self.tails);
        batch
    }

    /// Where the entries of the range are that the log has: at least one if there is one, and
    /// then up to this many bytes.
    pub fn find(&self, range: impl RangeBounds<u64>, max_bytes: usize) -> Vec<Found> {
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
        let (from, until) = (from.max(state.first), until.min(state.next()));
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
        found
    }

    /// The entries, bodies that are not in memory read from the store.
    pub async fn load(&self, mut found: Vec<Found>) -> io::Result<Vec<Entry>> {
        let wanted: Vec<(u64, Loc)> = found
            .iter()
            .filter(|(.., body)| body.is_none())
            .map(|(_, slot, _)| (slot.seq, slot.loc))
            .collect();
        if !wanted.is_empty() {
            let (store, owner) = (self.store.clone(), self.owner);
            let bodies = tasks::blocking(move || store.read(owner, &wanted)).await;
            let bodies = bodies.map_err(io::Error::other)?;
            let mut bodies = bodies.map_err(|error| self.cannot_read(error))?.into_iter();
            for (index, _, body) in found.iter_mut().filter(|(.., body)| body.is_none()) {
                *body = bodies.next().flatten();
                if body.is_none() {
                    return Err(io::Error::other(format!("log entry {index} is gone")));
                }
            }
        }
        found
            .into_iter()
            .map(|(index, slot, body)| {
                let payload = payload_of(slot.kind, body.unwrap_or_default()).map_err(io::Error::other)?;
                Ok(Entry {
                    log_id: log_id(slot.term, index),
                    payload,
                })
            })
            .collect()
    }

    /// The body of an entry that the log has, and its kind; blocks.
    pub fn body(&self, index: u64) -> io::Result<(Kind, Bytes)> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, format!("log entry {index} is gone"));
        let (_, slot, body) = self.find(index..=index, usize::MAX).pop().ok_or_else(gone)?;
        if let Some(body) = body {
            return Ok((slot.kind, body));
        }
        let read = self.store.read(self.owner, &[(slot.seq, slot.loc)]);
        let body = read.map_err(|error| self.cannot_read(error))?.pop().flatten();
        Ok((slot.kind, body.ok_or_else(gone)?))
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
    pub fn purge(&self, up_to: LogId) {
        let mut state = self.state.lock();
        let mut gone = Vec::new();
        while state.first <= up_to.index
            && let Some(seq) = state.pop_front(&self.tails)
        {
            gone.push(seq);
        }
        // A snapshot may be ahead of the whole log.
        state.first = state.first.max(up_to.index + 1);
        state.tail = state.tail.max(state.first);
        state.mark.purged = state.mark.purged.max(Some(up_to));
        state.mark_is_new = false;
        let mut batch = self.store.batch(self.owner);
        batch.mark(&state.mark.encode());
        batch.remove(&runs(gone));
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
            None => self.mark.purged,
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
    /// Bytes a group may keep in memory now.
    fn limit(&self) -> usize {
        match self.0.load(Ordering::Relaxed) {
            all if all < NODE_TAIL_BYTES => TAIL_BYTES,
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
