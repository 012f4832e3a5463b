//! What rests in fjall: entries that outlived the log.
//!
//! ```text
//! ledger             owner, seq → epoch, length, keep, meta      one row per entry at rest
//! bodies-0000000001  owner, seq → body                           one keyspace per epoch
//! ```
//! Everything is written by sorted ingestion, first the bodies, then all changes of the ledger
//! (rows and tombstones) at once: nothing depends on fjall's journal, which it cuts silently when
//! damaged, and nothing waits in its memtables. A body without a row is garbage that a crash left
//! behind. An epoch is dropped whole when nothing in it lives. Called by one checkpointing thread
//! and by readers; the database is made when first needed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, CompressionPolicy, PinningPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::Mutex;

use super::error::{StoreError, is_of_disk};
use super::index::Run;
use super::{Keep, Meta, OwnerId};

/// An entry at rest without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub owner: OwnerId,
    pub seq: u64,
    pub epoch: u32,
    pub len: u32,
    pub keep: Keep,
    pub meta: Meta,
}

/// fjall behind our own words.
pub(super) struct Rest {
    dir: PathBuf,
    epoch_bytes: u64,
    open: Mutex<Option<Open>>,
    trust: Mutex<Trust>,
}

/// What is thought of the open database. Its background work ends at its first error, for ever, and
/// what fails leaves files behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trust {
    Whole,
    /// Its background work may lack space, which is no fault.
    MayLackSpace,
    /// A change did.
    LackedSpace,
    /// It was opened anew because its background work had ended.
    OpenedAnew,
}

#[derive(Clone)]
struct Open {
    db: Database,
    ledger: Keyspace,
    epochs: BTreeMap<u32, Keyspace>,
}

impl Rest {
    /// What rests in this directory, if there is anything; opens it then.
    pub fn at(dir: &Path, epoch_bytes: u64) -> Result<Self, StoreError> {
        let rest = Self {
            dir: dir.to_owned(),
            epoch_bytes,
            open: Mutex::new(None),
            trust: Mutex::new(Trust::Whole),
        };
        if dir.exists() {
            rest.opened()?;
        }
        Ok(rest)
    }

