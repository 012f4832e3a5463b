//! What nodes ask of each other about the cluster, its nodes and their clients.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Membership;
use super::mending::Catalogued;
use super::sessions::{SessionAnswer, SessionWord};
use crate::auth::attempts::Counts;
use crate::broker::alarms::Notice;
use crate::broker::delivery::connections::ClientCounts;
use crate::broker::delivery::leaving::PATIENCE;
use crate::broker::questions::{Answering, Answers, read, written};
use crate::types::{ConnectionId, NodeId, ReplyCode, UserName, VhostName};

/// How long it takes at most to make a node a member, or none.
pub const ADMISSION: Duration = Duration::from_secs(15);
/// For answers that somebody waits for and that need nobody else.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
enum Question {
    /// The node wants to be a member. Whoever does not lead the catalogue's group asks its leader.
    Join {
        node: NodeId,
        name: String,
        address: String,
        /// Who it is without this, where it gives that up.
        was: Option<NodeId>,
    },
    /// A node is to be a member no more: it leaves itself, or it is gone.
    Forget(NodeId),
    /// The catalogue's group is to be with or without the node, which stays a member of the cluster.
    Catalogued(Catalogued),
    /// May the node begin a cluster?
    Promise,
    /// Close these connections of the node's clients, for that reason.
    Close(Vec<ConnectionId>, String),
    /// What the node that asks is short of.
    Note(Notice),
    /// What is the node short of?
    Shortage,
    /// How many clients the node has of a user and in a vhost.
    Clients(UserName, VhostName),
    /// Where do clients of the stream protocol find the node, with or without TLS?
    StreamAddress(bool),
    /// How often did somebody try to log in at the node?
    Attempts,
    /// Count that from nothing again.
    ResetAttempts,
    /// Of browsers that are signed in.
    Session(SessionWord),
}

#[derive(Serialize, Deserialize)]
enum Answer {
    NotLeader,
    NoMajority,
    Refused {
        code: u16,
        is_connection: bool,
        text: String,
    },
    /// The cluster that the node is a member of now.
    Joined(u64),
    /// It is one already, as who it was.
    AlreadyMember,
    Promised(bool),
    Forgotten,
    Catalogued,
    /// As it was asked to.
    Done,
    Shortage(Notice),
    Clients(ClientCounts),
    /// None where it does not listen for them.
    StreamAddress(Option<(String, u16)>),
    /// By protocol.
    Attempts(Vec<(String, Counts)>),
    Session(SessionAnswer),
}

/// What became of the request to join.
pub enum Joining {
    Joined(u64),
    AlreadyMember,
    Refused(String),
    /// The node does not lead, or does not answer.
    Elsewhere,
}

impl Answers for Membership {
    fn answer(self: Arc<Self>, from: NodeId, question: &Bytes) -> Option<Answering> {
        let question = read(question)?;
        Some(Box::pin(async move { written(&self.answer_to(from, question).await) }))
    }
}

impl Membership {
    async fn answer_to(self: &Arc<Self>, from: NodeId, question: Question) -> Answer {
        match question {
            Question::Join { .. } | Question::Forget(_) | Question::Catalogued(_) => {
                return self.answer_as_leader(from, question).await;
            }
            Question::Promise => return Answer::Promised(self.promise(from)),
            Question::Close(connections, reason) => self.close_here(&connections, &reason).await,
            Question::Note(notice) => self.note(from, notice),
            Question::Shortage => return Answer::Shortage(*self.alarms.notices().borrow()),
            Question::Clients(user, vhost) => return Answer::Clients(self.connections.count(&user, &vhost)),
            Question::StreamAddress(with_tls) => return Answer::StreamAddress(self.own_stream_address(with_tls)),
            Question::Attempts => return Answer::Attempts(self.logins.attempts()),
            Question::ResetAttempts => self.logins.reset_attempts(),
            Question::Session(word) => return Answer::Session(self.hear_of_sessions(word)),
        }
        Answer::Done
    }

    /// What only the leader of the catalogue's group can do.
    async fn answer_as_leader(self: &Arc<Self>, from: NodeId, question: Question) -> Answer {
        let leadership = self.declarations.group().leadership();
        if !self.declarations.is_leader() {
            let leader = leadership.leader.filter(|leader| *leader != from);
            return match (&question, leader) {
                // The node that asks may have no link to the leader yet.
                (Question::Join { .. } | Question::Forget(_), Some(leader)) => {
                    let answer = self.nodes.ask(leader, &question, Instant::now() + ADMISSION).await;
                    answer.unwrap_or(Answer::NotLeader)
                }
                _ => Answer::NotLeader,
            };
        }
        match question {
            Question::Forget(node) => match self.forget_node(node).await {
                Ok(()) => Answer::Forgotten,
                Err(_) => Answer::NoMajority,
            },
            Question::Catalogued(change) => match self.set_catalogued(from, change).await {
                Ok(()) => Answer::Catalogued,
                Err(_) => Answer::NoMajority,
            },
            // A node without a cluster is about to begin one, or to find one.
            Question::Join {
                node,
                name,
                address,
                was,
            } if self.belongs() => match self.admit(node, &name, &address, was).await {
                Ok(Some(cluster)) => Answer::Joined(cluster.0),
                Ok(None) => Answer::AlreadyMember,
                Err(text) => Answer::Refused {
                    code: ReplyCode::PreconditionFailed.code(),
                    is_connection: false,
                    text,
                },
            },
            _ => Answer::NotLeader,
        }
    }

