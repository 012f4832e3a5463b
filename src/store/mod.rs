//! What survives: the write-ahead log, and fjall behind our own words.
//!
//! The store knows nothing of queues. It keeps numbered entries for *owners*: put once, read back
//! by number, removed; with a delivery count, and a small mark per owner.
//!
//! ```text
//! batch ──encodes──→ pending ──writer: write, fdatasync──→ segments ──checkpoint──→ fjall
//!   │                                      │                  (what outlives the window)
//!   └─ index: what lives, and where        └─→ owners.durable, synced()
//! ```
//! An entry that is removed while its segment is young never touches fjall. The files: [`wal`]
//! writes, [`segments`] are its files, [`replay`] reads them at start, [`checkpoint`] moves what
//! lives on, [`rest`] is fjall, [`index`] knows what lives where, [`space`] who waits for space; [`words`] are owners,
//! entries and places.

mod archive;
mod batch;
mod checkpoint;
mod damage;
mod error;
mod files;
mod frame;
mod index;
mod ledger;
mod owners;
mod pending;
mod ranges;
mod reading;
mod replay;
mod rest;
mod segments;
mod space;
mod wal;
mod words;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use crate::small_file;

pub use archive::{Archive, Archived, Seek, Span};
pub use batch::Batch;
pub use files::{Directory, Files, LogFile};
pub use owners::Owners;
pub use words::{Keep, LedgerEntry, Loc, Lsn, Meta, OwnerId, OwnerLedger, StoreOptions, StoreStats};

use archive::Archives;
use damage::Known;
pub use error::StoreError;
use frame::VERSION;
use pending::Pending;
use replay::Source;
use rest::Rest;
use segments::Segments;
use space::Need;
use wal::{Before, Log, Wal};

/// What survived.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Owners that are in the log or at rest, also those that their user no longer knows (it
    /// should forget them).
    pub owners: HashMap<OwnerId, OwnerLedger>,
    /// The store was stopped in order.
    pub clean: bool,
    /// Records are lost of which nobody knows whose they were: all owners count as damaged, and
    /// also who has no record may have lost some. So until [`Store::damage_settled`].
    pub unknown_damage: bool,
}

/// The store; clones are the same store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    options: StoreOptions,
    files: Arc<dyn Files>,
    /// What the disk cannot read counts as damage.
    unreadable_is_lost: bool,
    wal: Wal,
    rest: Rest,
    archives: Archives,
    threads: Mutex<Vec<(Stage, JoinHandle<()>)>>,
    stopping: AtomicBool,
    /// Held against a second process until stopped.
    lock: Mutex<Option<File>>,
}

/// Threads, in the order in which they stop.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    Checkpoint,
    Write,
    Notify,
    Segments,
}

impl Store {
    /// Opens the data directory, makes it if it is not there, and reads what survived. Records
    /// may be appended from now on, but nothing is written before [`Store::start`].
    pub fn open(dir: &Path, options: StoreOptions) -> Result<(Self, Recovered), StoreError> {
        Self::open_on(dir, options, log_of(dir)?)
    }

    /// The same where others have what there is, too: what the disk cannot read is damage then, and no
    /// error.
    pub fn open_with_others(dir: &Path, options: StoreOptions) -> Result<(Self, Recovered), StoreError> {
        Self::open_as(dir, options, log_of(dir)?, true)
    }

    /// The same with the log on a disk of the caller's.
    pub fn open_on(dir: &Path, options: StoreOptions, files: Arc<dyn Files>) -> Result<(Self, Recovered), StoreError> {
        Self::open_as(dir, options, files, false)
    }