    /// Makes the database beside its place and moves it there when it is whole: fjall cannot open
    /// what a crash left half made.
    fn make(&self) -> Result<(), StoreError> {
        let unfinished = self.dir.with_extension("new");
        let cannot = |error| StoreError::io("make the database", error);
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished).map_err(cannot)?;
        }
        drop(Open::at(&unfinished)?);
        std::fs::rename(&unfinished, &self.dir).map_err(cannot)?;
        match self.dir.parent() {
            Some(parent) => File::open(parent).and_then(|dir| dir.sync_all()).map_err(cannot),
            None => Ok(()),
        }
    }

    /// Tells every row, ordered by owner and seq.
    pub fn rows(&self, mut each: impl FnMut(Row)) -> Result<(), StoreError> {
        let Some(open) = self.open.lock().clone() else {
            return Ok(());
        };
        checked(|| {
            for item in open.ledger.iter() {
                let (key, value) = item.into_inner().map_err(failed("read the ledger"))?;
                let row = Row::decode(&key, &value).ok_or_else(|| damaged("a row of the ledger"))?;
                each(row);
            }
            Ok(())
        })
    }

    /// Numbers of the epochs there are.
    pub fn epochs(&self) -> Vec<u32> {
        self.open
            .lock()
            .as_ref()
            .map_or(Vec::new(), |open| open.epochs.keys().copied().collect())
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        let open = self.open.lock().clone();
        open.map_or(0, |open| {
            open.ledger.disk_space() + open.epochs.values().map(Keyspace::disk_space).sum::<u64>()
        })
    }

    /// Writes tombstones for the rows in `dead` (ordered by owner and seq), and entries; durable
    /// when this returns. `write` adds the entries, `between` is called after the bodies are there
    /// and before their rows are. Returns the epoch that took the entries.
    pub fn change(
        &self,
        dead: &[Run],
        entries: Entries,
        write: impl FnOnce(&mut Change<'_>) -> Result<(), StoreError>,
        between: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<u32, StoreError> {
        let open = self.trusted()?;
        let current = match entries {
            Entries::None => None,
            Entries::Into { not } => Some(self.current(not)?),
        };
        let mut ledger = open.ledger.start_ingestion().map_err(failed("begin with the ledger"))?;
        let mut bodies = match &current {
            Some((_, bodies)) => Some(bodies.start_ingestion().map_err(failed("begin with bodies"))?),
            None => None,
        };
        let mut change = Change {
            epoch: current.as_ref().map_or(0, |(epoch, _)| *epoch),
            body: &mut |key, body| match (&mut bodies, body) {
                (Some(bodies), Some(body)) => bodies.write(key, body),
                _ => Ok(()),
            },
            ledger: &mut |key, row| match row {
                Some(row) => ledger.write(key, row),
                None => ledger.write_tombstone(key),
            },
            dead: Dead { runs: dead, next: None },
        };
        write(&mut change)?;
        change.bury(None)?;
        let epoch = change.epoch;
        if let Some(bodies) = bodies {
            bodies.finish().map_err(failed("write bodies"))?;
        }
        between()?;
        ledger.finish().map_err(failed("write the ledger"))?;
        Ok(epoch)
    }

    /// Bodies of entries in an epoch, in the order asked for (ascending); `None` for those that
    /// are not there. Runs of seqs are read in one scan.
    pub fn read(&self, epoch: u32, owner: OwnerId, seqs: &[u64]) -> Result<Vec<Option<Bytes>>, StoreError> {
        checked(|| self.read_bodies(epoch, owner, seqs))
    }

    fn read_bodies(&self, epoch: u32, owner: OwnerId, seqs: &[u64]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let mut found = Vec::with_capacity(seqs.len());
        let Some(bodies) = self.epoch(epoch) else {
            return Ok(vec![None; seqs.len()]);
        };
        let mut rest = seqs;
        while let Some(&first) = rest.first() {
            let run = rest.windows(2).take_while(|pair| pair[1] - pair[0] <= NEAR).count() + 1;
            let (now, later) = rest.split_at(run);
            rest = later;
            let last = now[now.len() - 1];
            let mut asked = now.iter().peekable();
            let mut joined = BytesMut::new();
            let mut pieces = Vec::with_capacity(now.len());
            for item in bodies.range(key(owner, first)..=key(owner, last)) {
                let (key, value) = item.into_inner().map_err(failed("read bodies"))?;
                let Some((_, seq)) = parse_key(&key) else {
                    return Err(damaged("a key of a body"));
                };
                while asked.next_if(|asked| **asked < seq).is_some() {
                    pieces.push(None);
                }
                if asked.next_if(|asked| **asked == seq).is_some() {
                    joined.extend_from_slice(&value);
                    pieces.push(Some(value.len()));
                }
            }
            pieces.resize(now.len(), None);
            let mut joined = joined.freeze();
            found.extend(pieces.into_iter().map(|len| len.map(|len| joined.split_to(len))));
        }
        Ok(found)
    }

    /// Tells rows and bodies of all entries in these runs (ordered) of one epoch.
    pub fn each_entry(
        &self,
        epoch: u32,
        runs: &[Run],
        mut each: impl FnMut(Row, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let open = self.opened()?;
        let Some(bodies) = open.epochs.get(&epoch) else {
            return Ok(());
        };
        for run in runs {
            let range = key(run.owner, run.first)..=key(run.owner, run.last);
            let mut found = bodies.range(range.clone());
            let mut body = None;
            for row in open.ledger.range(range) {
                let (row_key, row) = row.into_inner().map_err(failed("read the ledger"))?;
                let row = Row::decode(&row_key, &row).ok_or_else(|| damaged("a row of the ledger"))?;
                // Bodies without a row may lie between.
                while body.as_ref().is_none_or(|(key, _)| *key < row_key) {
                    match found.next() {
                        Some(next) => body = Some(next.into_inner().map_err(failed("read bodies"))?),
                        None => break,
                    }
                }
                match &body {
                    Some((key, body)) if *key == row_key => each(row, body)?,
                    _ => tracing::error!(owner = row.owner.0, seq = row.seq, epoch, "a body at rest is missing"),
                }
            }
        }
        Ok(())
    }

    /// Drops an epoch in which nothing lives; its space comes back when the last reader is done.
    pub fn drop_epoch(&self, epoch: u32) -> Result<(), StoreError> {
        let mut open = self.open.lock();
        let Some(open) = &mut *open else {
            return Ok(());
        };
        // fjall 3.1 gives the id of a dropped keyspace to a new one if it was the highest, and
        // after the next start the old tombstone may hide the new keyspace, with all that is in
        // it. So the newest keyspace is dropped only when there is a newer one.
        if open.epochs.last_key_value().is_some_and(|(newest, _)| *newest == epoch) {
            open.begin_epoch()?;
        }
        if let Some(bodies) = open.epochs.get(&epoch) {
            let bodies = bodies.clone();
            open.db.delete_keyspace(bodies).map_err(failed("drop an epoch"))?;
            open.epochs.remove(&epoch);
        }
        Ok(())
    }

    /// Bytes of an epoch on disk.
    pub fn epoch_bytes(&self, epoch: u32) -> u64 {
        self.epoch(epoch).map_or(0, |bodies| bodies.disk_space())
    }

    /// A change failed for lack of space.
    pub fn has_lacked_space(&self) {
        *self.trust.lock() = Trust::LackedSpace;
    }

    /// There is so little space that the background work may fail for it.
    pub fn may_lack_space(&self) {
        let mut trust = self.trust.lock();
        if *trust != Trust::LackedSpace {
            *trust = Trust::MayLackSpace;
        }
    }

    /// Closes the database.
    pub fn close(&self) {
        *self.open.lock() = None;
    }

    fn epoch(&self, epoch: u32) -> Option<Keyspace> {
        self.open.lock().as_ref()?.epochs.get(&epoch).cloned()
    }

    /// The epoch that takes entries now; a new one when the newest is full.
    fn current(&self, not: Option<u32>) -> Result<(u32, Keyspace), StoreError> {
        let mut open = self.open.lock();
        let open = open.as_mut().ok_or(StoreError::Stopped)?;
        if let Some((&epoch, bodies)) = open.epochs.last_key_value()
            && Some(epoch) != not
            && bodies.disk_space() < self.epoch_bytes
        {
            return Ok((epoch, bodies.clone()));
        }
        open.begin_epoch()
    }

    /// The database with its background work going on: it is opened anew where that has ended, or
    /// where a change failed, which removes what is half done.
    fn trusted(&self) -> Result<Open, StoreError> {
        let open = self.opened()?;
        let mut trust = self.trust.lock();
        // Writes nothing, and says whether the background work has ended.
        let has_ended = open.db.persist(PersistMode::Buffer).err();
        let has_lacked = *trust == Trust::LackedSpace;
        match has_ended {
            None if !has_lacked => {
                if *trust == Trust::OpenedAnew {
                    *trust = Trust::Whole;
                }
                return Ok(open);
            }
            Some(error) if *trust == Trust::OpenedAnew => {
                return Err(failed("do the database's background work")(error));
            }
            None => {}
            Some(_) => tracing::warn!("the database's background work has ended: it is opened anew"),
        }
        drop(open);
        let open = self.open_anew()?;
        *trust = match has_lacked {
            true => Trust::MayLackSpace,
            false => Trust::OpenedAnew,
        };
        Ok(open)
    }

    fn open_anew(&self) -> Result<Open, StoreError> {
        // Who wants to read waits.
        let mut open = self.open.lock();
        *open = None;
        let since = Instant::now();
        loop {
            match Open::at(&self.dir) {
                Ok(made) => return Ok(open.insert(made).clone()),
                // Readers hold it for a moment, or there is no space just now.
                Err(_) if since.elapsed() < HELD => std::thread::sleep(HELD / 1000),
                Err(error) => {
                    return Err(StoreError::Rest {
                        what: "open the database anew",
                        error: error.to_string().into(),
                        // Nobody can wait for that: it cannot be read from.
                        is_full: false,
                    });
                }
            }
        }
    }

    fn opened(&self) -> Result<Open, StoreError> {
        let mut open = self.open.lock();
        if let Some(open) = &*open {
            return Ok(open.clone());
        }
        if !self.dir.exists() {
            self.make()?;
        }
        let made = Open::at(&self.dir)?;
        *open = Some(made.clone());
        Ok(made)
    }
}

/// Writes a key with its value, or a tombstone for it. (fjall's own type for this has no name.)
type Ingest<'a> = dyn FnMut(&[u8], Option<&[u8]>) -> fjall::Result<()> + 'a;

impl Open {
    fn at(dir: &Path) -> Result<Self, StoreError> {
        checked(|| Self::unchecked(dir))
    }

    fn unchecked(dir: &Path) -> Result<Self, StoreError> {
        let db = Database::builder(dir)
            .cache_size(CACHE_BYTES)
            .worker_threads(1)
            .max_cached_files(Some(128))
            .open()
            .map_err(failed("open the database"))?;
        let ledger = db
            .keyspace("ledger", ledger_options)
            .map_err(failed("open the ledger"))?;
        let mut epochs = BTreeMap::new();
        for name in db.list_keyspace_names() {
            if let Some(number) = parse_epoch_name(&name) {
                let bodies = db.keyspace(&name, body_options).map_err(failed("open an epoch"))?;
                epochs.insert(number, bodies);
            }
        }
        Ok(Self { db, ledger, epochs })
    }

    /// Makes a new epoch, numbered above all others.
    fn begin_epoch(&mut self) -> Result<(u32, Keyspace), StoreError> {
        let epoch = self.epochs.last_key_value().map_or(1, |(newest, _)| newest + 1);
        let bodies = self
            .db
            .keyspace(&epoch_name(epoch), body_options)
            .map_err(failed("make an epoch"))?;
        self.epochs.insert(epoch, bodies.clone());
        Ok((epoch, bodies))
    }
}

/// Whether entries are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entries {
    None,
    /// Into the newest epoch, unless that is the one to be emptied.
    Into {
        not: Option<u32>,
    },
}

/// Entries and tombstones on their way to rest.
pub(super) struct Change<'a> {
    epoch: u32,
    /// Ingests a body.
    body: &'a mut Ingest<'a>,
    /// Ingests a row, or a tombstone.
    ledger: &'a mut Ingest<'a>,
    dead: Dead<'a>,
}

