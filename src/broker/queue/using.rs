//! What clients do with live queues: consumers come and go, messages are fetched and settled, the
//! queue is purged.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::asking::DEADLINE;
use super::clients::Consumer;
use super::clients::Outbox;
use super::handle::{Call, QueueHandle};
use super::joint::Joint;
use super::queues::Queues;
use crate::broker::BrokerError;
use crate::declare::DeclareError;
use crate::handover::{Ask, CallResult, Consumed};
use crate::metadata::CatalogueError;
use crate::queue::{ConsumeError, Get, Outcome, Slot};
use crate::statistics::Measure;
use crate::types::Reply;

impl Queues {
    /// Takes a consumer on. The client hears `consume-ok` before the first delivery, if it waits
    /// for that.
    ///
    /// # Errors
    /// When the queue is in exclusive use, its node is away, or it was deleted meanwhile.
    pub async fn consume(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        consumer: &Arc<Consumer>,
        wants_answer: bool,
    ) -> Result<(), BrokerError> {
        if queue.is_deleted() {
            return Err(CatalogueError::NoQueue(queue.spec.vhost.clone(), queue.spec.name.clone()).into());
        }
        {
            let mut out = consumer.outbox.lock();
            if let Some(channel) = out.channel_as(consumer.channel, consumer.incarnation) {
                channel.consumers.insert(consumer.tag.clone(), consumer.clone());
            }
            out.finish();
        }
        let consumed = queue.input(self, |machine, now, sink| {
            machine.consume(now, consumer, wants_answer, sink)
        });
        let taken = match consumed {
            Consumed::Taken => Ok(()),
            Consumed::Refused(error) => Err(queue.refuses_consumer(error)),
            Consumed::AskFirst => {
                let asked = queue.ask_to_consume(self, consumer, wants_answer).await;
                asked.map_err(BrokerError::Reply)
            }
        };
        if taken.is_err() {
            let mut out = consumer.outbox.lock();
            if let Some(channel) = out.channel_as(consumer.channel, consumer.incarnation) {
                channel.consumers.remove(&consumer.tag);
            }
            out.finish();
        }
        taken
    }

    /// Serves consumers again whose client, or its channel, had no room, as long as there is some.
    pub fn serve_stalled(self: &Arc<Self>, outbox: &Outbox, channel: Option<u16>) {
        while let Some(consumer) = outbox.next_stalled(channel) {
            self.unstall(&consumer);
        }
    }

    fn unstall(self: &Arc<Self>, consumer: &Consumer) {
        if let Some(queue) = consumer.queue.upgrade() {
            queue.input(self, |machine, now, sink| machine.unstall(now, consumer.key, sink));
        }
    }

    /// Fetches one message, waiting for its body where it is on disk, and for whoever leads.
    ///
    /// # Errors
    /// When the queue's node, or its leader, cannot be reached.
    pub async fn get(self: &Arc<Self>, queue: &Arc<QueueHandle>, no_ack: bool) -> Result<Get, Reply> {
        let got = self.fetch(queue, no_ack).await;
        match &got {
            Ok(Get::Message { redelivered, .. }) => {
                queue.count(if no_ack { Measure::GetNoAck } else { Measure::Get }, 1);
                queue.count(Measure::Redeliver, u64::from(*redelivered));
            }
            Ok(_) => queue.count(Measure::GetEmpty, 1),
            Err(_) => {}
        }
        got
    }

    async fn fetch(self: &Arc<Self>, queue: &Arc<QueueHandle>, no_ack: bool) -> Result<Get, Reply> {
        if queue.is_quarantined() {
            return Ok(Get::Empty);
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            let changed = queue.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.get_here(queue, no_ack)? {
                Some(Get::NeedsFetch | Get::NeedsMark) if queue.is_deleted() => return Ok(Get::Empty),
                Some(Get::NeedsFetch | Get::NeedsMark) => {}
                Some(got) => return Ok(got),
                None => match queue.ask(self, Ask::Get { no_ack }).await? {
                    Some(CallResult::Got { delivery, remaining }) => {
                        return Ok(Get::Message {
                            message: delivery.message,
                            slot: delivery.slot,
                            redelivered: delivery.redelivered,
                            delivery_count: delivery.delivery_count,
                            remaining,
                        });
                    }
                    Some(_) => return Ok(Get::Empty),
                    None if queue.is_deleted() => return Ok(Get::Empty),
                    None => continue,
                },
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Err(queue.is_away());
            }
        }
    }

