//! Who leads a group next: votes asked for, and leadership handed over.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::errors::{Fatal, InitializeError, RaftError};
use openraft::network::RPCOption;
use openraft::{EmptyNode, RaftNetworkV2};

use super::group::{Group, GroupError};
use super::leadership::Role;
use super::types::{LogId, TransferRequest, Types, Vote, VoteRequest};
use crate::machine::Machine;
use crate::types::NodeId;

/// How long a transfer of leadership may take.
const TRANSFER_DEADLINE: Duration = Duration::from_secs(2);
/// How long a member that takes over waits to hear how long the others' logs are.
const ASKED_FOR_LOG: Duration = Duration::from_millis(100);
/// Entries that a node may lack to be handed leadership.
const TRANSFER_LAG: u64 = 256;

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

impl<M: Machine> Group<M> {
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
}