impl Change<'_> {
    /// Adds an entry. They come ordered by owner and seq.
    pub fn entry(&mut self, owner: OwnerId, seq: u64, keep: Keep, meta: Meta, body: &[u8]) -> Result<(), StoreError> {
        self.bury(Some((owner, seq)))?;
        let key = key(owner, seq);
        (self.body)(&key, Some(body)).map_err(failed("write a body"))?;
        let row = Row {
            owner,
            seq,
            epoch: self.epoch,
            len: body.len() as u32,
            keep,
            meta,
        };
        (self.ledger)(&key, Some(&row.encode())).map_err(failed("write to the ledger"))
    }

    /// Writes the tombstones that come before this entry.
    fn bury(&mut self, before: Option<(OwnerId, u64)>) -> Result<(), StoreError> {
        while let Some(dead) = self.dead.peek() {
            if before.is_some_and(|entry| dead > entry) {
                break;
            }
            self.dead.advance();
            // An entry that is written anew needs no tombstone.
            if before != Some(dead) {
                let key = key(dead.0, dead.1);
                (self.ledger)(&key, None).map_err(failed("write to the ledger"))?;
            }
        }
        Ok(())
    }
}

/// Goes through runs entry by entry.
struct Dead<'a> {
    runs: &'a [Run],
    next: Option<u64>,
}