    /// `None` when the live queue is not here.
    fn get_here(self: &Arc<Self>, queue: &Arc<QueueHandle>, no_ack: bool) -> Result<Option<Get>, Reply> {
        queue.input(self, |machine, now, sink| match machine.is_here() {
            false => Ok(None),
            true => machine.get(now, no_ack, sink).map(Some).ok_or_else(|| queue.is_away()),
        })
    }

    /// Ends the outstanding state of messages. A joint answer waits until a replicated queue has it
    /// committed, or another node has it; what is on this node's disk, [`Queues::synced`] knows.
    pub fn settle(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        slots: impl IntoIterator<Item = Slot>,
        outcome: Outcome,
        joint: Option<&Joint>,
    ) {
        let claim = joint.map(Joint::claim);
        queue.input(self, |machine, now, sink| {
            machine.settle(now, slots, outcome, claim, sink);
        });
    }

    /// Gives messages back that no client holds any more.
    pub fn give_back(self: &Arc<Self>, queue: &Arc<QueueHandle>, slots: Vec<Slot>) {
        self.settle(queue, slots, Outcome::Requeue, None);
    }

    /// Drops all ready messages and says how many there were, when they cannot come back.
    ///
    /// # Errors
    /// When the queue's node, or its leader, cannot be reached, or the leader reaches no majority.
    pub async fn purge(self: &Arc<Self>, queue: &Arc<QueueHandle>) -> Result<u64, Reply> {
        if queue.is_quarantined() {
            return Ok(0);
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(purged) = self.begin_purge(queue) {
                match tokio::time::timeout_at(deadline, purged).await {
                    Ok(Ok(CallResult::Done(count))) => return Ok(count),
                    Ok(Ok(_)) => return Ok(0),
                    // Another leads.
                    Ok(Err(_)) if queue.is_replicated() => continue,
                    _ => return Err(queue.is_away()),
                }
            }
            match queue.ask(self, Ask::Purge).await? {
                Some(CallResult::Done(count)) => return Ok(count),
                Some(_) => return Ok(0),
                None if queue.is_deleted() => return Ok(0),
                None => {}
            }
        }
    }

    /// Drops all ready messages where the live queue is here.
    fn begin_purge(self: &Arc<Self>, queue: &Arc<QueueHandle>) -> Option<oneshot::Receiver<CallResult>> {
        let (call, purged) = Call::new(None);
        queue.input(self, |machine, now, sink| {
            machine.is_here().then(|| machine.purge(now, call, sink))?;
            Some(purged)
        })
    }

    /// How many messages are ready and unacknowledged, and how many consumers there are. A
    /// replicated queue without a leader has none of either, as far as can be said.
    ///
    /// # Errors
    /// When the queue's node is away.
    pub async fn count(self: &Arc<Self>, queue: &Arc<QueueHandle>) -> Result<(u64, u64, u64), Reply> {
        loop {
            let here = queue.read(|machine| (machine.ready(), machine.unacked(), machine.consumer_count() as u64));
            if let Some(counts) = here {
                return Ok(counts);
            }
            match queue.ask(self, Ask::Count).await {
                Ok(Some(CallResult::Counts {
                    ready,
                    unacked,
                    consumers,
                })) => return Ok((ready, unacked, consumers)),
                Ok(None) if !queue.is_deleted() => {}
                Err(away) if !queue.is_replicated() => return Err(away),
                _ => return Ok((0, 0, 0)),
            }
        }
    }

    /// A queue's deadline has come.
    pub(super) fn tick(self: &Arc<Self>, queue: &Arc<QueueHandle>) {
        let is_expired = queue.input(self, |machine, now, sink| machine.tick(now, sink));
        if is_expired && !queue.is_deleted() {
            // Nobody waits for the end of it.
            drop(self.delete(queue, "it was not used for its time to live"));
        }
    }
}

impl QueueHandle {
    /// Why a consumer is not taken.
    pub(super) fn refuses_consumer(&self, error: ConsumeError) -> BrokerError {
        match error {
            ConsumeError::ExclusiveUse => {
                DeclareError::ExclusiveUse(self.spec.vhost.clone(), self.spec.name.clone()).into()
            }
            ConsumeError::TooMany => BrokerError::TooManyConsumers,
        }
    }
}
