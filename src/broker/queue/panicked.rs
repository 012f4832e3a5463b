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

use super::handle::QueueHandle;
use super::queues::Queues;
use super::recovery::{entries, mark};
use super::settings::settings_of;
use crate::handover::{Panicked, wire};
use crate::queue::Queue;

/// How many panics, one soon after the other, a queue is made anew after without a pause.
const FORGIVEN: u32 = 3;
/// The pause after one more, which doubles with each.
const PAUSE: Duration = Duration::from_millis(100);
/// How often it doubles at most.
const DOUBLED: u32 = 8;

impl QueueHandle {
    /// The live queue has panicked, and was taken away from the machine, which is locked.
    pub(super) fn on_panic(self: &Arc<Self>, queues: &Arc<Queues>, what: Panicked, times: u32) {
        let (name, vhost) = (&self.spec.name, &self.spec.vhost);
        let (queue, queues) = (self.clone(), queues.clone());
        match what {
            Panicked::Leader => {
                tracing::error!(queue = %name, %vhost, times, "the queue panicked; it is made anew out of its ledger");
                let pause = times
                    .checked_sub(FORGIVEN + 1)
                    .map(|more| PAUSE * (1 << more.min(DOUBLED)));
                queues.runtime.clone().spawn(async move {
                    if let Some(pause) = pause {
                        tokio::time::sleep(pause).await;
                    }
                    queues.leader_lookups.add(&queue);
                    if let Some(above) = queues.above() {
                        above.look_again(queue.spec.id);
                    }
                    queue.changed.notify_waiters();
                });
            }
            Panicked::Transient => {
                tracing::error!(queue = %name, %vhost, times, "the queue panicked; its messages are lost, for it is transient");
            }
            Panicked::Durable => {
                tracing::error!(queue = %name, %vhost, times, "the queue panicked; it is read again from the log");
                self.note_quarantine();
                if times > FORGIVEN {
                    tracing::error!(queue = %name, %vhost, "it stays as it is until the node starts again");
                    return;
                }
                queues.runtime.clone().spawn_blocking(move || queue.mend(&queues));
            }
        }
    }

    /// Makes the machine anew from the log. Blocks.
    fn mend(self: &Arc<Self>, queues: &Arc<Queues>) {
        let (queue, vhost) = (&self.spec.name, &self.spec.vhost);
        let times = self.state.lock().machine.panics();
        let ledger = match queues.store.ledger(self.owner()) {
            Ok(ledger) => ledger,
            Err(error) => {
                tracing::error!(%queue, %vhost, %error, "the queue cannot be read again; it is not served");
                return;
            }
        };
        let settings = settings_of(&queues.catalogue(), &self.spec);
        let now = queues.now();
        let made = catch_unwind(AssertUnwindSafe(|| {
            let mut machine = Queue::recover(
                self.spec.queue_type,
                settings,
                now,
                entries(ledger.entries),
                ledger.next_seq.max(1),
                mark(ledger.mark.as_deref()),
            );
            machine.set_consumer_timeout(now, queues.config.queues.consumer_timeout);
            machine.remade(times)
        }));
        let Ok(machine) = made else {
            tracing::error!(%queue, %vhost, "the queue panicked while it was made anew; it is not served");
            return;
        };
        let messages = machine.ready();
        if self.is_deleted() {
            return;
        }
        self.end_quarantine(Some(machine));
        // Other nodes were not heard meanwhile.
        queues
            .peers
            .tell_all(|buffer| wire::lead(buffer, self.spec.id, 0, true));
        // A policy that came meanwhile was not for a queue that is not served.
        let settings = settings_of(&queues.catalogue(), &self.spec);
        self.with(queues, |machine, now, sink| {
            if machine.settings() != &settings {
                machine.set_settings(now, settings, sink);
            }
        });
        if let Some(deadline) = self.deadline() {
            queues.timers.schedule(self, deadline);
        }
        tracing::info!(%queue, %vhost, messages, "the queue is made anew and served again");
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