    fn open_as(
        dir: &Path,
        options: StoreOptions,
        files: Arc<dyn Files>,
        unreadable_is_lost: bool,
    ) -> Result<(Self, Recovered), StoreError> {
        std::fs::create_dir_all(dir).map_err(|error| StoreError::io("make the data directory", error))?;
        let lock = lock(dir)?;
        let (store_id, version) = store_id(dir)?;
        let archives = Archives::open(dir.join(FORMAT_FILE), &*files, store_id, version)?;
        let lost_rest = dir.join(LOST_REST);
        let mut source = Source {
            files: &*files,
            store_id,
            segment_bytes: options.segment_bytes,
            lost_rest: lost_rest.exists(),
            unreadable_is_lost,
            archived: archives.last_seqs(),
        };
        let suspect = dir.join(SUSPECT_REST);
        if suspect.exists() {
            let cannot = |error| StoreError::io("put a damaged database aside", error);
            if dir.join(REST).exists() {
                rest::put_aside(&dir.join(REST), &lost_rest)?;
                source.lost_rest = true;
            }
            std::fs::remove_file(suspect).map_err(cannot)?;
        }
        let opened = Rest::at(&dir.join(REST), options.epoch_bytes)
            .map_err(|error| source.of_rest(error))
            .and_then(|rest| replay::replay(&source, &rest).map(|replayed| (rest, replayed)));
        let (rest, mut replayed) = match opened {
            Err(StoreError::RestDamaged { what, error }) => {
                tracing::error!(%what, %error, "what rested outside of the log is damaged, and is put aside");
                rest::put_aside(&dir.join(REST), &lost_rest)?;
                source.lost_rest = true;
                let rest = Rest::at(&dir.join(REST), options.epoch_bytes)?;
                let replayed = replay::replay(&source, &rest)?;
                (rest, replayed)
            }
            opened => opened?,
        };
        let recovered = Recovered {
            owners: replayed.ledgers(),
            clean: replayed.clean,
            unknown_damage: replayed.known.unsettled,
        };
        let mut index = replayed.index;
        // Where it is not known what is lost nothing is thrown away.
        if !replayed.known.unsettled {
            let known: HashSet<OwnerId> = index.owners().collect();
            archives
                .keep_only(|owner| known.contains(&owner))
                .map_err(|error| StoreError::io("remove segments of a deleted stream", error))?;
        }
        index.segments.entry(replayed.next).or_default();
        let segments = Segments::new(
            Arc::clone(&files),
            store_id,
            options.segment_bytes,
            replayed.open,
            replayed.spares,
            replayed.next,
        );
        let pending = Pending::new(store_id, options.segment_bytes, replayed.newest, replayed.next);
        let store = Self(Arc::new(Inner {
            options,
            files,
            unreadable_is_lost,
            wal: Wal::new(segments, pending, index, replayed.known),
            dir: dir.to_owned(),
            rest,
            archives,
            threads: Mutex::default(),
            stopping: AtomicBool::new(false),
            lock: Mutex::new(Some(lock)),
        }));
        // The first record of what is written now: nothing that counts on it comes before it.
        let mut log = store.0.wal.lock();
        let told = log.index.mark_of(OwnerId::LOG).map(Known::decode).transpose()?;
        let told = told.unwrap_or_default();
        if told != log.known {
            log.tell_damage();
        }
        drop(log);
        Ok((store, recovered))
    }

    /// Starts the threads; `owners` is called back from them. Called once.
    pub fn start(&self, owners: Arc<dyn Owners>) {
        let inner = &self.0;
        inner.wal.notices.tell_at_once(owners.clone());
        inner.spawn(Stage::Segments, "store-segments", |inner| inner.make_segments());
        inner.spawn(Stage::Write, "store-writer", |inner| inner.wal.run_writer());
        inner.spawn(Stage::Notify, "store-notify", move |inner| {
            inner.wal.notices.run(&*owners);
        });
        inner.spawn(Stage::Checkpoint, "store-checkpoint", |inner| inner.run_checkpoints());
    }

