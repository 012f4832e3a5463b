//! Acks, nacks and rejects of a channel, and `basic.recover`.

use super::channel::Mode;
use super::error::SessionError;
use super::session::Session;
use super::settling::acked;
use crate::broker::{OutGuard, Outcome};
use crate::channel::Tags;
use crate::statistics::Delay;
use crate::types::Reply;

impl Session {
    /// Settles deliveries of a channel; in a transaction when it is committed.
    ///
    /// # Errors
    /// When a tag is not one of an unsettled delivery.
    pub fn settle(&mut self, number: u16, tags: Tags, outcome: Outcome) -> Result<(), Reply> {
        let mut out: OutGuard = self.connection.outbox.lock();
        let (Some(held), Some(channel)) = (out.channel(number), self.channels.get_mut(&number)) else {
            return Ok(());
        };
        let mut settled = Vec::new();
        let many = !matches!(tags, Tags::One(_));
        let settling = &mut self.settling;
        let result = match &mut channel.mode {
            Mode::Transaction(transaction) if transaction.is_committing() => {
                return Err(SessionError::Committing.into());
            }
            Mode::Transaction(transaction) => held.settle_later(tags, |tag, one| transaction.settle(tag, one, outcome)),
            _ if many => {
                let result = held.settle(tags, |_, one| settled.push(one));
                for one in settled {
                    if let Some(queue) = held.queue(one.queue) {
                        settling.push(queue, outcome, one.slot);
                        acked(held, one.queue, outcome);
                    }
                }
                result
            }
            _ => {
                let mut found = None;
                let result = held.settle(tags, |_, one| found = Some(one));
                if let Some(one) = found
                    && let Some(queue) = held.queue(one.queue)
                {
                    settling.push(queue, outcome, one.slot);
                    acked(held, one.queue, outcome);
                }
                result
            }
        };
        if held.prefetch.is_some() {
            settling.channel(number);
        }
        let took = held.held_for();
        if outcome == Outcome::Accept
            && let Some((index, took)) = took
            && let Some(queue) = held.queue(index)
        {
            queue.took(Delay::Ack, took, self.connection.broker.now());
        }
        drop(out);
        if settling.is_full() {
            settling.flush(&self.connection.broker, &self.connection.outbox, None);
        }
        Ok(result?)
    }

    /// Gives back everything the channel holds (`basic.recover`).
    pub(super) fn recover(&mut self, number: u16) {
        let taken = match self.connection.outbox.lock().channel(number) {
            Some(held) => held.outstanding_by_queue(),
            None => return,
        };
        for (queue, slots) in taken {
            self.connection.broker.queues().give_back(&queue, slots);
        }
        self.settling.channel(number);
        self.settling
            .flush(&self.connection.broker, &self.connection.outbox, None);
    }
}