    async fn ask(&self, node: NodeId, question: &Question, patience: Duration) -> Option<Answer> {
        self.nodes.ask(node, question, Instant::now() + patience).await
    }

    /// Asks a node to be made a member of its cluster, unless this one is as who it `was`.
    pub(super) async fn ask_to_join(&self, node: NodeId, address: &str, was: Option<NodeId>) -> Joining {
        let question = Question::Join {
            node: self.us(),
            name: self.node.name.clone(),
            address: address.to_owned(),
            was,
        };
        match self.ask(node, &question, ADMISSION).await {
            Some(Answer::Joined(cluster)) => Joining::Joined(cluster),
            Some(Answer::AlreadyMember) => Joining::AlreadyMember,
            Some(Answer::Refused { text, .. }) => Joining::Refused(text),
            _ => Joining::Elsewhere,
        }
    }

    /// Asks a node for its promise to let this one begin a cluster.
    pub(super) async fn ask_promise(&self, node: NodeId, patience: Duration) -> bool {
        let answer = self.ask(node, &Question::Promise, patience).await;
        matches!(answer, Some(Answer::Promised(true)))
    }

    /// Asks a node to have another taken out of its cluster; whether it is.
    pub(super) async fn ask_to_forget(&self, node: NodeId, who: NodeId, patience: Duration) -> bool {
        let answer = self.ask(node, &Question::Forget(who), patience).await;
        matches!(answer, Some(Answer::Forgotten))
    }

    /// Asks a node to have the catalogue's group with or without this one; whether it is so.
    pub(super) async fn ask_for_catalogue(&self, node: NodeId, change: Catalogued) -> bool {
        let answer = self.ask(node, &Question::Catalogued(change), ADMISSION).await;
        matches!(answer, Some(Answer::Catalogued))
    }

    /// Asks another node to close connections of its clients; whether it does.
    pub(super) async fn ask_to_close(&self, node: NodeId, connections: Vec<ConnectionId>, reason: &str) -> bool {
        let question = Question::Close(connections, reason.to_owned());
        let answer = self.ask(node, &question, PATIENCE + ANSWER_TIMEOUT).await;
        matches!(answer, Some(Answer::Done))
    }

    /// Tells another node what this one is short of; whether it has heard it.
    pub(super) async fn ask_to_note(&self, node: NodeId, notice: Notice) -> bool {
        let answer = self.ask(node, &Question::Note(notice), ANSWER_TIMEOUT).await;
        matches!(answer, Some(Answer::Done))
    }

    /// Asks another node what it is short of.
    pub(super) async fn ask_for_notice(&self, node: NodeId) -> Option<Notice> {
        match self.ask(node, &Question::Shortage, ANSWER_TIMEOUT).await {
            Some(Answer::Shortage(notice)) => Some(notice),
            _ => None,
        }
    }

    /// Asks a node how many clients it has of a user and in a vhost.
    pub(super) async fn ask_for_clients(
        &self,
        node: NodeId,
        user: &UserName,
        vhost: &VhostName,
    ) -> Option<ClientCounts> {
        let question = Question::Clients(user.clone(), vhost.clone());
        match self.ask(node, &question, ANSWER_TIMEOUT).await {
            Some(Answer::Clients(counts)) => Some(counts),
            _ => None,
        }
    }

    /// Asks a node where clients of the stream protocol find it.
    pub(super) async fn ask_for_stream_address(&self, node: NodeId, with_tls: bool) -> Option<(String, u16)> {
        match self.ask(node, &Question::StreamAddress(with_tls), ANSWER_TIMEOUT).await {
            Some(Answer::StreamAddress(address)) => address,
            _ => None,
        }
    }

    /// Asks a node how often somebody tried to log in there, by protocol.
    pub(super) async fn ask_for_attempts(&self, node: NodeId) -> Option<Vec<(String, Counts)>> {
        match self.ask(node, &Question::Attempts, ANSWER_TIMEOUT).await {
            Some(Answer::Attempts(attempts)) => Some(attempts),
            _ => None,
        }
    }

    /// Asks a node to count them from nothing again; whether it does.
    pub(super) async fn ask_to_reset_attempts(&self, node: NodeId) -> bool {
        let answer = self.ask(node, &Question::ResetAttempts, ANSWER_TIMEOUT).await;
        matches!(answer, Some(Answer::Done))
    }

    /// Says something of sessions to a node.
    pub(super) async fn say_of_sessions(&self, node: NodeId, word: &SessionWord) -> Option<SessionAnswer> {
        match self.ask(node, &Question::Session(word.clone()), ANSWER_TIMEOUT).await {
            Some(Answer::Session(answer)) => Some(answer),
            _ => None,
        }
    }
}