    /// Begins a batch of records of one owner; waits while the writer is far behind.
    pub fn batch(&self, owner: OwnerId) -> Batch<'_> {
        Batch::begin(&self.0.wal, owner)
    }

    /// The position that covers everything appended so far, for [`Store::synced`].
    pub fn end(&self) -> Lsn {
        self.0.wal.lock().end()
    }

    /// Waits until everything before this position survives a crash; any number may wait for
    /// one sync.
    pub async fn synced(&self, lsn: Lsn) -> Result<(), StoreError> {
        self.0.wal.synced(lsn).await
    }

    /// Whether so much waits to be written that producers should pause.
    pub fn pressure(&self) -> bool {
        self.0.wal.pressure()
    }

    /// Waits until producers may go on; at once when there is no pressure.
    pub async fn drained(&self) {
        self.0.wal.drained().await;
    }

    /// Everything of this owner is no more, and will never be again: the id is not used again.
    pub fn forget(&self, owner: OwnerId) {
        let mut log = self.0.wal.lock();
        let before = Before::of(&log);
        log.index.forget(owner);
        log.append(frame::Kind::Forget, owner, &[]);
        if log.known.forget(owner) {
            log.tell_damage();
        }
        let said_at = log.end();
        self.0.wal.unlock(log, before);
        self.0.archives.forget(owner, said_at);
        self.0.wal.checkpoint_wanted.signal();
    }

    /// Where old entries of this owner rest, once it has put them away.
    pub fn archive(&self, owner: OwnerId) -> Arc<Archive> {
        self.0.archives.of(owner)
    }

    /// Puts entries that are synced in the log into their owner's archive, behind what is there; after
    /// [`Store::archived`] they are only there. Blocks, also while the disk has no space, as long as the owner `goes_on`.
    ///
    /// # Errors
    /// When the disk cannot: the store has failed then; or when the owner or the store does not go on.
    pub fn put_away(
        &self,
        archive: &Archive,
        entries: &[Archived],
        segment_bytes: u64,
        goes_on: impl Fn() -> bool,
    ) -> Result<(), StoreError> {
        loop {
            let written = archive.append(entries, segment_bytes);
            match written.map_err(|error| StoreError::io("write a segment of a stream", error)) {
                Ok(()) => {
                    self.0.wal.note_space(Need::Archive, None);
                    return Ok(());
                }
                Err(error) if error.is_full() => {
                    self.0.wal.note_space(Need::Archive, Some(&error));
                    self.0.wal.space.pause();
                    self.0.wal.lock().check()?;
                    if self.0.stopping.load(Ordering::Acquire) || !goes_on() {
                        return Err(StoreError::Stopped);
                    }
                }
                Err(error) => {
                    self.0.wal.fail(error.clone());
                    return Err(error);
                }
            }
        }
    }

    /// The entries of this owner up to that one are in its archive, synced.
    pub fn archived(&self, owner: OwnerId, up_to_seq: u64) {
        let mut log = self.0.wal.lock();
        let before = Before::of(&log);
        // Nothing is written: a start sees that they are there.
        log.index.remove(owner, 0, up_to_seq);
        self.0.wal.unlock(log, before);
    }

    /// These owners are damaged, also at the next start.
    pub fn note_damage(&self, owners: impl IntoIterator<Item = OwnerId>) {
        self.change_known(|log| {
            let news = owners.into_iter().filter(|owner| log.known.add(*owner));
            news.count() > 0
        });
    }

    /// Everybody who may have lost records that nobody can tell is known to be damaged now, with or
    /// without a record left ([`Store::note_damage`]).
    pub fn damage_settled(&self) {
        let settled = self.change_known(|log| std::mem::take(&mut log.known.unsettled));
        let (lost, aside) = (self.0.dir.join(LOST_REST), self.0.dir.join(REST_ASIDE));
        if settled && lost.exists() {
            // Only once that is known without it.
            let synced = self.0.wal.wait_synced(self.end());
            let moved = synced.and_then(|()| rest::put_aside(&lost, &aside));
            if let Err(error) = moved {
                tracing::warn!(%error, "what rested outside of the log is not put aside yet");
            }
        }
    }

    /// What the owner has lost so far is taken as it is: its ledger is not damaged any more.
    pub fn accept_damage(&self, owner: OwnerId) {
        self.change_known(|log| {
            let place = log.pending.end();
            log.known.accept(owner, place);
            true
        });
    }

    fn change_known(&self, change: impl FnOnce(&mut Log) -> bool) -> bool {
        let mut log = self.0.wal.lock();
        let before = Before::of(&log);
        let has_changed = change(&mut log);
        if has_changed {
            log.tell_damage();
        }
        self.0.wal.unlock(log, before);
        has_changed
    }

    /// Whether the store has failed and takes no more writes.
    pub fn failed(&self) -> bool {
        self.0.wal.notices.has_failed()
    }

    /// Whether the disk has no space for what comes next: producers should pause until it has.
    pub fn lacks_space(&self) -> bool {
        self.0.wal.space.is_lacking()
    }

    /// Figures, as of now.
    pub fn stats(&self) -> StoreStats {
        let inner = &self.0;
        let (segments, segment_bytes) = inner.wal.segments.in_use();
        StoreStats {
            log_bytes_written: inner.wal.bytes_written.load(Ordering::Relaxed),
            writes: inner.wal.writes.load(Ordering::Relaxed),
            syncs: inner.wal.syncs.load(Ordering::Relaxed),
            sync_micros: inner.wal.all_sync_micros.load(Ordering::Relaxed),
            segments: segments as u64,
            segment_bytes,
            rest_bytes: inner.rest.bytes() + inner.archives.bytes(),
            pending_bytes: inner.wal.lock().pending.len() as u64,
        }
    }

    /// Writes and syncs what is there, notes that the stop was in order, and ends the threads.
    /// Blocks; not to be called from one of the store's own threads.
    pub fn stop(&self) {
        let inner = &self.0;
        inner.stopping.store(true, Ordering::Release);
        inner.wal.space.stop();
        let mut threads = std::mem::take(&mut *inner.threads.lock());
        threads.sort_by_key(|(stage, _)| *stage);
        for (stage, thread) in threads {
            match stage {
                Stage::Checkpoint => inner.wal.checkpoint_wanted.signal(),
                Stage::Write => inner.wal.stop(),
                Stage::Notify => inner.wal.notices.stop(),
                Stage::Segments => inner.wal.segments.stop(),
            }
            if thread.join().is_err() {
                tracing::error!(thread = ?stage, "a thread of the store panicked");
            }
        }
        inner.rest.close();
        inner.release();
    }
}

