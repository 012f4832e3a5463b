//! A queue whose machine has panicked. Half of a change may have been made, so it does not serve on.
//!
//! ```text
//! classic     quarantined: nothing runs on it, publishes are refused, consumers cancelled ──log read──→ made anew
//! transient   made anew at once, empty
//! replicated  this node steps down with it, and leads again with a machine out of the ledger
//! ```
//! What the machine recorded before it panicked stays recorded: nothing that was confirmed is lost, and
//! what was delivered and not settled comes back. One that panics again and again is let be: a classic
//! queue stays quarantined until the node starts again, a replicated one is led after ever longer pauses.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::Broker;
use super::catalogue::settings_of;
use super::consumer::Taker;
use super::desk::Desk;
use super::peers::wire;
use super::recovery::{entries, mark};
use super::runner::{Deferred, Machine, QueueHandle, Seat, State, Waiting, answer};
use crate::channel::ConfirmOutcome;
use crate::queue::Queue;
use crate::types::{Millis, Timestamp};

/// Panics within this time of each other belong together.
const TOGETHER: Millis = Millis(60_000);
/// How many of those a queue is made anew after, without a pause.
const FORGIVEN: u32 = 3;
/// The pause after one more, which doubles with each.
const PAUSE: Duration = Duration::from_millis(100);
/// How often it doubles at most.
const DOUBLED: u32 = 8;

/// Panics of a queue's machine that came one soon after the other.
#[derive(Clone, Copy, Default)]
pub struct Falls {
    /// Lately.
    count: u32,
    last: Timestamp,
    /// Since the node started.
    total: u32,
}

impl Falls {
    /// One more. Returns how many there were lately.
    fn note(&mut self, now: Timestamp) -> u32 {
        let is_together = self.count > 0 && now.since(self.last) <= TOGETHER;
        self.count = if is_together { self.count + 1 } else { 1 };
        self.last = now;
        self.total = self.total.wrapping_add(1);
        self.count
    }
}

impl QueueHandle {
    /// The machine, which was here, has panicked: it is taken away, and its clients are told.
    pub(super) fn fall(self: &Arc<Self>, broker: &Arc<Broker>, state: &mut State) -> Deferred {
        let falls = state.falls.note(broker.now());
        let (queue, vhost) = (&self.spec.name, &self.spec.vhost);
        match &mut state.seat {
            Seat::Elsewhere(_) => Deferred::default(),
            Seat::Leading(_) => {
                tracing::error!(%queue, %vhost, falls, "the queue panicked; it is made anew out of its ledger");
                // Who holds what it may not be able to say any more: then that comes back.
                let _ = catch_unwind(AssertUnwindSafe(|| self.leave_seat(state)));
                self.keep_held(state.desk());
                let (queue, broker) = (self.clone(), broker.clone());
                let pause = falls
                    .checked_sub(FORGIVEN + 1)
                    .map(|more| PAUSE * (1 << more.min(DOUBLED)));
                broker.runtime.clone().spawn(async move {
                    if let Some(pause) = pause {
                        tokio::time::sleep(pause).await;
                    }
                    broker.seekers.seek(&queue);
                    broker.replicas.look_again(queue.spec.id);
                    queue.changed.notify_waiters();
                });
                Deferred::default()
            }
            Seat::Here(machine) => {
                let durable = !self.spec.is_transient();
                match durable {
                    true => tracing::error!(%queue, %vhost, falls, "the queue panicked; it is read again from the log"),
                    false => {
                        tracing::error!(%queue, %vhost, falls, "the queue panicked; its messages are lost, for it is transient")
                    }
                }
                let settings = machine.settings().clone();
                let mut fresh = Queue::new(self.spec.queue_type, durable, settings, broker.now());
                fresh.set_consumer_timeout(broker.now(), broker.config.queues.consumer_timeout);
                let broken = std::mem::replace(&mut **machine, fresh.remade(state.falls.total));
                if durable {
                    self.quarantine();
                    match falls <= FORGIVEN {
                        true => {
                            let (queue, broker, times) = (self.clone(), broker.clone(), state.falls.total);
                            broker
                                .runtime
                                .clone()
                                .spawn_blocking(move || queue.mend(&broker, times));
                        }
                        false => tracing::error!(%queue, %vhost, "it stays as it is until the node starts again"),
                    }
                }
                self.tell_fallen(broker, state, broken)
            }
        }
    }

    /// Of what the machine said that clients hold, what they do: it may have meant to hand it out.
    fn keep_held(&self, desk: &mut Desk) {
        let mut held = FxHashSet::default();
        for seated in desk.consumers.values() {
            held.extend(seated.consumer.outbox.lock().held_of(self.spec.id));
        }
        desk.held.retain(|_, one| held.contains(&one.slot));
    }

    /// What waits at a machine that is no more is refused, and its consumers are cancelled.
    fn tell_fallen(&self, broker: &Broker, state: &mut State, mut broken: Machine) -> Deferred {
        let mut deferred = Deferred::default();
        let left = catch_unwind(AssertUnwindSafe(|| broken.abandon()));
        let (consumers, publishes) = left.unwrap_or_default();
        let tokens = publishes.into_iter().filter_map(|waiting| match waiting {
            Waiting::Client(token) => Some(token),
            // Its node is told.
            Waiting::Desk { .. } => None,
        });
        answer(tokens, ConfirmOutcome::Nack);
        for consumer in consumers {
            if let Taker::Client(consumer) = consumer {
                // Another may get the number that it had.
                *consumer.id.lock() = None;
                deferred.cancelled.push(consumer);
            }
        }
        state.gets.clear();
        for (node, _) in state.guests.drain() {
            broker.peers.tell(node, |buffer| wire::not_leader(buffer, self.spec.id));
        }
        deferred
    }

    /// Makes the machine anew from the log. Blocks.
    fn mend(self: &Arc<Self>, broker: &Arc<Broker>, times: u32) {
        let (queue, vhost) = (&self.spec.name, &self.spec.vhost);
        let ledger = match broker.store.ledger(self.owner()) {
            Ok(ledger) => ledger,
            Err(error) => {
                tracing::error!(%queue, %vhost, %error, "the queue cannot be read again; it is not served");
                return;
            }
        };
        let settings = settings_of(&broker.catalog(), &self.spec);
        let now = broker.now();
        let made = catch_unwind(AssertUnwindSafe(|| {
            let mut machine = Queue::recover(
                self.spec.queue_type,
                settings,
                now,
                entries(ledger.entries),
                ledger.next_seq.max(1),
                mark(ledger.mark.as_deref()),
            );
            machine.set_consumer_timeout(now, broker.config.queues.consumer_timeout);
            machine.remade(times)
        }));
        let Ok(machine) = made else {
            tracing::error!(%queue, %vhost, "the queue panicked while it was made anew; it is not served");
            return;
        };
        let messages = machine.ready();
        {
            let mut state = self.state.lock();
            if self.is_deleted() {
                return;
            }
            state.seat = Seat::Here(Box::new(machine));
            self.end_quarantine();
        }
        // Other nodes were not heard meanwhile.
        broker
            .peers
            .tell_all(|buffer| wire::lead(buffer, self.spec.id, 0, true));
        // A policy that came meanwhile was not for a queue that is not served.
        let settings = settings_of(&broker.catalog(), &self.spec);
        self.with(broker, |machine, now, sink| {
            if machine.settings() != &settings {
                machine.set_settings(now, settings, sink);
            }
        });
        if let Some(deadline) = self.deadline() {
            broker.timers.schedule(self, deadline);
        }
        tracing::info!(%queue, %vhost, messages, "the queue is made anew and served again");
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
