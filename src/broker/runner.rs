//! Feeds one queue machine: commands in, records to the journal, effects out.
//!
//! A queue is an object behind a mutex. Whoever has a batch for it calls [`QueueHandle::with`];
//! under the lock the machine writes deliveries into the consumers' outboxes and records into the
//! store's pending buffer. What must not happen under the lock (dead-lettering into other queues,
//! reading bodies back) is collected in [`Deferred`] and carried out after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Broker;
use super::consumer::Consumer;
use super::outbox::{OutGuard, Outbox, Outstanding};
use crate::channel::ConfirmOutcome;
use crate::queue::{self, ConsumerId, DeathReason, Delivery, Keep, META_LEN, Outcome, Publish, Queue, Sink, Slot};
use crate::spec::{QueueSpec, QueueType};
use crate::store::{self, Loc, OwnerId, Store};
use crate::types::{Message, Timestamp};

/// A publisher's claim to a confirm.
pub struct ConfirmToken {
    pub outbox: Arc<Outbox>,
    pub channel: u16,
    pub incarnation: u64,
    pub seq: u64,
}

/// The queue machine with this broker's consumers and confirms.
pub type Machine = Queue<Arc<Consumer>, ConfirmToken>;

/// A live queue on this node.
pub struct QueueHandle {
    pub spec: Arc<QueueSpec>,
    machine: Mutex<Machine>,
    deleted: AtomicBool,
    /// Some of its records are damaged: it is not served, and nothing of it is thrown away.
    quarantined: bool,
    /// The earliest wake-up asked of the timer, in ms since the epoch; `u64::MAX` is none.
    pub scheduled: AtomicU64,
    /// Bodies that were asked for are there.
    pub fetched: Notify,
}

/// A message on its way out of its queue into the dead-letter exchange.
pub struct DeadLetter {
    pub slot: Slot,
    pub message: Message,
    pub reason: DeathReason,
}

/// Effects that are carried out after the queue's lock was released.
#[derive(Default)]
pub struct Deferred {
    pub dead_letters: Vec<DeadLetter>,
    pub fetch: Vec<Vec<(u64, Loc)>>,
    pub cancelled: Vec<Arc<Consumer>>,
    /// Handed to a channel that closed in the same moment.
    pub undelivered: Vec<Slot>,
}

impl Deferred {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.dead_letters.is_empty()
            && self.fetch.is_empty()
            && self.cancelled.is_empty()
            && self.undelivered.is_empty()
    }
}

impl QueueHandle {
    /// Wraps a machine.
    pub fn new(spec: Arc<QueueSpec>, machine: Machine, quarantined: bool) -> Self {
        Self {
            spec,
            machine: Mutex::new(machine),
            deleted: AtomicBool::new(false),
            quarantined,
            scheduled: AtomicU64::new(u64::MAX),
            fetched: Notify::new(),
        }
    }

    /// The owner of this queue's entries in the store.
    pub fn owner(&self) -> OwnerId {
        OwnerId(self.spec.id.0)
    }

    /// Whether the queue was deleted; its machine refuses nothing, so callers look first.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Whether its records are damaged.
    pub fn is_quarantined(&self) -> bool {
        self.quarantined
    }

    /// Marks it deleted.
    pub fn mark_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    /// It could not be deleted after all.
    pub fn mark_kept(&self) {
        self.deleted.store(false, Ordering::Release);
    }

    /// The queue was used, as declaring it again does: its `x-expires` begins anew.
    pub fn touch(&self, now: Timestamp) {
        self.machine.lock().touch_used(now);
    }

    /// When the queue wants a tick. Nothing expires in one that is not served.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadline_of(&self.machine.lock())
    }

    fn deadline_of(&self, machine: &Machine) -> Option<Timestamp> {
        machine.deadline().filter(|_| !self.quarantined && !self.is_deleted())
    }

    /// Reads the machine.
    pub fn read<R>(&self, f: impl FnOnce(&Machine) -> R) -> R {
        f(&self.machine.lock())
    }

    /// Runs a command on the machine and carries its effects out.
    pub fn with<R>(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        f: impl FnOnce(&mut Machine, Timestamp, &mut QueueSink<'_>) -> R,
    ) -> R {
        let (result, deferred) = self.with_deferred(broker, f);
        if !deferred.is_empty() {
            broker.carry_out(self, deferred);
        }
        result
    }

    /// Gives the machine messages. A queue that was deleted meanwhile takes them as RabbitMQ does:
    /// they are gone, and confirmed. One whose records are damaged refuses them.
    pub fn publish(
        self: &Arc<Self>,
        broker: &Broker,
        batch: impl IntoIterator<Item = Publish<ConfirmToken>>,
    ) -> Deferred {
        let ((), deferred) = self.with_deferred(broker, |machine, now, sink| {
            let waiting = |publish: Publish<ConfirmToken>| publish.publish;
            if self.is_deleted() {
                let waiting = batch.into_iter().filter_map(waiting);
                waiting.for_each(|publish| sink.confirm(publish));
            } else if self.quarantined {
                let waiting = batch.into_iter().filter_map(waiting);
                waiting.for_each(|publish| sink.refuse(publish));
            } else {
                machine.publish(now, batch, sink);
            }
        });
        deferred
    }

    /// Runs a command and leaves what must happen outside the lock to the caller.
    pub fn with_deferred<R>(
        self: &Arc<Self>,
        broker: &Broker,
        f: impl FnOnce(&mut Machine, Timestamp, &mut QueueSink<'_>) -> R,
    ) -> (R, Deferred) {
        let now = broker.now();
        let mut machine = self.machine.lock();
        let mut sink = QueueSink {
            queue: self,
            store: &broker.store,
            batch: None,
            guard: None,
            settled: Vec::new(),
            deferred: Deferred::default(),
        };
        let result = f(&mut machine, now, &mut sink);
        let deferred = sink.finish();
        let deadline = self.deadline_of(&machine);
        drop(machine);
        if let Some(deadline) = deadline {
            broker.timers.schedule(self, deadline);
        }
        (result, deferred)
    }
}

/// Carries out what the machine decides while its lock is held.
///
/// The store's log is locked before an outbox, never after: two queues would otherwise wait for
/// each other. So an outbox is let go before the first record of a batch.
pub struct QueueSink<'a> {
    queue: &'a Arc<QueueHandle>,
    store: &'a Store,
    batch: Option<store::Batch<'a>>,
    guard: Option<OutGuard>,
    /// Seqs of stored messages that are gone, joined into inclusive ranges.
    settled: Vec<(u64, u64)>,
    deferred: Deferred,
}

