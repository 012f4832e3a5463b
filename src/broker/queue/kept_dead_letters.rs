//! Dead letters that a queue keeps until every target has them: the queue is told what became of them.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::handle::{LiveQueue, QueueHandle};
use super::queues::Queues;
use crate::queue::{DeadLetterOutcome, Slot};
use crate::spec::DeadLetterStrategy;
use crate::types::QueueId;

impl Queues {
    /// Tells queues what became of their dead letters, until the task is dropped.
    pub async fn run_dead_letter_outcomes(self: Arc<Self>) {
        loop {
            let answered = self.dead_letter_outcomes.take().await;
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
