//! What other nodes say about queues, given to the machines of this one.

use std::sync::{Arc, Weak};

use bytes::Bytes;

use crate::broker::Broker;
use crate::broker::publish::reply_to::Token;
use crate::broker::queue::peers::PeerInput;
use crate::cluster::identity::Incarnation;
use crate::cluster::rpc::Origin;
use crate::handover::LinkUse;
use crate::handover::message::{Frame, FrameBody};
use crate::handover::wire;
use crate::types::NodeId;

/// Hears other nodes for the broker, as long as that is there.
pub struct Input(pub Weak<Broker>);

impl PeerInput for Input {
    fn frames(&self, from: Origin, message: Bytes) {
        let Some(broker) = self.0.upgrade() else { return };
        for frame in wire::frames(&message) {
            match frame {
                Ok(frame) => broker.on_frame(&from, frame),
                Err(error) => {
                    // What it means cannot be known; its state is said anew with the next link.
                    tracing::error!(node = %from.node, %error, "a message of another node cannot be read");
                    return;
                }
            }
        }
    }

    fn ended(&self, from: Origin) {
        let Some(broker) = self.0.upgrade() else { return };
        // The node may be back already, as another process with other clients.
        let is_alive = broker.nodes.cluster().is_some_and(|cluster| cluster.lives(&from));
        for queue in broker.all_queues() {
            queue.input(&broker.queues, |machine, now, sink| {
                machine.link_ended(now, link_use(&from), is_alive, sink);
            });
        }
    }

    fn began(&self, node: NodeId) {
        let Some(broker) = self.0.upgrade() else { return };
        for queue in broker.all_queues() {
            queue.input(&broker.queues, |machine, _, sink| machine.link_began(node, sink));
        }
    }
}

impl Broker {
    /// A node is another process than before: the clients of that are gone.
    pub(super) fn on_node_restarted(self: &Arc<Self>, node: NodeId, incarnation: Incarnation) {
        for queue in self.all_queues() {
            queue.input(&self.queues, |machine, now, sink| {
                machine.node_restarted(now, node, incarnation.0, sink);
            });
        }
    }

    /// A node is gone, or has been silent for too long: its clients too.
    pub(super) fn on_node_gone(self: &Arc<Self>, node: NodeId) {
        for queue in self.all_queues() {
            queue.input(&self.queues, |machine, now, sink| machine.node_ended(now, node, sink));
        }
    }

    /// A node is suspected: others are asked for what it had.
    pub(super) fn on_leader_suspect(self: &Arc<Self>, node: NodeId) {
        for queue in self.all_queues() {
            queue.input(&self.queues, |machine, _, sink| machine.lost_leader(node, true, sink));
        }
    }

    /// A node answers that may have missed what this one leads.
    pub(super) fn announce_to(self: &Arc<Self>, node: NodeId) {
        for queue in self.all_queues() {
            queue.input(&self.queues, |machine, _, sink| machine.announce(node, sink));
        }
    }

    fn on_frame(self: &Arc<Self>, from: &Origin, frame: Frame) {
        let (id, node) = (frame.queue, from.node);
        if let FrameBody::Reply { secret, message } = &frame.body {
            return self.vhosts.on_reply(*secret, message);
        }
        let Some(queue) = self.queue_by_id(id) else {
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
            return self.elections.on_leaderless(&queue, node, term);
        }
        queue.input(&self.queues, |machine, now, sink| {
            machine.on_frame(now, link_use(from), frame.body, sink);
        });
    }

    /// Whether somebody waits for answers under that name of a queue, on whatever node.
    pub async fn is_reply_waiting(&self, name: &str) -> bool {
        match Token::of(name.as_bytes()) {
            Some(token) if token.node == self.nodes.us() => self.vhosts.reply_to.is_waiting(token),
            Some(token) => self.nodes.is_alive(token.node) && self.ask_for_reply_queue(token.node, name).await,
            None => false,
        }
    }
}

fn link_use(from: &Origin) -> LinkUse {
    LinkUse {
        node: from.node,
        incarnation: from.incarnation.0,
        connection: from.connection,
    }
}
