//! One Raft group on this node: proposed to, applied, opened and closed. Who is in it is in `membership.rs`, who leads
//! it next in `election.rs`.
//!
//! Whether this node leads is known to it only after the fact: [`Group::leadership`] may be old.
//! What must not be told twice (deliveries) asks [`Group::holds_lease`] as well; what must not be
//! lost (confirms) waits for [`Group::propose`], which no stale leader can answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, LinearizableReadError, RaftError};
use openraft::{ReadPolicy, ServerState};
use parking_lot::RwLockReadGuard;

use super::apply::Applier;
use super::guarded::Guarded;
use super::leadership::{LeaderWatch, Leadership, Role};
use super::log::RaftLog;
use super::open_groups::OpenGroups;
use super::propose::{Applied, ProposeError, Proposer};
use super::snapshots::Snapshots;
use super::spec::{GroupId, GroupSpec};
use super::types::Types;
#[cfg(test)]
use super::types::{VoteRequest, VoteResponse};
use crate::machine::Machine;
use crate::types::NodeId;

type Raft<M> = openraft::Raft<Types, Applier<M>>;

/// A group; clones are the same group.
pub struct Group<M: Machine>(pub(super) Arc<Shared<M>>);

/// What its clones share.
pub(super) struct Shared<M: Machine> {
    pub(super) journals: Arc<OpenGroups>,
    pub(super) spec: GroupSpec,
    pub(super) node: NodeId,
    pub(super) raft: Raft<M>,
    pub(super) log: RaftLog,
    snapshots: Arc<Snapshots>,
    machine: Arc<Guarded<M>>,
    pub(super) proposer: Arc<Proposer<M>>,
    /// Whether whoever watches has seen the end of openraft's task, which tells nobody when it panics.
    has_ended: Arc<AtomicBool>,
    /// Members change one at a time.
    pub(super) changing: tokio::sync::Mutex<()>,
}

/// This node does not lead, or no more.
pub(super) struct Deposed {
    leader: Option<NodeId>,
    has_stopped: bool,
}

impl From<Deposed> for ProposeError {
    fn from(Deposed { leader, has_stopped }: Deposed) -> Self {
        match has_stopped {
            true => Self::Stopped,
            false => Self::NotLeader { leader },
        }
    }
}

impl From<Deposed> for GroupError {
    fn from(Deposed { leader, has_stopped }: Deposed) -> Self {
        match has_stopped {
            true => Self::Stopped("while it was asked".to_owned()),
            false => Self::NotLeader { leader },
        }
    }
}

/// What a group has in the store.
pub struct Kept {
    pub log: RaftLog,
    pub snapshots: Arc<Snapshots>,
}

/// Figures, as of now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupStatus {
    pub leadership: Leadership,
    pub last_index: Option<u64>,
    pub applied: Option<u64>,
    /// How far this node knows the log to be committed.
    pub committed: Option<u64>,
    /// Last index in the snapshot.
    pub snapshot: Option<u64>,
    /// Bytes of bodies in the log.
    pub log_bytes: u64,
    pub voters: BTreeSet<NodeId>,
    pub learners: BTreeSet<NodeId>,
    /// Voters whose vote counts whatever becomes of a change that was begun: those before and after it.
    pub settled_voters: BTreeSet<NodeId>,
    /// A change of the voters was begun and has yet to end; `voters` are those before and after it.
    pub is_changing: bool,
    /// On the leader: how far each member's log is known to be.
    pub matched: BTreeMap<NodeId, Option<u64>>,
    /// On the leader: how long the last batch took to be committed.
    pub commit_latency: Duration,
}

/// Why a change of the group was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    #[error("this node does not lead the group")]
    NotLeader { leader: Option<NodeId> },
    #[error("the group is stopped on this node: {0}")]
    Stopped(String),
    /// The group has members already.
    #[error("the group exists")]
    Exists,
    #[error("members cannot be changed so: {0}")]
    Members(String),
    /// It may still happen.
    #[error("not done in time")]
    Timeout,
}

