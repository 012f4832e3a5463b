//! What this node knows of one stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::leadership::Leading;
use super::outgoing::Outgoing;
use super::reader::Reading;
use super::retention_of;
use crate::broker::delivery::streaming::SubscriptionCounts;
use crate::broker::queue::contents::{Contents, Tail};
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::queues::Queues;
use crate::handover::ConsumerKey;
use crate::journal::raft::Group;
use crate::spec::QueueSettings;
use crate::stream::filter::DEFAULT_BYTES;
use crate::stream::{Bounds, Retention};
use crate::types::{ConnectionId, NodeId, QueueId, Timestamp};

/// See the head of this file.
pub struct LiveStream {
    pub id: QueueId,
    /// Of the member on this node, if it has one.
    pub tail: Arc<Tail>,
    retention: Mutex<Retention>,
    filter_bytes: AtomicU8,
    /// Where this node leads it.
    pub(super) leading: Mutex<Option<Leading>>,
    /// The node that was said to lead it last; 0 for none.
    leader: AtomicU64,
    /// What this node's clients have published.
    pub(super) outgoing: Mutex<Outgoing>,
    /// There is more of that.
    pub(super) more: Notify,
    pub(super) readers: Mutex<FxHashMap<ConsumerKey, Arc<Reading>>>,
    /// That something of the member here cannot be read was told.
    pub(super) is_told_unreadable: AtomicBool,
    /// Subscriptions of this node's clients over the stream protocol.
    subscribed: Mutex<FxHashMap<(ConnectionId, u8), Arc<SubscriptionCounts>>>,
    ended: AtomicBool,
    /// It is deleted.
    pub(super) end: Notify,
    /// What was sampled last: twice the offset that came next, and one where it was led here.
    sampled: AtomicU64,
}

impl LiveStream {
    pub(super) fn new(id: QueueId, tail: Arc<Tail>, settings: &QueueSettings) -> Self {
        let filter_bytes = settings.filter_bytes.unwrap_or(DEFAULT_BYTES);
        Self {
            id,
            tail,
            retention: Mutex::new(retention_of(settings)),
            filter_bytes: AtomicU8::new(filter_bytes),
            leading: Mutex::default(),
            leader: AtomicU64::new(0),
            outgoing: Mutex::new(Outgoing::new(rand::random(), filter_bytes)),
            more: Notify::new(),
            readers: Mutex::default(),
            is_told_unreadable: AtomicBool::new(false),
            subscribed: Mutex::default(),
            ended: AtomicBool::new(false),
            end: Notify::new(),
            sampled: AtomicU64::new(0),
        }
    }

    /// What is kept of it.
    pub fn retention(&self) -> Retention {
        *self.retention.lock()
    }

    pub(super) fn filter_bytes(&self) -> u8 {
        self.filter_bytes.load(Ordering::Relaxed)
    }

    /// It goes by something else.
    pub(in crate::broker) fn set_settings(&self, queue: &QueueHandle, settings: &QueueSettings) {
        let retention = retention_of(settings);
        *self.retention.lock() = retention;
        self.filter_bytes
            .store(settings.filter_bytes.unwrap_or(DEFAULT_BYTES), Ordering::Relaxed);
        if let Some(group) = replica(queue) {
            group.tend(|contents| {
                if let Some(log) = contents.log_mut() {
                    log.set_retention(retention);
                }
            });
        }
    }

    /// Drops what is too old or too much of the member here.
    pub(in crate::broker) fn retain(&self, group: &Group<Contents>, now: Timestamp) {
        // Whether there is anything to do is seen without holding up what is applied.
        let is_due = group.machine().log().is_some_and(|log| log.is_due(now));
        if is_due {
            group.tend(|contents| contents.log_mut().map(|log| log.retain(now)));
            self.sampled.store(u64::MAX, Ordering::Relaxed);
        }
    }

    /// Offsets of the member here; `None` where this node has none.
    pub fn bounds(&self, queue: &QueueHandle) -> Option<Bounds> {
        replica(queue)?.machine().log().map(crate::stream::Log::bounds)
    }

    /// Whether its length here, or where it is led, is another than when this was asked last.
    pub(in crate::broker) fn has_moved(&self) -> bool {
        let now = (self.tail.next() << 1) | u64::from(self.is_led_here());
        self.sampled.swap(now, Ordering::Relaxed) != now
    }

    /// A client of this node subscribes over the stream protocol.
    pub fn subscribe(&self, subscription: Arc<SubscriptionCounts>) {
        let key = (subscription.connection, subscription.id);
        self.subscribed.lock().insert(key, subscription);
    }

    /// It does not any more.
    pub fn unsubscribe(&self, subscription: &SubscriptionCounts) {
        self.subscribed
            .lock()
            .remove(&(subscription.connection, subscription.id));
    }

    /// Those that do.
    pub fn subscriptions(&self) -> Vec<Arc<SubscriptionCounts>> {
        self.subscribed.lock().values().cloned().collect()
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// It is deleted: its consumers are cancelled, and what was published to it is gone, and confirmed.
    pub(in crate::broker) fn delete(&self) {
        self.ended.store(true, Ordering::Release);
        *self.leading.lock() = None;
        let readers = std::mem::take(&mut *self.readers.lock());
        for reading in readers.into_values() {
            reading.stop();
            let mut out = reading.consumer.outbox.lock();
            out.cancel(&reading.consumer);
            out.finish();
        }
        self.drop_outgoing();
        self.end.notify_waiters();
        self.more.notify_one();
    }

    /// Who leads, as far as it is known.
    pub(super) fn leader(&self) -> Option<NodeId> {
        match self.leader.load(Ordering::Relaxed) {
            0 => None,
            node => Some(NodeId(node)),
        }
    }

    pub(super) fn set_leader(&self, leader: Option<NodeId>) {
        self.leader.store(leader.map_or(0, |node| node.0), Ordering::Relaxed);
    }

    /// The node to write to, or to ask.
    pub(super) fn leader_of(&self, queues: &Queues, queue: &QueueHandle) -> Option<NodeId> {
        let known = replica(queue).and_then(|group| group.leadership().leader);
        let told = || self.leader().filter(|node| queues.nodes.is_alive(*node));
        let any = || {
            let members = queue.member_nodes();
            members.into_iter().find(|node| queues.nodes.is_alive(*node))
        };
        known.or_else(told).or_else(any)
    }
}

/// The member on this node.
pub(super) fn replica(queue: &QueueHandle) -> Option<Group<Contents>> {
    queue.state.lock().replica.clone()
}
