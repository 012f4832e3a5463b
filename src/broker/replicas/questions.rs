//! What nodes ask of each other about members of groups.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Replicas;
use super::members::{MemberChange, MemberError, STEP_HERE_TIMEOUT};
use super::report::ReplicaReport;
use crate::broker::questions::{Answering, Answers, read, written};
use crate::types::{NodeId, QueueId};

/// For answers that somebody waits for and that need nobody else.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
enum Question {
    /// A change of the group of a queue that the node leads.
    Member(QueueId, MemberChange),
    /// How the node's member of the group of a queue is.
    Replica(QueueId),
}

#[derive(Serialize, Deserialize)]
enum Answer {
    NotLeader,
    Changed(Result<(), MemberError>),
    Replica(Option<ReplicaReport>),
}

impl Answers for Replicas {
    fn answer(self: Arc<Self>, _from: NodeId, question: &Bytes) -> Option<Answering> {
        let question = read(question)?;
        Some(Box::pin(async move {
            written(&match question {
                Question::Member(queue, change) => {
                    let changed = self
                        .change_member_here(queue, change, Instant::now() + STEP_HERE_TIMEOUT)
                        .await;
                    changed.map_or(Answer::NotLeader, Answer::Changed)
                }
                Question::Replica(queue) => Answer::Replica(self.report_of(queue)),
            })
        }))
    }
}

impl Replicas {
    /// Asks the leader of a queue for a change of its group; `None` when it does not lead or does
    /// not get it done in time.
    pub(super) async fn ask_for_change(
        &self,
        leader: NodeId,
        queue: QueueId,
        change: MemberChange,
        deadline: Instant,
    ) -> Option<Result<(), MemberError>> {
        match self.nodes.ask(leader, &Question::Member(queue, change), deadline).await {
            Some(Answer::Changed(changed)) => Some(changed),
            _ => None,
        }
    }

    /// Asks a node how its member of a queue's group is; the outer `None` when it does not answer.
    pub(super) async fn ask_for_replica(&self, node: NodeId, queue: QueueId) -> Option<Option<ReplicaReport>> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        match self.nodes.ask(node, &Question::Replica(queue), deadline).await {
            Some(Answer::Replica(report)) => Some(report),
            _ => None,
        }
    }
}
