//! What waits to be written to one client, and the delivery side of its channels.
//!
//! Queues encode deliveries straight into the [`Out`] of the consumer's connection while they hold
//! their own lock; the connection's writer task empties it. Lock order: queue → outbox, and never
//! two outboxes at once. A connection beyond [`HIGH_WATER`] gets no more deliveries: its consumers
//! are remembered as stalled, and the writer asks their queues again when it has caught up.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use std::time::{Duration, Instant};

use parking_lot::{ArcMutexGuard, Mutex, RawMutex};
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::QueueIdentity;
use super::consumer::Consumer;
use super::leaving::Leaving;
use super::pairs::Pairs;
use crate::channel::{ConfirmOutcome, Confirms, Tags, Unacked, UnknownTag};
use crate::codec::deliver::{write_ack, write_nack};
use crate::codec::method::BasicCancel;
use crate::codec::{Method, Output};
use crate::queue::Slot;
use crate::statistics::{Measure, Scope, Stats};
use crate::types::{ConnectionId, QueueId, Reply, Timestamp};

/// Bytes waiting for a client beyond which its consumers get nothing more for now.
pub const HIGH_WATER: usize = 1024 * 1024;
/// Bytes waiting below which stalled consumers are served again.
const LOW_WATER: usize = HIGH_WATER / 2;
/// Bytes waiting for a client beyond which it is not read either: replies and returns are not
/// bounded by credit.
const READ_LIMIT: usize = 4 * HIGH_WATER;
/// Queues that a channel knows by number before it looks for ones it can forget.
const MANY_QUEUES: usize = 64;

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

/// What the connection's own task is asked to do by others.
#[derive(Debug, Clone)]
pub enum Control {
    /// Close the connection with this.
    Close(Reply),
    /// The socket is broken.
    Gone,
    /// Close the channel with this, if it is still the same one.
    CloseChannel {
        channel: u16,
        incarnation: u64,
        /// The method it is about; zeros where it is about none.
        ids: (u16, u16),
        reply: Reply,
    },
}

/// What the lock of an outbox protects.
pub struct Out<Q> {
    pub output: Output,
    /// Largest frame the client accepts, in bytes.
    pub frame_max: u32,
    channels: FxHashMap<u16, ChannelOut<Q>>,
    /// Those that have waited longest in front.
    stalled: VecDeque<Arc<Consumer<Q>>>,
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

/// The delivery side of one channel.
pub struct ChannelOut<Q> {
    /// Tells this use of the channel number from earlier ones.
    pub incarnation: u64,
    /// What the client does on it. Added to under the lock of the outbox only.
    pub stats: Arc<Stats>,
    /// The same by queue and exchange.
    pub pairs: Pairs,
    unacked: Unacked<Outstanding>,
    /// Present in confirm mode.
    pub confirms: Option<Confirms>,
    /// A publish that is not answered, by its number, and since when it waits: one is timed at a time.
    timed_publish: Option<(u64, Instant)>,
    /// The same of deliveries, by its tag.
    timed_delivery: Option<(u64, Instant)>,
    /// It is settled: of the queue of that index.
    settled_delivery: Option<(u32, Instant)>,
    /// Most unsettled deliveries on the whole channel (`basic.qos` with global set).
    pub prefetch: Option<u32>,
    /// The same of each consumer to come, for those who look at the channel.
    pub consumer_prefetch: Option<u32>,
    /// Present in a transaction.
    pub uncommitted: Option<Arc<Uncommitted>>,
    /// How many of `unacked` consumers got.
    consumed: usize,
    /// By consumer tag.
    pub consumers: FxHashMap<String, Arc<Consumer<Q>>>,
    /// While the channel deletes a queue: the tags of its consumers there, which hear of it after the
    /// answer to the delete.
    cancels: Option<Vec<String>>,
    queues: Vec<Option<Arc<Q>>>,
    /// Numbers of `queues` that are to be used again.
    free_queues: Vec<u32>,
    queue_index: FxHashMap<QueueId, u32>,
}

/// What a channel's transaction holds back, for those who look at the channel.
#[derive(Default)]
pub struct Uncommitted {
    pub messages: AtomicU64,
    /// Settlements, whatever their outcome.
    pub acks: AtomicU64,
}

impl Uncommitted {
    /// The transaction has ended: nothing is held back.
    pub fn clear(&self) {
        self.messages.store(0, Ordering::Relaxed);
        self.acks.store(0, Ordering::Relaxed);
    }
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
            frame_max: 4096,
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

