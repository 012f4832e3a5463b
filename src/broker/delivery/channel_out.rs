//! The delivery side of one channel: its tags, what of it is not settled, its consumers and confirms.
//!
//! It is locked with the outbox of its connection ([`super::outbox`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::QueueIdentity;
use super::consumer::Consumer;
use super::form::ChannelForm;
use super::leaving::Leaving;
use super::pairs::Pairs;
use crate::channel::{Confirms, Tags, Unacked, UnknownTag};
use crate::queue::Slot;
use crate::statistics::{Measure, Stats};
use crate::types::QueueId;

/// Queues that a channel knows by number before it looks for ones it can forget.
const MANY_QUEUES: usize = 64;

/// The delivery side of one channel.
pub struct ChannelOut<Q, O> {
    /// Tells this use of the channel number from earlier ones.
    pub incarnation: u64,
    /// What the client does on it. Added to under the lock of the outbox only.
    pub stats: Arc<Stats>,
    /// The same by queue and exchange.
    pub pairs: Pairs,
    pub(super) unacked: Unacked<Outstanding>,
    /// Present in confirm mode.
    pub confirms: Option<Confirms>,
    /// A publish that is not answered, by its number, and since when it waits: one is timed at a time.
    pub(super) timed_publish: Option<(u64, Instant)>,
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
    /// How its client hears of what it publishes.
    pub(super) form: Box<dyn ChannelForm>,
    /// By consumer tag.
    pub consumers: FxHashMap<String, Arc<Consumer<Q, O>>>,
    /// While the channel deletes a queue: its consumers there, which hear of it after the answer to the delete.
    pub(super) cancels: Option<Vec<Arc<Consumer<Q, O>>>>,
    queues: Vec<Option<Arc<Q>>>,
    /// Numbers of `queues` that are to be used again.
    free_queues: Vec<u32>,
    pub(super) queue_index: FxHashMap<QueueId, u32>,
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

impl<Q: QueueIdentity, O> ChannelOut<Q, O> {
    /// A channel that has just been opened.
    pub(super) fn new(incarnation: u64, pairs: Pairs, form: Box<dyn ChannelForm>) -> Self {
        Self {
            incarnation,
            form,
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
    pub fn leave(mut self) -> Vec<Leaving<Q, O>> {
        let mut consumers: Vec<Vec<Arc<Consumer<Q, O>>>> = vec![Vec::new(); self.queues.len()];
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
    pub(super) fn has_credit(&self) -> bool {
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
