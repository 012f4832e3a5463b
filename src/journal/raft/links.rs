//! Requests of Raft groups over the links between nodes.
//!
//! Messages, not calls: requests of one node must reach [`super::RaftJournals::receive`] in order. What is
//! to be sent waits in one line for each node; a task sends it, many requests in one message of the
//! link. When the link breaks, whatever waits for an answer fails at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, oneshot};

use super::journals::{GroupId, WeakJournals};
use super::network::{Transport, TransportError};
use crate::cluster::rpc::{Answer, Failed, Flow, Handler, Origin};
use crate::cluster::{Class, Cluster};
use crate::tasks;
use crate::types::NodeId;

/// The service over which Raft groups speak.
pub const RAFT: u16 = 1;
/// Bytes that go into one message of the link, but for a frame that is larger.
const MESSAGE_BYTES: usize = 1024 * 1024;
/// How long the way to a node rests when it broke.
const AGAIN: Duration = Duration::from_millis(5);
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
    ways: RwLock<HashMap<NodeId, Arc<Way>>>,
    next: AtomicU64,
}

/// The way to one node.
struct Way {
    node: NodeId,
    line: Mutex<Line>,
    more: Notify,
}

#[derive(Default)]
struct Line {
    is_open: bool,
    frames: Vec<Bytes>,
    /// By number of the request.
    waiting: FxHashMap<u64, oneshot::Sender<Result<Bytes, TransportError>>>,
}

impl Links {
    /// Sends over these links from now on; `journals` is who receives.
    pub fn start(&self, cluster: Cluster, journals: WeakJournals) {
        // A node starts once.
        let _ = self.cluster.set(cluster);
        let _ = self.journals.set(journals);
    }

    fn way(&self, node: NodeId) -> Option<Arc<Way>> {
        if let Some(way) = self.ways.read().get(&node) {
            return Some(way.clone());
        }
        let cluster = self.cluster.get()?.clone();
        let mut ways = self.ways.write();
        if let Some(way) = ways.get(&node) {
            return Some(way.clone());
        }
        let way = Arc::new(Way {
            node,
            line: Mutex::default(),
            more: Notify::new(),
        });
        // Open at once where there is a link: the first request must not fail for want of a task.
        way.line.lock().is_open = cluster.stream(node, RAFT).is_ok();
        ways.insert(node, way.clone());
        tasks::spawn("raft link", run(Arc::downgrade(&way), cluster));
        Some(way)
    }
}

/// Keeps a way going for as long as somebody holds it and the links run.
async fn run(way: Weak<Way>, cluster: Cluster) {
    while let Some(now) = way.upgrade() {
        tokio::select! {
            () = cluster.linked(now.node, Class::Data) => {}
            () = cluster.stopped() => return,
        }
        now.line.lock().is_open = true;
        now.pump(&cluster).await;
        now.break_off();
        drop(now);
        // The links may take a moment to see that it ended.
        tokio::time::sleep(AGAIN).await;
    }
}

impl Way {
    fn push(&self, frame: Bytes) -> bool {
        let mut line = self.line.lock();
        if !line.is_open {
            return false;
        }
        let was_empty = line.frames.is_empty();
        line.frames.push(frame);
        drop(line);
        if was_empty {
            self.more.notify_one();
        }
        true
    }

    fn request(&self, number: u64, frame: Bytes) -> Option<oneshot::Receiver<Result<Bytes, TransportError>>> {
        let (answer, answered) = oneshot::channel();
        let mut line = self.line.lock();
        if !line.is_open {
            return None;
        }
        line.waiting.insert(number, answer);
        let was_empty = line.frames.is_empty();
        line.frames.push(frame);
        drop(line);
        if was_empty {
            self.more.notify_one();
        }
        Some(answered)
    }

    async fn pump(&self, cluster: &Cluster) {
        let Ok(stream) = cluster.stream(self.node, RAFT) else {
            return;
        };
        loop {
            let frames = std::mem::take(&mut self.line.lock().frames);
            if frames.is_empty() {
                tokio::select! {
                    () = self.more.notified() => continue,
                    _ = stream.ended() => return,
                }
            }
            let mut message = BytesMut::new();
            for frame in frames {
                if !message.is_empty() && message.len() + frame.len() > MESSAGE_BYTES {
                    let full = std::mem::take(&mut message).freeze();
                    if stream.send(full).await.is_err() {
                        return;
                    }
                }
                message.extend_from_slice(&frame);
            }
            if stream.send(message.freeze()).await.is_err() {
                return;
            }
        }
    }

    fn break_off(&self) {
        let mut line = self.line.lock();
        line.is_open = false;
        line.frames.clear();
        for (_, waiting) in line.waiting.drain() {
            // Who does not wait any more need not hear it.
            let _ = waiting.send(Err(TransportError::Broken(self.node)));
        }
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
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut frame = BytesMut::with_capacity(REQUEST_HEAD + request.len());
        frame.put_u8(REQUEST);
        frame.put_u64_le(number);
        frame.put_u64_le(group.0);
        frame.put_u32_le(request.len() as u32);
        frame.extend_from_slice(&request);
        let way = self.way(to);
        let answer = way.as_ref().and_then(|way| way.request(number, frame.freeze()));
        let (Some(way), Some(answer)) = (way, answer) else {
            return Box::pin(std::future::ready(Err(TransportError::Unreachable(to))));
        };
        Box::pin(async move {
            match tokio::time::timeout(deadline, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(TransportError::Broken(to)),
                Err(_) => {
                    way.line.lock().waiting.remove(&number);
                    Err(TransportError::Timeout(to))
                }
            }
        })
    }
}

/// The service [`RAFT`].
pub struct RaftService(pub Arc<Links>);

impl Handler for RaftService {
    fn call(&self, _from: Origin, _request: Bytes) -> Answer {
        Box::pin(async { Err(Failed("this service takes messages only".to_owned())) })
    }

    fn messages(&self, from: &Origin, messages: &mut Vec<Bytes>) -> Flow {
        let Some(way) = self.0.way(from.node) else {
            return Flow::Ready;
        };
        let journals = self.0.journals.get().and_then(WeakJournals::upgrade);
        for mut message in messages.drain(..) {
            while let Some(frame) = read(&mut message) {
                match frame {
                    Frame::Answer { number, answer } => {
                        if let Some(waiting) = way.line.lock().waiting.remove(&number) {
                            // Who does not wait any more need not hear it.
                            let _ = waiting.send(Ok(answer));
                        }
                    }
                    Frame::Request { number, group, request } => {
                        let Some(journals) = &journals else { continue };
                        let answer = journals.receive(group, request);
                        let way = way.clone();
                        tasks::spawn("raft answer", async move {
                            let answer = answer.await;
                            let mut frame = BytesMut::with_capacity(ANSWER_HEAD + answer.len());
                            frame.put_u8(ANSWER);
                            frame.put_u64_le(number);
                            frame.put_u32_le(answer.len() as u32);
                            frame.extend_from_slice(&answer);
                            way.push(frame.freeze());
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
