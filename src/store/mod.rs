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
//! lives on, [`rest`] is fjall, [`index`] knows what lives where.

mod batch;
mod checkpoint;
mod files;
mod frame;
mod index;
mod ledger;
mod pending;
mod ranges;
mod reading;
mod replay;
mod rest;
mod segments;
mod wal;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

pub use batch::Batch;
pub use files::{Directory, Files, LogFile};

use frame::VERSION;
use pending::Pending;
use replay::Source;
use rest::Rest;
use segments::Segments;
use wal::{Before, Wal};

/// Whose entries they are. Never used again after [`Store::forget`], and not 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct OwnerId(pub u64);

impl OwnerId {
    /// Nobody: what the log says of itself.
    const LOG: Self = Self(0);
}

/// Where an entry was put: needed to read it, to be kept with it, opaque.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Loc(u64);

impl Loc {
    /// The place as a number, for whoever keeps it beside others.
    pub fn to_raw(self) -> u64 {
        self.0
    }

    /// The place of that number, which [`Loc::to_raw`] gave.
    pub fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Not in the log.
    const REST: Self = Self(u64::MAX);

    fn at(segment: u32, offset: u64) -> Self {
        Self(u64::from(segment) << 32 | offset)
    }

    fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn offset(self) -> u64 {
        self.0 & u64::from(u32::MAX)
    }
}

/// A position in the log; everything before it was appended before what comes after it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Lsn(u64);

impl Lsn {
    fn at(segment: u32, offset: u64) -> Self {
        Self(u64::from(segment) << 32 | offset)
    }
}

/// What the owner wants to know of an entry at recovery without reading its body.
pub type Meta = [u8; 24];

/// Why an entry is put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// It survives a restart, and its owner hears when it does.
    Durable,
    /// It only makes room in memory: a restart drops it.
    Page,
}

/// Sizes.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Bytes of one segment of the log, allocated in advance.
    pub segment_bytes: u64,
    /// Bytes of log kept before what lives in the oldest segment moves to rest.
    pub window_bytes: u64,
    /// Bytes of bodies at rest that are dropped together.
    pub epoch_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * 1024 * 1024,
            window_bytes: 512 * 1024 * 1024,
            epoch_bytes: 256 * 1024 * 1024,
        }
    }
}

/// Who puts entries, as the store calls back. Called from threads of the store, never with one
/// of its locks held.
pub trait Owners: Send + Sync {
    /// Every durable entry of `owner` up to `up_to_seq` survives a crash. At most once per owner
    /// and sync.
    fn durable(&self, owner: OwnerId, up_to_seq: u64);
    /// The same from the log's writer itself, which saves a change of threads: true when the owner was
    /// told. Must not wait for anything that a thread holds while it puts entries, and be quick.
    fn told_at_once(&self, _owner: OwnerId, _up_to_seq: u64) -> bool {
        false
    }
    /// The store takes no more writes, and nothing that was not reported durable will be.
    fn failed(&self, error: &StoreError);
}

/// What survived.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Owners that are in the log or at rest, also those that their user no longer knows (it
    /// should forget them).
    pub owners: HashMap<OwnerId, OwnerLedger>,
    /// The store was stopped in order.
    pub clean: bool,
    /// Records are lost of which nobody knows whose they were.
    pub unknown_damage: bool,
}

/// What survived of one owner.
#[derive(Debug, Default)]
pub struct OwnerLedger {
    /// Ascending by seq.
    pub entries: Vec<LedgerEntry>,
    /// The last mark.
    pub mark: Option<Vec<u8>>,
    /// Some of its records are lost.
    pub damaged: bool,
    /// One more than the highest seq of a durable entry, also of those that are gone.
    pub next_seq: u64,
}

/// An entry that survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    pub seq: u64,
    pub loc: Loc,
    pub meta: Meta,
    /// Times delivered, as last touched.
    pub count: u32,
    /// Bytes of the body.
    pub len: u32,
}

/// What went wrong.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {what}: {error}")]
    Io { what: &'static str, error: Arc<io::Error> },
    #[error("the data directory {0} is in use by another process")]
    InUse(String),
    #[error("the data directory {0} was not written by this program")]
    Format(String),
    #[error(
        "the data directory {dir} has format version {found}, and this program reads and writes only version {ours}"
    )]
    Version { dir: String, found: u32, ours: u8 },
    #[error("cannot {what}: {error}")]
    Rest { what: &'static str, error: Arc<str> },
    #[error("entry {seq} of owner {owner} cannot be read")]
    Unreadable { owner: u64, seq: u64 },
    #[error("a thread of the store panicked")]
    Panicked,
    #[error("the store is stopped")]
    Stopped,
}

impl StoreError {
    fn io(what: &'static str, error: io::Error) -> Self {
        Self::Io {
            what,
            error: Arc::new(error),
        }
    }
}

/// Figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Bytes written to the log since the start.
    pub log_bytes_written: u64,
    /// Syncs of the log since the start.
    pub syncs: u64,
    /// Segments in use, and the bytes they have on disk.
    pub segments: u64,
    pub segment_bytes: u64,
    /// Bytes at rest.
    pub rest_bytes: u64,
    /// Bytes that wait to be written.
    pub pending_bytes: u64,
}

/// The store; clones are the same store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    options: StoreOptions,
    files: Arc<dyn Files>,
    wal: Wal,
    rest: Rest,
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
        let log = Directory::at(&dir.join("log")).map_err(|error| StoreError::io("make the log's directory", error))?;
        Self::open_on(dir, options, Arc::new(log))
    }

    /// The same with the log on a disk of the caller's.
    pub fn open_on(dir: &Path, options: StoreOptions, files: Arc<dyn Files>) -> Result<(Self, Recovered), StoreError> {
        std::fs::create_dir_all(dir).map_err(|error| StoreError::io("make the data directory", error))?;
        let lock = lock(dir)?;
        let store_id = store_id(dir)?;
        let rest = Rest::at(&dir.join("rest"), options.epoch_bytes)?;
        let source = Source {
            files: &*files,
            store_id,
            segment_bytes: options.segment_bytes,
        };
        let mut replayed = replay::replay(&source, &rest)?;
        let recovered = Recovered {
            owners: replayed.ledgers(),
            clean: replayed.clean,
            unknown_damage: replayed.unknown_damage,
        };
        let mut index = replayed.index;
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
            wal: Wal::new(segments, pending, index),
            rest,
            threads: Mutex::default(),
            stopping: AtomicBool::new(false),
            lock: Mutex::new(Some(lock)),
        }));
        Ok((store, recovered))
    }

    /// Starts the threads; `owners` is called back from them. Called once.
    pub fn start(&self, owners: Arc<dyn Owners>) {
        let inner = &self.0;
        inner.wal.notices.tell_at_once(owners.clone());
        inner.spawn(Stage::Segments, "store-segments", |inner| inner.make_segments());
        inner.spawn(Stage::Write, "store-writer", |inner| inner.wal.run_writer());
        inner.spawn(Stage::Notify, "store-notify", move |inner| {
            inner.wal.notices.run(&*owners)
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
        self.0.wal.unlock(log, before);
    }

    /// Whether the store has failed and takes no more writes.
    pub fn failed(&self) -> bool {
        self.0.wal.notices.has_failed()
    }

    /// Figures, as of now.
    pub fn stats(&self) -> StoreStats {
        let inner = &self.0;
        let (segments, segment_bytes) = inner.wal.segments.in_use();
        StoreStats {
            log_bytes_written: inner.wal.bytes_written.load(Ordering::Relaxed),
            syncs: inner.wal.syncs.load(Ordering::Relaxed),
            segments: segments as u64,
            segment_bytes,
            rest_bytes: inner.rest.bytes(),
            pending_bytes: inner.wal.lock().pending.len() as u64,
        }
    }

    /// Writes and syncs what is there, notes that the stop was in order, and ends the threads.
    /// Blocks; not to be called from one of the store's own threads.
    pub fn stop(&self) {
        let inner = &self.0;
        inner.stopping.store(true, Ordering::Release);
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

    fn make_segments(&self) {
        while self.wal.segments.wait_until_wanted() {
            if let Err(error) = self.wal.segments.make_ready() {
                return self.wal.fail(StoreError::io("make a log segment", error));
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
                Err(error) => return self.wal.fail(error),
            }
        }
    }
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

/// The random id of the store, from the file that also names the format; made at first.
fn store_id(dir: &Path) -> Result<u64, StoreError> {
    let path = dir.join("store.format");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let dir = dir.display().to_string();
            let (version, id) = match text.strip_prefix(FORMAT).and_then(|rest| rest.split_once(' ')) {
                Some((version, id)) => (version.parse().ok(), u64::from_str_radix(id.trim(), 16).ok()),
                None => (None, None),
            };
            match (version, id) {
                (Some(found), _) if found != u32::from(VERSION) => Err(StoreError::Version {
                    dir,
                    found,
                    ours: VERSION,
                }),
                (Some(_), Some(id)) => Ok(id),
                _ => Err(StoreError::Format(dir)),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = rand::random();
            make_format(dir, &path, id).map_err(|error| StoreError::io("write the format file", error))?;
            Ok(id)
        }
        Err(error) => Err(StoreError::io("read the format file", error)),
    }
}

fn make_format(dir: &Path, path: &Path, id: u64) -> io::Result<()> {
    let written = path.with_extension("new");
    let mut file = File::create(&written)?;
    file.write_all(format_line(id).as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&written, path)?;
    File::open(dir)?.sync_all()
}

fn format_line(id: u64) -> String {
    format!("{FORMAT}{VERSION} {id:016x}\n")
}

/// What the format file begins with; version and id follow.
const FORMAT: &str = "warren store ";
/// How long nothing has to happen before an epoch counts as quiet.
const QUIET: Duration = Duration::from_secs(10);
