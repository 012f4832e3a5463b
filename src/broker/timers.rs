//! Wakes what has a deadline when it is due.
//!
//! One heap for each kind; each thing is in it at most once per deadline that moved earlier. Stale
//! entries only cause a tick that finds nothing to do; when they may be the most they are thrown
//! out, so that what was deleted or served long before its deadline does not pile up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::types::Timestamp;

/// Entries up to which it is not worth looking for stale ones.
const FEW: usize = 1024;

/// What has deadlines.
pub trait Timed {
    /// The earliest wake-up that is asked for, in ms since the epoch; `u64::MAX` is none.
    fn scheduled(&self) -> &AtomicU64;
    /// Nothing of it is due any more.
    fn is_gone(&self) -> bool;
}

/// The node's timer for one kind.
pub struct Timers<T> {
    heap: Mutex<Heap<T>>,
    earlier: Notify,
}

struct Heap<T> {
    due: BinaryHeap<Reverse<Due<T>>>,
    /// Entries that were not stale when that was last looked at.
    living: usize,
}

struct Due<T> {
    at: Timestamp,
    who: Weak<T>,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self {
            heap: Mutex::new(Heap {
                due: BinaryHeap::new(),
                living: 0,
            }),
            earlier: Notify::new(),
        }
    }
}

impl<T: Timed> Heap<T> {
    fn push(&mut self, due: Due<T>) {
        if self.due.len() >= 2 * self.living.max(FEW) {
            self.due.retain(|Reverse(due)| due.is_wanted());
            self.living = self.due.len();
        }
        self.due.push(Reverse(due));
    }
}

impl<T: Timed> Due<T> {
    /// Whether it is the next one of something that is still there.
    fn is_wanted(&self) -> bool {
        let who = self.who.upgrade().filter(|who| !who.is_gone());
        who.is_some_and(|who| who.scheduled().load(Ordering::Acquire) == self.at.0)
    }
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl<T> Eq for Due<T> {}
impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Due<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl<T: Timed> Timers<T> {
    /// It wants a tick at that time. Cheap when it already asked for that or an earlier one.
    pub fn schedule(&self, who: &Arc<T>, at: Timestamp) {
        if who.scheduled().fetch_min(at.0, Ordering::AcqRel) <= at.0 {
            return;
        }
        let mut heap = self.heap.lock();
        let first = heap.due.peek().is_none_or(|Reverse(due)| at < due.at);
        heap.push(Due {
            at,
            who: Arc::downgrade(who),
        });
        drop(heap);
        if first {
            self.earlier.notify_one();
        }
    }

    /// Fires what is due until the task is dropped.
    pub(super) async fn run(&self, now: impl Fn() -> Timestamp, fire: impl Fn(Arc<T>)) {
        loop {
            let next = self.heap.lock().due.peek().map(|Reverse(due)| due.at);
            let now = now();
            match next {
                Some(at) if at <= now => {
                    self.take_due(now).into_iter().for_each(&fire);
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

    /// What is due and still there.
    fn take_due(&self, now: Timestamp) -> Vec<Arc<T>> {
        let mut due = Vec::new();
        let mut heap = self.heap.lock();
        while heap.due.peek().is_some_and(|Reverse(due)| due.at <= now) {
            due.extend(heap.due.pop().and_then(|Reverse(due)| due.who.upgrade()));
        }
        drop(heap);
        for who in &due {
            who.scheduled().store(u64::MAX, Ordering::Release);
        }
        due.retain(|who| !who.is_gone());
        due
    }
}
