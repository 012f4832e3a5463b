//! What is committed goes to the machine, in order; snapshots are made from it and given to it.
//!
//! The machine lives in memory and begins empty: at start it is given the last snapshot, and then
//! the entries after it that are known to be committed.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use openraft::EntryPayload;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::guarded::Guarded;
use super::log::LogShared;
use super::pack::Packed;
use super::snapshots::{KeptSnapshot, PIECE_BYTES, Snapshots};
use super::types::{LogId, Outputs, Snapshot, SnapshotMeta, StoredMembership, Types, log_id};
use super::wire::{Reader, WireError, Writer};
use crate::machine::{Covered, KeptPiece, Machine, Parts, Unreadable};
use crate::store::Archive;
use crate::tasks;

/// openraft's state machine around one of ours.
pub struct Applier<M> {
    pub machine: Arc<Guarded<M>>,
    pub snapshots: Arc<Snapshots>,
    /// So many snapshots may be made at a time on the node.
    pub makers: Arc<Semaphore>,
    applied: Option<LogId>,
    membership: StoredMembership,
    past: Past,
    log: Arc<LogShared>,
    /// Bytes that were applied since the last point.
    since_point: u64,
}

/// What a snapshot of an older index than the last says besides the machine's state: by whom that entry was
/// written, and who was a member then. Grows with changes of leader and members only.
#[derive(Default)]
struct Past {
    /// The first entry that was applied of each term,
    terms: VecDeque<LogId>,
    /// and each change of members.
    memberships: VecDeque<StoredMembership>,
}

/// A state that a start goes on from: that of the machine, and what is around it.
struct Point {
    applied: LogId,
    membership: StoredMembership,
    past: Past,
    machine: Bytes,
}

impl Point {
    fn encode(&self) -> Bytes {
        let meta = |membership: &StoredMembership| SnapshotMeta {
            last_log_id: None,
            last_membership: membership.clone(),
        };
        let mut w = Writer::new();
        w.opt_log_id(Some(&self.applied)).snapshot_meta(&meta(&self.membership));
        w.u32(self.past.terms.len() as u32);
        for term in &self.past.terms {
            w.opt_log_id(Some(term));
        }
        w.u32(self.past.memberships.len() as u32);
        for membership in &self.past.memberships {
            w.snapshot_meta(&meta(membership));
        }
        w.bytes(&self.machine);
        w.finish()
    }

    fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let mut r = Reader::new(bytes)?;
        let applied = r.opt_log_id()?.ok_or(WireError::Short)?;
        let membership = r.snapshot_meta()?.last_membership;
        let mut past = Past::default();
        for _ in 0..r.u32()? {
            past.terms.push_back(r.opt_log_id()?.ok_or(WireError::Short)?);
        }
        for _ in 0..r.u32()? {
            past.memberships.push_back(r.snapshot_meta()?.last_membership);
        }
        let machine = r.bytes()?;
        Ok(Self {
            applied,
            membership,
            past,
            machine,
        })
    }
}

impl Past {
    fn applied(&mut self, id: LogId) {
        if self.terms.back().is_none_or(|last| last.leader_id != id.leader_id) {
            self.terms.push_back(id);
        }
    }

    fn changed(&mut self, membership: &StoredMembership) {
        self.memberships.push_back(membership.clone());
    }

    /// As of that entry. What lies before it is not asked for again.
    fn at(&mut self, index: u64) -> Option<(LogId, StoredMembership)> {
        while self.terms.get(1).is_some_and(|next| next.index <= index) {
            self.terms.pop_front();
        }
        let began = |one: &StoredMembership| one.log_id().as_ref().is_none_or(|id| id.index <= index);
        while self.memberships.get(1).is_some_and(began) {
            self.memberships.pop_front();
        }
        let term = self.terms.front().filter(|first| first.index <= index)?;
        let membership = self.memberships.front().filter(|first| began(first));
        let id = log_id(term.leader_id.term, index);
        Some((id, membership.cloned().unwrap_or_default()))
    }
}

/// A snapshot about to be made.
pub struct Builder<M> {
    machine: Arc<Guarded<M>>,
    /// Taken once; behind a lock because a builder is shared.
    parts: Mutex<Option<Parts>>,
    meta: SnapshotMeta,
    snapshots: Arc<Snapshots>,
    makers: Arc<Semaphore>,
}

