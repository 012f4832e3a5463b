//! What nodes ask of each other about the catalogue: to propose a command, how far it is.
//!
//! A command travels as it is written down, with [`COMMAND`] before it, the rest in JSON.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout, timeout_at};

use super::declarations::Declarations;
use super::propose::Proposed;
use crate::broker::BrokerError;
use crate::broker::delivery::leaving::PATIENCE;
use crate::broker::questions::{Answering, Answers, read, written};
use crate::metadata::CatalogueError;
use crate::types::{NodeId, Refusal, Reply, ReplyCode, Scope};

/// First byte of a command.
const COMMAND: u8 = 2;
/// How long whoever is asked may take to reach a majority.
const PROPOSE_THERE_TIMEOUT: Duration = Duration::from_secs(4);

#[derive(Serialize, Deserialize)]
enum Question {
    /// How far is the catalogue?
    Index,
    /// Say when the node has applied the catalogue's entry of this index.
    Reached(u64),
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Applied(u64),
    NotLeader,
    /// The other side lost the race for a name.
    Raced(String),
    Refused {
        code: u16,
        is_connection: bool,
        text: String,
    },
    NoMajority,
}

impl Answers for Declarations {
    fn answer(self: Arc<Self>, _from: NodeId, question: &Bytes) -> Option<Answering> {
        if let Some((&COMMAND, command)) = question.split_first() {
            // The log keeps it for long, and would keep the whole buffer of the link with it.
            let record = Bytes::copy_from_slice(command);
            return Some(Box::pin(
                async move { written(&self.propose_for_another(record).await) },
            ));
        }
        let question = read(question)?;
        Some(Box::pin(async move {
            written(&match question {
                Question::Index => self.index().await,
                Question::Reached(index) => match timeout(PATIENCE, self.group().applied(index)).await {
                    Ok(true) => Answer::Applied(index),
                    _ => Answer::NotLeader,
                },
            })
        }))
    }
}

impl Declarations {
    async fn index(&self) -> Answer {
        let group = self.group();
        if !group.is_leader() {
            return Answer::NotLeader;
        }
        match timeout(PROPOSE_THERE_TIMEOUT, group.barrier()).await {
            Ok(Ok(())) => Answer::Applied(group.status().applied.unwrap_or(0)),
            _ => Answer::NoMajority,
        }
    }

    /// Proposes a command that another node has decided.
    async fn propose_for_another(&self, record: Bytes) -> Answer {
        if !self.group().is_leader() {
            return Answer::NotLeader;
        }
        match self.propose_here(record, Instant::now() + PROPOSE_THERE_TIMEOUT).await {
            Proposed::Applied(index) => Answer::Applied(index),
            Proposed::NotLeader => Answer::NotLeader,
            Proposed::Refused(BrokerError::Catalogue(CatalogueError::Raced(name))) => Answer::Raced(name),
            Proposed::Refused(BrokerError::NoMajority) => Answer::NoMajority,
            Proposed::Refused(error) => {
                let reply = error.reply();
                Answer::Refused {
                    code: reply.code.code(),
                    is_connection: reply.scope == Scope::Connection,
                    text: reply.text.clone(),
                }
            }
        }
    }

    /// Sends a command to the node that leads the catalogue's group.
    pub(super) async fn propose_there(&self, leader: NodeId, record: &[u8], deadline: Instant) -> Proposed {
        let question = [&[COMMAND], record].concat();
        match self.nodes.ask_written(leader, question.into(), deadline).await {
            Some(Answer::Applied(index)) => Proposed::Applied(index),
            Some(Answer::Raced(name)) => Proposed::Refused(CatalogueError::Raced(name).into()),
            Some(Answer::NoMajority) => Proposed::Refused(BrokerError::NoMajority),
            Some(Answer::Refused {
                code,
                is_connection,
                text,
            }) => {
                let code = ReplyCode::from_wire(code).unwrap_or(ReplyCode::InternalError);
                Proposed::Refused(BrokerError::Reply(match is_connection {
                    true => Reply::connection(code, text),
                    false => Reply::channel(code, text),
                }))
            }
            Some(Answer::NotLeader) | None => Proposed::NotLeader,
        }
    }

    /// Waits until a node has applied the catalogue's entry of that index, half a second at most.
    pub(super) async fn applied_there(&self, node: NodeId, index: u64, patience: Duration) {
        let question = Question::Reached(index);
        let deadline = Instant::now() + patience;
        // Whatever it says: nothing more is waited for.
        self.nodes.ask::<Answer>(node, &question, deadline).await;
    }

    /// Whether this node has applied all that was declared before the call.
    pub(in crate::broker) async fn is_caught_up(&self, deadline: Instant) -> bool {
        let group = self.group();
        let index = match group.leadership().leader {
            Some(leader) if leader == self.nodes.us() => {
                return matches!(timeout_at(deadline, group.barrier()).await, Ok(Ok(())));
            }
            Some(leader) => self.nodes.ask(leader, &Question::Index, deadline).await,
            None => None,
        };
        let Some(Answer::Applied(index)) = index else {
            return false;
        };
        matches!(timeout_at(deadline, group.applied(index)).await, Ok(true))
    }
}
