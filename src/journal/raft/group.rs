//! One Raft group on this node: propose, members, leadership.
//!
//! Whether this node leads is known to it only after the fact: [`Group::leadership`] may be old.
//! What must not be told twice (deliveries) asks [`Group::holds_lease`] as well; what must not be
//! lost (confirms) waits for [`Group::propose`], which no stale leader can answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, Fatal, InitializeError, LinearizableReadError, RaftError};
use openraft::metrics::{RaftMetrics, RaftServerMetrics};
use openraft::network::RPCOption;
use openraft::{EmptyNode, RaftNetworkV2, ReadPolicy, ServerState};
use parking_lot::RwLockReadGuard;

use super::apply::Applier;
use super::guarded::Guarded;
use super::journals::{GroupId, GroupSpec, RaftJournals};
use super::log::RaftLog;
use super::propose::{Applied, ProposeError, Proposer};
use super::snapshots::Snapshots;
use super::types::{LogId, TransferRequest, Types, Vote, VoteRequest};
use crate::machine::Machine;
use crate::types::NodeId;

type Raft<M> = openraft::Raft<Types, Applier<M>>;

/// A group; clones are the same group.
pub struct Group<M: Machine>(Arc<Shared<M>>);

struct Shared<M: Machine> {
    journals: RaftJournals,
    spec: GroupSpec,
    node: NodeId,
    raft: Raft<M>,
    log: RaftLog,
    snapshots: Arc<Snapshots>,
    machine: Arc<Guarded<M>>,
    proposer: Arc<Proposer<M>>,
    /// Whether whoever watches has seen the end of openraft's task, which tells nobody when it panics.
    has_ended: Arc<AtomicBool>,
    /// Members change one at a time.
    changing: tokio::sync::Mutex<()>,
}

/// What a group has in the store.
pub struct Kept {
    pub log: RaftLog,
    pub snapshots: Arc<Snapshots>,
}

/// Who leads, as far as this node knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leadership {
    pub term: u64,
    pub leader: Option<NodeId>,
    /// What this node is.
    pub role: Role,
}

/// What a member is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Leader,
    Follower,
    Candidate,
    /// No voter, or no longer a member.
    Learner,
    Stopped,
}

/// Hears of changes of leadership.
pub struct LeaderWatch {
    server: WatchReceiverOf<Types, RaftServerMetrics<Types>>,
    /// Changes with every entry, and is the only one that tells of the end.
    all: WatchReceiverOf<Types, RaftMetrics<Types>>,
    has_ended: Arc<AtomicBool>,
}

