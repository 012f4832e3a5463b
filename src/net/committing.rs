//! `tx.commit` and `tx.rollback`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::channel::Mode;
use super::error::SessionError;
use super::session::Session;
use super::settling::acked;
use super::transaction::Transaction;
use crate::broker::Control;
use crate::broker::joint::{Joint, JointAnswer};
use crate::channel::ConfirmOutcome;
use crate::codec::Method;
use crate::connection::Ids;
use crate::tasks;
use crate::types::{Refusal, Reply};

/// Ids of `tx.commit`, for refusals.
const COMMIT: Ids = (90, 20);

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
            Some(Mode::Transaction(transaction)) => Ok(transaction.take()),
            _ => Err(SessionError::NoTransaction),
        }
    }
}
