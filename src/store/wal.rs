//! The write-ahead log: one buffer everybody fills, one writer that empties it.
//!
//! The writer takes everything that waits, writes it in one go, syncs once if anything in it
//! wants that, and tells all who waited. While it syncs, the next buffer fills: the slower the
//! disk, the larger the groups. The writer is a thread, or for a moment whoever appends a little while
//! that thread has nothing to do. After a failed write or sync nothing is written, confirmed or
//! read as confirmed any more: what the disk holds is then unknown.
//!
//! ```text
//! Running ──stop──→ Stopping ──all synced──→ Closed(Stopped)
//!    └────────────write or sync fails──────→ Closed(error)
//! ```

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, watch};

use super::damage::Known;
use super::error::StoreError;
use super::files::LogFile;
use super::frame::Kind;
use super::index::Index;
use super::pending::{Filled, Pending};
use super::segments::Segments;
use super::space::{Need, Space};
use super::{Loc, Lsn, OwnerId, Owners};

/// Bytes waiting at which producers should pause.
pub(super) const PRESSURE_BYTES: usize = 8 * 1024 * 1024;
/// Bytes waiting at which a batch waits for the writer before it begins.
const FULL_BYTES: usize = 4 * PRESSURE_BYTES;
/// How long a removal may wait for company before it is written.
const LAZY: Duration = Duration::from_millis(5);
/// How long the writer keeps its buffers when nothing comes.
const KEEP_BUFFERS: Duration = Duration::from_secs(1);
/// The largest buffer kept between writes.
const KEEP_BYTES: usize = 2 * PRESSURE_BYTES;
/// The largest that is kept while little of it is used
const KEEP_IDLE_BYTES: usize = 1024 * 1024;
/// for so many writes.
const IDLE_WRITES: u32 = 64;
/// Bytes that are written on the thread that appended them,
const LITTLE_BYTES: usize = 16 * 1024;
/// and the last sync that let it hope for a quick one, in microseconds.
const QUICK_MICROS: u64 = 1_000;

/// Owners that the writer tells itself; with more of them the next write would be late.
const FEW: usize = 16;

/// Whether the log takes records.
#[derive(Clone, Debug)]
pub(super) enum State {
    Running,
    Stopping,
    Closed(StoreError),
}

/// What the log's lock guards.
pub(super) struct Log {
    pub pending: Pending,
    pub index: Index,
    /// End of what is in the files.
    written: Lsn,
    /// End of what survives a crash.
    synced: Lsn,
    pub state: State,
    /// What is lost.
    pub known: Known,
}

/// The log and those who wait for it.
pub(super) struct Wal {
    log: Mutex<Log>,
    /// The writer waits here.
    wake: Condvar,
    /// Blocking waiters for `written`, `synced` and for room wait here.
    flushed: Condvar,
    pub segments: Segments,
    pub space: Space,
    /// Whoever writes holds this.
    pub writer: Mutex<Writer>,
    /// Whether a thread writes what others leave to it.
    pub has_thread: AtomicBool,
    /// What the last sync took, in microseconds.
    pub sync_micros: AtomicU64,
    progress: watch::Sender<Lsn>,
    /// Sent once, when the log closes.
    closed: watch::Sender<Option<StoreError>>,
    pressed: AtomicBool,
    relieved: Notify,
    pub notices: Notices,
    /// A checkpoint may have something to do.
    pub checkpoint_wanted: Wanted,
    pub bytes_written: AtomicU64,
    pub writes: AtomicU64,
    pub syncs: AtomicU64,
    /// What all syncs took together, in microseconds.
    pub all_sync_micros: AtomicU64,
}

/// What the writer keeps between two writes.
#[derive(Default)]
pub(super) struct Writer {
    filled: Filled,
    file: Option<(u32, Arc<dyn LogFile>)>,
    /// Writes in a row of little out of a large buffer.
    idle: u32,
}

impl Log {
    /// Appends a record unless the log is closed; nothing survives then, and who waits for a
    /// sync is told.
    pub fn append(&mut self, kind: Kind, owner: OwnerId, parts: &[&[u8]]) -> Loc {
        if !matches!(self.state, State::Running) {
            return Loc::at(self.pending.segment(), 0);
        }
        let before = self.pending.segment();
        let loc = self.pending.append(kind, owner, parts, self.synced);
        for begun in before + 1..=loc.segment() {
            self.index.segments.entry(begun).or_default();
        }
        loc
    }

