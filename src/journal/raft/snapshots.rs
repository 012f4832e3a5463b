//! A group's snapshots: pieces kept as entries of an owner of their own, and its mark, which says
//! what the current one is made of.
//!
//! Pieces are put while a snapshot is built or received; it becomes the current one when the mark
//! that names them is synced, and only then may the log go. Pieces that no mark names are removed,
//! after a restart as well. A snapshot that is still being sent keeps its pieces until it is sent,
//! also when a newer one has taken its place.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::log::{BATCH_BYTES, is_damage, runs};
use super::recovery::Damage;
use super::types::SnapshotMeta;
use super::wire::{Reader, WireError, Writer};
use crate::machine::Parts;
use crate::store::{Keep, Loc, OwnerId, OwnerLedger, Store, StoreError};

/// The snapshots of one group.
pub struct Snapshots {
    store: Store,
    owner: OwnerId,
    state: Mutex<State>,
    /// Where every piece is that was not removed.
    places: Places,
    /// A piece could not be read that is there.
    has_lost: Arc<AtomicBool>,
    /// One at a time becomes current.
    turn: tokio::sync::Mutex<()>,
}

type Places = Arc<Mutex<FxHashMap<u64, Loc>>>;

struct State {
    next_seq: u64,
    current: Option<Arc<KeptSnapshot>>,
}

/// A whole snapshot in the store.
pub struct KeptSnapshot {
    pub meta: SnapshotMeta,
    pieces: Pieces,
}

/// Pieces in the store, removed with the last who needs them unless they are the current snapshot.
struct Pieces {
    store: Store,
    owner: OwnerId,
    places: Places,
    at: Vec<(u64, Loc)>,
    bytes: u64,
    current: AtomicBool,
    has_lost: Arc<AtomicBool>,
}

/// Whoever holds it decides which snapshot is the current one, and nobody else meanwhile.
pub struct Turn<'a> {
    snapshots: &'a Snapshots,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

/// The snapshot that another has replaced. Its pieces may be removed when this is dropped.
pub struct Replaced(Option<Arc<KeptSnapshot>>);

/// A snapshot on its way into the store.
pub struct SnapshotWriter {
    snapshots: Arc<Snapshots>,
    pieces: Pieces,
}

impl Snapshots {
    /// What the store kept.
    pub fn open(store: Store, owner: OwnerId, ledger: Option<OwnerLedger>) -> Result<Self, Damage> {
        let ledger = ledger.unwrap_or_default();
        if ledger.damaged {
            return Err(Damage::Lost);
        }
        let places = Places::default();
        let has_lost = Arc::<AtomicBool>::default();
        let mut current = None;
        let mut named = Vec::new();
        if let Some(mark) = ledger.mark {
            let (meta, ranges) = read_mark(mark)?;
            named = ranges;
            let kept: Vec<_> = ledger.entries.iter().filter(|entry| is_in(&named, entry.seq)).collect();
            if kept.len() as u64 != named.iter().map(|(first, last)| last - first + 1).sum::<u64>() {
                return Err(Damage::Lost);
            }
            let pieces = Pieces {
                store: store.clone(),
                owner,
                places: Arc::clone(&places),
                at: kept.iter().map(|entry| (entry.seq, entry.loc)).collect(),
                bytes: kept.iter().map(|entry| u64::from(entry.len)).sum(),
                current: AtomicBool::new(true),
                has_lost: Arc::clone(&has_lost),
            };
            places.lock().extend(pieces.at.iter().copied());
            current = Some(Arc::new(KeptSnapshot { meta, pieces }));
        }
        let left_over: Vec<_> = ledger
            .entries
            .iter()
            .map(|entry| entry.seq)
            .filter(|seq| !is_in(&named, *seq))
            .collect();
        if !left_over.is_empty() {
            store.batch(owner).remove(&runs(left_over));
        }
        Ok(Self {
            store,
            owner,
            state: Mutex::new(State {
                next_seq: ledger.next_seq.max(1),
                current,
            }),
            places,
            has_lost,
            turn: tokio::sync::Mutex::default(),
        })
    }

    pub fn current(&self) -> Option<Arc<KeptSnapshot>> {
        self.state.lock().current.clone()
    }

    /// Begins a new one.
    pub fn writer(self: &Arc<Self>) -> SnapshotWriter {
        SnapshotWriter {
            snapshots: Arc::clone(self),
            pieces: Pieces {
                store: self.store.clone(),
                owner: self.owner,
                places: Arc::clone(&self.places),
                at: Vec::new(),
                bytes: 0,
                current: AtomicBool::new(false),
                has_lost: Arc::clone(&self.has_lost),
            },
        }
    }

    /// Waits until nobody else decides which one is the current one.
    pub async fn turn(&self) -> Turn<'_> {
        Turn {
            snapshots: self,
            _turn: self.turn.lock().await,
        }
    }

    /// Reads a piece by its number in the store; blocks.
    pub fn piece(&self, number: u64) -> io::Result<Bytes> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, format!("piece {number} of a snapshot is gone"));
        let loc = self.places.lock().get(&number).copied().ok_or_else(gone)?;
        let read = self.store.read(self.owner, &[(number, loc)]);
        let read = read.map_err(|error| cannot_read(&self.store, &self.has_lost, error));
        read?.pop().flatten().ok_or_else(gone)
    }

    /// Whether a piece could not be read that is there.
    pub fn has_lost(&self) -> bool {
        self.has_lost.load(Ordering::Acquire)
    }
}

