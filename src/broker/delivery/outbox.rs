//! What waits to be written to one client.
//!
//! Queues write deliveries straight into the [`Out`] of the consumer's connection while they hold
//! their own lock; the connection's writer task empties it. Lock order: queue → outbox, and never
//! two outboxes at once. A connection beyond [`HIGH_WATER`] gets no more deliveries: its consumers
//! are remembered as stalled, and the writer asks their queues again when it has caught up.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{ArcMutexGuard, Mutex, RawMutex};
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::QueueIdentity;
use super::channel_out::ChannelOut;
use super::consumer::Consumer;
use super::control::Control;
use super::form::ChannelForm;
use super::pairs::Pairs;
use crate::broker::BrokerError;
use crate::channel::ConfirmOutcome;
use crate::queue::Slot;
use crate::statistics::{Measure, Scope, Stats};
use crate::types::{ConnectionId, Message, Millis, Output, QueueId, Refusal, Timestamp};

/// Bytes waiting for a client beyond which its consumers get nothing more for now.
pub const HIGH_WATER: usize = 1024 * 1024;
/// Bytes waiting below which stalled consumers are served again.
const LOW_WATER: usize = HIGH_WATER / 2;
/// Bytes waiting for a client beyond which it is not read either: replies and returns are not
/// bounded by credit.
const READ_LIMIT: usize = 4 * HIGH_WATER;

/// The output of one connection, shared by its tasks and the queues its consumers listen to.
pub struct Outbox<Q> {
    pub id: ConnectionId,
    out: Arc<Mutex<Out<Q>>>,
    /// Wakes the writer: there is output, or the connection ends.
    writer: Arc<Notify>,
    /// Wakes the reader, and whoever has more for the client: it took what waited.
    drained: Notify,
    /// Wakes the reader: see [`Control`].
    controlled: Notify,
    /// When bytes were last written, in ms since the epoch.
    sent_at: AtomicU64,
    /// What is read from the client and written to it.
    pub stats: Stats,
    /// What is counted in its vhost, once that is known.
    scope: OnceLock<Arc<Scope>>,
}

/// A consumer of a client.
pub type Subscriber<Q> = Consumer<Q, Outbox<Q>>;
/// A channel of a client.
pub type OpenChannel<Q> = ChannelOut<Q, Outbox<Q>>;

/// What the lock of an outbox protects.
pub struct Out<Q> {
    pub output: Output,
    channels: FxHashMap<u16, OpenChannel<Q>>,
    /// Those that have waited longest in front.
    stalled: VecDeque<Arc<Subscriber<Q>>>,
    /// Channels with confirms to be sent when the lock is released.
    confirming: Vec<u16>,
    controls: Vec<Control>,
    /// The writer was woken and has not looked since.
    signalled: bool,
    /// Nothing is accepted any more; the writer ends when it has written what is there.
    closed: bool,
    writer: Arc<Notify>,
    /// What is counted in the vhost.
    scope: Option<Arc<Scope>>,
}

/// A locked outbox. [`OutGuard::finish`] sends the confirms and wakes the writer.
pub struct OutGuard<Q> {
    out: ArcMutexGuard<RawMutex, Out<Q>>,
    owner: *const Outbox<Q>,
}

impl<Q: QueueIdentity> Outbox<Q> {
    /// An outbox without channels.
    pub fn new(id: ConnectionId) -> Self {
        let writer = Arc::new(Notify::new());
        let out = Out {
            output: Output::default(),
            channels: FxHashMap::default(),
            stalled: VecDeque::new(),
            confirming: Vec::new(),
            controls: Vec::new(),
            signalled: false,
            closed: false,
            writer: writer.clone(),
            scope: None,
        };
        Self {
            id,
            out: Arc::new(Mutex::new(out)),
            writer,
            drained: Notify::new(),
            controlled: Notify::new(),
            sent_at: AtomicU64::new(0),
            stats: Stats::of_client(),
            scope: OnceLock::new(),
        }
    }