    /// Writes down what is known of damage.
    pub fn tell_damage(&mut self) {
        let known = self.known.encode();
        let segment = self.append(Kind::Mark, OwnerId::LOG, &[&known]).segment();
        self.index.mark(OwnerId::LOG, &known, segment);
    }

    /// A batch has put durable entries up to this seq: their owner is to hear of the sync.
    pub fn durable(&mut self, owner: OwnerId, seq: u64) {
        if matches!(self.state, State::Running) {
            self.pending.durable(owner, seq);
        }
    }

    /// Where what was appended now ends; a place that is never reached when it was not appended,
    /// so that nobody takes it for safe.
    pub fn end(&self) -> Lsn {
        match self.state {
            State::Running => self.pending.end(),
            State::Stopping | State::Closed(_) => Lsn(u64::MAX),
        }
    }

    /// The error with which the log closed.
    pub fn check(&self) -> Result<(), StoreError> {
        match &self.state {
            State::Closed(error) => Err(error.clone()),
            State::Running | State::Stopping => Ok(()),
        }
    }

    fn sync_wanted(&self) -> bool {
        self.pending.sync_to > self.synced
    }
}

impl Wal {
    pub fn new(segments: Segments, pending: Pending, index: Index, known: Known) -> Self {
        let start = pending.end();
        Self {
            log: Mutex::new(Log {
                pending,
                index,
                written: start,
                synced: start,
                state: State::Running,
                known,
            }),
            wake: Condvar::new(),
            flushed: Condvar::new(),
            segments,
            space: Space::default(),
            writer: Mutex::default(),
            has_thread: AtomicBool::new(false),
            sync_micros: AtomicU64::new(u64::MAX),
            progress: watch::Sender::new(start),
            closed: watch::Sender::new(None),
            pressed: AtomicBool::new(false),
            relieved: Notify::new(),
            notices: Notices::default(),
            checkpoint_wanted: Wanted::default(),
            bytes_written: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            all_sync_micros: AtomicU64::new(0),
        }
    }