    /// Encodes a method for the client.
    pub fn send(&self, channel: u16, method: &Method) {
        let mut out = self.lock();
        method.encode_frame(channel, out.output.bytes());
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
    pub fn next_stalled(&self, channel: Option<u16>) -> Option<Arc<Consumer<Q>>> {
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
        let can_go_on = |consumer: &Arc<Consumer<Q>>| {
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
    pub fn open_channel(&mut self, number: u16, incarnation: u64, pairs: Pairs) {
        self.channels.insert(number, ChannelOut::new(incarnation, pairs));
    }

    /// Closes a channel number; what was outstanding is the caller's to give back.
    pub fn close_channel(&mut self, number: u16) -> Option<ChannelOut<Q>> {
        self.stalled.retain(|consumer| consumer.channel != number);
        self.channels.remove(&number)
    }

    /// An open channel.
    pub fn channel(&mut self, number: u16) -> Option<&mut ChannelOut<Q>> {
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
    pub fn channel_as(&mut self, number: u16, incarnation: u64) -> Option<&mut ChannelOut<Q>> {
        self.channels
            .get_mut(&number)
            .filter(|channel| channel.incarnation == incarnation)
    }

    /// Splits the borrow for encoding a delivery: output, largest frame, and the channel.
    pub fn parts(&mut self, number: u16, incarnation: u64) -> Option<(&mut Output, u32, &mut ChannelOut<Q>)> {
        let channel = self
            .channels
            .get_mut(&number)
            .filter(|channel| channel.incarnation == incarnation)?;
        Some((&mut self.output, self.frame_max, channel))
    }

    /// Whether the consumer may get one more delivery now. If not, it is asked again later.
    pub fn room(&mut self, consumer: &Arc<Consumer<Q>>) -> bool {
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
    pub fn forget_stalled(&mut self, consumer: &Arc<Consumer<Q>>) {
        self.stalled.retain(|other| !Arc::ptr_eq(other, consumer));
    }

    /// The queue of a consumer is gone: its client hears of it if it wants to.
    pub fn cancel(&mut self, consumer: &Arc<Consumer<Q>>) {
        self.forget_stalled(consumer);
        let Some((output, _, channel)) = self.parts(consumer.channel, consumer.incarnation) else {
            return;
        };
        if channel.consumers.remove(&consumer.tag).is_none() || !consumer.wants_cancel {
            return;
        }
        match &mut channel.cancels {
            Some(later) => later.push(consumer.tag.clone()),
            None => write_cancel(output, consumer.channel, &consumer.tag),
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
        for tag in channel.cancels.take().unwrap_or_default() {
            write_cancel(&mut self.output, number, &tag);
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
            let acked = confirms.flush(|confirm| match confirm.outcome {
                ConfirmOutcome::Ack => write_ack(&mut self.output, number, confirm.seq, confirm.multiple),
                ConfirmOutcome::Nack => write_nack(&mut self.output, number, confirm.seq, confirm.multiple),
            });
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

fn write_cancel(output: &mut Output, channel: u16, tag: &str) {
    let cancel = BasicCancel {
        consumer_tag: tag.to_owned(),
        nowait: true,
    };
    Method::from(cancel).encode_frame(channel, output.bytes());
}

impl<Q: QueueIdentity> ChannelOut<Q> {
    fn new(incarnation: u64, pairs: Pairs) -> Self {
        Self {
            incarnation,
            stats: Arc::new(Stats::of_client()),
            pairs,
            unacked: Unacked::default(),
            confirms: None,
            timed_publish: None,
            timed_delivery: None,
            settled_delivery: None,
            prefetch: None,
            consumer_prefetch: None,
            uncommitted: None,
            consumed: 0,
            consumers: FxHashMap::default(),
            cancels: None,
            queues: Vec::new(),
            free_queues: Vec::new(),
            queue_index: FxHashMap::default(),
        }
    }

    /// Its client gets a message of a queue, or none, in that way.
    pub fn got(&mut self, queue: QueueId, how: Measure, redelivered: bool) {
        self.count(queue, how, 1);
        if redelivered {
            self.count(queue, Measure::Redeliver, 1);
        }
    }

    /// Its client does something with a queue.
    pub fn count(&mut self, queue: QueueId, what: Measure, count: u64) {
        self.stats.add_alone(what, count);
        self.pairs.consume(queue, what, count);
    }

    /// A publish of that number waits for its queues: it is timed if no other is.
    pub fn time_publish(&mut self, seq: u64) {
        let open = self.confirms.as_ref().map_or(0, Confirms::first);
        // One that was answered past its queue would be timed for ever.
        if self.timed_publish.is_none_or(|(timed, _)| timed < open) {
            self.timed_publish = Some((seq, Instant::now()));
        }
    }

    /// How long the client held the delivery that was timed, and the index of its queue, if it was settled since
    /// this was asked last.
    pub fn held_for(&mut self) -> Option<(u32, Duration)> {
        let (queue, since) = self.settled_delivery.take()?;
        Some((queue, since.elapsed()))
    }

    /// The tag of a delivery that needs no settling.
    pub fn skip(&mut self) -> u64 {
        self.unacked.skip()
    }

    /// The tag of a delivery that waits to be settled.
    pub fn hold(&mut self, one: Outstanding) -> u64 {
        self.consumed += usize::from(one.consumed);
        let tag = self.unacked.push(one);
        if self.timed_delivery.is_none() {
            self.timed_delivery = Some((tag, Instant::now()));
        }
        tag
    }

    /// Takes the settled deliveries out with their tags, oldest first.
    ///
    /// # Errors
    /// When the tag is not one of an unsettled delivery.
    pub fn settle(&mut self, tags: Tags, mut each: impl FnMut(u64, Outstanding)) -> Result<(), UnknownTag> {
        let Self {
            consumed,
            timed_delivery,
            settled_delivery,
            ..
        } = self;
        self.unacked.settle(tags, |tag, one| {
            *consumed -= usize::from(one.consumed);
            if let Some((_, since)) = timed_delivery.take_if(|(timed, _)| *timed == tag) {
                *settled_delivery = Some((one.queue, since));
            }
            each(tag, one);
        })
    }

    /// The same in a transaction: the channel's prefetch has room again with the commit only.
    ///
    /// # Errors
    /// As [`ChannelOut::settle`].
    pub fn settle_later(&mut self, tags: Tags, mut each: impl FnMut(u64, Outstanding)) -> Result<(), UnknownTag> {
        let timed_delivery = &mut self.timed_delivery;
        self.unacked.settle(tags, |tag, one| {
            timed_delivery.take_if(|(timed, _)| *timed == tag);
            each(tag, one);
        })
    }

    /// What was taken out to be settled later is settled.
    pub fn settled(&mut self, one: Outstanding) {
        self.consumed -= usize::from(one.consumed);
    }

    /// Makes a delivery unsettled again that was to be settled later.
    pub fn put_back(&mut self, tag: u64, one: Outstanding) {
        self.unacked.put_back(tag, one);
    }

    /// Deliveries that are not settled.
    pub fn unacked(&self) -> usize {
        self.unacked.len()
    }

    /// A small number for the queue on this channel.
    pub fn queue_index(&mut self, queue: &Arc<Q>) -> u32 {
        if let Some(index) = self.queue_index.get(&queue.id()) {
            return *index;
        }
        let many = self.queues.len() >= MANY_QUEUES && self.queues.len().is_power_of_two();
        if many && self.free_queues.is_empty() {
            self.forget_deleted();
        }
        let index = match self.free_queues.pop() {
            Some(index) => {
                self.queues[index as usize] = Some(queue.clone());
                index
            }
            None => {
                self.queues.push(Some(queue.clone()));
                (self.queues.len() - 1) as u32
            }
        };
        self.queue_index.insert(queue.id(), index);
        index
    }

    /// The queue of that number, unless it is deleted and forgotten.
    pub fn queue(&self, index: u32) -> Option<&Arc<Q>> {
        self.queues.get(index as usize)?.as_ref()
    }

    /// Everything outstanding, grouped by queue, oldest first.
    pub fn outstanding_by_queue(&mut self) -> Vec<(Arc<Q>, Vec<Slot>)> {
        let mut groups: Vec<Vec<Slot>> = vec![Vec::new(); self.queues.len()];
        // `All` names no tag that could be unknown.
        let _ = self.settle(Tags::All, |_, one| groups[one.queue as usize].push(one.slot));
        let queues = self.queues.iter().cloned().zip(groups);
        queues
            .filter_map(|(queue, slots)| Some((queue?, slots)))
            .filter(|(_, slots)| !slots.is_empty())
            .collect()
    }

    /// What each queue loses when the channel is closed.
    pub fn leave(mut self) -> Vec<Leaving<Q>> {
        let mut consumers: Vec<Vec<Arc<Consumer<Q>>>> = vec![Vec::new(); self.queues.len()];
        for consumer in std::mem::take(&mut self.consumers).into_values() {
            consumers[consumer.queue_index as usize].push(consumer);
        }
        let mut slots: Vec<Vec<Slot>> = vec![Vec::new(); self.queues.len()];
        // `All` names no tag that could be unknown.
        let _ = self.settle(Tags::All, |_, one| slots[one.queue as usize].push(one.slot));
        let queues = self.queues.into_iter().zip(consumers.into_iter().zip(slots));
        queues
            .filter_map(|(queue, (consumers, slots))| {
                let queue = queue.filter(|_| !(consumers.is_empty() && slots.is_empty()))?;
                Some(Leaving {
                    queue,
                    consumers,
                    slots,
                })
            })
            .collect()
    }

    /// Whether the channel's own prefetch leaves room for one more. Consumers without acks use none of it
    /// up, and are held as long as others have used it up.
    fn has_credit(&self) -> bool {
        self.prefetch.is_none_or(|limit| self.consumed < limit as usize)
    }

    /// Lets go of deleted queues that nothing here refers to.
    fn forget_deleted(&mut self) {
        let mut used = vec![false; self.queues.len()];
        for one in self.unacked.iter() {
            used[one.queue as usize] = true;
        }
        for consumer in self.consumers.values() {
            used[consumer.queue_index as usize] = true;
        }
        for (index, (queue, used)) in (0..).zip(self.queues.iter_mut().zip(used)) {
            if !used && queue.as_ref().is_some_and(|queue| queue.is_deleted()) {
                *queue = None;
                self.free_queues.push(index);
            }
        }
        let queues = &self.queues;
        self.queue_index.retain(|_, index| queues[*index as usize].is_some());
    }
}
