//! The calls of one connection: those of this node that wait for an answer, and those of the peer
//! that are being answered.
//!
//! Holds: once closed, both are empty and stay so; every call that was waiting has its error.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::task::AbortHandle;

use super::rpc::CallError;

/// Calls of one node that are on the way to another, per connection; more wait with the caller.
pub(super) const MOST_CALLS: usize = 1024;
/// Bytes of their requests.
const MOST_BYTES: usize = 32 * 1024 * 1024;

type Result = std::result::Result<Bytes, CallError>;

/// Calls that this node made.
pub(super) struct Made {
    waiting: Mutex<Option<FxHashMap<u64, oneshot::Sender<Result>>>>,
    next: AtomicU64,
    places: Semaphore,
    bytes: Semaphore,
}

/// One of them. Dropping it forgets the call.
pub(super) struct Waiting<'a> {
    made: &'a Made,
    pub request: u64,
    pub answer: oneshot::Receiver<Result>,
    _place: SemaphorePermit<'a>,
    _bytes: SemaphorePermit<'a>,
}

impl Made {
    pub fn new() -> Self {
        Self {
            waiting: Mutex::new(Some(FxHashMap::default())),
            next: AtomicU64::new(1),
            places: Semaphore::new(MOST_CALLS),
            bytes: Semaphore::new(MOST_BYTES),
        }
    }

    /// A place for a call with a request of so many bytes, once there is one.
    pub async fn begin(&self, bytes: usize) -> std::result::Result<Waiting<'_>, CallError> {
        let broken = |_| CallError::Broken;
        let place = self.places.acquire().await.map_err(broken)?;
        let bytes = bytes.min(MOST_BYTES) as u32;
        let bytes = self.bytes.acquire_many(bytes).await.map_err(broken)?;
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        waiting.as_mut().ok_or(CallError::Broken)?.insert(request, sender);
        Ok(Waiting {
            made: self,
            request,
            answer,
            _place: place,
            _bytes: bytes,
        })
    }

    /// An answer came. One that nobody waits for is dropped.
    pub fn answered(&self, request: u64, result: Result) {
        let sender = self
            .waiting
            .lock()
            .as_mut()
            .and_then(|waiting| waiting.remove(&request));
        if let Some(sender) = sender {
            // Whoever waited may have gone at this moment.
            let _ = sender.send(result);
        }
    }

    /// The connection broke: whoever waits hears it.
    pub fn close(&self) {
        self.places.close();
        self.bytes.close();
        let waiting = self.waiting.lock().take();
        for (_, sender) in waiting.into_iter().flatten() {
            let _ = sender.send(Err(CallError::Broken));
        }
    }
}

impl Waiting<'_> {
    /// Whether the other side may still be at it.
    pub fn is_unanswered(&self) -> bool {
        self.made
            .waiting
            .lock()
            .as_ref()
            .is_some_and(|waiting| waiting.contains_key(&self.request))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.made.waiting.lock().as_mut() {
            waiting.remove(&self.request);
        }
    }
}

/// Calls that the peer made.
#[derive(Default)]
pub(super) struct Served(Mutex<Serving>);

#[derive(Default)]
struct Serving {
    running: FxHashMap<u64, (AbortHandle, usize)>,
    bytes: usize,
    closed: bool,
}

/// Why a call of the peer is not served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NotServed {
    Busy,
    /// The peer counts wrong.
    Twice,
    Closed,
}

impl Served {
    /// Starts serving a call; `start` starts its task. The bound is twice the caller's own, which
    /// gives up a place when a deadline passes and not when we have heard of it.
    pub fn begin(
        self: &Arc<Self>,
        request: u64,
        bytes: usize,
        start: impl FnOnce(Place) -> AbortHandle,
    ) -> std::result::Result<(), NotServed> {
        // Held while the task starts, so that it cannot end before it is noted.
        let mut serving = self.0.lock();
        if serving.closed {
            return Err(NotServed::Closed);
        }
        if serving.running.contains_key(&request) {
            return Err(NotServed::Twice);
        }
        let crowded = serving.running.len() >= 2 * MOST_CALLS;
        if crowded || serving.bytes > 0 && serving.bytes + bytes > 2 * MOST_BYTES {
            return Err(NotServed::Busy);
        }
        let task = start(Place {
            served: self.clone(),
            request,
        });
        serving.running.insert(request, (task, bytes));
        serving.bytes += bytes;
        Ok(())
    }

    /// The caller does not wait any more.
    pub fn cancel(&self, request: u64) {
        let task = self.0.lock().remove(request);
        if let Some(task) = task {
            task.abort();
        }
    }

    pub fn close(&self) {
        let mut serving = self.0.lock();
        serving.closed = true;
        serving.bytes = 0;
        let running = std::mem::take(&mut serving.running);
        drop(serving);
        for (task, _) in running.into_values() {
            task.abort();
        }
    }
}

impl Serving {
    fn remove(&mut self, request: u64) -> Option<AbortHandle> {
        let (task, bytes) = self.running.remove(&request)?;
        self.bytes -= bytes;
        Some(task)
    }
}

/// The place of one call among those being served.
pub(super) struct Place {
    served: Arc<Served>,
    request: u64,
}

impl Place {
    /// Gives the place back; whether the caller still waits.
    pub fn leave(&self) -> bool {
        self.served.0.lock().remove(self.request).is_some()
    }
}
