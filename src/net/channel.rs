//! What a session knows of one open channel.

use super::transaction::Transaction;
use crate::broker::Outstanding;
use crate::broker::reply_to::Token;
use crate::types::QueueName;

/// An open channel; its delivery side is in the outbox.
pub(super) struct Channel {
    pub incarnation: u64,
    /// What an empty queue name stands for.
    pub last_queue: Option<QueueName>,
    /// Prefetch of consumers to come; `None` is no limit.
    pub prefetch: Option<u32>,
    pub mode: Mode,
    /// Where answers to this channel go, once it consumes from the pseudo-queue.
    pub reply: Option<(Token, String)>,
}

/// What publishes on a channel come to.
pub(super) enum Mode {
    Plain,
    /// The number of the next publish.
    Confirm(u64),
    Transaction(Box<Transaction>),
}

impl Mode {
    /// What was settled in a transaction that never came to its end.
    pub fn into_settled(self) -> Vec<(u64, Outstanding)> {
        match self {
            Self::Transaction(transaction) => transaction
                .settled
                .into_iter()
                .map(|(tag, one, _)| (tag, one))
                .collect(),
            Self::Plain | Self::Confirm(_) => Vec::new(),
        }
    }
}