    /// The client is in a vhost: what it does there counts for that too, with the bytes it took to come.
    pub fn count_in(&self, scope: &Arc<Scope>) {
        if self.scope.set(scope.clone()).is_ok() {
            let totals = self.stats.totals();
            for counter in [Measure::RecvOct, Measure::RecvCnt, Measure::SendOct, Measure::SendCnt] {
                scope.add(counter, totals[counter]);
            }
            self.out.lock().scope = Some(scope.clone());
        }
    }

    /// So many bytes were read from the client. Whether the sampler is to be told.
    pub fn received(&self, bytes: usize) -> bool {
        self.count(Measure::RecvOct, Measure::RecvCnt, bytes)
    }

    fn count(&self, bytes: Measure, times: Measure, count: usize) -> bool {
        let count = count as u64;
        self.stats.add(bytes, count);
        self.stats.add(times, 1);
        if let Some(scope) = self.scope.get() {
            scope.add(bytes, count);
            scope.add(times, 1);
        }
        self.stats.touch()
    }

    /// Locks it.
    pub fn lock(&self) -> OutGuard<Q> {
        OutGuard {
            out: self.out.lock_arc(),
            owner: self,
        }
    }

    /// Writes something for the client.
    pub fn write(&self, write: impl FnOnce(&mut Output)) {
        let mut out = self.lock();
        write(&mut out.output);
        out.finish();
    }

    /// So many bytes were written. Whether the sampler is to be told.
    pub fn sent(&self, bytes: usize, at: Timestamp) -> bool {
        self.sent_at.store(at.0, Ordering::Relaxed);
        self.count(Measure::SendOct, Measure::SendCnt, bytes)
    }

    /// When bytes were last written.
    pub fn sent_at(&self) -> Timestamp {
        Timestamp(self.sent_at.load(Ordering::Relaxed))
    }

    /// Asks the connection's task for something.
    pub fn control(&self, control: Control) {
        self.out.lock().controls.push(control);
        self.controlled.notify_one();
    }

    /// Waits until somebody has asked for something.
    pub async fn controlled(&self) -> Vec<Control> {
        loop {
            let asked = self.asked();
            if !asked.is_empty() {
                return asked;
            }
            self.controlled.notified().await;
        }
    }

    /// What somebody has asked for, without waiting.
    pub fn asked(&self) -> Vec<Control> {
        std::mem::take(&mut self.out.lock().controls)
    }

    /// No more output is accepted; the writer ends after what is there.
    pub fn close(&self) {
        self.out.lock().closed = true;
        self.writer.notify_one();
        self.drained.notify_waiters();
    }