impl Dead<'_> {
    fn peek(&self) -> Option<(OwnerId, u64)> {
        let run = self.runs.first()?;
        Some((run.owner, self.next.unwrap_or(run.first)))
    }

    fn advance(&mut self) {
        if let (Some((_, seq)), Some(run)) = (self.peek(), self.runs.first()) {
            if seq == run.last {
                self.runs = &self.runs[1..];
                self.next = None;
            } else {
                self.next = Some(seq + 1);
            }
        }
    }
}

impl Row {
    fn encode(&self) -> [u8; ROW] {
        let mut bytes = [0; ROW];
        bytes[..4].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8] = u8::from(self.keep == Keep::Page);
        bytes[9..].copy_from_slice(&self.meta);
        bytes
    }

    fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let (owner, seq) = parse_key(key)?;
        let value = value.first_chunk::<ROW>()?;
        let (head, meta) = value.split_first_chunk::<9>()?;
        Some(Self {
            owner,
            seq,
            epoch: u32::from_le_bytes([head[0], head[1], head[2], head[3]]),
            len: u32::from_le_bytes([head[4], head[5], head[6], head[7]]),
            keep: if head[8] == 0 { Keep::Durable } else { Keep::Page },
            meta: *meta.first_chunk()?,
        })
    }
}

