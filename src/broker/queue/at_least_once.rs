//! Dead letters that their queue keeps until every target has them.
//!
//! A dead letter is published like any message, with a claim to a confirm for each of its targets. Targets
//! answer while they are locked, so what became of a dead letter travels to a task, which tells its queue
//! (`kept_dead_letters.rs`).
//! Whoever drops a claim without an answer refuses it: no dead letter is waited for in vain.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::channel::ConfirmOutcome;
use crate::queue::{DeadLetterOutcome, Slot};
use crate::types::QueueId;

/// Stands among a dead letter's targets for the exchanges that hold it back.
pub const HELD_BACK: QueueId = QueueId(u64::MAX);

/// What became of dead letters, until their queues are told.
#[derive(Default)]
pub struct DeadLetterOutcomes {
    answered: Mutex<Vec<(QueueId, Slot, DeadLetterOutcome)>>,
    more: Notify,
}

impl DeadLetterOutcomes {
    /// Those that came since; waits until there are some.
    pub(super) async fn take(&self) -> Vec<(QueueId, Slot, DeadLetterOutcome)> {
        self.more.notified().await;
        std::mem::take(&mut *self.answered.lock())
    }
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
    /// A dead letter of a queue, which has reached these targets before.
    pub fn new(outcomes: &Arc<DeadLetterOutcomes>, queue: QueueId, slot: Slot, reached: &[QueueId]) -> Arc<Self> {
        Arc::new(Self {
            outcomes: outcomes.clone(),
            queue,
            slot,
            progress: Mutex::new(Progress {
                reached: reached.to_vec(),
                ..Progress::default()
            }),
        })
    }

    /// It is to go to this target; `None` when it is there already.
    pub fn claim(self: &Arc<Self>, target: QueueId) -> Option<DeadLetterClaim> {
        let mut progress = self.progress.lock();
        progress.is_routed = true;
        if progress.reached.contains(&target) {
            return None;
        }
        progress.missing += 1;
        let confirms = self.clone();
        Some(DeadLetterClaim { confirms, target })
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
