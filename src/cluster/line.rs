//! What waits to be said to a service of another node: frames that a task sends.
//!
//! Whoever has something to say writes it behind what waits, under a short lock. The task sends all
//! that has gathered as one message of the link, cut between frames where that would be too large.
//!
//! ```text
//! closed ──a link stands──→ open in epoch n ──it ended──→ closed
//! ```
//! What is said in one epoch reaches the node in order without gaps, or a beginning of it does: when
//! the link ends, all that waits is dropped. Holds: while the line is closed nothing waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Class, Cluster};
use crate::types::NodeId;

/// Bytes that go into one message of the link, but for frames written together that are larger.
pub(super) const MESSAGE_BYTES: usize = 1024 * 1024;
/// How long the line rests when the link ended: the links may take a moment to see that.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// The line to one service of one node. `S` is what its user keeps beside what waits, under the
/// same lock.
pub struct Line<S = ()> {
    node: NodeId,
    service: u16,
    /// What every message begins with.
    head: &'static [u8],
    waiting: Mutex<Waiting<S>>,
    more: Notify,
    /// Which use of the link it is; 0 while there is none.
    epoch: AtomicU64,
}

#[derive(Default)]
struct Waiting<S> {
    frames: Frames,
    beside: S,
    /// How many uses of the link there were.
    epochs: u64,
}

#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    /// Where messages of the link are cut.
    cuts: Vec<Cut>,
}

struct Cut {
    at: usize,
    /// What the message before it ends with, which is not copied.
    tail: Option<Bytes>,
}

/// One use of a line: what is said over it comes in order without gaps, or not at all.
pub struct OpenLine {
    line: Arc<Line>,
    pub epoch: u64,
}

impl OpenLine {
    /// Writes frames, unless the link is another one by now.
    pub fn with(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.line.write(Some(self.epoch), |frames, ()| write(frames));
    }
}

impl Line {
    /// Writes frames. Without a link they are dropped.
    pub fn with(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.write(None, |frames, ()| write(frames));
    }

    /// The line as it is now, if there is a link.
    pub fn opened(self: &Arc<Self>) -> Option<OpenLine> {
        let epoch = self.epoch()?;
        let line = self.clone();
        Some(OpenLine { line, epoch })
    }
}

impl<S: Default> Line<S> {
    /// A closed line to that service of a node, which [`Line::run`] opens.
    pub fn new(node: NodeId, service: u16, head: &'static [u8]) -> Self {
        Self {
            node,
            service,
            head,
            waiting: Mutex::default(),
            more: Notify::new(),
            epoch: AtomicU64::new(0),
        }
    }

    /// Opens it at once if there is a link: what is said first must not be lost for want of a task.
    pub fn open_if_linked(&self, cluster: &Cluster) {
        if cluster.stream(self.node, self.service).is_ok() {
            self.begin();
        }
    }

    /// Which use of the link it is, if there is one.
    pub fn epoch(&self) -> Option<u64> {
        Some(self.epoch.load(Ordering::Acquire)).filter(|epoch| *epoch != 0)
    }

    /// Writes frames that stay together, and may change what is kept beside them. False, and nothing
    /// is done, without a link, or when it is not the one of `only_in`.
    pub fn write(&self, only_in: Option<u64>, write: impl FnOnce(&mut Vec<u8>, &mut S)) -> bool {
        self.write_before(only_in, write, None)
    }

    /// The same for what is followed by a large piece, which is not copied.
    pub fn write_before(
        &self,
        only_in: Option<u64>,
        write: impl FnOnce(&mut Vec<u8>, &mut S),
        tail: Option<Bytes>,
    ) -> bool {
        let mut waiting = self.waiting.lock();
        let epoch = self.epoch();
        if epoch.is_none() || only_in.is_some_and(|only| Some(only) != epoch) {
            return false;
        }
        let Waiting { frames, beside, .. } = &mut *waiting;
        let was_empty = frames.bytes.is_empty();
        if was_empty {
            frames.bytes.extend_from_slice(self.head);
        }
        let before = frames.bytes.len();
        write(&mut frames.bytes, beside);
        let from = frames.cuts.last().map_or(0, |cut| cut.at);
        let is_long = frames.bytes.len() - from > MESSAGE_BYTES;
        // A message that has only its head is not worth sending.
        if (is_long || tail.is_some()) && before > from.max(self.head.len()) {
            frames.cuts.push(Cut { at: before, tail: None });
        }
        if tail.is_some() {
            let at = frames.bytes.len();
            frames.cuts.push(Cut { at, tail });
        }
        drop(waiting);
        if was_empty {
            self.more.notify_one();
        }
        true
    }

    /// What is kept beside the frames, under their lock.
    pub fn beside<R>(&self, look: impl FnOnce(&mut S) -> R) -> R {
        look(&mut self.waiting.lock().beside)
    }

    /// Keeps a line going for as long as somebody holds it and the links run. `began` is called when
    /// a link stands, `ended` when it does not any more, before another use can begin.
    pub async fn run(line: Weak<Self>, cluster: Cluster, began: impl Fn(), ended: impl Fn(&mut S)) {
        while let Some(line) = line.upgrade() {
            tokio::select! {
                () = cluster.linked(line.node, Class::Data) => {}
                () = cluster.stopped() => return,
            }
            line.begin();
            began();
            line.pump(&cluster).await;
            line.end(&ended);
            drop(line);
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// A link stands. What waits already, since the line was opened at once, stays.
    fn begin(&self) {
        let mut waiting = self.waiting.lock();
        waiting.epochs += 1;
        self.epoch.store(waiting.epochs, Ordering::Release);
    }

    /// The link ended: what waits is dropped.
    fn end(&self, ended: impl Fn(&mut S)) {
        let mut waiting = self.waiting.lock();
        self.epoch.store(0, Ordering::Release);
        waiting.frames = Frames::default();
        ended(&mut waiting.beside);
    }

    /// Sends what comes until the link ends.
    async fn pump(&self, cluster: &Cluster) {
        let Ok(stream) = cluster.stream(self.node, self.service) else {
            return;
        };
        loop {
            tokio::select! {
                () = self.more.notified() => {}
                _ = stream.ended() => return,
            }
            let Frames { bytes, cuts } = std::mem::take(&mut self.waiting.lock().frames);
            let mut rest = Bytes::from(bytes);
            let mut from = 0;
            for Cut { at, tail } in cuts {
                let message = self.message(rest.split_to(at - from), from);
                from = at;
                let sent = match tail {
                    None => stream.send(message).await,
                    Some(tail) => stream.send_before(&message, tail).await,
                };
                if sent.is_err() {
                    return;
                }
            }
            if !rest.is_empty() && stream.send(self.message(rest, from)).await.is_err() {
                return;
            }
        }
    }

    /// The message of what gathered from there on: the first has its head, later parts need theirs.
    fn message(&self, frames: Bytes, from: usize) -> Bytes {
        match from == 0 || self.head.is_empty() {
            true => frames,
            false => [self.head, &frames].concat().into(),
        }
    }
}
