//! What is committed goes to the machine, in order; snapshots are made from it and given to it.
//!
//! The machine lives in memory and begins empty: at start it is given the last snapshot, and then
//! the entries after it that are known to be committed.

use std::io;
use std::sync::Arc;

use futures_util::{Stream, TryStreamExt};
use openraft::EntryPayload;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::guarded::Guarded;
use super::pack::Packed;
use super::snapshots::{KeptSnapshot, PIECE_BYTES, Snapshots};
use super::types::{LogId, Outputs, Snapshot, SnapshotMeta, StoredMembership, Types};
use crate::machine::{KeptPiece, Machine, Parts, Unreadable};
use crate::tasks;

/// openraft's state machine around one of ours.
pub struct Applier<M> {
    pub machine: Arc<Guarded<M>>,
    pub snapshots: Arc<Snapshots>,
    /// So many snapshots may be made at a time on the node.
    pub makers: Arc<Semaphore>,
    applied: Option<LogId>,
    membership: StoredMembership,
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
    pub fn new(machine: Arc<Guarded<M>>, snapshots: Arc<Snapshots>, makers: Arc<Semaphore>) -> Self {
        Self {
            machine,
            snapshots,
            makers,
            applied: None,
            membership: StoredMembership::default(),
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
            let answers = match entry.payload {
                EntryPayload::Blank => Outputs::default(),
                EntryPayload::Normal(packed) => self.apply_records(index, &packed, responder.is_some())?,
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                    Outputs::default()
                }
            };
            self.applied = Some(entry.log_id);
            if let Some(responder) = responder {
                responder.send(answers);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder<M> {
        Builder {
            machine: Arc::clone(&self.machine),
            // Without them the group stops, as it does on a machine that panicked.
            parts: Mutex::new(self.machine.ask(Machine::snapshot).ok()),
            meta: SnapshotMeta {
                last_log_id: self.applied,
                last_membership: self.membership.clone(),
            },
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