impl Inner {
    fn spawn(self: &Arc<Self>, stage: Stage, name: &str, run: impl FnOnce(&Self) + Send + 'static) {
        let inner = Arc::clone(self);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Without one of its threads the store keeps no promise: it fails as a whole.
            let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&inner)));
            if ran.is_err() {
                inner.wal.fail(StoreError::Panicked);
            }
        });
        match thread {
            Ok(thread) => self.threads.lock().push((stage, thread)),
            Err(error) => self.wal.fail(StoreError::io("start a thread", error)),
        }
    }

    /// Gives the directory free. Not by closing the file alone: a process that is being started
    /// just now has a copy of it for a moment.
    fn release(&self) {
        if let Some(lock) = self.lock.lock().take()
            && let Err(error) = lock.unlock()
        {
            tracing::warn!(error = %error, "the lock of the data directory cannot be released");
        }
    }

    /// The next start puts what rests aside: it cannot be gone on with.
    fn suspect_rest(&self) {
        if let Err(error) = File::create(self.dir.join(SUSPECT_REST)) {
            tracing::error!(%error, "the database is damaged, and that cannot be written down");
        }
    }

    fn make_segments(&self) {
        while self.wal.segments.wait_until_wanted() {
            let made = self.wal.segments.make_ready();
            match made.map_err(|error| StoreError::io("make a log segment", error)) {
                Ok(()) => self.wal.note_space(Need::Segment, None),
                Err(error) if error.is_full() => {
                    self.wal.note_space(Need::Segment, Some(&error));
                    self.wal.space.pause();
                }
                Err(error) => return self.wal.fail(error),
            }
        }
    }

    fn run_checkpoints(&self) {
        while !self.stopping.load(Ordering::Acquire) {
            let rang = self.wal.checkpoint_wanted.wait(QUIET);
            if self.stopping.load(Ordering::Acquire) {
                return;
            }
            match self.checkpoint(!rang) {
                Ok(()) => {}
                Err(StoreError::Stopped) => return,
                Err(error) => {
                    if matches!(error, StoreError::RestDamaged { .. }) {
                        self.suspect_rest();
                    }
                    return self.wal.fail(error);
                }
            }
        }
    }
}

