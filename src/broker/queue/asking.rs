//! Clients that wait for what the node with the live queue says.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::clients::Consumer;
use super::handle::{Call, QueueHandle};
use super::queues::Queues;
use crate::broker::BrokerError;
use crate::handover::{Ask, CallResult};
use crate::types::{Refusal, Reply};

/// How long a client waits for another node's answer.
pub const DEADLINE: Duration = Duration::from_secs(8);
/// How often it is asked who leads while a client waits.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// How often it is asked who leads while nobody knows.
const LOOK_UP: Duration = Duration::from_millis(100);

/// What came of a question.
enum Asked {
    /// It is on its way, with this number.
    Sent(u64, oneshot::Receiver<CallResult>),
    /// There is no line to who could answer, for now.
    NoLine,
}

impl QueueHandle {
    /// Asks the node that has the live queue. `None` when that is here by now: to be asked directly.
    ///
    /// # Errors
    /// What the other node said, or that it does not answer.
    pub(in crate::broker) async fn ask(
        self: &Arc<Self>,
        queues: &Arc<Queues>,
        ask: Ask,
    ) -> Result<Option<CallResult>, Reply> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (call, mut answer) = match self.begin(queues, ask) {
                None => return Ok(None),
                Some(Asked::Sent(call, answer)) => (call, answer),
                // A node that has just come may not have its line yet.
                Some(Asked::NoLine) if !self.is_replicated() && !queues.nodes.is_alive(self.spec.home) => {
                    return Err(self.is_away());
                }
                Some(Asked::NoLine) => {
                    if self.is_replicated() {
                        self.look_for_leader(queues);
                    }
                    let soon = (Instant::now() + ASK_AGAIN).min(deadline);
                    if tokio::time::timeout_at(soon, changed).await.is_err() && Instant::now() >= deadline {
                        return Err(self.is_away());
                    }
                    continue;
                }
            };
            match tokio::time::timeout_at(deadline, &mut answer).await {
                Ok(Ok(answer)) => return self.heard(answer).map(Some),
                // The link broke, or another node leads.
                Ok(Err(_)) if self.is_replicated() => {}
                Ok(Err(_)) => return Err(self.is_away()),
                Err(_) => {
                    self.state.lock().machine.forget_call(call);
                    // It may have come in this moment, with a message that is this client's by now.
                    return match answer.try_recv() {
                        Ok(answer) => self.heard(answer).map(Some),
                        Err(_) => Err(self.is_away()),
                    };
                }
            }
        }
    }

    /// `None` when there is nobody to ask: the live queue is here, or there is none any more.
    fn begin(self: &Arc<Self>, queues: &Arc<Queues>, ask: Ask) -> Option<Asked> {
        let (call, answer) = Call::new(None);
        self.input(queues, |machine, _, sink| {
            if machine.is_here() || self.is_deleted() {
                return None;
            }
            Some(match machine.ask(ask, call, sink) {
                Some(call) => Asked::Sent(call, answer),
                None => Asked::NoLine,
            })
        })
    }

    /// Asks the node where the queue lives whether it takes a consumer.
    ///
    /// # Errors
    /// What it said, or that it is away.
    pub(super) async fn ask_to_consume(
        self: &Arc<Self>,
        queues: &Arc<Queues>,
        consumer: &Arc<Consumer>,
        wants_answer: bool,
    ) -> Result<(), Reply> {
        let (call, answer) = Call::new(wants_answer.then(|| consumer.clone()));
        let is_asked = self.input(queues, |machine, _, sink| machine.ask_to_consume(consumer, call, sink));
        if !is_asked {
            return Err(self.is_away());
        }
        let refused = match tokio::time::timeout(DEADLINE, answer).await {
            Ok(Ok(answer)) => match self.heard(answer) {
                Ok(_) => return Ok(()),
                Err(refused) => refused,
            },
            _ => self.is_away(),
        };
        // Nobody is told that the consumer has ended.
        self.input(queues, |machine, now, sink| {
            machine.cancel(now, consumer.key, || Call::new(None).0, sink)
        });
        Err(refused)
    }

    fn heard(&self, answer: CallResult) -> Result<CallResult, Reply> {
        match answer {
            CallResult::Refused(refused) => Err(refused),
            CallResult::Unreadable => Err(self.is_away()),
            answer => Ok(answer),
        }
    }

    /// Asks the members which of them leads.
    pub(super) fn look_for_leader(self: &Arc<Self>, queues: &Arc<Queues>) {
        let members = self.member_nodes();
        self.input(queues, |machine, _, sink| machine.ask_who_leads(&members, sink));
    }

    /// What clients hear when the queue's node, or its leader, cannot be reached.
    pub(super) fn is_away(&self) -> Reply {
        let (queue, vhost) = (self.spec.name.clone(), self.spec.vhost.clone());
        BrokerError::QueueAway { queue, vhost }.reply()
    }

    /// Whether clients of this node wait, and it is not known for whom.
    fn is_lost(&self) -> bool {
        !self.is_deleted() && self.state.lock().machine.is_lost()
    }
}

impl Queues {
    /// Asks who leads the queues whose clients wait for that, until the task is dropped.
    pub async fn run_leader_lookups(self: Arc<Self>) {
        loop {
            for queue in self.leader_lookups.take().await {
                queue.is_looked_up.store(false, Ordering::Release);
                if queue.is_lost() {
                    queue.look_for_leader(&self);
                    self.leader_lookups.add(&queue);
                }
            }
            tokio::time::sleep(LOOK_UP).await;
        }
    }
}
