//! Carries out what a queue's machine decides while its lock is held.
//!
//! The store's log is locked before an outbox, never after: two queues would otherwise wait for
//! each other. So an outbox is let go before the first record of a batch, and before the group gets
//! any. What must wait until the lock is free goes into [`Deferred`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::claims::ConfirmToken;
use super::clients::{Consumer, OutGuard, Outbox};
use super::contents::{self, Contents};
use super::deferred::{DeadLetter, Deferred};
use super::delivery_count::with_delivery_count;
use super::handle::{BrokerHandles, Call, QueueHandle};
use super::joint::JointClaim;
use super::probes::Probes;
use super::queues::Queues;
use crate::broker::delivery::channel_out::Outstanding;
use crate::broker::observers::Client;
use crate::channel::ConfirmOutcome;
use crate::cluster::line::Line;
use crate::handover::{CallResult, Effects, Flight, Panicked, RemoteDelivery, Unsynced, Wake};
use crate::journal::raft::{Applied, Group, ProposeError};
use crate::queue::{self, ConsumeError, ConsumerId, DeathReason, Delivery, Dying, Keep, META_LEN, Slot};
use crate::statistics::{Delay, Measure};
use crate::types::{Message, Millis, NodeId, Refusal, Reply};
use crate::{store, tasks};

/// How long a leader that hears no majority waits before it asks again.
const LEASE_AGAIN: Duration = Duration::from_millis(50);

/// See the head of this file.
pub struct QueueSink<'a> {
    queue: &'a Arc<QueueHandle>,
    queues: &'a Arc<Queues>,
    /// Records of this node's disk.
    batch: Option<store::Batch<'a>>,
    /// Seqs of stored messages that are gone, joined into inclusive ranges.
    settled: Vec<(u64, u64)>,
    guard: Option<OutGuard>,
    deferred: Deferred,
    counts: SinkCounts,
    /// When the input came, and messages whose wait is timed.
    at: Instant,
    probes: &'a mut Probes,
}

/// What one input did, counted when it is over.
#[derive(Default)]
struct SinkCounts {
    deliver: u64,
    deliver_no_ack: u64,
    redeliver: u64,
    writes: u64,
}

impl<'a> QueueSink<'a> {
    /// For one input of the queue, whose lock is held.
    pub(super) fn new(
        queue: &'a Arc<QueueHandle>,
        queues: &'a Arc<Queues>,
        at: Instant,
        probes: &'a mut Probes,
    ) -> Self {
        Self {
            queue,
            queues,
            batch: None,
            settled: Vec::new(),
            guard: None,
            deferred: Deferred::default(),
            counts: SinkCounts::default(),
            at,
            probes,
        }
    }

    /// The lock of that outbox; the previous one is released if it is another.
    fn outbox(&mut self, outbox: &Outbox) -> &mut OutGuard {
        if self.guard.as_ref().is_some_and(|guard| !guard.is_of(outbox)) {
            self.release();
        }
        self.guard.get_or_insert_with(|| outbox.lock())
    }

    fn release(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.finish();
        }
    }

    /// What goes to the store.
    fn stored<R>(&mut self, f: impl FnOnce(&mut store::Batch<'_>) -> R) -> R {
        if self.batch.is_none() {
            self.release();
        }
        let (store, owner) = (&self.queues.store, self.queue.owner());
        f(self.batch.get_or_insert_with(|| store.batch(owner)))
    }

    /// All records are with the store, and clients and their writers hear what there is.
    pub(in crate::broker) fn finish(mut self) -> Deferred {
        let settled = std::mem::take(&mut self.settled);
        if !settled.is_empty() {
            self.stored(|batch| batch.remove(&settled));
        }
        self.release();
        // Dropping it releases the log and wakes its writer.
        self.batch = None;
        let counts = &self.counts;
        self.queue.count(Measure::Deliver, counts.deliver);
        self.queue.count(Measure::DeliverNoAck, counts.deliver_no_ack);
        self.queue.count(Measure::Redeliver, counts.redeliver);
        self.queue.count(Measure::DiskWrites, counts.writes);
        self.deferred
    }

    /// Hands a delivery to a client of this node; false when its channel is closed.
    fn hand_over(&mut self, consumer: &Consumer, handed: Handed, message: &Message) -> bool {
        let queue = self.queue;
        if !hand_over(self.outbox(&consumer.outbox), queue, consumer, handed, message) {
            return false;
        }
        if self.queues.observers.is_tracing() {
            self.trace(consumer, handed, message);
        }
        match consumer.no_ack {
            true => self.counts.deliver_no_ack += 1,
            false => self.counts.deliver += 1,
        }
        self.counts.redeliver += u64::from(handed.redelivered);
        true
    }

    /// Copies a delivery for whoever traces the vhost.
    #[cold]
    fn trace(&self, consumer: &Consumer, handed: Handed, message: &Message) {
        self.queue
            .trace_out(self.queues, message, handed.redelivered, || Client {
                connection: consumer.outbox.id,
                channel: consumer.channel,
                user: consumer.user.clone(),
            });
    }

    fn answer_claim(&mut self, claim: ConfirmToken, outcome: ConfirmOutcome) {
        match claim {
            ConfirmToken::DeadLetter(claim) => claim.answer(outcome),
            ConfirmToken::Joint(claim) => claim.answer(outcome),
            ConfirmToken::Channel(claim) => {
                let took = self
                    .outbox(&claim.outbox)
                    .confirm(claim.channel, claim.incarnation, claim.seq, outcome);
                if let Some(took) = took {
                    self.queue.took(Delay::Confirm, took, self.queues.now());
                }
            }
        }
    }

    /// Calls the machine after that time, if the queue is there still.
    fn later(&self, name: &'static str, after: Duration, wake: Wake) {
        let (queue, queues) = (Arc::downgrade(self.queue), Arc::downgrade(self.queues));
        tasks::spawn(name, async move {
            tokio::time::sleep(after).await;
            if let (Some(queue), Some(queues)) = (queue.upgrade(), queues.upgrade()) {
                queue.input(&queues, |machine, now, sink| machine.wake(now, wake, sink));
            }
        });
    }
}

