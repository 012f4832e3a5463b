//! What is known of other nodes with clients at a live queue that is on this one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustc_hash::FxHashMap;

use super::message::{ConsumerKey, WINDOW};
use crate::queue::record::ProducerId;
use crate::queue::{ConsumerId, Slot};
use crate::types::NodeId;

/// A consumer on another node, as the live queue knows it. The queue's list of consumers and that of
/// its node share it, behind one lock.
pub struct RemoteConsumer<L> {
    pub(super) node: NodeId,
    pub(super) key: ConsumerKey,
    pub(super) tag: String,
    pub(super) line: L,
    /// Bytes sent that the other node has not passed on yet.
    pub(super) in_flight_bytes: AtomicU64,
    /// Whether its node has attached itself over the link as it is now.
    pub(super) is_attached: AtomicBool,
}

impl<L> RemoteConsumer<L> {
    /// Whether it may be sent one more.
    pub(super) fn has_room(&self) -> bool {
        self.is_attached.load(Ordering::Relaxed) && self.in_flight_bytes.load(Ordering::Relaxed) < WINDOW
    }
}

/// One use of the link from another node: of two with different numbers messages may have been lost
/// between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkUse {
    pub node: NodeId,
    /// The run of that node.
    pub incarnation: u64,
    pub connection: u64,
}

/// A node with clients at the queue.
pub(super) struct RemoteNode<L> {
    /// Known once the node has attached itself.
    pub producer: ProducerId,
    /// The link over which it has; none when that is broken.
    pub attached: Option<LinkUse>,
    /// The link over which it was asked to attach itself.
    pub asked: Option<LinkUse>,
    /// The last batch that it settled.
    pub settled: u64,
    /// The last one that somebody waits for, until it is on this node's disk. What was settled after it is
    /// told with it.
    pub unsynced: Option<u64>,
    pub consumers: FxHashMap<ConsumerKey, (ConsumerId, Arc<RemoteConsumer<L>>)>,
    /// What it holds by `basic.get`, or of consumers that are cancelled.
    pub gets: FxHashMap<u64, Slot>,
}

impl<L> Default for RemoteNode<L> {
    fn default() -> Self {
        Self {
            producer: ProducerId::default(),
            attached: None,
            asked: None,
            settled: 0,
            unsynced: None,
            consumers: FxHashMap::default(),
            gets: FxHashMap::default(),
        }
    }
}

impl<L> RemoteNode<L> {
    /// Messages that it held are settled.
    pub fn let_go(&mut self, slots: &[Slot]) {
        for slot in slots {
            if self.gets.get(&slot.seq()) == Some(slot) {
                self.gets.remove(&slot.seq());
            }
        }
    }

    /// Its consumers are sent something, or nothing.
    pub fn set_attached(&self, is_attached: bool) {
        for (_, consumer) in self.consumers.values() {
            consumer.is_attached.store(is_attached, Ordering::Relaxed);
        }
    }
}

/// The nodes with clients at a queue, and what they wait for.
pub(super) struct RemoteNodes<L> {
    pub nodes: FxHashMap<NodeId, RemoteNode<L>>,
    pub gets: Vec<PendingGet>,
}

/// A `basic.get` of another node that waits for something.
#[derive(Clone, Copy)]
pub(super) struct PendingGet {
    pub node: NodeId,
    pub call: u64,
    pub no_ack: bool,
}

impl<L> Default for RemoteNodes<L> {
    fn default() -> Self {
        Self {
            nodes: FxHashMap::default(),
            gets: Vec::new(),
        }
    }
}

impl<L> RemoteNodes<L> {
    /// What is known of a node.
    pub fn get(&self, node: NodeId) -> Option<&RemoteNode<L>> {
        self.nodes.get(&node)
    }

    /// All of them.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.keys().copied()
    }

    /// Whether a node has that message, and none of its consumers.
    pub fn holds(&self, slot: Slot) -> bool {
        self.nodes.values().any(|node| node.gets.contains_key(&slot.seq()))
    }

    pub fn entry(&mut self, node: NodeId) -> &mut RemoteNode<L> {
        self.nodes.entry(node).or_default()
    }

    /// Nothing is delivered to that node's clients before it attaches itself again. What they wait for
    /// they ask again.
    pub fn detach(&mut self, node: NodeId) {
        self.forget_gets(node);
        if let Some(known) = self.nodes.get_mut(&node) {
            known.attached = None;
            known.asked = None;
            known.set_attached(false);
        }
    }

    /// Whoever waits on that node does so no more, or asks again.
    pub fn forget_gets(&mut self, node: NodeId) {
        self.gets.retain(|pending| pending.node != node);
    }
}
