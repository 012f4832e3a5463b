//! What a transactional channel has asked for since its last commit or rollback.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::broker::Outcome;
use crate::broker::publish::Ready;
use crate::broker::{Outstanding, Uncommitted};

/// Publishes and settlements that wait for `tx.commit`.
#[derive(Default)]
pub struct Transaction {
    pub publishes: Vec<Ready>,
    pub settled: Vec<(u64, Outstanding, Outcome)>,
    /// How many there are of both.
    uncommitted: Arc<Uncommitted>,
    /// Whether the messages of the commit before are still on their way.
    pub committing: Option<Arc<AtomicBool>>,
}

impl Transaction {
    /// Keeps a message.
    pub fn publish(&mut self, ready: Ready) {
        self.uncommitted.messages.fetch_add(1, Ordering::Relaxed);
        self.publishes.push(ready);
    }

    /// Whether a commit is on its way, during which a client has nothing to say.
    pub fn is_committing(&self) -> bool {
        let committing = self.committing.as_ref();
        committing.is_some_and(|committing| committing.load(Ordering::Acquire))
    }

    /// How much it holds back, for those who look at the channel.
    pub fn uncommitted(&self) -> &Arc<Uncommitted> {
        &self.uncommitted
    }

    /// Keeps a settlement.
    pub fn settle(&mut self, tag: u64, one: Outstanding, outcome: Outcome) {
        self.uncommitted.acks.fetch_add(1, Ordering::Relaxed);
        self.settled.push((tag, one, outcome));
    }
}

impl Transaction {
    /// Takes out what it holds back; it goes on empty.
    pub fn take(&mut self) -> Self {
        self.uncommitted.clear();
        let next = Self {
            uncommitted: self.uncommitted.clone(),
            ..Self::default()
        };
        std::mem::replace(self, next)
    }
}
