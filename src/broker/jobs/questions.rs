//! The jobs of all nodes: told of and stopped by any of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::Jobs;
use crate::broker::questions::{Answering, Answers, read, written};
use crate::types::NodeId;

/// For answers that somebody looks at.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
enum Question {
    /// The jobs of the node.
    Jobs,
    /// Stop a job, or forget one that has ended.
    StopJob(String),
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Jobs(Vec<Value>),
    Stopped(bool),
}

impl Answers for Jobs {
    fn answer(self: Arc<Self>, _from: NodeId, question: &Bytes) -> Option<Answering> {
        let question = read(question)?;
        Some(Box::pin(async move {
            written(&match question {
                Question::Jobs => Answer::Jobs(self.here()),
                Question::StopJob(id) => Answer::Stopped(self.stop_here(&id)),
            })
        }))
    }
}

impl Jobs {
    /// The jobs of all nodes that answer.
    pub async fn all(&self) -> Vec<Value> {
        let mut jobs = self.here();
        for answer in self.ask_others(&Question::Jobs).await {
            if let Answer::Jobs(theirs) = answer {
                jobs.extend(theirs);
            }
        }
        jobs
    }

    /// Stops a job of any node, or forgets one that has ended; whether there was one.
    pub async fn stop(&self, id: &str) -> bool {
        self.stop_here(id) || {
            let answers = self.ask_others(&Question::StopJob(id.to_owned())).await;
            answers.iter().any(|answer| matches!(answer, Answer::Stopped(true)))
        }
    }

    async fn ask_others(&self, question: &Question) -> Vec<Answer> {
        let others = self.nodes.others_alive().into_iter();
        let asked = others.map(|node| self.nodes.ask(node, question, Instant::now() + ANSWER_TIMEOUT));
        join_all(asked).await.into_iter().flatten().collect()
    }
}