    /// The log, for a short while.
    pub fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock()
    }

    /// The log with room for a batch; waits when the writer is far behind.
    pub fn lock_with_room(&self) -> MutexGuard<'_, Log> {
        let mut log = self.log.lock();
        while log.pending.len() >= FULL_BYTES && log.check().is_ok() {
            self.flushed.wait(&mut log);
        }
        log
    }

    /// Ends a turn and writes what little waits on this thread, where nobody writes and syncs are
    /// quick: it saves two changes of thread to who has nothing to do before the sync.
    pub fn unlock_and_write(&self, log: MutexGuard<'_, Log>, before: Before) {
        let is_first = before == Before::default() && log.pending.len() <= LITTLE_BYTES;
        let is_quick = self.sync_micros.load(Ordering::Relaxed) <= QUICK_MICROS;
        // The next segment may have to be waited for.
        let is_begun = log.written > Lsn::at(log.pending.segment(), 0);
        // Not where a test writes by hand.
        let may_write = is_first && is_quick && is_begun && self.has_thread.load(Ordering::Relaxed);
        let Some(mut writer) = may_write.then(|| self.writer.try_lock()).flatten() else {
            return self.unlock(log, before);
        };
        // Nothing new to whoever waits for work.
        let now = Before::of(&log);
        self.unlock(log, now);
        if let Err(error) = self.write(&mut writer) {
            self.fail(error);
        }
    }

    /// Ends a turn at the log: wakes whoever has something to do now.
    pub fn unlock(&self, mut log: MutexGuard<'_, Log>, before: Before) {
        if log.pending.len() >= PRESSURE_BYTES {
            self.pressed.store(true, Ordering::Release);
        }
        let emptied = std::mem::take(&mut log.index.emptied);
        let now = Before::of(&log);
        drop(log);
        if now != before {
            self.wake.notify_one();
        }
        if emptied {
            self.checkpoint_wanted.signal();
        }
    }

    /// Whether producers should pause.
    pub fn pressure(&self) -> bool {
        self.pressed.load(Ordering::Acquire)
    }

    /// Waits until producers may go on.
    pub async fn drained(&self) {
        loop {
            let relieved = self.relieved.notified();
            if !self.pressure() {
                return;
            }
            relieved.await;
        }
    }

    /// Waits until everything before this position survives a crash.
    pub async fn synced(&self, lsn: Lsn) -> Result<(), StoreError> {
        let mut progress = self.progress.subscribe();
        let mut closed = self.closed.subscribe();
        self.request_sync(lsn);
        tokio::select! {
            biased;
            _ = progress.wait_for(|synced| *synced >= lsn) => Ok(()),
            error = closed.wait_for(Option::is_some) => {
                // What was synced before the log closed is safe all the same.
                if *self.progress.borrow() >= lsn {
                    return Ok(());
                }
                Err(error.ok().and_then(|error| error.clone()).unwrap_or(StoreError::Stopped))
            }
        }
    }

    /// The same for a thread.
    pub fn wait_synced(&self, lsn: Lsn) -> Result<(), StoreError> {
        self.request_sync(lsn);
        let mut log = self.log.lock();
        while log.synced < lsn {
            log.check()?;
            self.flushed.wait(&mut log);
        }
        Ok(())
    }

    /// Waits until the record that begins here can be read from its file.
    pub fn wait_written(&self, loc: Loc) -> Result<(), StoreError> {
        let mut log = self.log.lock();
        while log.written.0 <= loc.0 {
            log.check()?;
            self.flushed.wait(&mut log);
        }
        Ok(())
    }

    /// The store takes no more records.
    pub fn fail(&self, error: StoreError) {
        if self.close(error.clone()) {
            tracing::error!(error = %error, "the store has failed and takes no more writes");
            self.notices.failed(error);
        }
    }

    /// Writes until told to stop. The last record says that the stop was in order.
    pub fn run_writer(&self) {
        self.has_thread.store(true, Ordering::Relaxed);
        while self.wait_for_work() {
            match self.write(&mut self.writer.lock()) {
                Ok(_) => {}
                Err(error) if error.is_full() && self.space.is_stopped() => {
                    tracing::warn!(%error, "the disk is full: the last records are not written, nor that the stop was in order");
                    self.close(StoreError::Stopped);
                }
                Err(error) => self.fail(error),
            }
        }
    }

    /// Begins to stop: what is there is still written.
    pub fn stop(&self) {
        let mut log = self.log.lock();
        if matches!(log.state, State::Running) {
            let before = Before::of(&log);
            log.append(Kind::Clean, OwnerId::LOG, &[]);
            log.pending.sync_to = log.pending.end();
            log.state = State::Stopping;
            self.unlock(log, before);
        }
    }

    /// Takes what waits and writes it, and syncs if that is wanted. Returns whether there was
    /// anything to do. Always with the same `writer`.
    pub fn write(&self, writer: &mut Writer) -> Result<bool, StoreError> {
        let sync = {
            let mut log = self.log.lock();
            log.check()?;
            if log.pending.is_empty() && !log.sync_wanted() {
                return Ok(false);
            }
            let most = match writer.idle {
                IDLE_WRITES.. => KEEP_IDLE_BYTES,
                _ => KEEP_BYTES,
            };
            if writer.filled.buffer.capacity() > most {
                writer.filled = Filled::default();
            }
            log.pending.swap(&mut writer.filled);
            if writer.filled.buffer.capacity() > KEEP_IDLE_BYTES {
                writer.idle = match writer.filled.is_idle() {
                    true => writer.idle.saturating_add(1),
                    false => 0,
                };
            }
            self.pressed.store(false, Ordering::Release);
            self.flushed.notify_all();
            log.sync_wanted()
        };
        self.relieved.notify_waiters();
        self.write_pieces(writer)?;
        if sync && let Some((_, file)) = &writer.file {
            let begun = Instant::now();
            file.sync().map_err(|error| StoreError::io("sync the log", error))?;
            let took = begun.elapsed().as_micros() as u64;
            self.sync_micros.store(took, Ordering::Relaxed);
            self.all_sync_micros.fetch_add(took, Ordering::Relaxed);
            self.syncs.fetch_add(1, Ordering::Relaxed);
            self.segments.note_synced(writer.filled.end);
        }
        let filled = &mut writer.filled;
        {
            let mut log = self.log.lock();
            log.check()?;
            log.written = filled.end;
            if sync {
                log.synced = filled.end;
            }
            self.flushed.notify_all();
        }
        if sync {
            self.progress.send_replace(filled.end);
            self.notices.durable(&filled.durable);
        }
        filled.clear();
        Ok(true)
    }

    fn write_pieces(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let Writer { filled, file, .. } = writer;
        let mut pieces = filled.pieces.iter().peekable();
        while let Some(piece) = pieces.next() {
            let to = pieces.peek().map_or(filled.buffer.len(), |next| next.from);
            if file.as_ref().is_none_or(|(segment, _)| *segment != piece.segment) {
                // Recovery takes a record in the next segment as proof that this one is whole.
                if let Some((_, full)) = file.take() {
                    full.sync().map_err(|error| StoreError::io("sync the log", error))?;
                }
                *file = Some((piece.segment, self.begin(piece.segment)?));
                self.checkpoint_wanted.signal();
            }
            if let Some((_, file)) = file {
                let bytes = &filled.buffer[piece.from..to];
                file.write_at(bytes, piece.offset)
                    .map_err(|error| StoreError::io("write to the log", error))?;
                self.bytes_written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                self.writes.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// The file for the next segment. Waits for space, which the maker of segments asks for too, unless
    /// the log is to end.
    fn begin(&self, segment: u32) -> Result<Arc<dyn LogFile>, StoreError> {
        loop {
            let begun = self.segments.begin(segment);
            match begun.map_err(|error| StoreError::io("begin a log segment", error)) {
                Err(error) if error.is_full() && !self.space.is_stopped() => {
                    self.log.lock().check()?;
                    self.space.pause();
                }
                begun => return begun,
            }
        }
    }

    /// Space is lacking, with the error that says so, or is not.
    pub fn note_space(&self, need: Need, lacking: Option<&StoreError>) {
        if self.space.note(need, lacking)
            && let Some(owners) = self.notices.owners.get()
        {
            owners.space_changed();
        }
    }

    /// Waits until something should be written; `false` when all is done.
    fn wait_for_work(&self) -> bool {
        let mut log = self.log.lock();
        let mut lazy_until = None;
        loop {
            if matches!(log.state, State::Closed(_)) {
                return false;
            }
            if log.pending.urgent || log.sync_wanted() {
                return true;
            }
            if matches!(log.state, State::Stopping) {
                drop(log);
                self.close(StoreError::Stopped);
                return false;
            }
            if !log.pending.is_empty() {
                let until = *lazy_until.get_or_insert_with(|| Instant::now() + LAZY);
                if self.wake.wait_until(&mut log, until).timed_out() {
                    return true;
                }
            } else if self
                .writer
                .try_lock()
                .is_none_or(|writer| writer.filled.buffer.capacity() > 0)
            {
                if self.wake.wait_for(&mut log, KEEP_BUFFERS).timed_out() {
                    if let Some(mut writer) = self.writer.try_lock() {
                        writer.filled = Filled::default();
                    }
                    log.pending.shrink();
                }
            } else {
                self.wake.wait(&mut log);
            }
        }
    }

    fn request_sync(&self, lsn: Lsn) {
        let mut log = self.log.lock();
        if log.synced < lsn && log.pending.sync_to < lsn {
            let before = Before::of(&log);
            log.pending.sync_to = lsn.min(log.pending.end());
            self.unlock(log, before);
        }
    }

    fn close(&self, error: StoreError) -> bool {
        {
            let mut log = self.log.lock();
            if matches!(log.state, State::Closed(_)) {
                return false;
            }
            log.state = State::Closed(error.clone());
            log.pending.discard();
            self.pressed.store(false, Ordering::Release);
            self.flushed.notify_all();
            self.wake.notify_all();
        }
        self.relieved.notify_waiters();
        self.closed.send_replace(Some(error));
        self.checkpoint_wanted.signal();
        true
    }
}

/// What the writer waits for, as it was when a turn at the log began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Before {
    something: bool,
    urgent: bool,
    sync: bool,
}

impl Before {
    pub fn of(log: &Log) -> Self {
        Self {
            something: !log.pending.is_empty(),
            urgent: log.pending.urgent,
            sync: log.sync_wanted(),
        }
    }
}

/// What the owners are to be told, gathered by the writer, told by a thread of its own so that
/// the next write does not wait for the owners. A few who can be told without waiting hear it from
/// the writer.
#[derive(Default)]
pub(super) struct Notices {
    owners: OnceLock<Arc<dyn Owners>>,
    waiting: Mutex<Waiting>,
    wake: Condvar,
    failing: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    durable: FxHashMap<OwnerId, u64>,
    failed: Option<StoreError>,
    stopped: bool,
}

impl Notices {
    /// Whom the writer tells.
    pub fn tell_at_once(&self, owners: Arc<dyn Owners>) {
        // A store starts once.
        let _ = self.owners.set(owners);
    }

    fn durable(&self, batches: &[(OwnerId, u64)]) {
        let at_once = self.owners.get().filter(|_| batches.len() <= FEW);
        let told = |&(owner, seq): &(OwnerId, u64)| at_once.is_some_and(|owners| owners.told_at_once(owner, seq));
        let others: Vec<_> = batches.iter().filter(|batch| !told(batch)).collect();
        if others.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock();
        for &&(owner, seq) in &others {
            let up_to = waiting.durable.entry(owner).or_insert(seq);
            *up_to = seq.max(*up_to);
        }
        drop(waiting);
        self.wake.notify_one();
    }

    fn failed(&self, error: StoreError) {
        self.failing.store(true, Ordering::Release);
        self.waiting.lock().failed = Some(error);
        self.wake.notify_one();
    }

    /// Whether the store has failed.
    pub fn has_failed(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    /// Tells the owners what has come up. Returns whether there was anything.
    pub fn tell(&self, owners: &dyn Owners, told: &mut FxHashMap<OwnerId, u64>) -> bool {
        let failed = {
            let mut waiting = self.waiting.lock();
            std::mem::swap(&mut waiting.durable, told);
            waiting.failed.take()
        };
        let anything = !told.is_empty() || failed.is_some();
        for (owner, up_to) in told.drain() {
            owners.durable(owner, up_to);
        }
        if let Some(error) = failed {
            owners.failed(&error);
        }
        anything
    }

    /// Tells the owners until stopped.
    pub fn run(&self, owners: &dyn Owners) {
        let mut told = FxHashMap::default();
        loop {
            if self.tell(owners, &mut told) {
                continue;
            }
            let mut waiting = self.waiting.lock();
            while waiting.durable.is_empty() && waiting.failed.is_none() {
                if waiting.stopped {
                    return;
                }
                self.wake.wait(&mut waiting);
            }
        }
    }

    pub fn stop(&self) {
        self.waiting.lock().stopped = true;
        self.wake.notify_one();
    }
}

/// A bell that remembers that it rang.
#[derive(Default)]
pub(super) struct Wanted {
    rang: Mutex<bool>,
    wake: Condvar,
}

impl Wanted {
    pub fn signal(&self) {
        *self.rang.lock() = true;
        self.wake.notify_one();
    }

    /// Waits for the bell, at most this long; returns whether it rang.
    pub fn wait(&self, at_most: Duration) -> bool {
        let mut rang = self.rang.lock();
        if !*rang {
            self.wake.wait_for(&mut rang, at_most);
        }
        std::mem::take(&mut rang)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::sim::SimDisk;
    use crate::store::{Keep, Store, StoreOptions};

    #[test]
    fn the_room_for_what_was_large_goes_though_small_writes_go_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = Arc::new(SimDisk::default());
        let options = StoreOptions::default();
        let (store, _) = Store::open_on(dir.path(), options, disk).expect("a store");
        let mut writer = Writer::default();
        let mut put = |seq, bytes: usize| {
            let body = vec![1; bytes];
            store.batch(OwnerId(1)).put(seq, [0; 24], &[&body], Keep::Durable);
            assert!(store.0.wal.write(&mut writer).expect("written"));
            writer.filled.buffer.capacity() + store.0.wal.lock().pending.room()
        };
        let large = 8 * KEEP_IDLE_BYTES;
        assert!(put(1, large) >= large);
        assert!(put(2, 100) >= large, "what is large may come again");
        let room = (3..300).map(|seq| put(seq, 100)).last();
        assert!(room.is_some_and(|room| room < KEEP_IDLE_BYTES), "{room:?}");
    }
}
