//! What nodes ask of each other for whoever looks at queues, clients and nodes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::Reports;
use super::report::{NodeReport, Subject, Wanted};
use super::streams::StreamMember;
use crate::broker::questions::{Answering, Answers, read, written};
use crate::broker::queue::stream::Tracked;
use crate::statistics::{Figures, Spreads, Window, Windows};
use crate::types::{NodeId, QueueId};

/// For answers that somebody looks at.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
enum Question {
    /// How the node is, as the HTTP API shows it, and was.
    Describe(Windows),
    /// What the node knows.
    Report(Wanted),
    /// How was it there?
    Series(Subject, Window),
    /// How long did things take there in the last so many seconds?
    Latencies(Subject, u64),
    /// The node's statistics are to begin anew.
    Reset,
    /// How is the node's member of a stream?
    StreamMember(QueueId),
    /// What is tracked in a stream, as the node knows?
    Tracked(QueueId),
    /// Keep how far a reader of a stream has come, or forget it, if the node leads it.
    KeepCursor(QueueId, String, Option<u64>),
}

#[derive(Serialize, Deserialize)]
enum Answer {
    /// None while it does not serve clients.
    Described(Option<Value>),
    Report(Box<NodeReport>),
    Series(Figures),
    Latencies(Vec<Spreads>),
    /// As it was asked to.
    Done,
    /// None where it has none.
    StreamMember(Option<StreamMember>),
    Tracked(Option<Box<Tracked>>),
    /// None where another leads.
    KeptCursor(Option<bool>),
}

impl Answers for Reports {
    fn answer(self: Arc<Self>, _from: NodeId, question: &Bytes) -> Option<Answering> {
        let question = read(question)?;
        Some(Box::pin(async move {
            written(&match question {
                Question::Describe(windows) => Answer::Described(self.own_description(windows).await),
                Question::Report(wanted) => Answer::Report(Box::new(self.report(wanted))),
                Question::Series(subject, window) => Answer::Series(self.series_here(&subject, window)),
                Question::Latencies(subject, age) => Answer::Latencies(self.latencies_here(&subject, age)),
                Question::StreamMember(queue) => Answer::StreamMember(self.stream_member_here(queue)),
                Question::Tracked(queue) => Answer::Tracked(self.tracked_here(queue).map(Box::new)),
                Question::KeepCursor(queue, name, offset) => {
                    Answer::KeptCursor(self.keep_cursor_here(queue, &name, offset).await)
                }
                Question::Reset => {
                    self.reset_here();
                    Answer::Done
                }
            })
        }))
    }
}

impl Reports {
    /// How another node is, as its HTTP API shows it: the outer `None` when it does not answer at once, the
    /// inner one when it does not serve clients.
    pub async fn description_of(&self, node: NodeId, windows: Windows) -> Option<Option<Value>> {
        match self.ask(node, &Question::Describe(windows)).await {
            Some(Answer::Described(description)) => Some(description),
            _ => None,
        }
    }

    /// Asks another node for its report.
    pub(super) async fn ask_for_report(&self, node: NodeId, wanted: Wanted, deadline: Instant) -> Option<NodeReport> {
        match self.nodes.ask(node, &Question::Report(wanted), deadline).await {
            Some(Answer::Report(report)) => Some(*report),
            _ => None,
        }
    }

    /// Asks a node for the history of a thing; `None` when it does not answer in time.
    pub(super) async fn ask_for_series(&self, node: NodeId, subject: &Subject, window: Window) -> Option<Figures> {
        match self.ask(node, &Question::Series(subject.clone(), window)).await {
            Some(Answer::Series(figures)) => Some(figures),
            _ => None,
        }
    }

    /// Asks a node how long things took there, in the order of [`Delay::ALL`]; `None` when it does not answer.
    ///
    /// [`Delay::ALL`]: crate::statistics::Delay::ALL
    pub(super) async fn ask_for_latencies(&self, node: NodeId, subject: &Subject, age: u64) -> Option<Vec<Spreads>> {
        match self.ask(node, &Question::Latencies(subject.clone(), age)).await {
            Some(Answer::Latencies(spreads)) => Some(spreads),
            _ => None,
        }
    }

    /// Asks a node to begin its statistics anew; whether it has.
    pub(super) async fn ask_to_reset(&self, node: NodeId) -> bool {
        matches!(self.ask(node, &Question::Reset).await, Some(Answer::Done))
    }

    /// How another node's member of a stream is.
    pub(super) async fn ask_for_stream_member(&self, node: NodeId, queue: QueueId) -> Option<StreamMember> {
        match self.ask(node, &Question::StreamMember(queue)).await {
            Some(Answer::StreamMember(member)) => member,
            _ => None,
        }
    }

    /// What is tracked in a stream, as another node knows.
    pub(super) async fn ask_what_is_tracked(&self, node: NodeId, queue: QueueId) -> Option<Tracked> {
        match self.ask(node, &Question::Tracked(queue)).await {
            Some(Answer::Tracked(tracked)) => tracked.map(|tracked| *tracked),
            _ => None,
        }
    }

    /// Has the node that leads a stream keep how far a reader has come; none where it does not lead.
    pub(super) async fn ask_to_keep_cursor(
        &self,
        leader: NodeId,
        queue: QueueId,
        name: &str,
        offset: Option<u64>,
        deadline: Instant,
    ) -> Option<bool> {
        let question = Question::KeepCursor(queue, name.to_owned(), offset);
        match self.nodes.ask(leader, &question, deadline).await {
            Some(Answer::KeptCursor(kept)) => kept,
            _ => None,
        }
    }

    async fn ask(&self, node: NodeId, question: &Question) -> Option<Answer> {
        self.nodes.ask(node, question, Instant::now() + ANSWER_TIMEOUT).await
    }
}
