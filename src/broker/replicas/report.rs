//! How the members of a group are, as each of them says.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::Replicas;
use crate::broker::queue::handle::QueueHandle;
use crate::journal::raft::{GroupStatus, Role};
use crate::types::{NodeId, QueueId};

/// What the member that leads says it is.
const LEADER: &str = "leader";

/// A node's member of the group of a queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReplicaReport {
    /// `leader`, `follower` and so on.
    pub role: String,
    /// The nodes that have a vote and keep it, as this member knows.
    pub(in crate::broker) voters: BTreeSet<NodeId>,
    pub last_index: u64,
    pub applied: u64,
    pub committed: u64,
    /// `None` before the first snapshot.
    pub snapshot: Option<u64>,
    pub term: u64,
}

impl ReplicaReport {
    pub(in crate::broker) fn leads(&self) -> bool {
        self.role == LEADER
    }
}

/// What is known of one member of a group.
#[derive(Clone, Debug)]
pub enum ReplicaState {
    Known {
        report: ReplicaReport,
        /// Its vote counts, as the leader knows where there is one.
        is_voter: bool,
    },
    /// The node answers and has no member of it, or not yet.
    Missing,
    /// The node does not answer.
    Unreachable,
}

impl Replicas {
    /// The members of a queue's group as each of them says.
    pub async fn replicas_of(&self, queue: &QueueHandle) -> Vec<(NodeId, ReplicaState)> {
        let id = queue.spec.id;
        let answers = queue.member_nodes().into_iter().map(async |node| {
            let known = match node == self.us() {
                true => Some(self.report_of(id)),
                false if !self.nodes.is_alive(node) => None,
                false => self.ask_for_replica(node, id).await,
            };
            (node, known)
        });
        let answers = join_all(answers).await;
        // One that catches up reads in its log of votes that are no more.
        let reports = answers.iter().filter_map(|(_, known)| known.as_ref()?.as_ref());
        let leaders = reports.filter(|report| report.role == LEADER);
        let leader_says = leaders
            .max_by_key(|report| report.term)
            .map(|report| report.voters.clone());
        let states = answers.into_iter().map(|(node, known)| {
            let state = match known {
                Some(Some(report)) => {
                    let voters = leader_says.as_ref().unwrap_or(&report.voters);
                    let is_voter = voters.contains(&node);
                    ReplicaState::Known { report, is_voter }
                }
                Some(None) => ReplicaState::Missing,
                None => ReplicaState::Unreachable,
            };
            (node, state)
        });
        states.collect()
    }

    /// This node's member of a queue's group.
    pub(in crate::broker) fn report_of(&self, queue: QueueId) -> Option<ReplicaReport> {
        let group = self.members.group(queue)?;
        Some(replica_report(&group.status(), group.settled_voters()))
    }

    /// This node's member of the group that has what is declared.
    pub(in crate::broker) fn catalogue_report(&self) -> ReplicaReport {
        let group = self.declarations.group();
        replica_report(&group.status(), group.settled_voters())
    }
}

fn replica_report(status: &GroupStatus, voters: BTreeSet<NodeId>) -> ReplicaReport {
    let role = match status.leadership.role {
        Role::Leader => LEADER,
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Learner => "follower",
        Role::Stopped => "noproc",
    };
    ReplicaReport {
        role: role.to_owned(),
        voters,
        last_index: status.last_index.unwrap_or(0),
        applied: status.applied.unwrap_or(0),
        committed: status.committed.unwrap_or(0),
        snapshot: status.snapshot,
        term: status.leadership.term,
    }
}