/// Why a node should ask for votes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Election {
    /// The leader is silent: the others are asked whether they think so too, and refuse while
    /// they have heard it within the election timeout.
    LeaderSilent,
    /// The leader is known to be gone, or another one is wanted at once: the others vote even if
    /// they have just heard it. To be tried once, by one node; whoever comes after it asks as
    /// above, because each such try takes a term, and nodes that take turns at it with logs that
    /// are too old can keep the one with the newest log from ever being heard.
    LeaderGone,
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
        journals: RaftJournals,
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
    pub async fn asked_to_vote(&self, request: VoteRequest) -> super::types::VoteResponse {
        self.0.raft.vote(request).await.expect("it runs")
    }

    /// Has openraft's task panic.
    #[cfg(test)]
    pub async fn panic_inside(&self) {
        // An error is a task that has ended before.
        let _ = self.0.raft.external_request(|_| panic!("as asked")).await;
    }

    /// Begins a new group with these voters, of which this node is one and then asks the others
    /// for votes. To be called on one of them only; the others open the group and wait.
    pub async fn found(&self, voters: impl IntoIterator<Item = NodeId>) -> Result<(), GroupError> {
        let members: BTreeMap<_, _> = voters.into_iter().map(|node| (node, EmptyNode {})).collect();
        let is_alone = members.len() == 1;
        match self.0.raft.initialize(members).await {
            // It has voted for itself.
            Ok(()) if is_alone => Ok(()),
            Ok(()) => self.elect(Election::LeaderSilent).await,
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Err(GroupError::Exists),
            Err(RaftError::APIError(error)) => Err(GroupError::Members(error.to_string())),
            Err(error) => Err(GroupError::Stopped(error.to_string())),
        }
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
        let linear = self.0.raft.ensure_linearizable(ReadPolicy::ReadIndex).await;
        match linear {
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
        LeaderWatch {
            server: self.0.raft.server_metrics(),
            all: self.0.raft.metrics(),
            has_ended: self.0.has_ended.clone(),
        }
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

    /// The nodes that have a vote, also if a change of the voters that was begun does not end; none
    /// while this node does not know the last change to be committed. What a member that catches up
    /// says is as old as its log.
    pub fn settled_voters(&self) -> BTreeSet<NodeId> {
        let metrics = self.0.raft.metrics();
        let now = metrics.borrow_watched();
        let changed = now.membership_config.log_id();
        // What the group was founded with needs no commit: no other is possible.
        let is_first = changed.as_ref().is_some_and(|id| id.index() == 0);
        if !is_first && changed > &now.local_committed {
            return BTreeSet::new();
        }
        let mut configurations = now.membership_config.membership().get_joint_config().iter();
        // One that has heard of no voters yet has no configuration at all.
        let first = configurations.next().cloned().unwrap_or_default();
        configurations.fold(first, |settled, voters| &settled & voters)
    }

    /// Adds a member without a vote, or does nothing if it is one; it catches up from then on.
    pub async fn add_learner(&self, node: NodeId) -> Result<(), GroupError> {
        let _one = self.0.changing.lock().await;
        self.0.proposer.hear_majority().await?;
        let added = self.0.raft.add_learner(node, EmptyNode {}, false).await;
        added.map(|_| ()).map_err(GroupError::from)
    }

    /// Makes these the voters; learners that are not among them stay, voters that are not leave.
    /// Each must be a member. The leader should hand over before it leaves.
    pub async fn change_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), GroupError> {
        self.change(voters).await
    }

    /// Gives a member a vote. Others may be given theirs at the same time.
    pub async fn add_voter(&self, node: NodeId) -> Result<(), GroupError> {
        self.change(openraft::ChangeMembers::AddVoterIds(BTreeSet::from([node])))
            .await
    }

    /// Takes a node out of the group, or does nothing if it is not in it.
    pub async fn remove_voter(&self, node: NodeId) -> Result<(), GroupError> {
        self.change(openraft::ChangeMembers::RemoveVoters(BTreeSet::from([node])))
            .await
    }

    /// Removes members without a vote.
    pub async fn remove_learners(&self, nodes: BTreeSet<NodeId>) -> Result<(), GroupError> {
        self.change(openraft::ChangeMembers::RemoveNodes(nodes)).await
    }

    async fn change(&self, change: impl Into<openraft::ChangeMembers<NodeId, EmptyNode>>) -> Result<(), GroupError> {
        let _one = self.0.changing.lock().await;
        // As for every proposal: a group that was idle has to hear its members again first.
        self.0.proposer.hear_majority().await?;
        self.leave_first().await?;
        let changed = self.0.raft.change_membership(change, false).await;
        changed.map(|_| ()).map_err(GroupError::from)
    }

    /// A leader that is on its way out of the group, because a change did not come to its end, ends that
    /// one and no other: openraft would make the next change from there, by a leader that is in neither of
    /// its configurations any more. Whoever leads then makes it.
    async fn leave_first(&self) -> Result<(), GroupError> {
        let membership = self.0.raft.metrics().borrow_watched().membership_config.clone();
        let configurations = membership.membership().get_joint_config();
        let next = configurations.last().filter(|next| !next.contains(&self.0.node));
        let Some(next) = next else { return Ok(()) };
        if configurations.len() > 1 {
            self.0.raft.change_membership(next.clone(), false).await?;
        }
        Err(GroupError::NotLeader { leader: None })
    }

    /// Hands leadership to another voter and waits until it leads. Nothing is accepted meanwhile;
    /// if it does not lead in time, this node asks for votes again.
    pub async fn transfer_leader(&self, to: NodeId) -> Result<(), GroupError> {
        let mut watch = self.watch();
        let before = watch.now();
        if before.role != Role::Leader {
            return Err(GroupError::NotLeader { leader: before.leader });
        }
        if to == self.0.node {
            return Ok(());
        }
        self.can_take_over(to)?;
        let asked = self.0.raft.trigger().transfer_leader(to).await;
        asked.map_err(|error| GroupError::Stopped(error.to_string()))?;
        let done = watch.until(|now| now.leader == Some(to) && now.term > before.term);
        match tokio::time::timeout(TRANSFER_DEADLINE, done).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(GroupError::Stopped("while leadership was handed over".to_owned())),
            Err(_) => {
                let again = self.stand_again(to).await;
                again.map_err(|error| GroupError::Stopped(error.to_string()))?;
                Err(GroupError::Timeout)
            }
        }
    }

    /// Whether a node could lead soon: one that is far behind would only keep all others waiting.
    fn can_take_over(&self, node: NodeId) -> Result<(), GroupError> {
        let status = self.status();
        let behind = status.last_index.unwrap_or(0) - status.matched.get(&node).copied().flatten().unwrap_or(0);
        match status.voters.contains(&node) {
            false => Err(GroupError::Members(format!("node {node} is no voter"))),
            true if behind > TRANSFER_LAG => {
                Err(GroupError::Members(format!("node {node} is {behind} entries behind")))
            }
            true => Ok(()),
        }
    }

    /// A leader that has said it hands over accepts nothing any more, whatever becomes of that.
    /// It gives up its term as if the other had asked for its vote in the next one, which it may
    /// do at any time, and then asks for votes itself.
    async fn stand_again(&self, other: NodeId) -> Result<(), Fatal<Types>> {
        loop {
            let (vote, last) = self
                .0
                .raft
                .with_raft_state(|state| (*state.vote_ref(), state.log_ids.last().copied()))
                .await?;
            let still_leads = vote.committed && vote.leader_id.voted_for == self.0.node;
            if !still_leads {
                return Ok(());
            }
            let next = Vote::new(vote.leader_id.term + 1, other);
            let mut request = VoteRequest::new(next, last);
            request.leadership_transfer = true;
            match self.0.raft.vote(request).await {
                Ok(answer) if answer.vote_granted => return self.take_over().await,
                // It has written something meanwhile. To ask for votes as a leader would be wrong: it
                // would go on writing for a term that it has left.
                Ok(_) => {}
                Err(RaftError::Fatal(error)) => return Err(error),
                Err(RaftError::APIError(never)) => match never {},
            }
        }
    }

    /// Asks for votes. What comes of it shows in [`Group::watch`]; it is not tried again by itself.
    pub async fn elect(&self, why: Election) -> Result<(), GroupError> {
        let stopped = |error: Fatal<Types>| GroupError::Stopped(error.to_string());
        if self.is_behind_its_leader().await.map_err(stopped)? {
            return Ok(());
        }
        let asked = match why {
            Election::LeaderSilent => self.0.raft.trigger().elect(true).await,
            Election::LeaderGone => self.take_over().await,
        };
        asked.map_err(stopped)
    }

    /// From now on a member that was joining asks for votes by its own clock.
    pub fn takes_part(&self) {
        self.0.raft.runtime_config().elect(true);
    }

    /// Whether the log tells of a group of this node alone, and there is a leader elsewhere: it is not
    /// all here yet. Nobody else would keep this node from leading by itself.
    async fn is_behind_its_leader(&self) -> Result<bool, Fatal<Types>> {
        let vote = self.0.raft.with_raft_state(|state| *state.vote_ref()).await?;
        let is_alone = self.0.raft.voter_ids().all(|voter| voter == self.0.node);
        Ok(is_alone && vote.committed && vote.leader_id.voted_for != self.0.node)
    }

    /// Acts as if the leader had handed over: the one election that voters do not refuse for
    /// having heard it. The member with the longest log does it, for it would refuse any other, whose
    /// term had been raised for nothing.
    async fn take_over(&self) -> Result<(), Fatal<Types>> {
        let vote = self.0.raft.with_raft_state(|state| *state.vote_ref()).await?;
        if !self.0.raft.voter_ids().any(|voter| voter == self.0.node) {
            return Ok(());
        }
        if let Some(ahead) = self.member_ahead(vote).await
            && self.hand_to(ahead, vote).await
        {
            return Ok(());
        }
        let request = TransferRequest::new(vote, self.0.node, None);
        match self.0.raft.handle_transfer_leader(request).await? {
            Ok(()) => Ok(()),
            // It has written nothing since it started, and heard nobody: the ordinary way is open.
            Err(_) => self.0.raft.trigger().elect(true).await,
        }
    }

    /// The voter with the longest log of those that answer, if it is longer than the one here.
    async fn member_ahead(&self, vote: Vote) -> Option<NodeId> {
        let reach = |id: &LogId| (id.leader_id.term, id.index);
        let network = self.0.journals.network(self.0.spec);
        let last = self.0.log.shared().last();
        // It changes nothing where it is asked, granted or not.
        let request = VoteRequest::new(Vote::new(vote.leader_id.term + 1, self.0.node), last);
        let others = self.0.raft.voter_ids().filter(|voter| *voter != self.0.node);
        let answers = join_all(others.map(async |voter| {
            let mut member = network.member(voter);
            let answer = member.pre_vote(request.clone(), RPCOption::new(ASKED_FOR_LOG));
            let answer = tokio::time::timeout(ASKED_FOR_LOG, answer).await.ok()?.ok()?;
            Some((reach(&answer.last_log_id?), voter))
        }))
        .await;
        let longest = answers.into_iter().flatten().max();
        longest
            .filter(|(theirs, _)| Some(*theirs) > last.as_ref().map(reach))
            .map(|(_, voter)| voter)
    }

    /// Has a member take over from whom it voted for, if that is the vote it still has.
    async fn hand_to(&self, member: NodeId, vote: Vote) -> bool {
        let request = TransferRequest::new(vote, member, None);
        let network = self.0.journals.network(self.0.spec);
        let mut client = network.member(member);
        let answer = client.transfer_leader(request, RPCOption::new(ASKED_FOR_LOG)).await;
        matches!(answer, Ok(Ok(())))
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
        GroupStatus {
            leadership,
            last_index: now.last_log_index,
            applied: now.last_applied.map(|id| id.index),
            committed: now.local_committed.map(|id| id.index),
            snapshot: now.snapshot.map(|id| id.index),
            log_bytes: self.log_bytes(),
            voters: membership.voter_ids().collect(),
            learners: membership.learner_ids().collect(),
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

impl LeaderWatch {
    /// As of now; what is seen here is no change later.
    pub fn now(&mut self) -> Leadership {
        let has_stopped = self.all.borrow_watched().running_state.is_err() || self.has_ended.load(Ordering::Acquire);
        let now = self.server.borrow_and_update();
        Leadership {
            term: now.vote.leader_id.term,
            leader: now.current_leader,
            role: match now.state {
                _ if has_stopped => Role::Stopped,
                ServerState::Leader => Role::Leader,
                ServerState::Follower => Role::Follower,
                ServerState::Candidate => Role::Candidate,
                ServerState::Learner => Role::Learner,
                ServerState::Shutdown => Role::Stopped,
            },
        }
    }

    /// Waits for a change; `None` when the group is stopped.
    pub async fn changed(&mut self) -> Option<Leadership> {
        if self.server.changed().await.is_err() {
            self.has_ended.store(true, Ordering::Release);
            return None;
        }
        Some(self.now())
    }

    /// Waits until it is so; false when the group is stopped first.
    pub async fn until(&mut self, is_so: impl Fn(&Leadership) -> bool) -> bool {
        let mut now = Some(self.now());
        while let Some(leadership) = now {
            if is_so(&leadership) {
                return true;
            }
            now = self.changed().await;
        }
        false
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

/// How long a transfer of leadership may take.
const TRANSFER_DEADLINE: Duration = Duration::from_secs(2);
/// How long a member that takes over waits to hear how long the others' logs are.
const ASKED_FOR_LOG: Duration = Duration::from_millis(100);
/// Entries that a node may lack to be handed leadership.
const TRANSFER_LAG: u64 = 256;