impl queue::Sink for QueueSink<'_> {
    type Consumer = Arc<Consumer>;
    type Publish = ConfirmToken;

    fn room(&mut self, consumer: &Arc<Consumer>) -> bool {
        self.outbox(&consumer.outbox).room(consumer)
    }

    fn deliver(&mut self, consumer: &Arc<Consumer>, _id: ConsumerId, delivery: Delivery<'_>) {
        let handed = Handed {
            slot: delivery.slot,
            redelivered: delivery.redelivered,
            delivery_count: delivery.delivery_count,
        };
        if !self.hand_over(consumer, handed, delivery.message) && !delivery.no_ack {
            self.deferred.undelivered.push(delivery.slot);
        }
    }

    fn confirm(&mut self, publish: ConfirmToken) {
        self.answer_claim(publish, ConfirmOutcome::Ack);
    }

    fn refuse(&mut self, publish: ConfirmToken) {
        self.answer_claim(publish, ConfirmOutcome::Nack);
    }

    fn dead_letter(&mut self, slot: Slot, message: Message, reason: DeathReason) {
        self.deferred.dead_letters.push(DeadLetter { slot, message, reason });
    }

    fn died(&mut self, dying: Dying, reason: DeathReason) {
        self.queues.deaths.count(self.queue.spec.queue_type, dying, reason);
    }

    fn delivery_limit_reached(&mut self) {
        let (queue, vhost) = (&self.queue.spec.name, &self.queue.spec.vhost);
        tracing::warn!(%queue, %vhost, "a message came back more often than the delivery limit allows and is dropped or dead-lettered");
    }

    fn leaves(&mut self, seq: u64) {
        if let Some(came) = self.probes.left(seq) {
            let waited = self.at.saturating_duration_since(came);
            self.queue.took(Delay::Wait, waited, self.queues.now());
        }
    }

    fn cancel(&mut self, consumer: Arc<Consumer>) {
        self.deferred.cancelled.push(consumer);
    }

    fn store(&mut self, seq: u64, meta: [u8; META_LEN], message: &Message, keep: Keep) -> queue::Loc {
        self.counts.writes += 1;
        let (head, [names, large]) = message.stored();
        let keep = match keep {
            Keep::Durable => store::Keep::Durable,
            Keep::Page => store::Keep::Page,
        };
        self.stored(|batch| batch.put(seq, meta, &[&head, names, large], keep).to_raw())
    }

    fn settled(&mut self, seq: u64) {
        match self.settled.last_mut() {
            Some((_, end)) if *end + 1 == seq => *end = seq,
            _ => self.settled.push((seq, seq)),
        }
    }

    fn returned(&mut self, seq: u64, count: u32) {
        self.stored(|batch| batch.touch(&[(seq, seq)], count));
    }

    fn discarded(&mut self, _seq: u64, _count: u32, _reason: DeathReason) {
        debug_assert!(false, "a queue of this node keeps no dead letters");
    }

    fn delivered_up_to(&mut self, mark: u64) {
        self.stored(|batch| batch.mark(&mark.to_le_bytes()));
    }

    fn unpaged(&mut self, seq: u64, _loc: queue::Loc) {
        self.settled(seq);
    }

    fn fetch(&mut self, wanted: &[(u64, queue::Loc)]) {
        self.deferred.fetch.push(wanted.to_vec());
    }
}

