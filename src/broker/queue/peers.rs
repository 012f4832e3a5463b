//! What is said to other nodes about queues: a line to each.
//!
//! When a link breaks all that waits is dropped: state is said anew with the next use of it, which
//! has another epoch.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::cluster::Cluster;
use crate::cluster::line::{Line, OpenLine};
use crate::cluster::rpc::{CallFuture, Failed, Flow, Handler, Origin};
use crate::handover::wire::FORMAT;
use crate::tasks;
use crate::types::NodeId;

/// The service over which nodes speak about queues.
pub const QUEUES: u16 = 2;

/// Hears what other nodes say about queues.
pub trait PeerInput: Send + Sync {
    /// A message, in the order of sending.
    fn frames(&self, from: Origin, message: Bytes);
    /// The link is gone: no more comes over it.
    fn ended(&self, from: Origin);
    /// The line to the node is another one: what was said before may not have come.
    fn began(&self, node: NodeId);
}

/// The ways to all nodes.
#[derive(Default)]
pub struct Peers {
    nodes: RwLock<HashMap<NodeId, Arc<Line>>>,
}

impl Peers {
    /// The line to a node.
    pub fn get(&self, node: NodeId) -> Option<Arc<Line>> {
        self.nodes.read().get(&node).cloned()
    }

    /// The line to a node as it is now, if there is a link.
    pub fn open_line(&self, node: NodeId) -> Option<OpenLine> {
        self.get(node)?.opened()
    }

    /// Says something to a node, if there is a line to it.
    pub fn tell(&self, node: NodeId, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(out) = self.get(node) {
            out.with(write);
        }
    }

    /// Says something to every node there is a way to.
    pub fn tell_all(&self, write: impl Fn(&mut Vec<u8>)) {
        for out in self.nodes.read().values() {
            out.with(&write);
        }
    }

    /// Keeps a line to a node from now on; does nothing when there is one.
    pub fn meet(&self, cluster: &Cluster, node: NodeId, input: Arc<dyn PeerInput>) {
        let out = {
            let mut nodes = self.nodes.write();
            if nodes.contains_key(&node) {
                return;
            }
            let out = Arc::new(Line::new(node, QUEUES, &[FORMAT]));
            nodes.insert(node, out.clone());
            out
        };
        let began = move || input.began(node);
        let running = Line::run(Arc::downgrade(&out), cluster.clone(), began, |()| {});
        tasks::spawn("peer", running);
    }
}

/// The service [`QUEUES`].
pub struct QueueService<I>(pub I);

impl<I: PeerInput> Handler for QueueService<I> {
    fn call(&self, _from: Origin, _request: Bytes) -> CallFuture {
        Box::pin(async { Err(Failed("this service takes messages only".to_owned())) })
    }

    fn messages(&self, from: &Origin, messages: &mut Vec<Bytes>) -> Flow {
        for message in messages.drain(..) {
            self.0.frames(*from, message);
        }
        Flow::Ready
    }

    fn ended(&self, from: &Origin) {
        self.0.ended(*from);
    }
}