    /// Waits until there is something to write. False when there is nothing left and the outbox is
    /// closed.
    pub async fn ready(&self) -> bool {
        loop {
            {
                let mut out = self.out.lock();
                out.signalled = false;
                if !out.output.is_empty() {
                    out.signalled = true;
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

    /// Called by the writer after a write: whether there is room for consumers that had none.
    pub fn written(&self) -> bool {
        let out = self.out.lock();
        if out.output.len() >= LOW_WATER {
            return false;
        }
        let have_stalled = !out.stalled.is_empty();
        drop(out);
        self.drained.notify_waiters();
        have_stalled
    }

    /// Of the consumers that had no room and can go on, of one channel or of all, the one that has waited
    /// longest. One at a time: whoever comes first takes what room there is, and is the last of the
    /// next round.
    pub fn next_stalled(&self, channel: Option<u16>) -> Option<Arc<Subscriber<Q>>> {
        let mut out = self.out.lock();
        let Out {
            output,
            stalled,
            channels,
            ..
        } = &mut *out;
        if stalled.is_empty() || output.len() >= HIGH_WATER {
            return None;
        }
        let can_go_on = |consumer: &Arc<Subscriber<Q>>| {
            channel.is_none_or(|channel| consumer.channel == channel)
                && channels.get(&consumer.channel).is_none_or(ChannelOut::has_credit)
        };
        let at = stalled.iter().position(can_go_on)?;
        stalled.remove(at)
    }

    /// Waits while the client is too far behind for being read.
    pub async fn drained(&self) {
        self.below(READ_LIMIT).await;
    }

    /// Waits while the client has enough to take, and says whether it takes anything any more.
    pub async fn has_room(&self) -> bool {
        self.below(HIGH_WATER).await;
        !self.out.lock().closed
    }

    async fn below(&self, limit: usize) {
        loop {
            let drained = self.drained.notified();
            {
                let out = self.out.lock();
                if out.closed || out.output.len() < limit {
                    return;
                }
            }
            drained.await;
        }
    }

    /// Whether the client is too far behind for being read.
    pub fn is_behind(&self) -> bool {
        self.out.lock().output.len() >= READ_LIMIT
    }
}

impl<Q: QueueIdentity> OutGuard<Q> {
    /// Whether this is the lock of that outbox.
    pub fn is_of(&self, outbox: &Outbox<Q>) -> bool {
        std::ptr::eq(self.owner, outbox)
    }

    /// Sends what became known and lets the writer run. Always called before the lock is dropped.
    pub fn finish(mut self) {
        self.out.finish();
    }
}

impl<Q> std::ops::Deref for OutGuard<Q> {
    type Target = Out<Q>;
    fn deref(&self) -> &Out<Q> {
        &self.out
    }
}

impl<Q> std::ops::DerefMut for OutGuard<Q> {
    fn deref_mut(&mut self) -> &mut Out<Q> {
        &mut self.out
    }
}

impl<Q: QueueIdentity> Out<Q> {
    /// Opens a channel number.
    pub fn open_channel(&mut self, number: u16, incarnation: u64, pairs: Pairs, form: Box<dyn ChannelForm>) {
        self.channels.insert(number, ChannelOut::new(incarnation, pairs, form));
    }

    /// Closes a channel number; what was outstanding is the caller's to give back.
    pub fn close_channel(&mut self, number: u16) -> Option<OpenChannel<Q>> {
        self.stalled.retain(|consumer| consumer.channel != number);
        self.channels.remove(&number)
    }

    /// An open channel.
    pub fn channel(&mut self, number: u16) -> Option<&mut OpenChannel<Q>> {
        self.channels.get_mut(&number)
    }

    /// Notes down what was counted of its channels by the end of that second. Whether anything is new.
    pub fn sample(&self, second: u64) -> bool {
        let channels = self.channels.values();
        channels.fold(false, |changed, channel| {
            channel.stats.sample(second) | channel.pairs.sample(second) | changed
        })
    }

    /// The numbers of the open channels.
    pub fn channel_numbers(&self) -> Vec<u16> {
        self.channels.keys().copied().collect()
    }

    /// What the client holds of a queue.
    pub fn held_of(&self, queue: QueueId) -> Vec<Slot> {
        let mut held = Vec::new();
        for channel in self.channels.values() {
            if let Some(index) = channel.queue_index.get(&queue) {
                let of_queue = channel.unacked.iter().filter(|one| one.queue == *index);
                held.extend(of_queue.map(|one| one.slot));
            }
        }
        held
    }

    /// The channel in the very use the caller means.
    pub fn channel_as(&mut self, number: u16, incarnation: u64) -> Option<&mut OpenChannel<Q>> {
        self.channels
            .get_mut(&number)
            .filter(|channel| channel.incarnation == incarnation)
    }

    /// Splits the borrow for encoding a delivery: output, largest frame, and the channel.
    pub fn parts(&mut self, number: u16, incarnation: u64) -> Option<(&mut Output, &mut OpenChannel<Q>)> {
        let channel = self
            .channels
            .get_mut(&number)
            .filter(|channel| channel.incarnation == incarnation)?;
        Some((&mut self.output, channel))
    }

    /// Whether the consumer may get one more delivery now. If not, it is asked again later.
    pub fn room(&mut self, consumer: &Arc<Subscriber<Q>>) -> bool {
        if self.closed {
            return false;
        }
        let Some(channel) = self.channels.get(&consumer.channel) else {
            return false;
        };
        if channel.incarnation != consumer.incarnation {
            return false;
        }
        let room = self.output.len() < HIGH_WATER && channel.has_credit();
        if !room {
            self.stalled.push_back(consumer.clone());
        }
        room
    }

    /// Nobody needs to ask for this consumer any more.
    pub fn forget_stalled(&mut self, consumer: &Arc<Subscriber<Q>>) {
        self.stalled.retain(|other| !Arc::ptr_eq(other, consumer));
    }

    /// A message of that channel comes back to its publisher.
    pub fn give_back(&mut self, number: u16, message: &Message) {
        if let Some(channel) = self.channels.get(&number) {
            channel.form.returned(&mut self.output, message);
        }
    }

    /// The queue of a consumer is gone: its client hears of it if it wants to.
    pub fn cancel(&mut self, consumer: &Arc<Subscriber<Q>>) {
        self.forget_stalled(consumer);
        let Some((output, channel)) = self.parts(consumer.channel, consumer.incarnation) else {
            return;
        };
        if channel.consumers.remove(&consumer.tag).is_none() || !consumer.wants_cancel {
            return;
        }
        match &mut channel.cancels {
            Some(later) => later.push(consumer.clone()),
            None => consumer.form.cancelled(output, &consumer.tag),
        }
    }

    /// The channel deletes a queue: consumers that it has there hear nothing before the answer to that.
    pub fn hold_cancels(&mut self, number: u16) {
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.cancels = Some(Vec::new());
        }
    }

    /// The delete is answered.
    pub fn send_cancels(&mut self, number: u16) {
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        for consumer in channel.cancels.take().unwrap_or_default() {
            consumer.form.cancelled(&mut self.output, &consumer.tag);
        }
    }

    /// One queue answered a publish. How long it took, if that was timed.
    pub fn confirm(&mut self, channel: u16, incarnation: u64, seq: u64, outcome: ConfirmOutcome) -> Option<Duration> {
        let open = self.channel_as(channel, incarnation)?;
        let timed = open.timed_publish.take_if(|(timed, _)| *timed == seq);
        if let Some(confirms) = &mut open.confirms {
            confirms.settle(seq, outcome);
            self.confirms_changed(channel);
        }
        timed.map(|(_, since)| since.elapsed())
    }

    /// Confirms of that channel are to be flushed when the lock is released.
    pub fn confirms_changed(&mut self, channel: u16) {
        if self.confirming.last() != Some(&channel) {
            self.confirming.push(channel);
        }
    }

    fn finish(&mut self) {
        while let Some(number) = self.confirming.pop() {
            let Some(channel) = self.channels.get_mut(&number) else {
                continue;
            };
            let Some(confirms) = &mut channel.confirms else {
                continue;
            };
            let form = &channel.form;
            let acked = confirms.flush(|confirm| form.confirm(&mut self.output, confirm));
            if acked > 0 {
                channel.stats.add_alone(Measure::Confirm, acked);
                if let Some(scope) = &self.scope {
                    scope.add(Measure::Confirm, acked);
                }
            }
        }
        if !self.output.is_empty() && !self.signalled {
            self.signalled = true;
            self.writer.notify_one();
        }
    }
}

impl<Q: QueueIdentity> Consumer<Q, Outbox<Q>> {
    /// Its client has held a message for too long: the channel is closed.
    pub fn close_overdue(&self, timeout: Millis) {
        let channel = self.channel;
        self.outbox.control(Control::CloseChannel {
            channel,
            incarnation: self.incarnation,
            ids: (0, 0),
            reply: BrokerError::Overdue { channel, timeout }.reply(),
        });
    }
}