fn log_of(dir: &Path) -> Result<Arc<Directory>, StoreError> {
    let log = Directory::at(&dir.join("log"));
    log.map(Arc::new)
        .map_err(|error| StoreError::io("make the log's directory", error))
}

/// Locks the directory against a second process.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let open = || {
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join("store.lock"))
    };
    let file = open().map_err(|error| StoreError::io("open the lock file", error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse(dir.display().to_string())),
        Err(std::fs::TryLockError::Error(error)) => Err(StoreError::io("lock the data directory", error)),
    }
}

/// The random id of the store, from the file that also names the format, and the format; made at first.
fn store_id(dir: &Path) -> Result<(u64, u8), StoreError> {
    let path = dir.join(FORMAT_FILE);
    let found = small_file::recall(&path, MOST_FORMAT_BYTES);
    match found.map(|found| found.map(String::from_utf8)) {
        Ok(Some(text)) => {
            let text = text.unwrap_or_default();
            let dir = dir.display().to_string();
            let (version, id) = match text.strip_prefix(FORMAT).and_then(|rest| rest.split_once(' ')) {
                Some((version, id)) => (version.parse::<u32>().ok(), u64::from_str_radix(id.trim(), 16).ok()),
                None => (None, None),
            };
            match (version, id) {
                (Some(found), _) if !(u32::from(VERSION)..=u32::from(archive::VERSION)).contains(&found) => {
                    Err(StoreError::Version {
                        dir,
                        found,
                        ours: archive::VERSION,
                    })
                }
                (Some(version), Some(id)) => {
                    small_file::ensure_copy(&path, text.as_bytes())
                        .map_err(|error| StoreError::io("write the format file", error))?;
                    Ok((id, version as u8))
                }
                _ => Err(StoreError::Format(dir)),
            }
        }
        Ok(None) => {
            let id = rand::random();
            small_file::replace(&path, format_line(VERSION, id).as_bytes())
                .map_err(|error| StoreError::io("write the format file", error))?;
            Ok((id, VERSION))
        }
        Err(error) => Err(StoreError::io("read the format file", error)),
    }
}

fn format_line(version: u8, id: u64) -> String {
    format!("{FORMAT}{version} {id:016x}\n")
}

/// The file that says the format.
const FORMAT_FILE: &str = "store.format";
/// Where fjall is in the data directory,
const REST: &str = "rest";
/// where it is put when it is damaged, until all know that it is lost,
const LOST_REST: &str = "rest.lost";
/// what says that it is to be put there at the next start,
const SUSPECT_REST: &str = "rest.suspect";
/// and after that: an operator may look at it, or remove it.
const REST_ASIDE: &str = "rest.damaged";
/// What the format file begins with; version and id follow.
const FORMAT: &str = "warren store ";
/// The largest format file that is one of ours.
const MOST_FORMAT_BYTES: u64 = 4096;
/// How long nothing has to happen before an epoch counts as quiet.
const QUIET: Duration = Duration::from_secs(10);
