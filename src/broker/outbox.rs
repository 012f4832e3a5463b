//! What waits to be written to one client, and the delivery side of its channels.
//!
//! Queues encode deliveries straight into the [`Out`] of the consumer's connection while they hold
//! their own lock; the connection's writer task empties it. Lock order: queue → outbox, and never
//! two outboxes at once. A connection beyond [`HIGH_WATER`] gets no more deliveries: its consumers
//! are remembered as stalled, and the writer asks their queues again when it has caught up.

use std::sync::Arc;

use parking_lot::{ArcMutexGuard, Mutex, RawMutex};
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::consumer::Consumer;
use super::runner::QueueHandle;
use crate::channel::{ConfirmOutcome, Confirms, Unacked};
use crate::codec::Output;
use crate::codec::content::write_confirm;
use crate::codec::method::Method;
use crate::queue::Slot;
use crate::types::{ConnectionId, QueueId};

/// Bytes waiting for a client beyond which its consumers get nothing more for now.
pub const HIGH_WATER: usize = 1024 * 1024;
/// Bytes waiting below which stalled consumers are served again.
const LOW_WATER: usize = HIGH_WATER / 2;
/// Bytes waiting for a client beyond which it is not read either: replies and returns are not
/// bounded by credit.
const READ_LIMIT: usize = 4 * HIGH_WATER;

/// The output of one connection, shared by its tasks and the queues its consumers listen to.
pub struct Outbox {
    pub id: ConnectionId,
    out: Arc<Mutex<Out>>,
    /// Wakes the writer: there is output, or the connection ends.
    writer: Arc<Notify>,
    /// Wakes the reader: the client took what waited.
    drained: Notify,
}

/// What the lock of an outbox protects.
pub struct Out {
    pub output: Output,
    /// Largest frame the client accepts, in bytes.
    pub frame_max: u32,
    channels: FxHashMap<u16, ChannelOut>,
    stalled: Vec<Arc<Consumer>>,
    /// Channels with confirms to be sent when the lock is released.
    confirming: Vec<u16>,
    /// The writer was woken and has not looked since.
    signalled: bool,
    /// Nothing is accepted any more; the writer ends when it has written what is there.
    closed: bool,
    writer: Arc<Notify>,
}

/// The delivery side of one channel.
pub struct ChannelOut {
    /// Tells this use of the channel number from earlier ones.
    pub incarnation: u64,
    pub unacked: Unacked<Outstanding>,
    /// Present in confirm mode.
    pub confirms: Option<Confirms>,
    /// Most unsettled deliveries on the whole channel (`basic.qos` with global set).
    pub prefetch: Option<u32>,
    queues: Vec<Arc<QueueHandle>>,
    queue_index: FxHashMap<QueueId, u32>,
}

/// A delivery that waits to be settled.
#[derive(Clone, Copy)]
pub struct Outstanding {
    /// Index into the channel's queues.
    pub queue: u32,
    pub slot: Slot,
    /// Whether a consumer got it (and not `basic.get`): only these count for the prefetch.
    pub consumed: bool,
}

/// A locked outbox. [`OutGuard::finish`] sends the confirms and wakes the writer.
pub struct OutGuard {
    out: ArcMutexGuard<RawMutex, Out>,
    owner: *const Outbox,
}

// The pointer is compared, never followed.
unsafe impl Send for OutGuard {}

impl Outbox {
    /// An outbox without channels.
    pub fn new(id: ConnectionId) -> Self {
        let writer = Arc::new(Notify::new());
        let out = Out {
            output: Output::default(),
            frame_max: 4096,
            channels: FxHashMap::default(),
            stalled: Vec::new(),
            confirming: Vec::new(),
            signalled: false,
            closed: false,
            writer: writer.clone(),
        };
        Self { id, out: Arc::new(Mutex::new(out)), writer, drained: Notify::new() }
    }

    /// Locks it.
    pub fn lock(&self) -> OutGuard {
        OutGuard { out: self.out.lock_arc(), owner: self }
    }

    /// Encodes a method for the client.
    pub fn send(&self, channel: u16, method: &Method) {
        let mut out = self.lock();
        method.encode_frame(channel, out.output.bytes());
        out.finish();
    }

    /// No more output is accepted; the writer ends after what is there.
    pub fn close(&self) {
        self.out.lock().closed = true;
        self.writer.notify_one();
    }

    /// Waits until there is something to write. False when there is nothing left and the outbox is
    /// closed.
    pub async fn ready(&self) -> bool {
        loop {
            {
                let mut out = self.out.lock();
                out.signalled = false;
                if !out.output.is_empty() {
                    return true;
                }
                if out.closed {
                    return false;
                }
            }
            self.writer.notified().await;
        }
    }

    /// Swaps what is to be written with `spare`, which must be empty.
    pub fn take(&self, spare: &mut Output) {
        std::mem::swap(&mut self.out.lock().output, spare);
    }

    /// Called by the writer after a write: the consumers that can go on.
    pub fn written(&self) -> Vec<Arc<Consumer>> {
        let mut out = self.out.lock();
        if out.output.len() >= LOW_WATER {
            return Vec::new();
        }
        let stalled = std::mem::take(&mut out.stalled);
        drop(out);
        self.drained.notify_one();
        stalled
    }

