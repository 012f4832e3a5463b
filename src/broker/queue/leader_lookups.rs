//! Clients of queues of which it is not known who leads, which ask until somebody says so.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::handle::QueueHandle;

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

    /// Those that are there; waits until there are some.
    pub(super) async fn take(&self) -> Vec<Arc<QueueHandle>> {
        loop {
            let waiting = std::mem::take(&mut *self.waiting.lock());
            if !waiting.is_empty() {
                return waiting.iter().filter_map(Weak::upgrade).collect();
            }
            self.more.notified().await;
        }
    }
}
