//! Clients of queues of which it is not known who leads, which ask until somebody says so.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::handle::QueueHandle;
use super::queues::Queues;

/// How often it is asked who leads.
const ASK: Duration = Duration::from_millis(100);

/// Queues whose leader is looked for.
#[derive(Default)]
pub struct LeaderLookups {
    waiting: Mutex<Vec<Weak<QueueHandle>>>,
    more: Notify,
}

impl LeaderLookups {
    /// Clients of this node wait for somebody to lead the queue.
    pub fn add(&self, queue: &Arc<QueueHandle>) {
        if !queue.is_looked_up.swap(true, Ordering::AcqRel) {
            self.waiting.lock().push(Arc::downgrade(queue));
            self.more.notify_one();
        }
    }
}

impl Queues {
    /// Asks who leads the queues whose clients wait for that, until the task is dropped.
    pub async fn run_leader_lookups(self: Arc<Self>) {
        loop {
            let waiting = std::mem::take(&mut *self.leader_lookups.waiting.lock());
            if waiting.is_empty() {
                self.leader_lookups.more.notified().await;
                continue;
            }
            for queue in waiting.iter().filter_map(Weak::upgrade) {
                queue.is_looked_up.store(false, Ordering::Release);
                if queue.is_lost() {
                    queue.look_for_leader(&self);
                    self.leader_lookups.add(&queue);
                }
            }
            tokio::time::sleep(ASK).await;
        }
    }
}

impl QueueHandle {
    /// Whether clients of this node wait, and it is not known for whom.
    fn is_lost(&self) -> bool {
        !self.is_deleted() && self.state.lock().machine.is_lost()
    }
}
