//! Dead letters that their queue keeps until every target has them.
//!
//! A dead letter is published like any message, with a claim to a confirm for each of its targets. Targets
//! answer while they are locked, so what became of a dead letter travels to a task, which tells its queue.
//! Whoever drops a claim without an answer refuses it: no dead letter is waited for in vain.

use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::claims::ConfirmToken;
use super::handle::{LiveQueue, QueueHandle};
use super::queues::Queues;
use crate::channel::ConfirmOutcome;
use crate::queue::{DeadLetterOutcome, Slot};
use crate::spec::DeadLetterStrategy;
use crate::types::QueueId;

/// Stands among a dead letter's targets for the exchanges that hold it back.
pub const HELD_BACK: QueueId = QueueId(u64::MAX);

/// What became of dead letters, until their queues are told.
#[derive(Default)]
pub struct DeadLetterOutcomes {
    answered: Mutex<Vec<(QueueId, Slot, DeadLetterOutcome)>>,
    more: Notify,
}

/// A dead letter on its way.
pub struct DeadLetterConfirms {
    outcomes: Arc<DeadLetterOutcomes>,
    queue: QueueId,
    slot: Slot,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// Some target was found.
    is_routed: bool,
    /// Targets that have not confirmed it.
    missing: usize,
    reached: Vec<QueueId>,
}

/// A dead letter's claim to the confirm of one of its targets.
pub struct DeadLetterClaim {
    confirms: Arc<DeadLetterConfirms>,
    target: QueueId,
}

impl DeadLetterConfirms {
    /// A dead letter of a queue's machine.
    pub fn new(outcomes: &Arc<DeadLetterOutcomes>, queue: &QueueHandle, machine: &LiveQueue, slot: Slot) -> Arc<Self> {
        Arc::new(Self {
            outcomes: outcomes.clone(),
            queue: queue.spec.id,
            slot,
            progress: Mutex::new(Progress {
                reached: machine.reached_by(slot).to_vec(),
                ..Progress::default()
            }),
        })
    }

    /// It is to go to this target; `None` when it is there already.
    pub fn claim(self: &Arc<Self>, target: QueueId) -> Option<ConfirmToken> {
        let mut progress = self.progress.lock();
        progress.is_routed = true;
        if progress.reached.contains(&target) {
            return None;
        }
        progress.missing += 1;
        let confirms = self.clone();
        Some(ConfirmToken::DeadLetter(DeadLetterClaim { confirms, target }))
    }
}

impl Drop for DeadLetterConfirms {
    fn drop(&mut self) {
        let Progress {
            is_routed,
            missing,
            reached,
        } = std::mem::take(self.progress.get_mut());
        let outcome = match is_routed && missing == 0 {
            true => DeadLetterOutcome::Confirmed,
            false => DeadLetterOutcome::Refused { reached },
        };
        self.outcomes.answered.lock().push((self.queue, self.slot, outcome));
        self.outcomes.more.notify_one();
    }
}

impl DeadLetterClaim {
    /// The target has said something.
    pub fn answer(self, outcome: ConfirmOutcome) {
        if outcome == ConfirmOutcome::Ack {
            let mut progress = self.confirms.progress.lock();
            progress.missing -= 1;
            progress.reached.push(self.target);
        }
    }
}

impl Queues {
    /// Tells queues what became of their dead letters, until the task is dropped.
    pub async fn run_dead_letter_outcomes(self: Arc<Self>) {
        loop {
            self.dead_letter_outcomes.more.notified().await;
            let answered = std::mem::take(&mut *self.dead_letter_outcomes.answered.lock());
            let mut by_queue: FxHashMap<QueueId, Vec<_>> = FxHashMap::default();
            for (queue, slot, outcome) in answered {
                if outcome == DeadLetterOutcome::Confirmed {
                    self.deaths.confirm();
                }
                by_queue.entry(queue).or_default().push((slot, outcome));
            }
            for (queue, answers) in by_queue {
                // Of one that is gone, or led elsewhere by now, nobody wants to know.
                if let Some(queue) = self.by_id(queue) {
                    self.dead_letters_answered(&queue, answers);
                }
            }
        }
    }

    fn dead_letters_answered(self: &Arc<Self>, queue: &Arc<QueueHandle>, answers: Vec<(Slot, DeadLetterOutcome)>) {
        let begin_to_fail = queue.with(self, |machine, now, sink| {
            let begin = machine.dead_letters_answered(now, answers, sink);
            begin.then(|| machine.settings().dead_letter_exchange.clone())
        });
        if let Some(Some(exchange)) = begin_to_fail {
            let exchange = exchange.as_ref().map_or("", |exchange| exchange.as_str());
            tracing::warn!(
                queue = %queue.spec.name,
                vhost = %queue.spec.vhost,
                exchange,
                "dead letters are not taken, or have no route; they are kept and tried again"
            );
        }
    }
}

/// Says so where a queue's settings ask for dead letters to be kept, and it cannot keep them.
pub fn warn_of_fallback(queue: &QueueHandle, machine: &LiveQueue) {
    let settings = machine.settings();
    if settings.dead_letter_strategy == DeadLetterStrategy::AtLeastOnce
        && settings.dead_letter_exchange.is_some()
        && !machine.keeps_dead_letters()
    {
        tracing::warn!(
            queue = %queue.spec.name,
            vhost = %queue.spec.vhost,
            "falling back to dead-letter-strategy at-most-once, because at-least-once is incompatible with \
             overflow drop-head; set overflow to reject-publish to enable it"
        );
    }
}
