//! The members of a group: who has a vote, who comes, who goes. They change one at a time, on the leader.

use std::collections::BTreeSet;

use openraft::EmptyNode;
use openraft::async_runtime::watch::WatchReceiver;

use super::group::{Group, GroupError};
use crate::machine::Machine;
use crate::types::NodeId;

impl<M: Machine> Group<M> {
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
        self.while_leading(self.0.raft.add_learner(node, EmptyNode {}, false))
            .await
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
        self.while_leading(self.0.raft.change_membership(change, false)).await
    }

    /// What openraft makes of a change as long as this node leads. One whose leader is no member any more when
    /// another leads has no end: nobody tells that node what becomes of it.
    async fn while_leading<T, E>(&self, change: impl Future<Output = Result<T, E>>) -> Result<(), GroupError>
    where
        GroupError: From<E>,
    {
        self.as_leader(change).await?.map(|_| ()).map_err(GroupError::from)
    }

    /// A leader that is on its way out of the group, because a change did not come to its end, ends that
    /// one and no other: openraft would make the next change from there, by a leader that is in neither of
    /// its configurations any more. Whoever leads then makes it.
    async fn leave_first(&self) -> Result<(), GroupError> {
        let membership = self.0.raft.metrics().borrow_watched().membership_config.clone();
        let configurations = membership.membership().get_joint_config();
        let next = configurations.last().filter(|next| !next.contains(&self.0.node));
        let Some(next) = next else { return Ok(()) };
        // It may go on leading without a vote of its own, and no change would ever be made.
        if let ([_], Some(voter)) = (&configurations[..], next.first()) {
            self.transfer_leader(*voter).await?;
        }
        if configurations.len() > 1 {
            self.while_leading(self.0.raft.change_membership(next.clone(), false))
                .await?;
        }
        Err(GroupError::NotLeader { leader: None })
    }
}