fn key(owner: OwnerId, seq: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&owner.0.to_be_bytes());
    key[8..].copy_from_slice(&seq.to_be_bytes());
    key
}

fn parse_key(key: &[u8]) -> Option<(OwnerId, u64)> {
    let (owner, seq) = key.split_first_chunk()?;
    Some((
        OwnerId(u64::from_be_bytes(*owner)),
        u64::from_be_bytes(*seq.first_chunk()?),
    ))
}

fn epoch_name(epoch: u32) -> String {
    format!("bodies-{epoch:010}")
}

fn parse_epoch_name(name: &str) -> Option<u32> {
    name.strip_prefix("bodies-")?.parse().ok()
}

/// Bodies are read in runs and nearly never change: large blocks, nothing kept in memory, and no
/// merging of full tables within an epoch (the ingestions of an epoch are few and large).
fn body_options() -> KeyspaceCreateOptions {
    small_options()
        .data_block_size_policy(BlockSizePolicy::all(16 * 1024))
        .compaction_strategy(std::sync::Arc::new(Leveled::default().with_l0_threshold(32)))
}

fn ledger_options() -> KeyspaceCreateOptions {
    small_options().compaction_strategy(std::sync::Arc::new(Leveled::default().with_l0_threshold(8)))
}

fn small_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(1024 * 1024)
        .data_block_compression_policy(CompressionPolicy::disabled())
        .index_block_pinning_policy(PinningPolicy::all(false))
        .filter_block_pinning_policy(PinningPolicy::all(false))
        // Whoever asks for a key knows that it is there: no filters.
        .expect_point_read_hits(true)
}

fn failed(what: &'static str) -> impl Fn(fjall::Error) -> StoreError {
    move |error| {
        let error = match error {
            fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) if is_of_disk(&error) => {
                return StoreError::io(what, error);
            }
            error => error,
        };
        let text = error.to_string().into();
        match is_damage(&error) {
            true => StoreError::RestDamaged { what, error: text },
            false => StoreError::Rest {
                what,
                error: text,
                is_full: is_full(&error),
            },
        }
    }
}

/// Whether there is an error of the system's behind this one that says so.
fn is_full(error: &fjall::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref().is_some_and(super::error::is_full) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn damaged(what: &'static str) -> StoreError {
    StoreError::RestDamaged {
        what: "read the database",
        error: what.into(),
    }
}

/// Does something with the database, which panics where lengths on disk are damaged.
fn checked<R>(use_it: impl FnOnce() -> Result<R, StoreError>) -> Result<R, StoreError> {
    let used = std::panic::catch_unwind(std::panic::AssertUnwindSafe(use_it));
    used.unwrap_or_else(|_| Err(damaged("it makes the database panic")))
}

/// Whether the bytes on disk are wrong, and would be so the next time.
fn is_damage(error: &fjall::Error) -> bool {
    let is_wrong = |error: &io::Error| {
        use io::ErrorKind::{InvalidData, InvalidInput, NotFound, UnexpectedEof};
        matches!(error.kind(), InvalidData | InvalidInput | NotFound | UnexpectedEof)
    };
    match error {
        fjall::Error::Io(error) => is_wrong(error),
        fjall::Error::Storage(fjall::LsmError::Io(error)) => is_wrong(error),
        fjall::Error::Poisoned | fjall::Error::KeyspaceDeleted | fjall::Error::Locked => false,
        _ => true,
    }
}

/// Moves a database out of the way; what was put there before goes.
pub(super) fn put_aside(from: &Path, to: &Path) -> Result<(), StoreError> {
    let moved = || {
        if to.exists() {
            std::fs::remove_dir_all(to)?;
        }
        std::fs::rename(from, to)?;
        File::open(to.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    moved().map_err(|error| StoreError::io("put a damaged database aside", error))
}

/// How long opening the database anew may take.
const HELD: Duration = Duration::from_secs(10);
const ROW: usize = 9 + size_of::<Meta>();
/// Seqs no further apart than this are read in one scan.
const NEAR: u64 = 8;
/// fjall's cache of blocks. Backlogs are read once, in order: more would not help.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
