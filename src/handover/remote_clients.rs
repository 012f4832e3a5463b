//! What becomes of the clients of other nodes when links to these break and begin, and what they wait for.
//!
//! A node whose link breaks is not served until it has attached itself again; what its consumers hold
//! stays theirs meanwhile. When the node is known to be gone its consumers go, and what they held is
//! given back.

use super::effects::Effects;
use super::handles::Handles;
use super::message::Delivered;
use super::remote_nodes::{LinkUse, PendingGet};
use super::{ClusteredQueue, Location, wire};
use crate::queue::{Get, Slot};
use crate::types::{NodeId, Timestamp};

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
