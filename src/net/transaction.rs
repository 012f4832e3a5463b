//! What a transactional channel has asked for since its last commit or rollback.

use super::session::{Mode, Session};
use crate::broker::Outcome;
use crate::broker::outbox::Outstanding;
use crate::broker::publish::Ready;
use crate::types::{Reply, ReplyCode};

/// Publishes and settlements that wait for `tx.commit`.
#[derive(Default)]
pub struct Transaction {
    publishes: Vec<Ready>,
    settled: Vec<(u64, Outstanding, Outcome)>,
}

impl Transaction {
    /// Keeps a message.
    pub fn publish(&mut self, ready: Ready) {
        self.publishes.push(ready);
    }

    /// Keeps a settlement.
    pub fn settle(&mut self, tag: u64, one: Outstanding, outcome: Outcome) {
        self.settled.push((tag, one, outcome));
    }
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

impl Session {
    /// `tx.commit`: everything happens, and is on disk before the answer.
    pub(super) async fn commit(&mut self, number: u16) -> Result<(), Reply> {
        let Transaction { publishes, settled } = self.take_transaction(number)?;
        if let Some(by) = &self.publishing {
            for ready in publishes {
                self.publisher.publish(&self.broker, by, ready);
                if self.publisher.is_full() {
                    self.publisher.flush(&self.broker);
                }
            }
        }
        {
            let mut out = self.outbox.lock();
            if let Some(held) = out.channel(number) {
                for (_, one, outcome) in settled {
                    held.settled(one);
                    if let Some(queue) = held.queue(one.queue) {
                        self.settling.push(queue, outcome, one.slot);
                    }
                }
            }
        }
        self.settling.channel(number);
        self.flush();
        self.broker
            .synced()
            .await
            .map_err(|error| Reply::connection(ReplyCode::InternalError, error.to_string()))
    }

    /// `tx.rollback`: nothing happens; what was settled is not.
    pub(super) fn roll_back(&mut self, number: u16) -> Result<(), Reply> {
        let Transaction { settled, .. } = self.take_transaction(number)?;
        let mut out = self.outbox.lock();
        if let Some(held) = out.channel(number) {
            for (tag, one, _) in settled.into_iter().rev() {
                held.put_back(tag, one);
            }
        }
        Ok(())
    }

    fn take_transaction(&mut self, number: u16) -> Result<Transaction, Reply> {
        match self.channels.get_mut(&number).map(|channel| &mut channel.mode) {
            Some(Mode::Transaction(transaction)) => Ok(std::mem::take(transaction)),
            _ => Err(Reply::channel(
                ReplyCode::PreconditionFailed,
                "channel is not transactional",
            )),
        }
    }
}