impl<M: Machine> Applier<M> {
    /// Around a machine that has applied nothing yet.
    pub fn new(
        machine: Arc<Guarded<M>>,
        snapshots: Arc<Snapshots>,
        makers: Arc<Semaphore>,
        log: Arc<LogShared>,
    ) -> Self {
        Self {
            machine,
            snapshots,
            makers,
            applied: None,
            membership: StoredMembership::default(),
            past: Past::default(),
            log,
            since_point: 0,
        }
    }

    /// Goes on from the point that is kept with the archive, which ends with that entry, if it is not older than the
    /// snapshot; what is applied after it is applied again. Where that does not work it begins with the snapshot. Blocks.
    pub fn resume_from(&mut self, archive: &Archive, archived: LogId) {
        let Some(point) = archive.point() else { return };
        let point = match Point::decode(point) {
            Ok(point) => point,
            Err(error) => return tracing::warn!(%error, "a stream is read from its beginning"),
        };
        let current = self.snapshots.current();
        let snapshot = current.as_ref().and_then(|current| current.meta.last_log_id);
        if point.applied > archived || Some(point.applied) < snapshot {
            return;
        }
        let resumed = self.machine.change(|machine| {
            machine.resume(&point.machine)?;
            if let Some(current) = current {
                let numbers: Vec<_> = current.numbers().collect();
                let parts = current.parts().zip(numbers);
                let pieces: io::Result<Vec<_>> = parts
                    .map(|(part, number)| Ok(kept_piece::<M>(number, &part?)))
                    .collect();
                let pieces: Vec<_> = pieces?.into_iter().flatten().collect();
                machine.kept(&pieces);
            }
            Ok::<_, Unreadable>(())
        });
        match resumed {
            Ok(Ok(())) => {
                self.applied = Some(point.applied);
                self.membership = point.membership;
                self.past = point.past;
            }
            Ok(Err(error)) => tracing::warn!(%error, "a stream is read from its beginning"),
            // The group does not open.
            Err(_) => {}
        }
    }

    /// Now and then what the machine is goes to be kept with the archive.
    fn tell_point(&mut self, applied: LogId, bytes: usize) {
        let Some(between) = self.log.bytes_between_points() else {
            return;
        };
        self.since_point += bytes as u64;
        if self.since_point < between {
            return;
        }
        self.since_point = 0;
        if let Ok(Some(machine)) = self.machine.ask(Machine::point) {
            let point = Point {
                applied,
                membership: self.membership.clone(),
                past: Past {
                    terms: self.past.terms.clone(),
                    memberships: self.past.memberships.clone(),
                },
                machine,
            };
            self.log.add_point(applied.index, point.encode());
        }
    }

    /// What a snapshot stands for that covers so much.
    fn meta_of(&mut self, covered: Covered) -> SnapshotMeta {
        let (last_log_id, last_membership) = match covered {
            Covered::All => (self.applied, self.membership.clone()),
            Covered::UpTo(index) => match index.and_then(|index| self.past.at(index)) {
                Some((id, membership)) => (Some(id), membership),
                None => (None, StoredMembership::default()),
            },
        };
        SnapshotMeta {
            last_log_id,
            last_membership,
        }
    }

    fn apply_records(&self, index: u64, packed: &Packed, is_awaited: bool) -> io::Result<Outputs> {
        let applied = self.machine.change(|machine| {
            let mut outputs = Vec::new();
            for record in packed.records() {
                let output = machine.apply(index, record?)?;
                if is_awaited {
                    outputs.push(output);
                }
            }
            Ok::<_, Unreadable>(outputs)
        });
        let outputs = applied?.map_err(|error| io::Error::other(format!("log entry {index}: {error}")))?;
        Ok(if is_awaited {
            Outputs::of(outputs)
        } else {
            Outputs::default()
        })
    }
}