impl<'a> QueueSink<'a> {
    /// The lock of that outbox; the previous one is released if it is another.
    pub fn outbox(&mut self, outbox: &Outbox) -> &mut OutGuard {
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

    fn batch(&mut self) -> &mut store::Batch<'a> {
        if self.batch.is_none() {
            self.release();
        }
        let (store, owner) = (self.store, self.queue.owner());
        self.batch.get_or_insert_with(|| store.batch(owner))
    }

    fn finish(mut self) -> Deferred {
        if !self.settled.is_empty() {
            let settled = std::mem::take(&mut self.settled);
            self.batch().remove(&settled);
        }
        // Dropping the batch releases the log and wakes its writer.
        self.batch = None;
        self.release();
        self.deferred
    }
}

impl queue::Sink for QueueSink<'_> {
    type Consumer = Arc<Consumer>;
    type Publish = ConfirmToken;

    fn room(&mut self, consumer: &Arc<Consumer>) -> bool {
        self.outbox(&consumer.outbox).room(consumer)
    }

    fn deliver(&mut self, consumer: &Arc<Consumer>, _id: ConsumerId, delivery: Delivery<'_>) {
        let counted = with_delivery_count(self.queue, delivery.message, delivery.delivery_count);
        let message = counted.as_ref().unwrap_or(delivery.message);
        let guard = self.outbox(&consumer.outbox);
        let Some((output, frame_max, channel)) = guard.parts(consumer.channel, consumer.incarnation) else {
            if !delivery.no_ack {
                self.deferred.undelivered.push(delivery.slot);
            }
            return;
        };
        let tag = if delivery.no_ack {
            channel.skip()
        } else {
            channel.hold(Outstanding {
                queue: consumer.queue_index,
                slot: delivery.slot,
                consumed: true,
            })
        };
        consumer
            .template
            .write(output, tag, delivery.redelivered, message, frame_max);
    }

    fn confirm(&mut self, publish: ConfirmToken) {
        self.outbox(&publish.outbox)
            .confirm(publish.channel, publish.incarnation, publish.seq, ConfirmOutcome::Ack);
    }

    fn refuse(&mut self, publish: ConfirmToken) {
        self.outbox(&publish.outbox)
            .confirm(publish.channel, publish.incarnation, publish.seq, ConfirmOutcome::Nack);
    }

    fn dead_letter(&mut self, slot: Slot, message: Message, reason: DeathReason) {
        self.deferred.dead_letters.push(DeadLetter { slot, message, reason });
    }

    fn cancel(&mut self, consumer: Arc<Consumer>) {
        self.deferred.cancelled.push(consumer);
    }

    fn store(&mut self, seq: u64, meta: [u8; META_LEN], message: &Message, keep: Keep) -> queue::Loc {
        let (head, [names, large]) = message.stored();
        let keep = match keep {
            Keep::Durable => store::Keep::Durable,
            Keep::Page => store::Keep::Page,
        };
        self.batch().put(seq, meta, &[&head, names, large], keep).to_raw()
    }

    fn settled(&mut self, seq: u64) {
        match self.settled.last_mut() {
            Some((_, end)) if *end + 1 == seq => *end = seq,
            _ => self.settled.push((seq, seq)),
        }
    }

    fn returned(&mut self, seq: u64, count: u32) {
        self.batch().touch(&[(seq, seq)], count);
    }

    fn delivered_up_to(&mut self, mark: u64) {
        self.batch().mark(&mark.to_le_bytes());
    }

    fn unpaged(&mut self, seq: u64, _loc: queue::Loc) {
        self.settled(seq);
    }

    fn fetch(&mut self, wanted: &[(u64, queue::Loc)]) {
        let run = wanted.iter().map(|&(seq, loc)| (seq, Loc::from_raw(loc))).collect();
        self.deferred.fetch.push(run);
    }
}

/// The message with the header that tells how often it was delivered before, on queues that tell
/// (quorum queues); `None` when it goes out as it is.
pub fn with_delivery_count(queue: &QueueHandle, message: &Message, count: u32) -> Option<Message> {
    let tells = queue.spec.queue_type == QueueType::Quorum && count > 0;
    tells.then(|| super::effects::with_delivery_count(message, count))
}

/// Gives messages back that no client holds.
pub(super) fn requeue(queue: &Arc<QueueHandle>, broker: &Arc<Broker>, slots: Vec<Slot>) {
    queue.with(broker, |machine, now, sink| {
        machine.settle(now, slots, Outcome::Requeue, sink)
    });
}
