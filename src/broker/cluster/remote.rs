//! What other nodes say about queues, given to the machines of this one.

use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::Membership;
use crate::broker::queue::peers::PeerInput;
use crate::cluster::identity::Incarnation;
use crate::cluster::rpc::Origin;
use crate::handover::LinkUse;
use crate::handover::message::{Frame, FrameBody};
use crate::handover::wire;
use crate::types::NodeId;

/// Hears other nodes as long as the node is there.
pub struct Input(pub Weak<Membership>);

impl PeerInput for Input {
    fn frames(&self, from: Origin, message: Bytes) {
        let Some(membership) = self.0.upgrade() else { return };
        for frame in wire::frames(&message) {
            match frame {
                Ok(frame) => membership.on_frame(&from, frame),
                Err(error) => {
                    // What it means cannot be known; its state is said anew with the next link.
                    tracing::error!(node = %from.node, %error, "a message of another node cannot be read");
                    return;
                }
            }
        }
    }

    fn ended(&self, from: Origin) {
        let Some(membership) = self.0.upgrade() else { return };
        // The node may be back already, as another process with other clients.
        let is_alive = membership.nodes.cluster().is_some_and(|cluster| cluster.lives(&from));
        for queue in membership.queues.all() {
            queue.input(&membership.queues, |machine, now, sink| {
                machine.link_ended(now, link_use(&from), is_alive, sink);
            });
        }
    }

    fn began(&self, node: NodeId) {
        let Some(membership) = self.0.upgrade() else { return };
        for queue in membership.queues.all() {
            queue.input(&membership.queues, |machine, _, sink| machine.link_began(node, sink));
        }
    }
}

impl Membership {
    /// A node is another process than before: the clients of that are gone.
    pub(super) fn on_node_restarted(self: &Arc<Self>, node: NodeId, incarnation: Incarnation) {
        for queue in self.queues.all() {
            queue.input(&self.queues, |machine, now, sink| {
                machine.node_restarted(now, node, incarnation.0, sink);
            });
        }
    }

    /// A node is gone, or has been silent for too long: its clients too.
    pub(super) fn on_node_gone(self: &Arc<Self>, node: NodeId) {
        for queue in self.queues.all() {
            queue.input(&self.queues, |machine, now, sink| machine.node_ended(now, node, sink));
        }
    }

    /// A node is suspected: others are asked for what it had.
    pub(super) fn on_leader_suspect(self: &Arc<Self>, node: NodeId) {
        for queue in self.queues.all() {
            queue.input(&self.queues, |machine, _, sink| machine.lost_leader(node, true, sink));
        }
    }

    /// A node answers that may have missed what this one leads.
    pub(super) fn announce_to(self: &Arc<Self>, node: NodeId) {
        for queue in self.queues.all() {
            queue.input(&self.queues, |machine, _, sink| machine.announce(node, sink));
        }
    }

    fn on_frame(self: &Arc<Self>, from: &Origin, frame: Frame) {
        let (id, node) = (frame.queue, from.node);
        if let FrameBody::Reply { secret, message } = &frame.body {
            return self.vhosts.on_reply(*secret, message);
        }
        let Some(queue) = self.queues.by_id(id) else {
            // Deleted, or not heard of yet.
            match frame.body {
                FrameBody::Lead { term, .. } => self.queues.peers.tell(node, |buffer| wire::nothing(buffer, id, term)),
                FrameBody::Get { call, .. } | FrameBody::Purge { call } | FrameBody::Count { call } => {
                    self.queues.peers.tell(node, |buffer| {
                        wire::refused(buffer, id, call, 404, "the queue is not there");
                    });
                }
                _ => {}
            }
            return;
        };
        if let FrameBody::Leaderless { term } = frame.body {
            return self.replicas.elections.on_leaderless(&queue, node, term);
        }
        queue.input(&self.queues, |machine, now, sink| {
            machine.on_frame(now, link_use(from), frame.body, sink);
        });
    }
}

fn link_use(from: &Origin) -> LinkUse {
    LinkUse {
        node: from.node,
        incarnation: from.incarnation.0,
        connection: from.connection,
    }
}