impl Turn<'_> {
    /// Makes this one the current one, and returns when that survives a crash. `None` when there is
    /// a later one.
    pub async fn keep(&self, snapshot: Arc<KeptSnapshot>) -> io::Result<Option<Replaced>> {
        let snapshots = self.snapshots;
        let current = snapshots.current();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &snapshot)) {
            return Ok(Some(Replaced(None)));
        }
        if current.is_some_and(|current| current.meta.last_log_id > snapshot.meta.last_log_id) {
            return Ok(None);
        }
        let lsn = {
            let mut batch = snapshots.store.batch(snapshots.owner);
            batch.mark(&snapshot.mark());
            batch.commit()
        };
        snapshots.store.synced(lsn).await.map_err(io::Error::other)?;
        snapshot.pieces.current.store(true, Ordering::Release);
        Ok(Some(Replaced(snapshots.state.lock().current.replace(snapshot))))
    }
}

impl Drop for Replaced {
    fn drop(&mut self) {
        if let Some(old) = &self.0 {
            old.pieces.current.store(false, Ordering::Release);
        }
    }
}

impl KeptSnapshot {
    /// Bytes of all pieces.
    pub fn bytes(&self) -> u64 {
        self.pieces.bytes
    }

    pub fn count(&self) -> usize {
        self.pieces.at.len()
    }

    /// Reads a piece; blocks.
    pub fn piece(&self, number: usize) -> io::Result<Bytes> {
        let at = self.pieces.at[number];
        let Pieces {
            store, owner, has_lost, ..
        } = &self.pieces;
        let read = store.read(*owner, &[at]);
        let read = read.map_err(|error| cannot_read(store, has_lost, error))?;
        let piece = read.into_iter().next().flatten();
        piece.ok_or_else(|| io::Error::other(format!("piece {number} of a snapshot is gone")))
    }

    /// The numbers of its pieces in the store, in order.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.pieces.at.iter().map(|(seq, _)| *seq)
    }

    /// Its pieces in order, each read when it is asked for; blocks.
    pub fn parts(self: &Arc<Self>) -> Parts {
        let snapshot = Arc::clone(self);
        Box::new((0..self.count()).map(move |number| snapshot.piece(number)))
    }

    fn mark(&self) -> Bytes {
        let runs = runs(self.pieces.at.iter().map(|(seq, _)| *seq));
        let mut w = Writer::new();
        w.snapshot_meta(&self.meta).u32(runs.len() as u32);
        for (first, last) in runs {
            w.u64(first).u64(last);
        }
        w.finish()
    }
}

impl SnapshotWriter {
    /// Pieces so far.
    pub fn count(&self) -> usize {
        self.pieces.at.len()
    }

    /// Adds a piece and returns its number in the store; blocks while the store is far behind.
    pub fn add(&mut self, piece: &[u8]) -> u64 {
        let mut state = self.snapshots.state.lock();
        let seq = state.next_seq;
        state.next_seq += 1;
        drop(state);
        let mut batch = self.snapshots.store.batch(self.snapshots.owner);
        let loc = batch.put(seq, [0; 24], &[piece], Keep::Durable);
        drop(batch);
        self.pieces.places.lock().insert(seq, loc);
        self.pieces.at.push((seq, loc));
        self.pieces.bytes += piece.len() as u64;
        seq
    }

    /// That was the last piece.
    pub fn finish(self, meta: SnapshotMeta) -> Arc<KeptSnapshot> {
        Arc::new(KeptSnapshot {
            meta,
            pieces: self.pieces,
        })
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        let mut places = self.places.lock();
        for (seq, _) in &self.at {
            places.remove(seq);
        }
        drop(places);
        if !*self.current.get_mut() && !self.at.is_empty() && !self.store.failed() {
            let seqs = self.at.iter().map(|(seq, _)| *seq);
            self.store.batch(self.owner).remove(&runs(seqs));
        }
    }
}

fn cannot_read(store: &Store, has_lost: &AtomicBool, error: StoreError) -> io::Error {
    has_lost.fetch_or(is_damage(store, &error), Ordering::AcqRel);
    io::Error::other(error)
}

fn read_mark(mark: Vec<u8>) -> Result<(SnapshotMeta, Vec<(u64, u64)>), WireError> {
    let mut r = Reader::new(mark.into())?;
    let meta = r.snapshot_meta()?;
    let count = r.u32()?;
    let mut runs = Vec::new();
    for _ in 0..count {
        let (first, last) = (r.u64()?, r.u64()?);
        if last < first {
            return Err(WireError::Short);
        }
        runs.push((first, last));
    }
    Ok((meta, runs))
}

fn is_in(ranges: &[(u64, u64)], seq: u64) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&seq))
}

/// The largest piece that is sent.
pub const PIECE_BYTES: usize = 8 * BATCH_BYTES;