    /// Waits while the client is too far behind for being read.
    pub async fn drained(&self) {
        loop {
            let drained = self.drained.notified();
            {
                let out = self.out.lock();
                if out.closed || out.output.len() < READ_LIMIT {
                    return;
                }
            }
            drained.await;
        }
    }
}

impl OutGuard {
    /// Whether this is the lock of that outbox.
    pub fn is_of(&self, outbox: &Outbox) -> bool {
        std::ptr::eq(self.owner, outbox)
    }

    /// Sends what became known and lets the writer run. Always called before the lock is dropped.
    pub fn finish(mut self) {
        self.out.finish();
    }
}

impl std::ops::Deref for OutGuard {
    type Target = Out;
    fn deref(&self) -> &Out {
        &self.out
    }
}

impl std::ops::DerefMut for OutGuard {
    fn deref_mut(&mut self) -> &mut Out {
        &mut self.out
    }
}

impl Out {
    /// Opens a channel number.
    pub fn open_channel(&mut self, number: u16, incarnation: u64) {
        self.channels.insert(
            number,
            ChannelOut {
                incarnation,
                unacked: Unacked::default(),
                confirms: None,
                prefetch: None,
                queues: Vec::new(),
                queue_index: FxHashMap::default(),
            },
        );
    }

    /// Closes a channel number; what was outstanding is the caller's to give back.
    pub fn close_channel(&mut self, number: u16) -> Option<ChannelOut> {
        self.stalled.retain(|consumer| consumer.channel != number);
        self.channels.remove(&number)
    }

    /// An open channel.
    pub fn channel(&mut self, number: u16) -> Option<&mut ChannelOut> {
        self.channels.get_mut(&number)
    }

    /// The channel in the very use the caller means.
    pub fn channel_as(&mut self, number: u16, incarnation: u64) -> Option<&mut ChannelOut> {
        self.channels.get_mut(&number).filter(|channel| channel.incarnation == incarnation)
    }

    /// Splits the borrow for encoding a delivery: output, largest frame, and the channel.
    pub fn parts(&mut self, number: u16, incarnation: u64) -> Option<(&mut Output, u32, &mut ChannelOut)> {
        let channel = self.channels.get_mut(&number).filter(|channel| channel.incarnation == incarnation)?;
        Some((&mut self.output, self.frame_max, channel))
    }

    /// Whether the consumer may get one more delivery now. If not, it is asked again later.
    pub fn room(&mut self, consumer: &Arc<Consumer>) -> bool {
        if self.closed {
            return false;
        }
        let Some(channel) = self.channels.get(&consumer.channel) else { return false };
        if channel.incarnation != consumer.incarnation {
            return false;
        }
        let full = self.output.len() >= HIGH_WATER
            || (!consumer.no_ack && channel.prefetch.is_some_and(|limit| channel.unacked.len() >= limit as usize));
        if full {
            self.stalled.push(consumer.clone());
        }
        !full
    }

    /// The stalled consumers of a channel whose prefetch has room again.
    pub fn take_stalled(&mut self, number: u16) -> Vec<Arc<Consumer>> {
        if self.stalled.is_empty() || self.output.len() >= HIGH_WATER {
            return Vec::new();
        }
        let (own, others) =
            std::mem::take(&mut self.stalled).into_iter().partition(|consumer| consumer.channel == number);
        self.stalled = others;
        own
    }

    /// One queue answered a publish.
    pub fn confirm(&mut self, channel: u16, incarnation: u64, seq: u64, outcome: ConfirmOutcome) {
        let Some(open) = self.channel_as(channel, incarnation) else { return };
        if let Some(confirms) = &mut open.confirms {
            confirms.settle(seq, outcome);
            self.confirms_changed(channel);
        }
    }

    /// Confirms of that channel are to be flushed when the lock is released.
    pub fn confirms_changed(&mut self, channel: u16) {
        if self.confirming.last() != Some(&channel) {
            self.confirming.push(channel);
        }
    }

    fn finish(&mut self) {
        while let Some(number) = self.confirming.pop() {
            let Some(confirms) = self.channels.get_mut(&number).and_then(|channel| channel.confirms.as_mut()) else {
                continue;
            };
            confirms.flush(|confirm| write_confirm(&mut self.output, number, confirm));
        }
        if !self.output.is_empty() && !self.signalled {
            self.signalled = true;
            self.writer.notify_one();
        }
    }
}

impl ChannelOut {
    /// A small number for the queue on this channel.
    pub fn queue_index(&mut self, queue: &Arc<QueueHandle>) -> u32 {
        *self.queue_index.entry(queue.spec.id).or_insert_with(|| {
            self.queues.push(queue.clone());
            (self.queues.len() - 1) as u32
        })
    }

    /// The queue of that number.
    pub fn queue(&self, index: u32) -> &Arc<QueueHandle> {
        &self.queues[index as usize]
    }

    /// Everything outstanding, grouped by queue, oldest first.
    pub fn outstanding_by_queue(&mut self) -> Vec<(Arc<QueueHandle>, Vec<Slot>)> {
        let mut groups: Vec<Vec<Slot>> = vec![Vec::new(); self.queues.len()];
        // `All` names no tag that could be unknown.
        let _ = self.unacked.settle(crate::channel::Tags::All, |one| groups[one.queue as usize].push(one.slot));
        self.queues.iter().cloned().zip(groups).filter(|(_, slots)| !slots.is_empty()).collect()
    }
}
