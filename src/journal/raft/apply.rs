//! What is committed goes to the machine, in order; snapshots are made from it and given to it.
//!
//! The machine lives in memory and begins empty: at start it is given the last snapshot, and then
//! the entries after it that are known to be committed.

use std::io;
use std::sync::Arc;

use futures_util::{Stream, TryStreamExt};
use openraft::EntryPayload;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;

use super::pack::Packed;
use super::snapshots::{KeptSnapshot, PIECE_BYTES, Snapshots};
use super::types::{Answers, LogId, Snapshot, SnapshotMeta, StoredMembership, Types};
use crate::machine::{Machine, Parts, Unreadable};

/// openraft's state machine around one of ours.
pub struct Applier<M> {
    pub machine: Arc<RwLock<M>>,
    pub snapshots: Arc<Snapshots>,
    /// So many snapshots may be made at a time on the node.
    pub makers: Arc<Semaphore>,
    applied: Option<LogId>,
    membership: StoredMembership,
}

/// A snapshot about to be made.
pub struct Builder {
    /// Taken once; behind a lock because a builder is shared.
    parts: Mutex<Option<Parts>>,
    meta: SnapshotMeta,
    snapshots: Arc<Snapshots>,
    makers: Arc<Semaphore>,
}

impl<M: Machine> Applier<M> {
    /// Around a machine that has applied nothing yet.
    pub fn new(machine: Arc<RwLock<M>>, snapshots: Arc<Snapshots>, makers: Arc<Semaphore>) -> Self {
        Self {
            machine,
            snapshots,
            makers,
            applied: None,
            membership: StoredMembership::default(),
        }
    }

    fn apply_records(&self, index: u64, packed: &Packed, is_awaited: bool) -> Result<Answers, Unreadable> {
        let mut machine = self.machine.write();
        let mut outputs = Vec::new();
        for record in packed.records() {
            let output = machine.apply(index, record?)?;
            if is_awaited {
                outputs.push(output);
            }
        }
        Ok(if is_awaited {
            Answers::of(outputs)
        } else {
            Answers::default()
        })
    }
}

impl<M: Machine> RaftStateMachine<Types> for Applier<M> {
    type SnapshotData = Arc<KeptSnapshot>;
    type SnapshotBuilder = Builder;

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
                EntryPayload::Blank => Answers::default(),
                EntryPayload::Normal(packed) => {
                    let applied = self.apply_records(index, &packed, responder.is_some());
                    applied.map_err(|error| io::Error::other(format!("log entry {index}: {error}")))?
                }
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                    Answers::default()
                }
            };
            self.applied = Some(entry.log_id);
            if let Some(responder) = responder {
                responder.send(answers);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            parts: Mutex::new(Some(self.machine.read().snapshot())),
            meta: SnapshotMeta {
                last_log_id: self.applied,
                last_membership: self.membership.clone(),
            },
            snapshots: Arc::clone(&self.snapshots),
            makers: Arc::clone(&self.makers),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Arc<KeptSnapshot>) -> io::Result<()> {
        self.snapshots.keep(Arc::clone(&snapshot)).await?;
        let machine = Arc::clone(&self.machine);
        let restored = tokio::task::spawn_blocking(move || machine.write().restore(snapshot.parts())).await;
        restored.map_err(io::Error::other)?.map_err(io::Error::other)?;
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

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Arc<KeptSnapshot>;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot<Arc<KeptSnapshot>>> {
        let _turn = self.makers.acquire().await.map_err(io::Error::other)?;
        let parts = self.parts.lock().take();
        let parts = parts.ok_or_else(|| io::Error::other("a builder builds once"))?;
        let mut writer = self.snapshots.writer();
        let written = tokio::task::spawn_blocking(move || {
            for part in parts {
                let part = part?;
                if part.len() > PIECE_BYTES {
                    return Err(io::Error::other(format!("a snapshot's piece of {} bytes", part.len())));
                }
                writer.add(&part);
            }
            Ok(writer)
        });
        let snapshot = written.await.map_err(io::Error::other)??.finish(self.meta.clone());
        self.snapshots.keep(Arc::clone(&snapshot)).await?;
        Ok(Snapshot {
            meta: self.meta.clone(),
            snapshot,
        })
    }
}
