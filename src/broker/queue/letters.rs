//! Dead letters that their queue keeps until every target has them.
//!
//! A letter is published like any message, with a claim to a confirm for each of its targets. Targets
//! answer while they are locked, so what became of a letter travels to a task, which tells its queue.
//! Whoever drops a claim without an answer refuses it: no letter is waited for in vain.

use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::claims::ConfirmToken;
use super::handle::{LiveQueue, QueueHandle};
use crate::broker::Broker;
use crate::channel::ConfirmOutcome;
use crate::queue::{LetterOutcome, Slot};
use crate::spec::DeadLetterStrategy;
use crate::types::QueueId;

/// Stands among a letter's targets for the exchanges that hold it back.
pub const HELD_BACK: QueueId = QueueId(u64::MAX);

/// What became of letters, until their queues are told.
#[derive(Default)]
pub struct Letters {
    answered: Mutex<Vec<(QueueId, Slot, LetterOutcome)>>,
    more: Notify,
}

/// A letter on its way.
pub struct Letter {
    letters: Arc<Letters>,
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

/// A letter's claim to the confirm of one of its targets.
pub struct LetterClaim {
    letter: Arc<Letter>,
    target: QueueId,
}

impl Letter {
    /// A letter of a queue's machine.
    pub fn new(letters: &Arc<Letters>, queue: &QueueHandle, machine: &LiveQueue, slot: Slot) -> Arc<Self> {
        Arc::new(Self {
            letters: letters.clone(),
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
        let letter = self.clone();
        Some(ConfirmToken::Letter(LetterClaim { letter, target }))
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        let Progress {
            is_routed,
            missing,
            reached,
        } = std::mem::take(self.progress.get_mut());
        let outcome = match is_routed && missing == 0 {
            true => LetterOutcome::Confirmed,
            false => LetterOutcome::Refused { reached },
        };
        self.letters.answered.lock().push((self.queue, self.slot, outcome));
        self.letters.more.notify_one();
    }
}

impl LetterClaim {
    /// The target has said something.
    pub fn answer(self, outcome: ConfirmOutcome) {
        if outcome == ConfirmOutcome::Ack {
            let mut progress = self.letter.progress.lock();
            progress.missing -= 1;
            progress.reached.push(self.target);
        }
    }
}

impl Broker {
    /// Tells queues what became of their letters, until the task is dropped.
    pub async fn run_letters(self: Arc<Self>) {
        loop {
            self.letters.more.notified().await;
            let answered = std::mem::take(&mut *self.letters.answered.lock());
            let mut by_queue: FxHashMap<QueueId, Vec<_>> = FxHashMap::default();
            for (queue, slot, outcome) in answered {
                if outcome == LetterOutcome::Confirmed {
                    self.deaths.confirm();
                }
                by_queue.entry(queue).or_default().push((slot, outcome));
            }
            for (queue, answers) in by_queue {
                // Of one that is gone, or led elsewhere by now, nobody wants to know.
                if let Some(queue) = self.queue_by_id(queue) {
                    self.letters_answered(&queue, answers);
                }
            }
        }
    }

    fn letters_answered(self: &Arc<Self>, queue: &Arc<QueueHandle>, answers: Vec<(Slot, LetterOutcome)>) {
        let begin_to_fail = queue.with(self, |machine, now, sink| {
            let begin = machine.letters_answered(now, answers, sink);
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
