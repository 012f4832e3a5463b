//! What is asked of the node that leads a queue or has a client: to move messages, whether somebody waits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::moving::{MoveTo, Moved};
use super::reply_to::Token;
use super::vhosts::Vhosts;
use crate::broker::questions::{Answering, Answers, read, written};
use crate::broker::queue::asking::DEADLINE;
use crate::broker::queue::handle::QueueHandle;
use crate::types::{NodeId, QueueId};

/// For answers that somebody waits for and that need nobody else.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
enum Question {
    /// Move messages of a queue that the node leads.
    Move(QueueId, Vec<u64>, MoveTo),
    /// Does a client of the node wait for answers under that name of a queue?
    ReplyQueue(String),
}

#[derive(Serialize, Deserialize)]
enum Answer {
    /// None where the queue's machine is not.
    Moved(Option<Moved>),
    ReplyQueue(bool),
}

impl Answers for Vhosts {
    fn answer(self: Arc<Self>, _from: NodeId, question: &Bytes) -> Option<Answering> {
        let question = read(question)?;
        Some(Box::pin(async move {
            written(&match question {
                Question::Move(queue, positions, to) => Answer::Moved(match self.queues.by_id(queue) {
                    Some(queue) => self.move_here(&queue, positions, to).await,
                    None => None,
                }),
                Question::ReplyQueue(name) => {
                    // Only its own clients, lest two nodes ask each other.
                    let token = Token::of(name.as_bytes()).filter(|token| token.node == self.nodes.us());
                    Answer::ReplyQueue(token.is_some_and(|token| self.reply_to.is_waiting(token)))
                }
            })
        }))
    }
}

impl Vhosts {
    /// Moves messages of a queue, wherever it is, by their positions, which are in order. `None` when
    /// nobody leads it who answers: then they may have been moved or not, and those that were are not
    /// ready any more.
    pub(in crate::broker) async fn move_messages(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        positions: &[u64],
        to: &MoveTo,
    ) -> Option<Moved> {
        let leader = queue.leader();
        if leader == self.nodes.us() {
            return self.move_here(queue, positions.to_vec(), to.clone()).await;
        }
        let question = Question::Move(queue.spec.id, positions.to_vec(), to.clone());
        match self.nodes.ask(leader, &question, Instant::now() + 3 * DEADLINE).await {
            Some(Answer::Moved(moved)) => moved,
            _ => None,
        }
    }

    /// Whether somebody waits for answers under that name of a queue, on whatever node.
    pub async fn is_reply_waiting(&self, name: &str) -> bool {
        let Some(token) = Token::of(name.as_bytes()) else {
            return false;
        };
        if token.node == self.nodes.us() {
            return self.reply_to.is_waiting(token);
        }
        let question = Question::ReplyQueue(name.to_owned());
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        self.nodes.is_alive(token.node)
            && matches!(
                self.nodes.ask(token.node, &question, deadline).await,
                Some(Answer::ReplyQueue(true))
            )
    }
}
