//! Wakes queues and delaying exchanges when their next deadline is due.
//!
//! One heap for the node; each is in it at most once per deadline that moved earlier. Stale
//! entries only cause a tick that finds nothing to do; when they may be the most they are thrown
//! out, so that what was deleted or served long before its deadline does not pile up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Broker;
use super::publish::delayed::Held;
use super::queue::handle::QueueHandle;
use crate::types::Timestamp;

/// Entries up to which it is not worth looking for stale ones.
const FEW: usize = 1024;

/// The node's timer.
#[derive(Default)]
pub struct Timers {
    heap: Mutex<Heap>,
    earlier: Notify,
}

#[derive(Default)]
struct Heap {
    due: BinaryHeap<Reverse<Due>>,
    /// Entries that were not stale when that was last looked at.
    living: usize,
}

struct Due {
    at: Timestamp,
    who: Who,
}

enum Who {
    Queue(Weak<QueueHandle>),
    Exchange(Weak<Held>),
}

impl Heap {
    fn push(&mut self, due: Due) {
        if self.due.len() >= 2 * self.living.max(FEW) {
            self.due.retain(|Reverse(due)| due.is_wanted());
            self.living = self.due.len();
        }
        self.due.push(Reverse(due));
    }
}

impl Due {
    /// Whether it is the next one of something that is still there.
    fn is_wanted(&self) -> bool {
        let scheduled = match &self.who {
            Who::Queue(queue) => queue
                .upgrade()
                .filter(|queue| !queue.is_deleted())
                .map(|queue| queue.scheduled.load(Ordering::Acquire)),
            Who::Exchange(held) => held.upgrade().map(|held| held.scheduled.load(Ordering::Acquire)),
        };
        scheduled == Some(self.at.0)
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl Timers {
    /// The queue wants a tick at that time. Cheap when it already asked for that or an earlier one.
    pub fn schedule(&self, queue: &Arc<QueueHandle>, at: Timestamp) {
        self.add(&queue.scheduled, at, || Who::Queue(Arc::downgrade(queue)));
    }

    /// The same for an exchange that holds messages back.
    pub fn schedule_exchange(&self, held: &Arc<Held>, at: Timestamp) {
        self.add(&held.scheduled, at, || Who::Exchange(Arc::downgrade(held)));
    }

    fn add(&self, scheduled: &AtomicU64, at: Timestamp, who: impl FnOnce() -> Who) {
        if scheduled.fetch_min(at.0, Ordering::AcqRel) <= at.0 {
            return;
        }
        let mut heap = self.heap.lock();
        let first = heap.due.peek().is_none_or(|Reverse(due)| at < due.at);
        heap.push(Due { at, who: who() });
        drop(heap);
        if first {
            self.earlier.notify_one();
        }
    }

    /// Ticks until the task is dropped.
    pub(super) async fn run(&self, broker: &Arc<Broker>) {
        loop {
            let next = self.heap.lock().due.peek().map(|Reverse(due)| due.at);
            let now = broker.now();
            match next {
                Some(at) if at <= now => {
                    self.fire(broker, now);
                    // What is due at once again must not keep this thread from the others.
                    tokio::task::yield_now().await;
                }
                Some(at) => {
                    let wait = Duration::from_millis(at.since(now).0.max(1));
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.earlier.notified() => {}
                    }
                }
                None => self.earlier.notified().await,
            }
        }
    }

    fn fire(&self, broker: &Arc<Broker>, now: Timestamp) {
        let mut due = Vec::new();
        {
            let mut heap = self.heap.lock();
            while heap.due.peek().is_some_and(|Reverse(due)| due.at <= now) {
                due.extend(heap.due.pop().map(|Reverse(due)| due.who));
            }
        }
        for who in due {
            match who {
                Who::Queue(queue) => {
                    if let Some(queue) = queue.upgrade() {
                        queue.scheduled.store(u64::MAX, Ordering::Release);
                        if !queue.is_deleted() {
                            broker.tick_queue(&queue);
                        }
                    }
                }
                Who::Exchange(held) => {
                    if let Some(held) = held.upgrade() {
                        held.tick(broker);
                    }
                }
            }
        }
    }
}
