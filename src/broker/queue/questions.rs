//! What is asked of the node that leads a queue, for operators.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::handle::QueueHandle;
use super::peeking::{Peek, Peeked};
use super::queues::Queues;
use super::vitals::QueueVitals;
use crate::broker::questions::{Answering, Answers, read, written};
use crate::types::{NodeId, QueueId};

/// How long it is looked for whoever leads the queue.
const PEEK_TIMEOUT: Duration = Duration::from_secs(4);
/// How long it rests while nobody leads.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// For answers that somebody looks at and that need nobody else.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
enum Question {
    /// How does a queue get on that the node leads?
    Vitals(QueueId),
    /// Look at messages of a queue that the node leads.
    Peek(QueueId, Peek),
}

/// None where the queue's machine is not.
#[derive(Serialize, Deserialize)]
enum Answer {
    Vitals(Option<QueueVitals>),
    Peeked(Option<Peeked>),
}

impl Answers for Queues {
    fn answer(self: Arc<Self>, _from: NodeId, question: &Bytes) -> Option<Answering> {
        let question = read(question)?;
        Some(Box::pin(async move {
            written(&match question {
                Question::Vitals(queue) => {
                    let queue = self.by_id(queue);
                    Answer::Vitals(queue.and_then(|queue| self.vitals_here(&queue)))
                }
                Question::Peek(queue, peek) => Answer::Peeked(match self.by_id(queue) {
                    Some(queue) => self.peek_here(&queue, peek).await,
                    None => None,
                }),
            })
        }))
    }
}

impl Queues {
    /// Looks at messages of a queue, wherever it is; `None` when nobody leads it who answers.
    pub async fn peek(self: &Arc<Self>, queue: &Arc<QueueHandle>, peek: &Peek) -> Option<Peeked> {
        let deadline = Instant::now() + PEEK_TIMEOUT;
        loop {
            let leader = queue.leader();
            let peeked = match leader == self.us() {
                true => self.peek_here(queue, peek.clone()).await,
                false => {
                    let question = Question::Peek(queue.spec.id, peek.clone());
                    match self.nodes.ask(leader, &question, deadline).await {
                        Some(Answer::Peeked(peeked)) => peeked,
                        _ => None,
                    }
                }
            };
            if peeked.is_some() || Instant::now() + RETRY_PAUSE >= deadline || queue.is_deleted() {
                return peeked;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// How a queue gets on, wherever it is; `None` where nobody says.
    pub async fn vitals(&self, queue: &QueueHandle) -> Option<QueueVitals> {
        let leader = queue.leader();
        if leader == self.us() {
            return self.vitals_here(queue);
        }
        let question = Question::Vitals(queue.spec.id);
        match self.nodes.ask(leader, &question, Instant::now() + ANSWER_TIMEOUT).await {
            Some(Answer::Vitals(vitals)) => vitals,
            _ => None,
        }
    }
}
