//! What waits to be sent to other nodes about queues.
//!
//! Frames are appended under a short lock; a task for each node sends what has gathered as one
//! message of the link. When the link breaks all that waits is dropped: state is said anew with the
//! next use of it, which has another epoch.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::wire::FORMAT;
use crate::cluster::rpc::{Answer, Failed, Flow, Handler, Origin};
use crate::cluster::{Class, Cluster};
use crate::tasks;
use crate::types::NodeId;

/// The service over which nodes speak about queues.
pub const QUEUES: u16 = 2;
/// Bytes that go into one message of the link, but for a frame that is larger.
const MESSAGE_BYTES: usize = 1024 * 1024;

/// How long the way to a node rests when it broke.
const AGAIN: Duration = Duration::from_millis(5);

/// Hears what other nodes say about queues.
pub trait PeerInput: Send + Sync {
    /// A message, in the order of sending.
    fn frames(&self, from: Origin, message: Bytes);
    /// The link is gone: no more comes over it.
    fn ended(&self, from: Origin);
    /// The way to the node is another one: what was said before may not have come.
    fn began(&self, node: NodeId);
}

/// The way to one node.
#[derive(Default)]
pub struct PeerOut {
    waiting: Mutex<Waiting>,
    more: Notify,
    /// Which use of the link it is; 0 when there is none.
    epoch: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Where link messages may be cut.
    cuts: Vec<usize>,
}

/// One use of the way to a node: what is said over it comes in order without gaps, or not at all.
pub struct Way {
    out: Arc<PeerOut>,
    pub epoch: u64,
}

impl Way {
    /// Appends frames, unless the link is another one by now.
    pub fn with(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.out.append(Some(self.epoch), write);
    }
}

/// The ways to all nodes.
#[derive(Default)]
pub struct Peers {
    nodes: RwLock<HashMap<NodeId, Arc<PeerOut>>>,
}

impl PeerOut {
    /// Which use of the link it is, if there is one.
    pub fn epoch(&self) -> Option<u64> {
        Some(self.epoch.load(Ordering::Acquire)).filter(|epoch| *epoch != 0)
    }

    /// Appends frames. Without a link they are dropped.
    pub fn with(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.append(None, write);
    }

    /// The way as it is now, if there is a link.
    pub fn way(self: &Arc<Self>) -> Option<Way> {
        let epoch = self.epoch()?;
        let out = self.clone();
        Some(Way { out, epoch })
    }

    fn append(&self, only_in: Option<u64>, write: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = self.waiting.lock();
        let epoch = self.epoch();
        if epoch.is_none() || only_in.is_some_and(|only| Some(only) != epoch) {
            return;
        }
        let was_empty = waiting.bytes.is_empty();
        if was_empty {
            waiting.bytes.push(FORMAT);
        }
        write(&mut waiting.bytes);
        let len = waiting.bytes.len();
        if len - waiting.cuts.last().copied().unwrap_or(0) >= MESSAGE_BYTES {
            waiting.cuts.push(len);
        }
        drop(waiting);
        if was_empty {
            self.more.notify_one();
        }
    }

    /// A link stands.
    fn begin(&self, epoch: u64) {
        let _waiting = self.waiting.lock();
        self.epoch.store(epoch, Ordering::Release);
    }

    /// The link ended: what waits is dropped.
    fn end(&self) {
        let mut waiting = self.waiting.lock();
        self.epoch.store(0, Ordering::Release);
        *waiting = Waiting::default();
    }

    /// Sends what comes until the link ends.
    async fn pump(&self, cluster: &Cluster, node: NodeId) {
        let Ok(stream) = cluster.stream(node, QUEUES) else {
            return;
        };
        loop {
            let ended = tokio::select! {
                () = self.more.notified() => false,
                _ = stream.ended() => true,
            };
            if ended {
                return;
            }
            let Waiting { bytes, cuts } = std::mem::take(&mut *self.waiting.lock());
            let mut rest = Bytes::from(bytes);
            let mut from = 0;
            for cut in cuts {
                let message = match from {
                    0 => rest.split_to(cut),
                    from => framed(&rest.split_to(cut - from)),
                };
                from = cut;
                if stream.send(message).await.is_err() {
                    return;
                }
            }
            if rest.is_empty() {
                continue;
            }
            let message = match from {
                0 => rest,
                _ => framed(&rest),
            };
            if stream.send(message).await.is_err() {
                return;
            }
        }
    }
}

/// The later parts of what gathered need their own format byte.
fn framed(frames: &[u8]) -> Bytes {
    let mut message = Vec::with_capacity(frames.len() + 1);
    message.push(FORMAT);
    message.extend_from_slice(frames);
    message.into()
}

impl Peers {
    /// The way to a node.
    pub fn get(&self, node: NodeId) -> Option<Arc<PeerOut>> {
        self.nodes.read().get(&node).cloned()
    }

    /// Says something to a node, if there is a way to it.
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

    /// Keeps a way to a node from now on; does nothing when there is one.
    pub fn meet(&self, cluster: &Cluster, node: NodeId, input: Arc<dyn PeerInput>) {
        let out = {
            let mut nodes = self.nodes.write();
            if nodes.contains_key(&node) {
                return;
            }
            let out = Arc::new(PeerOut::default());
            nodes.insert(node, out.clone());
            out
        };
        let cluster = cluster.clone();
        tasks::spawn("peer", async move {
            let mut epoch = 0;
            loop {
                tokio::select! {
                    () = cluster.linked(node, Class::Data) => {}
                    () = cluster.stopped() => return,
                }
                epoch += 1;
                out.begin(epoch);
                input.began(node);
                out.pump(&cluster, node).await;
                out.end();
                // The links may take a moment to see that it ended.
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
}

/// The service [`QUEUES`].
pub struct QueueService<I>(pub I);

impl<I: PeerInput> Handler for QueueService<I> {
    fn call(&self, _from: Origin, _request: Bytes) -> Answer {
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
