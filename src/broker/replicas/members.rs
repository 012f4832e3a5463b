//! Who is in the groups of replicated queues: changed as operators wish, kept as the catalogue says.
//!
//! ```text
//! add:    catalogue → the node opens its member → learner → has the log → voter → the answer
//! remove: (hand over) → no voter → no member → catalogue → the node closes its member
//! renew:  no voter → no member → catalogue, as another member → the node forgets the old one → learner …
//! ```
//! Only the queue's leader changes the group, one change at a time; whoever is asked asks it. A node
//! that is to leave keeps its member until the group does without it, so a vote is never lost that
//! still counts. Where group and catalogue differ, because a node was forgotten or a leader ended
//! between two steps, the leader brings the group to what the catalogue says, and tries until it is
//! done.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::Replicas;
use crate::broker::BrokerError;
use crate::broker::queue::contents::Contents;
use crate::broker::queue::handle::QueueHandle;
use crate::journal::raft::{Group, GroupError, GroupStatus, Role};
use crate::machine::Machine;
use crate::metadata::Command;
use crate::spec::Member;
use crate::tasks;
use crate::types::{NodeId, QueueId};

/// How long a change may take, whoever leads meanwhile.
pub const CHANGE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a new member may take until its vote counts: it has to get the log first.
const COPY_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a leader may take for its part before it is asked again, and how long it may take where
/// too few live to agree.
pub const STEP_HERE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two attempts to find the leader.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Between two looks at whether it is done.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How long the group may take for one step.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// The first and the longest rest of a leader that could not do the next step.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// The longest rest while a member gets the log.
const LONGEST_COPY_PAUSE: Duration = Duration::from_millis(250);
/// Entries that a learner may lack to become a voter: what comes while it is asked.
const LAG: u64 = 64;

/// What is wanted of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum MemberChange {
    /// The node is to be a member; no change if it is one.
    Add(NodeId),
    /// The node is to be none; no change if it is none.
    Remove(NodeId),
    /// The node's member of that generation has lost its data, and another is to take its place; no
    /// change if that one is none any more.
    Renew(NodeId, u32),
    /// The node is to lead.
    LeadOn(NodeId),
}

/// Why a group is not changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum MemberError {
    #[error("the queue is not there")]
    NotFound,
    #[error("the last member cannot be removed")]
    LastMember,
    #[error("the node does not run")]
    NotRunning,
    #[error("the node is no member")]
    NotAMember,
    /// It may have been done, or be done yet.
    #[error("the operation timed out and may not have been completed")]
    Timeout,
}

/// What a leader is to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    /// These members without a vote are not wanted.
    Drop(BTreeSet<NodeId>),
    /// These are to be the voters.
    Voters(BTreeSet<NodeId>),
    /// This one is missing.
    Learn(NodeId),
    /// Members that have yet to get the log.
    Wait,
}

/// What leads from the group as it is to the one that is wanted. Nodes that are not wanted go
/// first: their data is gone, and with it what their votes were worth.
fn next_step(now: &GroupStatus, wanted: &BTreeSet<NodeId>) -> Option<Step> {
    let unwanted: BTreeSet<_> = now.learners.difference(wanted).copied().collect();
    let staying: BTreeSet<_> = now.voters.intersection(wanted).copied().collect();
    if staying.is_empty() {
        // Nobody who is wanted has the queue: whoever leads it keeps it until one has.
        return missing(now, wanted).map(Step::Learn);
    }
    if now.is_changing || staying.len() < now.voters.len() {
        return Some(Step::Voters(staying));
    }
    if !unwanted.is_empty() {
        return Some(Step::Drop(unwanted));
    }
    if let Some(node) = missing(now, wanted) {
        return Some(Step::Learn(node));
    }
    let mut learning = now.learners.iter().copied();
    let ready = now.learners.iter().copied().find(|node| has_log(now, *node));
    match ready {
        Some(node) => Some(Step::Voters(staying.into_iter().chain([node]).collect())),
        None => learning.next().map(|_| Step::Wait),
    }
}