impl Effects<BrokerHandles> for QueueSink<'_> {
    fn pass_on(&mut self, consumer: &Arc<Consumer>, delivery: &RemoteDelivery) {
        let handed = Handed {
            slot: delivery.slot,
            redelivered: delivery.redelivered,
            delivery_count: delivery.delivery_count,
        };
        // A channel that is closed gives back all that is held for it.
        self.hand_over(consumer, handed, &delivery.message);
    }

    fn consuming(&mut self, consumer: &Arc<Consumer>) {
        let out = self.outbox(&consumer.outbox);
        if out.channel_as(consumer.channel, consumer.incarnation).is_some() {
            consumer.form.consuming(&mut out.output, &consumer.tag);
        }
    }

    fn overdue(&mut self, consumer: &Arc<Consumer>, timeout: Millis) {
        self.release();
        consumer.close_overdue(timeout);
    }

    fn held_by_client(&mut self, consumer: &Arc<Consumer>) -> Vec<Slot> {
        let id = self.queue.spec.id;
        self.outbox(&consumer.outbox).held_of(id)
    }

    fn committed(&mut self, settlement: JointClaim) {
        settlement.answer(ConfirmOutcome::Ack);
    }

    fn answer(&mut self, call: Call, answer: CallResult) -> bool {
        if let Some(consumer) = &call.consumer
            && !matches!(answer, CallResult::Refused(_) | CallResult::Unreadable)
        {
            self.consuming(consumer);
        }
        call.answer.send(answer).is_ok()
    }

    fn line(&mut self, node: NodeId) -> Option<Arc<Line>> {
        self.queues.peers.get(node)
    }

    fn epoch(&mut self, line: &Arc<Line>) -> Option<u64> {
        line.epoch()
    }

    fn write(&mut self, line: &Arc<Line>, only_in: Option<u64>, frames: impl FnOnce(&mut Vec<u8>)) {
        line.write(only_in, |buffer, ()| frames(buffer));
    }

    fn write_to_all(&mut self, frames: impl Fn(&mut Vec<u8>)) {
        self.queues.peers.tell_all(frames);
    }

    fn unreadable(&mut self) {
        let (queue, vhost) = (&self.queue.spec.name, &self.queue.spec.vhost);
        tracing::error!(%queue, %vhost, "a message of another node is damaged");
    }

    fn refusal(&mut self, error: ConsumeError) -> Reply {
        self.queue.refuses_consumer(error).reply()
    }

    fn holds_lease(&mut self, journal: &Group<Contents>) -> bool {
        journal.holds_lease()
    }

    fn regain_lease(&mut self, journal: &Group<Contents>, incarnation: u64) {
        let group = journal.clone();
        let (queue, queues) = (Arc::downgrade(self.queue), Arc::downgrade(self.queues));
        tasks::spawn("lease", async move {
            while let Err(error) = group.regain_lease().await {
                if error != ProposeError::NoQuorum {
                    return;
                }
                tokio::time::sleep(LEASE_AGAIN).await;
            }
            if let (Some(queue), Some(queues)) = (queue.upgrade(), queues.upgrade()) {
                queue.input(&queues, |machine, now, sink| machine.leased(now, incarnation, sink));
            }
        });
    }

    fn submit(&mut self, journal: &Group<Contents>, term: u64, records: Bytes, flight: Flight) {
        self.release();
        let (queue, queues) = (Arc::downgrade(self.queue), Arc::downgrade(self.queues));
        journal.submit_in(term, records, move |result| {
            let result = result.and_then(|applied| match applied.output {
                contents::Applied::Queue(output) => Ok(Applied {
                    index: applied.index,
                    output,
                }),
                contents::Applied::Stream(_) => Err(ProposeError::Stopped),
            });
            if let (Some(queue), Some(queues)) = (queue.upgrade(), queues.upgrade()) {
                queue.landed(&queues, flight, result);
            }
        });
    }

    fn when_synced(&mut self, unsynced: Unsynced<BrokerHandles>) {
        self.deferred.unsynced.push(unsynced);
    }

    fn wake(&mut self, after: Millis, wake: Wake) {
        self.later("queue wake", Duration::from_millis(after.0), wake);
    }

    fn look_up_leader(&mut self) {
        self.queues.leader_lookups.add(self.queue);
    }

    fn changed(&mut self) {
        self.queue.changed.notify_waiters();
    }

    fn last_consumer_ended(&mut self, asked: Option<(NodeId, u64)>) {
        self.deferred.ended.push(asked);
    }

    fn panicked(&mut self, what: Panicked, times: u32) {
        // What it was about to do with messages the next one does.
        self.deferred.dead_letters.clear();
        self.deferred.fetch.clear();
        self.deferred.undelivered.clear();
        self.queue.on_panic(self.queues, what, times);
    }
}

/// How a message is handed to a client.
#[derive(Clone, Copy)]
struct Handed {
    slot: Slot,
    redelivered: bool,
    delivery_count: u32,
}

/// Writes a delivery for a client; false when its channel is closed.
fn hand_over(out: &mut OutGuard, queue: &QueueHandle, consumer: &Consumer, handed: Handed, message: &Message) -> bool {
    let counted = with_delivery_count(queue, message, handed.delivery_count);
    let message = counted.as_ref().unwrap_or(message);
    let Some((output, channel)) = out.parts(consumer.channel, consumer.incarnation) else {
        return false;
    };
    let how = match consumer.no_ack {
        true => Measure::DeliverNoAck,
        false => Measure::Deliver,
    };
    channel.got(queue.spec.id, how, handed.redelivered);
    let tag = if consumer.no_ack {
        channel.skip()
    } else {
        channel.hold(Outstanding {
            queue: consumer.queue_index,
            slot: handed.slot,
            consumed: true,
        })
    };
    consumer.form.deliver(output, tag, handed.redelivered, message);
    true
}
