//! Claims to confirms: who is told what became of a publish.

use std::sync::Arc;

use super::clients::OutGuard;
pub use super::handle::{ChannelClaim, ConfirmToken};
use crate::channel::ConfirmOutcome;
use crate::queue::Publish;

/// The last publish that a machine took from a batch: should it panic, it may have been the cause.
#[derive(Default)]
pub(super) struct InHand(Option<ChannelClaim>);

impl InHand {
    /// The machine takes this one.
    pub fn note(&mut self, publish: &Publish<ConfirmToken>) {
        // The others refuse when they are dropped.
        let Some(ConfirmToken::Channel(claim)) = &publish.publish else {
            return;
        };
        match &mut self.0 {
            Some(last) if Arc::ptr_eq(&last.outbox, &claim.outbox) => {
                (last.channel, last.incarnation, last.seq) = (claim.channel, claim.incarnation, claim.seq);
            }
            last => *last = Some(claim.clone()),
        }
    }

    /// Who waits for it.
    pub fn claim(self) -> Option<ConfirmToken> {
        self.0.map(ConfirmToken::Channel)
    }
}

/// Tells whoever published what became of it.
pub(in crate::broker) fn answer(tokens: impl IntoIterator<Item = ConfirmToken>, outcome: ConfirmOutcome) {
    let mut guard: Option<OutGuard> = None;
    for token in tokens {
        let token = match token {
            ConfirmToken::Channel(token) => token,
            ConfirmToken::DeadLetter(claim) => {
                claim.answer(outcome);
                continue;
            }
            ConfirmToken::Joint(claim) => {
                claim.answer(outcome);
                continue;
            }
        };
        if guard.as_ref().is_some_and(|guard| !guard.is_of(&token.outbox))
            && let Some(guard) = guard.take()
        {
            guard.finish();
        }
        guard
            .get_or_insert_with(|| token.outbox.lock())
            .confirm(token.channel, token.incarnation, token.seq, outcome);
    }
    if let Some(guard) = guard {
        guard.finish();
    }
}

/// The same for a whole batch.
pub(super) fn answer_all(batch: impl IntoIterator<Item = Publish<ConfirmToken>>, outcome: ConfirmOutcome) {
    answer(batch.into_iter().filter_map(|publish| publish.publish), outcome);
}
