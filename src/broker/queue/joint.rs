//! Several confirms of which only the last matters: whoever waits hears once, when all have come.
//!
//! A transaction, a message published over HTTP and messages that an exchange held back are done when
//! every queue has answered. Each queue gets a claim; whoever drops one without an answer refuses it,
//! so nobody waits in vain. Claims are answered while queues and outboxes are locked: an answer locks
//! nothing, and whoever waits does so in a task of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;

use crate::channel::ConfirmOutcome;

/// Hands out claims. When it and all of them are gone the answer is known.
pub struct Joint(Arc<Shared>);

/// Told when all claims of a [`Joint`] are answered.
pub struct JointAnswer {
    told: oneshot::Receiver<ConfirmOutcome>,
    /// What was heard already.
    outcome: Option<ConfirmOutcome>,
}

/// A claim to the answer of one queue.
pub struct JointClaim {
    shared: Arc<Shared>,
    is_answered: bool,
}

struct Shared {
    refused: AtomicBool,
    tell: Option<oneshot::Sender<ConfirmOutcome>>,
}

impl Joint {
    /// No claim yet.
    pub fn new() -> (Self, JointAnswer) {
        let (tell, answered) = oneshot::channel();
        let shared = Shared {
            refused: AtomicBool::new(false),
            tell: Some(tell),
        };
        let answered = JointAnswer {
            told: answered,
            outcome: None,
        };
        (Self(Arc::new(shared)), answered)
    }

    /// One more answer is waited for.
    pub fn claim(&self) -> JointClaim {
        JointClaim {
            shared: self.0.clone(),
            is_answered: false,
        }
    }

    /// Something of it cannot be done: the answer will be a refusal.
    pub fn refuse(&self) {
        self.0.refused.store(true, Ordering::Release);
    }
}

impl JointClaim {
    /// The queue has said something.
    pub fn answer(mut self, outcome: ConfirmOutcome) {
        self.is_answered = outcome == ConfirmOutcome::Ack;
    }
}

impl Drop for JointClaim {
    fn drop(&mut self) {
        if !self.is_answered {
            self.shared.refused.store(true, Ordering::Release);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let outcome = match *self.refused.get_mut() {
            true => ConfirmOutcome::Nack,
            false => ConfirmOutcome::Ack,
        };
        if let Some(tell) = self.tell.take() {
            // Whoever does not wait any more need not know.
            let _ = tell.send(outcome);
        }
    }
}

impl JointAnswer {
    /// The answer, if all have answered.
    pub fn now(&mut self) -> Option<ConfirmOutcome> {
        let outcome = self.outcome.or_else(|| self.told.try_recv().ok());
        self.outcome = outcome;
        outcome
    }

    /// Waits until all have answered: a nack if one has refused.
    pub async fn outcome(self) -> ConfirmOutcome {
        match self.outcome {
            Some(outcome) => outcome,
            None => self.told.await.unwrap_or(ConfirmOutcome::Nack),
        }
    }

    /// The same in a word: whether none has refused.
    pub async fn is_accepted(self) -> bool {
        self.outcome().await == ConfirmOutcome::Ack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_answered_with_the_last_claim() {
        let (joint, mut answered) = Joint::new();
        let claims = [joint.claim(), joint.claim()];
        drop(joint);
        for claim in claims {
            assert_eq!(answered.now(), None);
            claim.answer(ConfirmOutcome::Ack);
        }
        assert_eq!(answered.now(), Some(ConfirmOutcome::Ack));
    }

    #[test]
    fn one_refusal_and_one_dropped_claim_refuse_all() {
        let refuse: [fn(JointClaim); 2] = [|claim| claim.answer(ConfirmOutcome::Nack), drop];
        for refuse in refuse {
            let (joint, mut answered) = Joint::new();
            let (refused, taken) = (joint.claim(), joint.claim());
            drop(joint);
            refuse(refused);
            taken.answer(ConfirmOutcome::Ack);
            assert_eq!(answered.now(), Some(ConfirmOutcome::Nack));
        }
    }

    #[test]
    fn what_waits_for_nobody_is_done_at_once() {
        let (joint, mut answered) = Joint::new();
        assert_eq!(answered.now(), None);
        drop(joint);
        assert_eq!(answered.now(), Some(ConfirmOutcome::Ack));
    }
}
