//! Clients of other nodes at a live queue that is on this one.
//!
//! A node whose link breaks is not served until it has attached itself again; what its consumers hold
//! stays theirs meanwhile. When the node is known to be gone its consumers go, and what they held is
//! given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustc_hash::FxHashMap;

use super::message::{ConsumerKey, Delivered};
use super::{ClusteredQueue, Effects, Handles, Location, wire};
use crate::queue::record::ProducerId;
use crate::queue::{ConsumerId, Get, Slot};
use crate::types::{NodeId, Timestamp};

/// Bytes on their way to one consumer of another node.
pub(super) const WINDOW: u64 = 1024 * 1024;

/// A consumer on another node, as the live queue knows it. The queue's list of consumers and that of
/// its node share it, behind one lock.
pub struct RemoteConsumer<L> {
    pub(super) node: NodeId,
    pub(super) key: ConsumerKey,
    pub(super) tag: String,
    pub(super) line: L,
    /// Bytes sent that the other node has not passed on yet.
    pub(super) on_the_way: AtomicU64,
    /// Whether its node has attached itself over the link as it is now.
    pub(super) is_attached: AtomicBool,
}

impl<L> RemoteConsumer<L> {
    /// Whether it may be sent one more.
    pub(super) fn has_room(&self) -> bool {
        self.is_attached.load(Ordering::Relaxed) && self.on_the_way.load(Ordering::Relaxed) < WINDOW
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
    fn detach(&mut self, node: NodeId) {
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

impl<H: Handles> ClusteredQueue<H> {
    /// Serves what other nodes asked and what had to wait.
    pub fn serve_gets<E: Effects<H>>(&mut self, now: Timestamp, effects: &mut E) {
        let pending = self
            .location
            .served_mut()
            .map(|served| std::mem::take(&mut served.remote.gets));
        for one in pending.into_iter().flatten() {
            let PendingGet { node, call, no_ack } = one;
            // A message that nobody settles would be gone with an answer that does not go out; it asks again.
            let is_reached = effects.line(node).is_some_and(|line| effects.epoch(&line).is_some());
            if !is_reached {
                continue;
            }
            let got = match self.is_here() {
                true => self.get(now, no_ack, effects),
                // It panicked with the one before.
                false => None,
            };
            match got {
                None => self.send(node, effects, wire::not_leader),
                Some(Get::NeedsFetch | Get::NeedsMark) => {
                    if let Some(served) = self.location.served_mut() {
                        served.remote.gets.push(one);
                    }
                }
                Some(Get::Empty) => self.send(node, effects, |buffer, queue| wire::empty(buffer, queue, call)),
                Some(Get::Message {
                    message,
                    slot,
                    redelivered,
                    delivery_count,
                    remaining,
                }) => {
                    if slot != Slot::NONE
                        && let Some(served) = self.location.served_mut()
                    {
                        served.remote.entry(node).gets.insert(slot.seq(), slot);
                    }
                    let delivered = Delivered {
                        slot,
                        redelivered,
                        delivery_count,
                    };
                    self.send(node, effects, |buffer, queue| {
                        wire::got(buffer, queue, call, delivered, remaining, &message);
                    });
                }
            }
        }
    }

    /// A node answers that may have missed that this one leads.
    pub fn announce<E: Effects<H>>(&self, node: NodeId, effects: &mut E) {
        let known = self.location.served().and_then(|served| served.remote.get(node));
        if known.is_none_or(|known| known.attached.is_none()) {
            self.tell_lead(node, false, effects);
        }
    }

    /// The link to a node is another one: what concerns both is said anew.
    pub fn link_began<E: Effects<H>>(&mut self, node: NodeId, effects: &mut E) {
        let has_interest = self.session.as_ref().is_some_and(|session| session.has_interest());
        match &mut self.location {
            Location::Leading(leader) => {
                // What was sent to it may not have come: nothing more before it has said what did.
                leader.served.remote.detach(node);
                self.tell_lead(node, true, effects);
            }
            Location::Elsewhere(leader) if leader.node == node && has_interest => {
                self.open_line(effects);
            }
            Location::Unknown if has_interest => self.send(node, effects, wire::who),
            _ => {}
        }
    }

    /// The link from a node broke: no more comes over it. Where the node is not sure to come back as it
    /// was, its clients are gone too.
    pub fn link_ended<E: Effects<H>>(&mut self, now: Timestamp, from: LinkUse, is_alive: bool, effects: &mut E) {
        let node = from.node;
        if self.remote_node(node).is_some_and(|known| known.attached == Some(from)) {
            if let Some(served) = self.location.served_mut() {
                served.remote.detach(node);
            }
            if !(is_alive && self.is_replicated()) {
                self.node_gone(now, node, effects);
            }
        }
        self.lost_leader(node, false, effects);
    }

    /// A node is another process than before: the clients of that are gone.
    pub fn node_restarted<E: Effects<H>>(&mut self, now: Timestamp, node: NodeId, incarnation: u64, effects: &mut E) {
        let is_old = |link: LinkUse| link.incarnation != incarnation;
        if self
            .remote_node(node)
            .is_some_and(|known| known.attached.is_none_or(is_old))
        {
            self.node_gone(now, node, effects);
        }
        self.lost_leader(node, true, effects);
    }

    /// A node is gone, or has been silent for too long: its clients too.
    pub fn node_ended<E: Effects<H>>(&mut self, now: Timestamp, node: NodeId, effects: &mut E) {
        if self.remote_node(node).is_some_and(|known| known.attached.is_none()) {
            self.node_gone(now, node, effects);
        }
        self.lost_leader(node, true, effects);
    }

    /// The clients of a node are gone: what they held goes to others.
    pub(super) fn node_gone<E: Effects<H>>(&mut self, now: Timestamp, node: NodeId, effects: &mut E) {
        let before = self.consumer_count();
        self.dismiss(now, node, effects);
        self.is_left(before, effects);
    }

    /// An auto-delete queue goes when the last of the consumers that it had before is gone.
    pub(super) fn is_left<E: Effects<H>>(&self, before: usize, effects: &mut E) {
        if before > 0 && self.consumer_count() == 0 {
            effects.last_consumer_ended(None);
        }
    }

    /// Ends the consumers of a node and gives back what its clients hold.
    pub(super) fn dismiss<E: Effects<H>>(&mut self, now: Timestamp, node: NodeId, effects: &mut E) {
        let Some(served) = self.location.served_mut() else {
            return;
        };
        served.remote.forget_gets(node);
        let Some(gone) = served.remote.nodes.remove(&node) else {
            return;
        };
        if let Location::Leading(leader) = &mut self.location {
            leader.forget_settling(node);
        }
        let ids = gone.consumers.values().map(|(id, _)| *id);
        let mut slots: Vec<Slot> = gone.gets.into_values().collect();
        slots.sort_unstable_by_key(|slot| slot.seq());
        self.run(now, effects, |queue, now, output| {
            queue.give_back(now, ids, slots, output);
        });
    }
}