fn missing(now: &GroupStatus, wanted: &BTreeSet<NodeId>) -> Option<NodeId> {
    let mut missing = wanted.iter().copied();
    missing.find(|node| !now.voters.contains(node) && !now.learners.contains(node))
}

fn has_log(now: &GroupStatus, node: NodeId) -> bool {
    let matched = now.matched.get(&node).copied().flatten();
    matched.is_some_and(|matched| matched + LAG >= now.last_index.unwrap_or(0))
}

impl Replicas {
    /// Changes the group of a replicated queue, by the hand of its leader.
    ///
    /// # Errors
    /// Why it is not done; nothing waits for ever for a leader or a majority.
    pub async fn change_member(self: &Arc<Self>, queue: QueueId, change: MemberChange) -> Result<(), MemberError> {
        let begun = Instant::now();
        loop {
            let handle = self.queues.by_id(queue).ok_or(MemberError::NotFound)?;
            let patience = match change {
                _ if !self.has_majority(&handle) => STEP_HERE_TIMEOUT,
                MemberChange::Add(_) => COPY_TIMEOUT,
                MemberChange::Remove(_) | MemberChange::Renew(..) | MemberChange::LeadOn(_) => CHANGE_TIMEOUT,
            };
            let deadline = (begun + patience).min(Instant::now() + STEP_HERE_TIMEOUT);
            if Instant::now() >= deadline {
                return Err(MemberError::Timeout);
            }
            let leader = handle.leader();
            let changed = match leader == self.us() {
                true => self.change_member_here(queue, change, deadline).await,
                false => self.ask_for_change(leader, queue, change, deadline).await,
            };
            if let Some(changed) = changed {
                if let (Ok(()), MemberChange::LeadOn(node)) = (&changed, change) {
                    self.sees_leader(&handle, node, begun + patience).await;
                }
                return changed;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Waits until this node knows that the queue's leader is there, for it was asked and is asked next.
    async fn sees_leader(&self, queue: &QueueHandle, node: NodeId, deadline: Instant) {
        while queue.leader() != node && Instant::now() < deadline {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Whether so many live as have to agree to a change, of the queue's members and in the catalogue's
    /// group.
    fn has_majority(&self, queue: &QueueHandle) -> bool {
        let is_alive = |node: &NodeId| *node == self.us() || self.nodes.is_alive(*node);
        let members = queue.member_nodes();
        let voters = self.declarations.group().status().voters;
        2 * members.iter().filter(|node| is_alive(node)).count() > members.len()
            && 2 * voters.iter().filter(|node| is_alive(node)).count() > voters.len()
    }

    /// The same on the leader; `None` when this node is not, or not any more, or could not reach a
    /// majority in time.
    pub(in crate::broker) async fn change_member_here(
        self: &Arc<Self>,
        queue: QueueId,
        change: MemberChange,
        deadline: Instant,
    ) -> Option<Result<(), MemberError>> {
        let group = self.members.group(queue)?;
        let queue = self.queues.by_id(queue)?;
        if !group.is_leader() {
            if let MemberChange::Renew(node, _) = change {
                // It may have led, and cannot say itself that it does not any more.
                self.elections.has_no_leader(queue.spec.id, node);
            }
            return None;
        }
        let changed = timeout_at(deadline, async {
            let _turn = queue.changing.turn.lock().await;
            match change {
                MemberChange::Add(node) => self.add_member(&queue, &group, node).await,
                MemberChange::Remove(node) => self.remove_member(&queue, &group, node).await,
                MemberChange::Renew(node, generation) => self.renew(&queue, &group, node, generation).await,
                MemberChange::LeadOn(node) => self.lead_on(&queue, &group, node).await,
            }
        });
        let changed = changed.await.ok()?;
        if changed.is_some() {
            self.reconcile(&queue, &group);
        }
        match (&changed, change) {
            (Some(Ok(())), MemberChange::Add(node)) => match self.votes(&queue, &group, node, deadline).await {
                true => changed,
                // If it is a voter by then is seen when it is asked for again.
                false => None,
            },
            _ => changed,
        }
    }

    /// Waits until a new member's vote counts; false when it does not in time, or when this node does not
    /// lead any more.
    async fn votes(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        group: &Group<Contents>,
        node: NodeId,
        deadline: Instant,
    ) -> bool {
        while !group.settled_voters().contains(&node) {
            let is_wished = queue.member_nodes().contains(&node);
            if Instant::now() >= deadline || !group.is_leader() || !is_wished {
                return false;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        true
    }

    async fn add_member(
        self: &Arc<Self>,
        queue: &QueueHandle,
        group: &Group<Contents>,
        node: NodeId,
    ) -> Option<Result<(), MemberError>> {
        if !self.declarations.catalogue().nodes().contains_key(&node) || !self.nodes.is_alive(node) {
            return Some(Err(MemberError::NotRunning));
        }
        if queue.member_nodes().contains(&node) {
            return Some(Ok(()));
        }
        // One that has just ended is not suspected yet.
        if node != self.us() && self.ask_for_replica(node, queue.spec.id).await.is_none() {
            return Some(Err(MemberError::NotRunning));
        }
        // What it voted for when it was a member before, it does not know any more.
        leave_group(group, node).await.ok()?;
        let spec = &queue.spec;
        let command = Command::AddQueueMember {
            vhost: spec.vhost.clone(),
            name: spec.name.clone(),
            node,
        };
        self.declare(queue, command).await
    }

    async fn remove_member(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        group: &Group<Contents>,
        node: NodeId,
    ) -> Option<Result<(), MemberError>> {
        let members = queue.member_nodes();
        let voters = group.status().voters;
        if !members.contains(&node) && !voters.contains(&node) {
            return Some(Ok(()));
        }
        if voters.iter().all(|voter| *voter == node) {
            return Some(Err(MemberError::LastMember));
        }
        if node == self.us() {
            let next_leader = self.next_leader_of(group)?;
            self.hand_queue_over(queue, group, next_leader).await?;
            // The new leader is to be asked.
            return None;
        }
        leave_group(group, node).await.ok()?;
        let spec = &queue.spec;
        let command = Command::RemoveQueueMember {
            vhost: spec.vhost.clone(),
            name: spec.name.clone(),
            node,
        };
        self.declare(queue, command).await
    }

    /// The group first does without the member: what it has voted for and said that it has, it does
    /// not know any more. Only when a majority of the others has agreed to that is it another one.
    async fn renew(
        self: &Arc<Self>,
        queue: &QueueHandle,
        group: &Group<Contents>,
        node: NodeId,
        generation: u32,
    ) -> Option<Result<(), MemberError>> {
        let is_there = queue.members.read().contains(&Member { node, generation });
        if !is_there {
            return Some(Ok(()));
        }
        if group.status().voters.iter().all(|voter| *voter == node) {
            return Some(Err(MemberError::LastMember));
        }
        leave_group(group, node).await.ok()?;
        let spec = &queue.spec;
        let command = Command::RenewQueueMember {
            vhost: spec.vhost.clone(),
            name: spec.name.clone(),
            node,
            generation,
        };
        self.declare(queue, command).await
    }

    async fn lead_on(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        group: &Group<Contents>,
        node: NodeId,
    ) -> Option<Result<(), MemberError>> {
        if node == self.us() {
            return Some(Ok(()));
        }
        if !group.status().voters.contains(&node) {
            return Some(Err(MemberError::NotAMember));
        }
        if !self.nodes.is_alive(node) {
            return Some(Err(MemberError::NotRunning));
        }
        self.hand_queue_over(queue, group, node).await.map(Ok)
    }

    async fn declare(self: &Arc<Self>, queue: &QueueHandle, command: Command) -> Option<Result<(), MemberError>> {
        match self
            .declarations
            .propose(&command, Instant::now() + STEP_HERE_TIMEOUT)
            .await
        {
            Ok(()) => Some(Ok(())),
            Err(BrokerError::Catalogue(_)) => Some(Err(MemberError::NotFound)),
            Err(error) => {
                tracing::warn!(queue = %queue.spec.name, vhost = %queue.spec.vhost, %error, "the members of the queue are not written down");
                None
            }
        }
    }

    pub(super) async fn hand_queue_over(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        group: &Group<Contents>,
        next_leader: NodeId,
    ) -> Option<()> {
        queue.prepare_transfer(&self.queues);
        match group.transfer_leader(next_leader).await {
            Ok(()) => Some(()),
            Err(error) => {
                tracing::debug!(queue = %queue.spec.name, vhost = %queue.spec.vhost, %error, "leadership was not handed over");
                queue.cancel_transfer(&self.queues);
                None
            }
        }
    }

    /// The voter that could best lead in this node's place: one that is in service, if there is any, and of
    /// these the one that has most of the log.
    pub(in crate::broker) fn next_leader_of<M: Machine>(&self, group: &Group<M>) -> Option<NodeId> {
        let (status, drained) = (group.status(), self.drained());
        let others = status.voters.iter().copied().filter(|node| *node != self.us());
        let alive = others.filter(|node| self.nodes.is_alive(*node));
        alive.max_by_key(|node| (!drained.contains(node), status.matched.get(node).copied().flatten()))
    }

    /// Brings the group to what the catalogue says, if this node leads it and it is otherwise.
    pub(super) fn reconcile(self: &Arc<Self>, queue: &Arc<QueueHandle>, group: &Group<Contents>) {
        if self.step_of(queue, group).is_none() || queue.changing.is_reconciling.swap(true, Ordering::AcqRel) {
            return;
        }
        let (replicas, queue, group) = (Arc::downgrade(self), Arc::downgrade(queue), group.clone());
        tasks::spawn("queue members", async move { run(replicas, queue, group).await });
    }

    fn step_of(&self, queue: &QueueHandle, group: &Group<Contents>) -> Option<Step> {
        let status = group.status();
        if status.leadership.role != Role::Leader || queue.is_deleted() {
            return None;
        }
        next_step(&status, &queue.member_nodes().into_iter().collect())
    }

    async fn take_step(&self, queue: &QueueHandle, group: &Group<Contents>) -> Result<(), GroupError> {
        let _turn = queue.changing.turn.lock().await;
        // Others may have changed it while this one waited.
        match self.step_of(queue, group) {
            None => Ok(()),
            Some(Step::Learn(node)) => group.add_learner(node).await,
            Some(Step::Voters(voters)) => group.change_voters(voters).await,
            Some(Step::Drop(learners)) => group.remove_learners(learners).await,
            Some(Step::Wait) => Err(GroupError::Timeout),
        }
    }
}

/// Works on a group until it is as the catalogue says or this node does not lead it.
async fn run(replicas: Weak<Replicas>, queue: Weak<QueueHandle>, group: Group<Contents>) {
    let (mut rest, longest) = RETRY_PAUSES;
    while let (Some(replicas), Some(queue)) = (replicas.upgrade(), queue.upgrade()) {
        if replicas.step_of(&queue, &group).is_none() {
            queue.changing.is_reconciling.store(false, Ordering::Release);
            // Whoever saw the work going on has left it to this task.
            let is_more = replicas.step_of(&queue, &group).is_some();
            if !is_more || queue.changing.is_reconciling.swap(true, Ordering::AcqRel) {
                return;
            }
        }
        if replicas.step_of(&queue, &group) == Some(Step::Wait) {
            // Somebody waits for its vote, and while much is published it has all of the log now and then only.
            drop((replicas, queue));
            tokio::time::sleep(rest).await;
            rest = (2 * rest).min(LONGEST_COPY_PAUSE);
            continue;
        }
        match timeout_at(Instant::now() + STEP_TIMEOUT, replicas.take_step(&queue, &group)).await {
            Ok(Ok(())) => rest = RETRY_PAUSES.0,
            taken => {
                if let Ok(Err(error)) = taken
                    && error != GroupError::Timeout
                {
                    tracing::debug!(queue = %queue.spec.name, vhost = %queue.spec.vhost, %error, "the group of the queue is not changed yet");
                }
                drop((replicas, queue));
                tokio::time::sleep(rest).await;
                rest = (2 * rest).min(longest);
            }
        }
    }
}

/// Makes a node no member of a group.
async fn leave_group(group: &Group<Contents>, node: NodeId) -> Result<(), GroupError> {
    let mut voters = group.status().voters;
    if voters.remove(&node) {
        group.change_voters(voters).await?;
    }
    match group.status().learners.contains(&node) {
        true => group.remove_learners(BTreeSet::from([node])).await,
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::raft::Leadership;

    fn set(nodes: &[u64]) -> BTreeSet<NodeId> {
        nodes.iter().copied().map(NodeId).collect()
    }

    fn group(voters: &[u64], learners: &[u64], matched: &[(u64, u64)]) -> GroupStatus {
        let matched = matched.iter().map(|(node, index)| (NodeId(*node), Some(*index)));
        GroupStatus {
            commit_latency: Duration::ZERO,
            leadership: Leadership {
                term: 1,
                leader: Some(NodeId(1)),
                role: Role::Leader,
            },
            last_index: Some(1000),
            applied: Some(1000),
            committed: Some(1000),
            snapshot: None,
            log_bytes: 0,
            voters: set(voters),
            learners: set(learners),
            settled_voters: set(voters),
            is_changing: false,
            matched: matched.collect(),
        }
    }

    #[test]
    fn a_new_member_learns_before_it_votes() {
        let wanted = set(&[1, 2, 3]);
        assert_eq!(
            next_step(&group(&[1, 2], &[], &[]), &wanted),
            Some(Step::Learn(NodeId(3)))
        );
        let behind = group(&[1, 2], &[3], &[(3, 10)]);
        assert_eq!(next_step(&behind, &wanted), Some(Step::Wait));
        let ready = group(&[1, 2], &[3], &[(3, 990)]);
        assert_eq!(next_step(&ready, &wanted), Some(Step::Voters(set(&[1, 2, 3]))));
        assert_eq!(next_step(&group(&[1, 2, 3], &[], &[]), &wanted), None);
    }

    #[test]
    fn whoever_is_not_wished_goes_first() {
        let wanted = set(&[1, 2, 4]);
        let now = group(&[1, 2, 3], &[], &[]);
        assert_eq!(next_step(&now, &wanted), Some(Step::Voters(set(&[1, 2]))));
        let now = group(&[1, 2], &[3], &[]);
        assert_eq!(next_step(&now, &wanted), Some(Step::Drop(set(&[3]))));
    }

    #[test]
    fn one_that_does_not_learn_keeps_nobody_from_learning() {
        let now = group(&[1], &[2, 3], &[(3, 1000)]);
        assert_eq!(next_step(&now, &set(&[1, 2, 3])), Some(Step::Voters(set(&[1, 3]))));
        assert_eq!(
            next_step(&group(&[1], &[2], &[]), &set(&[1, 2, 3])),
            Some(Step::Learn(NodeId(3)))
        );
    }

    #[test]
    fn a_change_that_was_left_in_the_middle_is_ended() {
        let now = GroupStatus {
            is_changing: true,
            ..group(&[1, 2, 3], &[], &[])
        };
        assert_eq!(next_step(&now, &set(&[1, 2, 3])), Some(Step::Voters(set(&[1, 2, 3]))));
    }
}
