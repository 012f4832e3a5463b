//! Leaders that wait for their lease: they go on as soon as they hear a majority again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Broker;
use super::runner::QueueHandle;

/// How often leaders without a lease look for it.
const LOOK: Duration = Duration::from_millis(50);

/// Queues that wait.
#[derive(Default)]
pub struct Leases {
    waiting: Mutex<Vec<Weak<QueueHandle>>>,
    more: Notify,
}

impl Leases {
    /// A queue did not deliver for want of its lease.
    pub fn watch(&self, queue: &Arc<QueueHandle>) {
        self.waiting.lock().push(Arc::downgrade(queue));
        self.more.notify_one();
    }
}

impl Broker {
    /// Lets leaders go on that have their lease again, until the task is dropped.
    pub async fn run_leases(self: Arc<Self>) {
        loop {
            self.leases.more.notified().await;
            tokio::time::sleep(LOOK).await;
            let waiting = std::mem::take(&mut *self.leases.waiting.lock());
            for queue in waiting.iter().filter_map(Weak::upgrade) {
                // Those that still lack it ask to be looked at again.
                queue.go_on(&self);
            }
        }
    }
}

impl QueueHandle {
    fn go_on(self: &Arc<Self>, broker: &Arc<Broker>) {
        let deferred = {
            let mut state = self.state.lock();
            if state.machine().is_none() || !self.may_serve(broker, &mut state) {
                return;
            }
            let ((), deferred) = self.run(broker, &mut state, |machine, now, sink| machine.unstall_all(now, sink));
            deferred
        };
        self.changed.notify_waiters();
        self.serve_calls(broker);
        if !deferred.is_empty() {
            broker.carry_out(self, deferred);
        }
    }
}
