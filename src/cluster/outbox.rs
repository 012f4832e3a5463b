//! The frames that wait for a connection's writer.
//!
//! Many senders append, one writer takes all that is there at once. Small frames lie in one
//! buffer; a large payload is a piece of its own and never copied. Whoever finds the outbox full
//! waits, in order; what waits is therefore bounded in bytes. Holds: after `close` nothing is in
//! it and nothing gets in.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use super::frame::{HEADER, Kind, header};

/// Payloads from this size on are not copied.
const OWN_PIECE: usize = 8 * 1024;
/// Room kept in the buffer of small frames.
const BUFFER: usize = 64 * 1024;

pub(super) struct Outbox {
    pending: Mutex<Pending>,
    /// Wakes the writer.
    pub wake: Notify,
    /// Bytes that may still be queued.
    room: Semaphore,
    capacity: usize,
    /// The writer is to end once all is written.
    finishing: AtomicBool,
}

#[derive(Default)]
struct Pending {
    pieces: Vec<Bytes>,
    small: BytesMut,
    bytes: usize,
    frames: usize,
    /// What of `room` the frames took.
    charged: usize,
    closed: bool,
}

/// What the writer took.
#[derive(Default)]
pub(super) struct Batch {
    pub pieces: Vec<Bytes>,
    pub frames: usize,
    charged: usize,
}

/// A frame to send. `head` goes before the payload and is small.
pub(super) struct Outgoing<'a> {
    pub kind: Kind,
    pub service: u16,
    pub request: u64,
    pub head: &'a [u8],
    pub payload: Bytes,
}

/// Why a frame was not queued.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NotQueued {
    Full,
    Closed,
}

impl Outbox {
    /// An outbox that takes so many bytes, and one frame that is larger when it is empty.
    pub fn with_room(capacity: usize) -> Self {
        Self {
            pending: Mutex::default(),
            wake: Notify::new(),
            room: Semaphore::new(capacity),
            capacity,
            finishing: AtomicBool::new(false),
        }
    }

    /// Queues a frame once there is room for it.
    pub async fn push(&self, frame: Outgoing<'_>) -> Result<(), NotQueued> {
        let cost = self.cost(&frame);
        let room = self.room.acquire_many(cost).await.map_err(|_| NotQueued::Closed)?;
        room.forget();
        self.append(frame, cost)
    }

    /// Queues a frame if there is room for it and nobody waits.
    pub fn try_push(&self, frame: Outgoing<'_>) -> Result<(), NotQueued> {
        let cost = self.cost(&frame);
        let room = self.room.try_acquire_many(cost).map_err(|error| match error {
            tokio::sync::TryAcquireError::Closed => NotQueued::Closed,
            tokio::sync::TryAcquireError::NoPermits => NotQueued::Full,
        })?;
        room.forget();
        self.append(frame, cost)
    }

    fn cost(&self, frame: &Outgoing<'_>) -> u32 {
        let bytes = HEADER + frame.head.len() + frame.payload.len();
        bytes.min(self.capacity) as u32
    }

    fn append(&self, frame: Outgoing<'_>, cost: u32) -> Result<(), NotQueued> {
        let header = header(frame.kind, frame.service, frame.request, &[frame.head, &frame.payload]);
        let mut pending = self.pending.lock();
        if pending.closed {
            return Err(NotQueued::Closed);
        }
        let was_empty = pending.frames == 0;
        pending.small.put_slice(&header);
        pending.small.put_slice(frame.head);
        pending.bytes += header.len() + frame.head.len() + frame.payload.len();
        pending.charged += cost as usize;
        pending.frames += 1;
        if frame.payload.len() < OWN_PIECE {
            pending.small.put_slice(&frame.payload);
        } else {
            let before = pending.small.split().freeze();
            pending.pieces.push(before);
            pending.pieces.push(frame.payload);
        }
        drop(pending);
        if was_empty {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.pending.lock().bytes
    }

    /// All that waits, for the writer. Its room is given back with [`Outbox::written`].
    pub fn take(&self) -> Batch {
        let mut pending = self.pending.lock();
        let mut pieces = std::mem::take(&mut pending.pieces);
        if !pending.small.is_empty() {
            pieces.push(pending.small.split().freeze());
        }
        // Takes the old buffer back when its frames are written, a new one otherwise.
        pending.small.reserve(BUFFER);
        pending.bytes = 0;
        Batch {
            pieces,
            frames: std::mem::take(&mut pending.frames),
            charged: std::mem::take(&mut pending.charged),
        }
    }

    /// A batch is with the kernel.
    pub fn written(&self, batch: &Batch) {
        self.room.add_permits(batch.charged);
    }

    /// The writer is to end the connection once all that waits is written.
    pub fn finish(&self) {
        self.finishing.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub fn is_finishing(&self) -> bool {
        self.finishing.load(Ordering::Acquire)
    }

    /// Nothing is sent any more; whoever waits for room is told.
    pub fn close(&self) {
        let mut pending = self.pending.lock();
        *pending = Pending {
            closed: true,
            ..Pending::default()
        };
        drop(pending);
        self.room.close();
        self.wake.notify_one();
    }
}
