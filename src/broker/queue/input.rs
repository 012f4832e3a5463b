//! Inputs of a queue, given to its machine under the lock.
//!
//! Whoever has an input for the queue calls [`QueueHandle::input`], or [`QueueHandle::with`] for a
//! command to the live queue; under the lock the machine writes deliveries into the consumers'
//! outboxes and records into the store's pending buffer or to the group. What must not happen under
//! the lock (dead-lettering into other queues, reading bodies back) is collected in [`Deferred`] and
//! carried out after it.

use std::sync::Arc;
use std::time::Instant;

use super::claims::{ConfirmToken, InHand, answer, answer_all};
use super::deferred::Deferred;
use super::handle::{BrokerHandles, LiveQueue, QueueHandle, State};
use super::queues::Queues;
use super::sink::QueueSink;
use crate::broker::observers::{Client, Direction};
use crate::channel::ConfirmOutcome;
use crate::handover::{ClusteredQueue, Output};
use crate::queue::Publish;
use crate::types::{Message, Timestamp};

/// What a command to the live queue pushes its effects into.
pub type QueueOutput<'a, 'b> = Output<'a, BrokerHandles, QueueSink<'b>>;

impl QueueHandle {
    /// Gives the machine an input. What must happen outside the lock is left to the caller.
    pub(in crate::broker) fn input_deferred<R>(
        self: &Arc<Self>,
        queues: &Arc<Queues>,
        f: impl FnOnce(&mut ClusteredQueue<BrokerHandles>, Timestamp, &mut QueueSink<'_>) -> R,
    ) -> (R, Deferred) {
        let mut state = self.state.lock();
        self.input_to(queues, &mut state, f)
    }

    /// The same under the lock.
    pub(super) fn input_to<R>(
        self: &Arc<Self>,
        queues: &Arc<Queues>,
        state: &mut State,
        f: impl FnOnce(&mut ClusteredQueue<BrokerHandles>, Timestamp, &mut QueueSink<'_>) -> R,
    ) -> (R, Deferred) {
        let at = Instant::now();
        let State {
            machine,
            probes,
            capacity,
            ..
        } = state;
        // The first that comes with this input is timed.
        let next = machine.queue().map(|queue| queue.next_seq());
        if let Some(seq) = next {
            probes.came(seq, at);
        }
        let mut sink = QueueSink::new(self, queues, at, probes);
        let result = f(machine, queues.clock.at(at), &mut sink);
        let deferred = sink.finish();
        match (next, machine.queue()) {
            (Some(seq), Some(queue)) => {
                if queue.next_seq() == seq {
                    probes.did_not_come(seq);
                }
                capacity.note(queue.ready() > 0 && queue.consumer_count() > 0, at);
            }
            _ => probes.clear(),
        }
        queues.moves(self);
        if let Some(deadline) = self.deadline_of(state) {
            queues.timers.schedule(self, deadline);
        }
        (result, deferred)
    }

    /// Gives the machine an input, and carries out what follows from it.
    pub(in crate::broker) fn input<R>(
        self: &Arc<Self>,
        queues: &Arc<Queues>,
        f: impl FnOnce(&mut ClusteredQueue<BrokerHandles>, Timestamp, &mut QueueSink<'_>) -> R,
    ) -> R {
        let (result, deferred) = self.input_deferred(queues, f);
        if !deferred.is_empty() {
            queues.carry_out(self, deferred);
        }
        result
    }

    /// Runs a command on the live queue and carries its effects out. `None` when it is not here, or not
    /// served.
    pub fn with<R>(
        self: &Arc<Self>,
        queues: &Arc<Queues>,
        f: impl FnOnce(&mut LiveQueue, Timestamp, &mut QueueOutput<'_, '_>) -> R,
    ) -> Option<R> {
        self.input(queues, |machine, now, sink| machine.run(now, sink, f))
    }

    /// The same, and leaves what must happen outside the lock to the caller.
    pub fn with_deferred<R>(
        self: &Arc<Self>,
        queues: &Arc<Queues>,
        f: impl FnOnce(&mut LiveQueue, Timestamp, &mut QueueOutput<'_, '_>) -> R,
    ) -> (Option<R>, Deferred) {
        self.input_deferred(queues, |machine, now, sink| machine.run(now, sink, f))
    }

    /// Gives the queue messages, wherever it is. One that was deleted meanwhile takes them as
    /// RabbitMQ does: they are gone, and confirmed. One whose records are damaged, or whose node is
    /// away, refuses them.
    pub fn publish(self: &Arc<Self>, queues: &Arc<Queues>, batch: impl IntoIterator<Item = Publish<ConfirmToken>>) {
        let deferred = self.publish_deferred(queues, batch);
        if !deferred.is_empty() {
            queues.carry_out(self, deferred);
        }
    }

    /// The same, and leaves what must happen outside the lock to the caller.
    pub fn publish_deferred(
        self: &Arc<Self>,
        queues: &Arc<Queues>,
        batch: impl IntoIterator<Item = Publish<ConfirmToken>>,
    ) -> Deferred {
        if let Some(stream) = queues.streams.of(self).filter(|_| !self.is_deleted()) {
            queues.moves(self);
            stream.publish(queues, self, batch);
            return Deferred::default();
        }
        let mut state = self.state.lock();
        if self.is_deleted() {
            answer_all(batch, ConfirmOutcome::Ack);
            return Deferred::default();
        }
        if self.is_quarantined() {
            answer_all(batch, ConfirmOutcome::Nack);
            return Deferred::default();
        }
        if !state.machine.is_only_here() {
            let publish = self.input_to(queues, &mut state, |machine, now, sink| {
                machine.publish(now, batch, sink)
            });
            return publish.1;
        }
        let mut batch = batch.into_iter();
        let mut in_hand = InHand::default();
        let noted = batch.by_ref().inspect(|publish| in_hand.note(publish));
        let (taken, deferred) = self.input_to(queues, &mut state, |machine, now, sink| {
            machine.publish(now, noted, sink)
        });
        if !taken {
            answer(in_hand.claim(), ConfirmOutcome::Nack);
            answer_all(batch, ConfirmOutcome::Nack);
        }
        deferred
    }

    /// Copies a message that a client gets, if the vhost is traced.
    pub fn trace_out(&self, queues: &Queues, message: &Message, redelivered: bool, client: impl FnOnce() -> Client) {
        queues.observers.message(&self.spec.vhost, message, || {
            let queue = self.spec.name.clone();
            (Direction::Out { queue, redelivered }, client())
        });
    }
}
