//! What happens to live queues: consumers come and go, messages are fetched and settled, the
//! queue is purged, deleted, or deletes itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::away::{Ask, DEADLINE, consume_ok};
use super::consumer::{Consumer, Taker};
use super::desk::Answer;
use super::joint::Joint;
use super::leading::{Purger, consume};
use super::outbox::Outbox;
use super::peers::wire;
use super::runner::{Deferred, Machine, QueueHandle, QueueSink, Seat, State};
use super::{Broker, BrokerError};
use crate::channel::ConfirmOutcome;
use crate::declare::DeclareError;
use crate::metadata::{Catalog, CatalogError, Command};
use crate::queue::{ConsumeError, Get, Outcome, Rank, Slot, Tick};
use crate::tasks;
use crate::types::{Millis, Reply};

/// How long a deletion rests that reached no majority.
const DELETE_AGAIN: Duration = Duration::from_secs(1);

impl Broker {
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
            return Err(CatalogError::NoQueue(queue.spec.vhost.clone(), queue.spec.name.clone()).into());
        }
        {
            let mut out = consumer.outbox.lock();
            if let Some(channel) = out.channel_as(consumer.channel, consumer.incarnation) {
                channel.consumers.insert(consumer.tag.clone(), consumer.clone());
            }
            out.finish();
        }
        let taken = match self.consume_at_once(queue, consumer, wants_answer) {
            Some(taken) => taken,
            None => {
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

    /// `None` when another node is to be asked first.
    fn consume_at_once(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        consumer: &Arc<Consumer>,
        wants_answer: bool,
    ) -> Option<Result<(), BrokerError>> {
        let deferred = {
            let mut state = queue.state.lock();
            if let Some(machine) = state.machine() {
                if let Err(error) = machine.check_consume(consumer.exclusive) {
                    return Some(Err(queue.refuses_consumer(error)));
                }
            } else if !queue.is_replicated() {
                return None;
            }
            if wants_answer {
                consume_ok(&consumer.outbox, consumer);
            }
            if state.machine().is_none() {
                queue.consume_away(self, &mut state, consumer);
                Deferred::default()
            } else {
                if let Some(desk) = &mut state.desk {
                    desk.seat(consumer);
                }
                let (taken, mut deferred) = queue.run(self, &mut state, |machine, now, sink| {
                    // It was asked for under this lock whether the queue takes it.
                    *consumer.id.lock() = machine.consume(now, consume(consumer, Rank::default()), sink).ok();
                });
                if taken.is_none() && !queue.is_replicated() {
                    deferred.cancelled.push(consumer.clone());
                }
                deferred
            }
        };
        if !deferred.is_empty() {
            self.carry_out(queue, deferred);
        }
        Some(Ok(()))
    }

    /// Serves consumers again whose client, or its channel, had no room, as long as there is some.
    pub fn serve_stalled(self: &Arc<Self>, outbox: &Outbox, channel: Option<u16>) {
        while let Some(consumer) = outbox.next_stalled(channel) {
            self.unstall(&consumer);
        }
    }

    fn unstall(self: &Arc<Self>, consumer: &Consumer) {
        let Some(queue) = consumer.queue.upgrade() else { return };
        let deferred = {
            let mut state = queue.state.lock();
            if state.machine().is_none() {
                return queue.pass_on(self, &mut state, consumer.key);
            }
            // It is set under this lock, and the consumer may have stalled before that.
            let Some(id) = *consumer.id.lock() else { return };
            let (_, deferred) = queue.run(self, &mut state, |machine, now, sink| machine.unstall(now, id, sink));
            deferred
        };
        if !deferred.is_empty() {
            self.carry_out(&queue, deferred);
        }
    }

    /// Fetches one message, waiting for its body where it is on disk, and for whoever leads.
    ///
    /// # Errors
    /// When the queue's node, or its leader, cannot be reached.
    pub async fn get(self: &Arc<Self>, queue: &Arc<QueueHandle>, no_ack: bool) -> Result<Get, Reply> {
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
                    Some(Answer::Got { arrived, remaining }) => {
                        return Ok(Get::Message {
                            message: arrived.message,
                            slot: arrived.slot,
                            redelivered: arrived.redelivered,
                            delivery_count: arrived.delivery_count,
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

    /// `None` when the machine is not here.
    fn get_here(self: &Arc<Self>, queue: &Arc<QueueHandle>, no_ack: bool) -> Result<Option<Get>, Reply> {
        let (got, deferred) = {
            let mut state = queue.state.lock();
            if state.machine().is_none() {
                return Ok(None);
            }
            if !queue.may_serve(self, &mut state) {
                return Ok(Some(Get::NeedsMark));
            }
            queue.run(self, &mut state, |machine, now, sink| machine.get(now, no_ack, sink))
        };
        if !deferred.is_empty() {
            self.carry_out(queue, deferred);
        }
        got.map(Some).ok_or_else(|| queue.is_away())
    }

    /// Ends the outstanding state of messages. A joint answer waits until a replicated queue has it
    /// committed, or another node has it; what is on this node's disk, [`Broker::synced`] knows.
    pub fn settle(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        slots: impl IntoIterator<Item = Slot>,
        outcome: Outcome,
        joint: Option<&Joint>,
    ) {
        let us = self.nodes.us();
        let claim = joint.map(Joint::claim);
        let deferred = {
            let mut state = queue.state.lock();
            match state.seat {
                Seat::Here(_) => {
                    let settle = |machine: &mut Machine, now, sink: &mut QueueSink<'_>| {
                        machine.settle(now, slots, outcome, sink);
                    };
                    let (done, deferred) = queue.run(self, &mut state, settle);
                    if let (Some(()), Some(claim)) = (done, claim) {
                        claim.answer(ConfirmOutcome::Ack);
                    }
                    deferred
                }
                Seat::Leading(_) => {
                    let batch = state.desk().settle(outcome, slots.into_iter().collect(), claim).clone();
                    queue.settle_leading(self, &mut state, us, batch, false)
                }
                Seat::Elsewhere(_) => {
                    let slots = slots.into_iter().collect();
                    queue.settle_away(self, &mut state, outcome, slots, claim);
                    Deferred::default()
                }
            }
        };
        if !deferred.is_empty() {
            self.carry_out(queue, deferred);
        }
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
                    Ok(Ok(count)) => return Ok(count),
                    // Another leads.
                    Ok(Err(_)) if queue.is_replicated() => continue,
                    _ => return Err(queue.is_away()),
                }
            }
            match queue.ask(self, Ask::Purge).await? {
                Some(Answer::Done(count)) => return Ok(count),
                Some(_) => return Ok(0),
                None if queue.is_deleted() => return Ok(0),
                None => {}
            }
        }
    }

    /// Drops all ready messages where the machine is here.
    fn begin_purge(self: &Arc<Self>, queue: &Arc<QueueHandle>) -> Option<oneshot::Receiver<u64>> {
        let (answer, purged) = oneshot::channel();
        let deferred = {
            let mut state = queue.state.lock();
            state.machine()?;
            queue.purge_here(self, &mut state, Purger::Client(answer))
        };
        if !deferred.is_empty() {
            self.carry_out(queue, deferred);
        }
        Some(purged)
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
                Ok(Some(Answer::Counts {
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

    /// Deletes a queue and says how many messages were ready; a missing one is no error.
    ///
    /// # Errors
    /// When it is in use or not empty and that was to be checked, or when the store failed.
    pub async fn delete_queue(
        self: &Arc<Self>,
        vhost: &str,
        name: &str,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<u64, BrokerError> {
        let Some(queue) = self.vhost(vhost).and_then(|vhost| vhost.queue(name)) else {
            return Ok(0);
        };
        let names = || (queue.spec.vhost.clone(), queue.spec.name.clone());
        let check = |ready, consumers| {
            let (vhost, name) = names();
            if if_empty && ready > 0 {
                return Err(DeclareError::NotEmpty(vhost, name));
            }
            if if_unused && consumers > 0 {
                return Err(DeclareError::InUse(vhost, name));
            }
            Ok(ready)
        };
        // From the moment it was looked at nothing more may come into it.
        let here = queue.read(|machine| {
            let checked = check(machine.ready(), machine.consumer_count() as u64);
            if checked.is_ok() {
                queue.mark_deleted();
            }
            checked
        });
        let ready = match here {
            Some(checked) => checked?,
            // One whose node is away can be deleted, as it is.
            None => match self.count(&queue).await {
                Ok((ready, _, consumers)) => check(ready, consumers)?,
                Err(_) => 0,
            },
        };
        let deleted = self.decide(|catalog| {
            let command = deletion_of(catalog, &queue);
            let is_there = command.is_some();
            Ok::<_, BrokerError>((command, is_there))
        });
        // If it is not there somebody else was faster.
        Ok(if deleted.await? { ready } else { 0 })
    }

    /// A queue's deadline has come.
    pub(super) fn tick_queue(self: &Arc<Self>, queue: &Arc<QueueHandle>) {
        let Some(Tick { expire_queue, overdue }) = queue.with(self, |machine, now, sink| machine.tick(now, sink))
        else {
            return;
        };
        for taker in overdue {
            let timeout = self.consumer_timeout(queue).unwrap_or_default();
            match taker {
                Taker::Client(consumer) => consumer.close_overdue(timeout),
                Taker::Guest(guest) => guest
                    .out
                    .with(|buffer| wire::overdue(buffer, queue.spec.id, guest.key.0, timeout.0)),
            }
        }
        if expire_queue && !queue.is_deleted() {
            self.delete_itself(queue, "it was not used for its time to live");
        }
    }

    /// How long a consumer of the queue may hold a message.
    pub(super) fn consumer_timeout(&self, queue: &QueueHandle) -> Option<Millis> {
        let own = queue.read(|machine| machine.settings().consumer_timeout);
        own.flatten().or(self.config.queues.consumer_timeout)
    }

    /// Nobody waits for this to be on disk: after a crash the queue is there again, unused.
    pub(super) fn delete_itself(self: &Arc<Self>, queue: &Arc<QueueHandle>, why: &str) -> JoinHandle<()> {
        let spec = &queue.spec;
        tracing::debug!(queue = %spec.name, vhost = %spec.vhost, why, "queue deleted");
        queue.mark_deleted();
        let (broker, queue) = (Arc::downgrade(self), queue.clone());
        tasks::spawn("queue deletion", async move {
            let mut is_told = false;
            // It takes no more messages: it must not stay because no majority was there just now.
            while let Some(broker) = broker.upgrade() {
                let deleted = broker.decide(|catalog| Ok::<_, BrokerError>((deletion_of(catalog, &queue), ())));
                let Err(error) = deleted.await else { return };
                if !std::mem::replace(&mut is_told, true) {
                    let spec = &queue.spec;
                    tracing::warn!(queue = %spec.name, vhost = %spec.vhost, %error, "the queue could not be deleted yet");
                }
                if !matches!(error, BrokerError::NoMajority) {
                    return;
                }
                drop(broker);
                tokio::time::sleep(DELETE_AGAIN).await;
            }
        })
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

    /// Whether a message may be handed out now, where the machine is here.
    pub(super) fn may_serve(self: &Arc<Self>, broker: &Arc<Broker>, state: &mut State) -> bool {
        match &mut state.seat {
            Seat::Leading(leading) => leading.may_serve(self, broker),
            Seat::Here(_) => true,
            Seat::Elsewhere(_) => false,
        }
    }
}

/// The command that deletes this very queue, and not another that has taken its name.
fn deletion_of(catalog: &Catalog, queue: &QueueHandle) -> Option<Command> {
    let spec = &queue.spec;
    let known = catalog.vhost(&spec.vhost)?.queue(&spec.name)?;
    (known.id == spec.id).then(|| Command::DeleteQueue {
        vhost: spec.vhost.clone(),
        name: spec.name.clone(),
        id: spec.id,
    })
}