impl<M: Machine> RaftStateMachine<Types> for Applier<M> {
    type SnapshotData = Arc<KeptSnapshot>;
    type SnapshotBuilder = Builder<M>;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + Send,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let index = entry.log_id.index;
            self.past.applied(entry.log_id);
            let mut bytes = 0;
            let answers = match entry.payload {
                EntryPayload::Blank => Outputs::default(),
                EntryPayload::Normal(packed) => {
                    bytes = packed.bytes().len();
                    self.apply_records(index, &packed, responder.is_some())?
                }
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                    self.past.changed(&self.membership);
                    Outputs::default()
                }
            };
            self.applied = Some(entry.log_id);
            self.tell_point(entry.log_id, bytes);
            if let Some(responder) = responder {
                responder.send(answers);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder<M> {
        // Without them the group stops, as it does on a machine that panicked.
        let asked = self.machine.ask(|machine| (machine.covered(), machine.snapshot()));
        let (covered, parts) = asked.map_or((Covered::All, None), |(covered, parts)| (covered, Some(parts)));
        let meta = self.meta_of(covered);
        Builder {
            machine: Arc::clone(&self.machine),
            parts: Mutex::new(parts),
            meta,
            snapshots: Arc::clone(&self.snapshots),
            makers: Arc::clone(&self.makers),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Arc<KeptSnapshot>) -> io::Result<()> {
        let turn = self.snapshots.turn().await;
        let made_way = turn.keep(Arc::clone(&snapshot)).await?;
        let machine = Arc::clone(&self.machine);
        let restored = tasks::blocking(move || machine.change(|machine| restore(machine, &snapshot))).await;
        restored.map_err(io::Error::other)??.map_err(io::Error::other)?;
        drop((made_way, turn));
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.past = Past::default();
        self.past.terms.extend(meta.last_log_id);
        self.past.changed(&self.membership);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot<Arc<KeptSnapshot>>>> {
        Ok(self.snapshots.current().map(|snapshot| Snapshot {
            meta: snapshot.meta.clone(),
            snapshot,
        }))
    }
}

impl<M: Machine> RaftSnapshotBuilder<Types> for Builder<M> {
    type SnapshotData = Arc<KeptSnapshot>;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot<Arc<KeptSnapshot>>> {
        // It may be that nothing new can be given back.
        let is_older = self.meta.last_log_id.is_none()
            || self
                .snapshots
                .current()
                .is_some_and(|kept| kept.meta.last_log_id > self.meta.last_log_id);
        if is_older && let Some(kept) = self.later_one() {
            return Ok(kept);
        }
        let _turn = self.makers.acquire().await.map_err(io::Error::other)?;
        let parts = self.parts.lock().take();
        let parts = parts.ok_or_else(|| io::Error::other("a builder builds once"))?;
        let mut writer = self.snapshots.writer();
        let written = tasks::blocking(move || {
            let mut pieces = Vec::new();
            for part in parts {
                let part = part?;
                if part.len() > PIECE_BYTES {
                    return Err(io::Error::other(format!("a snapshot's piece of {} bytes", part.len())));
                }
                let number = writer.add(&part);
                pieces.extend(kept_piece::<M>(number, &part));
            }
            Ok((writer, pieces))
        });
        let (writer, pieces) = match written.await.map_err(io::Error::other)? {
            Ok(written) => written,
            // What it was made of may have made way for a snapshot that a leader sent.
            Err(error) => return self.later_one().ok_or(error),
        };
        let snapshot = writer.finish(self.meta.clone());
        let turn = self.snapshots.turn().await;
        if let Some(made_way) = turn.keep(Arc::clone(&snapshot)).await? {
            self.machine.change(|machine| machine.kept(&pieces))?;
            drop(made_way);
        }
        Ok(Snapshot {
            meta: self.meta.clone(),
            snapshot,
        })
    }
}

impl<M> Builder<M> {
    /// The current snapshot, if it has all that this one would have.
    fn later_one(&self) -> Option<Snapshot<Arc<KeptSnapshot>>> {
        let snapshot = self.snapshots.current()?;
        (snapshot.meta.last_log_id >= self.meta.last_log_id).then(|| Snapshot {
            meta: snapshot.meta.clone(),
            snapshot,
        })
    }
}

/// Gives a machine the state of a snapshot; blocks.
fn restore<M: Machine>(machine: &mut M, snapshot: &Arc<KeptSnapshot>) -> Result<(), Unreadable> {
    let pieces = Arc::new(Mutex::new(Vec::new()));
    let read = Arc::clone(&pieces);
    let numbers: Vec<_> = snapshot.numbers().collect();
    let parts = snapshot.parts().zip(numbers).map(move |(part, number)| {
        let part = part?;
        read.lock().extend(kept_piece::<M>(number, &part));
        Ok(part)
    });
    machine.restore(Box::new(parts))?;
    machine.kept(&pieces.lock());
    Ok(())
}

fn kept_piece<M: Machine>(number: u64, piece: &[u8]) -> Option<KeptPiece> {
    let (first, last) = M::covers(piece)?;
    Some(KeptPiece { number, first, last })
}
