//! Requests of Raft groups over the links between nodes.
//!
//! Messages, not calls: requests of one node must reach [`super::RaftJournals::receive`] in order. What is
//! to be sent waits in one line for each node, many requests in one message of the link. When the
//! link breaks, whatever waits for an answer fails at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use super::journals::WeakJournals;
use super::network::{Transport, TransportError};
use super::spec::GroupId;
use crate::cluster::Cluster;
use crate::cluster::line::Line;
use crate::cluster::rpc::{CallFuture, Failed, Flow, Handler, Origin};
use crate::tasks;
use crate::types::NodeId;

/// The service over which Raft groups speak.
pub const RAFT: u16 = 1;
/// Kind, number, length.
const REQUEST_HEAD: usize = 1 + 8 + 8 + 4;
const ANSWER_HEAD: usize = 1 + 8 + 4;

const REQUEST: u8 = 1;
const ANSWER: u8 = 2;

/// The transport of a node's groups.
#[derive(Default)]
pub struct Links {
    cluster: OnceLock<Cluster>,
    journals: OnceLock<WeakJournals>,
    lines: RwLock<HashMap<NodeId, Arc<RaftLine>>>,
    next: AtomicU64,
}

/// The line to one node: what is to be sent to it, and who waits for an answer, by number.
type RaftLine = Line<FxHashMap<u64, oneshot::Sender<Result<Bytes, TransportError>>>>;

impl Links {
    /// Sends over these links from now on; `journals` is who receives.
    pub fn start(&self, cluster: Cluster, journals: WeakJournals) {
        // A node starts once.
        let _ = self.cluster.set(cluster);
        let _ = self.journals.set(journals);
    }

    fn line(&self, node: NodeId) -> Option<Arc<RaftLine>> {
        if let Some(line) = self.lines.read().get(&node) {
            return Some(line.clone());
        }
        let cluster = self.cluster.get()?.clone();
        let mut lines = self.lines.write();
        if let Some(line) = lines.get(&node) {
            return Some(line.clone());
        }
        let line = Arc::new(RaftLine::new(node, RAFT, &[]));
        line.open_if_linked(&cluster);
        lines.insert(node, line.clone());
        let running = RaftLine::run(
            Arc::downgrade(&line),
            cluster,
            || {},
            move |waiting| {
                for (_, waiting) in waiting.drain() {
                    // Who does not wait any more need not hear it.
                    let _ = waiting.send(Err(TransportError::Broken(node)));
                }
            },
        );
        tasks::spawn("raft link", running);
        Some(line)
    }
}

impl Transport for Links {
    fn send(
        &self,
        to: NodeId,
        group: GroupId,
        request: Bytes,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Bytes, TransportError>> {
        self.send_to(to, group, &request, None, deadline)
    }

    fn send_parts(
        &self,
        to: NodeId,
        group: GroupId,
        [head, tail]: [Bytes; 2],
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Bytes, TransportError>> {
        self.send_to(to, group, &head, Some(tail), deadline)
    }
}

impl Links {
    fn send_to(
        &self,
        to: NodeId,
        group: GroupId,
        request: &[u8],
        tail: Option<Bytes>,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Bytes, TransportError>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let len = request.len() + tail.as_ref().map_or(0, Bytes::len);
        let line = self.line(to).filter(|line| {
            let write = |frames: &mut Vec<u8>, waiting: &mut FxHashMap<_, _>| {
                waiting.insert(number, answer);
                frames.reserve(REQUEST_HEAD + request.len());
                frames.put_u8(REQUEST);
                frames.put_u64_le(number);
                frames.put_u64_le(group.0);
                frames.put_u32_le(len as u32);
                frames.extend_from_slice(request);
            };
            line.write_before(None, write, tail)
        });
        let Some(line) = line else {
            return Box::pin(std::future::ready(Err(TransportError::Unreachable(to))));
        };
        Box::pin(async move {
            match tokio::time::timeout(deadline, answered).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(TransportError::Broken(to)),
                Err(_) => {
                    line.beside(|waiting| waiting.remove(&number));
                    Err(TransportError::Timeout(to))
                }
            }
        })
    }
}

/// The service [`RAFT`].
pub struct RaftService(pub Arc<Links>);

impl Handler for RaftService {
    fn call(&self, _from: Origin, _request: Bytes) -> CallFuture {
        Box::pin(async { Err(Failed("this service takes messages only".to_owned())) })
    }

    fn messages(&self, from: &Origin, messages: &mut Vec<Bytes>) -> Flow {
        let Some(line) = self.0.line(from.node) else {
            return Flow::Ready;
        };
        let journals = self.0.journals.get().and_then(WeakJournals::upgrade);
        for mut message in messages.drain(..) {
            while let Some(frame) = read(&mut message) {
                match frame {
                    Frame::Answer { number, answer } => {
                        if let Some(waiting) = line.beside(|waiting| waiting.remove(&number)) {
                            // Who does not wait any more need not hear it.
                            let _ = waiting.send(Ok(answer));
                        }
                    }
                    Frame::Request { number, group, request } => {
                        let Some(journals) = &journals else { continue };
                        let answer = journals.receive(group, request);
                        let line = line.clone();
                        tasks::begin("raft answer", async move {
                            let answer = answer.await;
                            line.write(None, |frames, _| {
                                frames.reserve(ANSWER_HEAD + answer.len());
                                frames.put_u8(ANSWER);
                                frames.put_u64_le(number);
                                frames.put_u32_le(answer.len() as u32);
                                frames.extend_from_slice(&answer);
                            });
                        });
                    }
                }
            }
        }
        Flow::Ready
    }
}

enum Frame {
    Request {
        number: u64,
        group: GroupId,
        request: Bytes,
    },
    Answer {
        number: u64,
        answer: Bytes,
    },
}

/// The next frame; `None` at the end, or where nothing can be made of what is left.
fn read(message: &mut Bytes) -> Option<Frame> {
    match *message.first()? {
        REQUEST if message.len() >= REQUEST_HEAD => {
            message.advance(1);
            let (number, group) = (message.get_u64_le(), GroupId(message.get_u64_le()));
            let request = piece(message)?;
            Some(Frame::Request { number, group, request })
        }
        ANSWER if message.len() >= ANSWER_HEAD => {
            message.advance(1);
            let number = message.get_u64_le();
            let answer = piece(message)?;
            Some(Frame::Answer { number, answer })
        }
        _ => None,
    }
}

fn piece(message: &mut Bytes) -> Option<Bytes> {
    let len = message.get_u32_le() as usize;
    (len <= message.len()).then(|| message.split_to(len))
}
