//! Queues that wait: leaders for their lease, which they have again when they hear a majority, and
//! clients of queues of which it is not known who leads, which ask until somebody says so.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Broker;
use super::runner::{QueueHandle, Seat};

/// How often leaders without a lease look for it.
const LOOK: Duration = Duration::from_millis(50);

/// How often it is asked who leads.
const ASK: Duration = Duration::from_millis(100);

/// Queues that wait.
#[derive(Default)]
pub struct Leases {
    waiting: Mutex<Vec<Weak<QueueHandle>>>,
    more: Notify,
}

/// Queues whose leader is looked for.
#[derive(Default)]
pub struct Seekers {
    seeking: Mutex<Vec<Weak<QueueHandle>>>,
    more: Notify,
}

impl Seekers {
    /// Clients of this node wait for somebody to lead the queue.
    pub fn seek(&self, queue: &Arc<QueueHandle>) {
        if !queue.is_sought.swap(true, Ordering::AcqRel) {
            self.seeking.lock().push(Arc::downgrade(queue));
            self.more.notify_one();
        }
    }
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

    /// Asks who leads the queues whose clients wait for that, until the task is dropped.
    pub async fn run_seekers(self: Arc<Self>) {
        loop {
            let seeking = std::mem::take(&mut *self.seekers.seeking.lock());
            if seeking.is_empty() {
                self.seekers.more.notified().await;
                continue;
            }
            for queue in seeking.iter().filter_map(Weak::upgrade) {
                queue.is_sought.store(false, Ordering::Release);
                if queue.is_lost() {
                    queue.look_for_leader(&self);
                    self.seekers.seek(&queue);
                }
            }
            tokio::time::sleep(ASK).await;
        }
    }
}

impl QueueHandle {
    /// Whether clients of this node wait, and it is not known for whom.
    fn is_lost(&self) -> bool {
        let state = self.state.lock();
        let has_interest = state.desk.as_ref().is_some_and(|desk| desk.has_interest());
        has_interest && !self.is_deleted() && matches!(state.seat, Seat::Elsewhere(None))
    }

    fn go_on(self: &Arc<Self>, broker: &Arc<Broker>) {
        let mut state = self.state.lock();
        if state.machine().is_some() && self.may_serve(broker, &mut state) {
            self.serve_again(broker, state);
        }
    }
}
