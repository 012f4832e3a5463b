//! Feeds one queue machine: commands in, records to the journal, effects out.
//!
//! A queue is an object behind a mutex. Whoever has a batch for it calls [`QueueHandle::with`];
//! under the lock the machine writes deliveries into the consumers' outboxes and records into the
//! store's pending buffer. What must not happen under the lock (dead-lettering into other queues,
//! reading bodies back) is collected in [`Deferred`] and carried out after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Broker;
use super::consumer::Consumer;
use super::outbox::{OutGuard, Outbox, Outstanding};
use super::stats::QueueCounters;
use crate::channel::ConfirmOutcome;
use crate::queue::{self, ConsumerId, DeathReason, Delivery, Keep, Queue, Slot};
use crate::spec::QueueSpec;
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
    /// The earliest wake-up asked of the timer, in ms since the epoch; `u64::MAX` is none.
    pub scheduled: AtomicU64,
    pub counters: QueueCounters,
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
    pub fetch: Vec<(u64, Loc)>,
    pub cancelled: Vec<Arc<Consumer>>,
}

impl QueueHandle {
    /// Wraps a machine.
    pub fn new(spec: Arc<QueueSpec>, machine: Machine) -> Self {
        Self {
            spec,
            machine: Mutex::new(machine),
            deleted: AtomicBool::new(false),
            scheduled: AtomicU64::new(u64::MAX),
            counters: QueueCounters::default(),
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

    /// Marks it deleted.
    pub fn mark_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    /// Reads the machine.
    pub fn read<R>(&self, f: impl FnOnce(&Machine) -> R) -> R {
        f(&self.machine.lock())
    }

    /// Changes the machine without effects.
    pub fn edit<R>(&self, f: impl FnOnce(&mut Machine) -> R) -> R {
        f(&mut self.machine.lock())
    }

    /// Runs a command on the machine and carries its effects out.
    pub fn with<R>(self: &Arc<Self>, broker: &Broker, f: impl FnOnce(&mut Machine, Timestamp, &mut QueueSink<'_>) -> R) -> R {
        let (result, deferred) = self.with_deferred(broker, f);
        broker.carry_out(self, deferred);
        result
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
        let deadline = machine.deadline();
        drop(machine);
        if let Some(deadline) = deadline {
            broker.timers.schedule(self, deadline);
        }
        (result, deferred)
    }
}

/// Carries out what the machine decides while its lock is held.
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

    fn batch(&mut self) -> &mut store::Batch<'a> {
        let (store, owner) = (self.store, self.queue.owner());
        self.batch.get_or_insert_with(|| store.batch(owner))
    }

    fn finish(mut self) -> Deferred {
        self.release();
        if !self.settled.is_empty() {
            let settled = std::mem::take(&mut self.settled);
            self.batch().remove(&settled);
        }
        // Dropping the batch releases the pending buffer and wakes the log's writer.
        self.batch = None;
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
        let guard = self.outbox(&consumer.outbox);
        let Some((output, frame_max, channel)) = guard.parts(consumer.channel, consumer.incarnation) else { return };
        let tag = if delivery.no_ack {
            channel.unacked.skip()
        } else {
            channel.unacked.push(Outstanding { queue: consumer.queue_index, slot: delivery.slot, consumed: true })
        };
        consumer.template.write(output, tag, delivery.redelivered, delivery.message, frame_max);
    }

    fn confirm(&mut self, publish: ConfirmToken) {
        self.outbox(&publish.outbox).confirm(publish.channel, publish.incarnation, publish.seq, ConfirmOutcome::Ack);
    }

    fn refuse(&mut self, publish: ConfirmToken) {
        self.outbox(&publish.outbox).confirm(publish.channel, publish.incarnation, publish.seq, ConfirmOutcome::Nack);
    }

    fn dead_letter(&mut self, slot: Slot, message: Message, reason: DeathReason) {
        self.deferred.dead_letters.push(DeadLetter { slot, message, reason });
    }

    fn cancel(&mut self, consumer: Arc<Consumer>) {
        self.deferred.cancelled.push(consumer);
    }

    fn store(&mut self, seq: u64, meta: [u8; 24], message: &Message, keep: Keep) -> queue::Loc {
        // The pending buffer is locked for the whole batch, and nobody takes a queue's or an
        // outbox's lock while holding it.
        let (head, [names, large]) = message.stored();
        let keep = match keep {
            Keep::Durable => store::Keep::Durable,
            Keep::Page => store::Keep::Page,
        };
        self.batch().put(seq, meta, &[&head, names, large], keep).0
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

    fn fetch(&mut self, wanted: &[(u64, queue::Loc)]) {
        self.deferred.fetch.extend(wanted.iter().map(|&(seq, loc)| (seq, Loc(loc))));
    }
}