impl<M: Machine> Clone for Group<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Machine> Group<M> {
    pub(super) fn new(
        journals: Arc<OpenGroups>,
        spec: GroupSpec,
        node: NodeId,
        raft: Raft<M>,
        Kept { log, snapshots }: Kept,
        machine: Arc<Guarded<M>>,
    ) -> Self {
        Self(Arc::new(Shared {
            journals,
            spec,
            node,
            proposer: Arc::new(Proposer::new(raft.clone())),
            raft,
            log,
            snapshots,
            machine,
            has_ended: Arc::default(),
            changing: tokio::sync::Mutex::default(),
        }))
    }

    pub fn id(&self) -> GroupId {
        self.0.spec.id
    }

    /// Whether it is the same group, opened once.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What it was opened as.
    pub fn spec(&self) -> GroupSpec {
        self.0.spec
    }

    /// Whether something that it has could not be read: it is not as it should be on the disk.
    pub fn has_lost(&self) -> bool {
        self.0.log.shared().has_lost() || self.0.snapshots.has_lost()
    }

    /// Whether its machine has panicked, or openraft's task, which is seen by whoever watches the group.
    /// The group stops with it; what it has on the disk is whole.
    pub fn has_panicked(&self) -> bool {
        // A task that ends in any other way says why.
        let says_nothing = || self.0.raft.metrics().borrow_watched().running_state.is_ok();
        self.0.machine.has_panicked() || self.0.has_ended.load(Ordering::Acquire) && says_nothing()
    }

    /// Changes the machine behind the log's back.
    #[cfg(test)]
    pub fn meddle(&self, change: impl FnOnce(&mut M)) {
        self.tend(change);
    }

    /// What it answers to another member that asks for its vote.
    #[cfg(test)]
    pub async fn asked_to_vote(&self, request: VoteRequest) -> VoteResponse {
        self.0.raft.vote(request).await.expect("it runs")
    }

    /// Has openraft's task panic.
    #[cfg(test)]
    pub async fn panic_inside(&self) {
        // An error is a task that has ended before.
        let _ = self.0.raft.external_request(|_| panic!("as asked")).await;
    }

    /// Proposes a record; it is applied here when this returns. There is no deadline: in a
    /// minority a proposal that was appended waits until a majority is heard or another leads.
    pub async fn propose(&self, record: Bytes) -> Result<Applied<M::Output>, ProposeError> {
        self.0.proposer.propose(record).await
    }

    /// The same without waiting; records are applied in the order of the calls. `done` is called
    /// once, from a task of the group's, and must not block. How much waits is up to the caller.
    pub fn submit(&self, record: Bytes, done: impl FnOnce(Result<Applied<M::Output>, ProposeError>) + Send + 'static) {
        self.0.proposer.submit(None, record, done);
    }

    /// The same for what was decided while this node leads in that term, on top of all that was
    /// submitted before: it is proposed in no other term, and not when something before it that was
    /// submitted so has failed and this is known.
    pub fn submit_in(
        &self,
        term: u64,
        record: Bytes,
        done: impl FnOnce(Result<Applied<M::Output>, ProposeError>) + Send + 'static,
    ) {
        self.0.proposer.submit(Some(term), record, done);
    }

    /// Waits until all that was submitted is applied here or given up, while a majority is heard.
    pub async fn landed(&self) {
        self.0.proposer.landed().await;
    }

