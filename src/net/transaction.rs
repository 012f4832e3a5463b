//! What a transactional channel has asked for since its last commit or rollback.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::SessionError;
use super::session::{Mode, Session};
use super::settling::acked;
use crate::broker::Outcome;
use crate::broker::joint::{Joint, JointAnswer};
use crate::broker::publish::Ready;
use crate::broker::{Control, Outstanding, Uncommitted};
use crate::channel::ConfirmOutcome;
use crate::codec::Method;
use crate::connection::Ids;
use crate::tasks;
use crate::types::{Refusal, Reply};

/// Ids of `tx.commit`, for refusals.
const COMMIT: Ids = (90, 20);

/// Publishes and settlements that wait for `tx.commit`.
#[derive(Default)]
pub struct Transaction {
    publishes: Vec<Ready>,
    settled: Vec<(u64, Outstanding, Outcome)>,
    /// How many there are of both.
    uncommitted: Arc<Uncommitted>,
    /// Whether the messages of the commit before are still on their way.
    committing: Option<Arc<AtomicBool>>,
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
    /// `tx.commit`: everything happens, and is safe before the answer: a message when all its queues
    /// have it, as for a confirm, and a settlement when a replicated queue has it committed or it is on
    /// this node's disk. What a queue refuses ends the transaction; the rest of it has happened.
    pub(super) fn commit(&mut self, number: u16) -> Result<(), Reply> {
        let Transaction { publishes, settled, .. } = self.take_transaction(number)?;
        let (joint, mut answered) = Joint::new();
        let (has_published, has_settled) = (!publishes.is_empty(), !settled.is_empty());
        if let Some(by) = &self.publishing {
            for ready in publishes {
                if ready.names_deleted() {
                    joint.refuse();
                }
                self.publisher
                    .publish(self.connection.broker.vhosts(), by, ready, Some(&joint));
                if self.publisher.is_full() {
                    self.publisher.flush(self.connection.broker.queues());
                }
            }
        }
        {
            let mut out = self.connection.outbox.lock();
            if let Some(held) = out.channel(number) {
                for (_, one, outcome) in settled {
                    held.settled(one);
                    acked(held, one.queue, outcome);
                    if let Some(queue) = held.queue(one.queue) {
                        self.settling.push(queue, outcome, one.slot);
                    }
                }
            }
        }
        self.settling.channel(number);
        self.settling
            .flush(&self.connection.broker, &self.connection.outbox, Some(&joint));
        self.publisher.flush(self.connection.broker.queues());
        drop(joint);
        match answered.now().filter(|_| !has_settled) {
            None => self.complete(number, answered, has_published, has_settled),
            Some(ConfirmOutcome::Nack) => Err(SessionError::PartialCommit.into()),
            Some(ConfirmOutcome::Ack) => {
                self.answer(number, false, Method::TxCommitOk);
                Ok(())
            }
        }
    }

    /// Answers the commit when it is complete. Until its messages are safe the channel takes nothing
    /// but its end, as RabbitMQ's.
    fn complete(
        &mut self,
        number: u16,
        answered: JointAnswer,
        has_published: bool,
        has_settled: bool,
    ) -> Result<(), Reply> {
        let channel = self.channel(number)?;
        let incarnation = channel.incarnation;
        let committing = Arc::new(AtomicBool::new(has_published));
        if let Mode::Transaction(transaction) = &mut channel.mode {
            transaction.committing = has_published.then(|| committing.clone());
        }
        let (broker, outbox) = (self.connection.broker.clone(), self.connection.outbox.clone());
        tasks::spawn("commit", async move {
            let outcome = answered.outcome().await;
            if has_settled && broker.synced().await.is_err() {
                // The node has failed, which every connection hears.
                return;
            }
            match outcome {
                ConfirmOutcome::Ack => {
                    let mut out = outbox.lock();
                    committing.store(false, Ordering::Release);
                    if out.channel_as(number, incarnation).is_some() {
                        Method::TxCommitOk.encode_frame(number, out.output.bytes());
                    }
                    out.finish();
                }
                ConfirmOutcome::Nack => outbox.control(Control::CloseChannel {
                    channel: number,
                    incarnation,
                    ids: COMMIT,
                    reply: SessionError::PartialCommit.reply(),
                }),
            }
        });
        Ok(())
    }

    /// `tx.rollback`: nothing happens; what was settled is not.
    pub(super) fn roll_back(&mut self, number: u16) -> Result<(), Reply> {
        let Transaction { settled, .. } = self.take_transaction(number)?;
        let mut out = self.connection.outbox.lock();
        if let Some(held) = out.channel(number) {
            for (tag, one, _) in settled.into_iter().rev() {
                held.put_back(tag, one);
            }
        }
        Ok(())
    }

    fn take_transaction(&mut self, number: u16) -> Result<Transaction, SessionError> {
        match self.channels.get_mut(&number).map(|channel| &mut channel.mode) {
            Some(Mode::Transaction(transaction)) => {
                transaction.uncommitted.clear();
                let next = Transaction {
                    uncommitted: transaction.uncommitted.clone(),
                    ..Transaction::default()
                };
                Ok(std::mem::replace(transaction, next))
            }
            _ => Err(SessionError::NoTransaction),
        }
    }
}