    /// The machine as of the last entry applied here. Entries wait while it is held.
    pub fn machine(&self) -> RwLockReadGuard<'_, M> {
        self.0.machine.read()
    }

    /// Changes what of the machine is this member's own, and no part of what the members agree on. `None` when it
    /// panics, or has before: the group stops with it.
    pub fn tend<R>(&self, change: impl FnOnce(&mut M) -> R) -> Option<R> {
        self.0.machine.change(change).ok()
    }

    /// Waits until everything that was committed anywhere before the call is applied here; only
    /// on the leader.
    pub async fn barrier(&self) -> Result<(), ProposeError> {
        let linear = self.0.raft.ensure_linearizable(ReadPolicy::ReadIndex);
        match self.as_leader(linear).await.map_err(ProposeError::from)? {
            Ok(_) => self.own_applied().await,
            Err(RaftError::APIError(error)) => Err(match error {
                LinearizableReadError::ForwardToLeader(forward) => ProposeError::NotLeader {
                    leader: forward.leader_id,
                },
                _ => ProposeError::NoQuorum,
            }),
            Err(RaftError::Fatal(_)) => Err(ProposeError::Stopped),
        }
    }

    /// What comes of something that is asked of openraft as long as this node leads, else how it stands then: not
    /// all that a leader was asked is answered once it is deposed.
    pub(super) async fn as_leader<T>(&self, asked: impl Future<Output = T>) -> Result<T, Deposed> {
        let mut watch = self.watch();
        tokio::select! {
            biased;
            answer = asked => Ok(answer),
            _ = watch.until(|now| now.role != Role::Leader) => {
                let now = self.leadership();
                let leader = now.leader.filter(|leader| *leader != self.0.node);
                Err(Deposed { leader, has_stopped: now.role == Role::Stopped })
            }
        }
    }

    /// The same for whoever decides anew, on top of that state: nothing that was submitted for a term
    /// before is on its way any more, or will be.
    pub async fn begin(&self) -> Result<(), ProposeError> {
        self.barrier().await?;
        self.0.proposer.withdraw().await?;
        self.own_applied().await
    }

    /// Waits until all of this leader's log is applied here.
    async fn own_applied(&self) -> Result<(), ProposeError> {
        let last = self.0.log.shared().last();
        let mut metrics = self.0.raft.metrics();
        loop {
            {
                let now = metrics.borrow_watched();
                if now.running_state.is_err() {
                    return Err(ProposeError::Stopped);
                }
                if now.state != ServerState::Leader {
                    return Err(ProposeError::NotLeader {
                        leader: now.current_leader,
                    });
                }
                if now.last_applied >= last {
                    return Ok(());
                }
            }
            if metrics.changed().await.is_err() {
                return Err(ProposeError::Stopped);
            }
        }
    }

    /// Waits until the entry of that index is applied here; false when the group is stopped first.
    pub async fn applied(&self, index: u64) -> bool {
        let mut metrics = self.0.raft.metrics();
        loop {
            {
                let now = metrics.borrow_watched();
                if now.last_applied.is_some_and(|applied| applied.index >= index) {
                    return true;
                }
                if now.running_state.is_err() {
                    return false;
                }
            }
            if metrics.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Who leads, as far as this node knows.
    pub fn leadership(&self) -> Leadership {
        self.watch().now()
    }

    /// Whether this node leads, as far as it knows.
    pub fn is_leader(&self) -> bool {
        self.leadership().role == Role::Leader
    }

    /// Hears of changes from now on.
    pub fn watch(&self) -> LeaderWatch {
        let raft = &self.0.raft;
        LeaderWatch::new(raft.server_metrics(), raft.metrics(), self.0.has_ended.clone())
    }

    /// Whether this node leads, and a majority has answered this leader something that was sent so
    /// short a time ago that none of them votes for another yet. A leader that holds this delivers;
    /// one that does not may have it again after [`Group::regain_lease`].
    pub fn holds_lease(&self) -> bool {
        // openraft goes on saying that a group leads which has stopped.
        let has_ended = self.0.has_ended.load(Ordering::Acquire) || self.0.log.shared().has_failed();
        !has_ended && self.0.proposer.has_heard_majority() == Some(true)
    }

    /// Waits for the lease of a leader that lacks it.
    ///
    /// # Errors
    /// This node does not lead, or hears no majority for now.
    pub async fn regain_lease(&self) -> Result<(), ProposeError> {
        self.0.proposer.hear_majority().await
    }

    /// Makes the leader heard by all members; they hear what is committed, too.
    pub async fn heartbeat(&self) -> Result<(), GroupError> {
        let sent = self.0.raft.trigger().heartbeat().await;
        sent.map_err(|error| GroupError::Stopped(error.to_string()))
    }

    /// Bytes of bodies in the log. The owner asks for a [`Group::snapshot`] when enough of them
    /// can be given back.
    pub fn log_bytes(&self) -> u64 {
        self.0.log.shared().bytes()
    }

    /// Makes a snapshot of the machine on this node; when it is safe, the log it covers is removed.
    pub async fn snapshot(&self) -> Result<(), GroupError> {
        let asked = self.0.raft.trigger().snapshot().await;
        asked.map_err(|error| GroupError::Stopped(error.to_string()))
    }

    /// Makes a snapshot if that gives back more than it costs; to be asked now and then. It is made
    /// in the background, and only so many at a time on the node.
    pub async fn reclaim_if_worth(&self) -> Result<(), GroupError> {
        let is_worth = self.machine().worth_a_snapshot();
        if is_worth {
            self.snapshot().await?;
        }
        Ok(())
    }

    /// Figures.
    pub fn status(&self) -> GroupStatus {
        let leadership = self.leadership();
        let metrics = self.0.raft.metrics();
        let now = metrics.borrow_watched();
        let membership = now.membership_config.membership();
        let matched = now.replication.iter().flatten();
        let is_in_all = |node: &NodeId| membership.get_joint_config().iter().all(|config| config.contains(node));
        let settled = membership.voter_ids().filter(is_in_all);
        GroupStatus {
            leadership,
            last_index: now.last_log_index,
            applied: now.last_applied.map(|id| id.index),
            committed: now.local_committed.map(|id| id.index),
            snapshot: now.snapshot.map(|id| id.index),
            log_bytes: self.log_bytes(),
            voters: membership.voter_ids().collect(),
            learners: membership.learner_ids().collect(),
            settled_voters: settled.collect(),
            is_changing: membership.get_joint_config().len() > 1,
            matched: matched.map(|(node, id)| (*node, id.map(|id| id.index))).collect(),
            commit_latency: self.0.proposer.took(),
        }
    }

    /// Stops the group on this node; what waits hears [`ProposeError::Stopped`].
    pub async fn shutdown(&self) {
        self.0.proposer.stop();
        self.0.journals.close(self.0.spec);
        if let Err(error) = self.0.raft.shutdown().await {
            tracing::error!(group = %self.id(), %error, "a Raft group did not stop in order");
        }
        self.0.log.shared().close().await;
        self.0.log.shared().write_mark();
    }

    /// Stops the group on this node, and removes what the store has of it: it is deleted, or this
    /// node is no member any more. Its owners are not used again.
    pub async fn delete(&self) {
        self.shutdown().await;
        self.0.journals.forget(self.0.spec);
    }
}

impl From<ProposeError> for GroupError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { leader } => Self::NotLeader { leader },
            ProposeError::NoQuorum => Self::Timeout,
            error => Self::Stopped(error.to_string()),
        }
    }
}

impl From<RaftError<Types, ClientWriteError<Types>>> for GroupError {
    fn from(error: RaftError<Types, ClientWriteError<Types>>) -> Self {
        match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward))
            | RaftError::APIError(ClientWriteError::LogEntryDiscarded(forward)) => Self::NotLeader {
                leader: forward.leader_id,
            },
            RaftError::APIError(error) => Self::Members(error.to_string()),
            RaftError::Fatal(error) => Self::Stopped(error.to_string()),
        }
    }
}
