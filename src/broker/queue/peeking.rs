//! Messages of a queue looked at, on the node that has its machine, for whoever asks.
//!
//! A look is bounded: by how many messages are shown, how many are read to find those that are meant,
//! and the bytes of bodies. Where it stopped early it says from where to go on.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::effects::read_ledger;
use super::handle::QueueHandle;
use super::matching::Matching;
use super::queues::Queues;
use super::stream::read_messages;
use crate::queue::Holder;
use crate::queue::peek::{Among, Seen};
use crate::store::Loc;
use crate::stream::OffsetSpec;
use crate::tasks;
use crate::types::{Message, NodeId, Timestamp, base64};

/// Messages that are read together.
const TOGETHER: usize = 64;
/// Messages that are read at most for one look.
const MOST_READ: u64 = 10_000;
/// Bytes of bodies that are read at most for one look.
const MOST_BYTES_READ: usize = 64 << 20;
/// Bytes of bodies that are shown at most by one look, beyond the first message.
const MOST_BYTES_SHOWN: usize = 2 << 20;
/// Bytes of a stream that are read at a time.
const STREAM_BYTES: usize = 256 << 10;
/// How long a member of a stream may take to give what it has.
const STREAM_TIMEOUT: Duration = Duration::from_secs(4);

/// A request to look.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Peek {
    /// At those that clients hold, not at those that wait.
    pub unacked: bool,
    /// From that position on.
    pub from: u64,
    /// Of those only what came at that time or later: of a queue a second earlier or later, of a stream from the
    /// beginning of a chunk.
    pub since: Option<Timestamp>,
    pub count: usize,
    /// Bytes of each body that are shown.
    pub body_bytes: usize,
    pub matching: Option<Matching>,
}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Peeked {
    pub messages: Vec<PeekedMessage>,
    /// Where to go on; `None` when those were the last.
    pub next: Option<u64>,
    /// Messages that were looked at.
    pub scanned: u64,
}

/// A message as it was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct PeekedMessage {
    pub position: u64,
    /// The message as it is stored, its body cut, in base64.
    stored: String,
    /// Bytes of the whole body.
    pub bytes: u32,
    pub redelivered: bool,
    pub returns: u32,
    pub arrived: Option<Timestamp>,
    pub expires: Option<Timestamp>,
    pub held: Option<HeldBy>,
}

/// Who holds a message.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct HeldBy {
    pub since: Timestamp,
    /// The node and the key of a consumer; none of what was fetched with `basic.get`.
    pub consumer: Option<(NodeId, u64)>,
}

/// A look that goes on until it has seen enough.
struct Look<'a> {
    peek: &'a Peek,
    peeked: Peeked,
    /// Bytes of bodies.
    read: usize,
    shown: usize,
}

/// A message as it stands, with its body; `None` where that cannot be read any more.
struct Looked {
    seen: Seen,
    message: Option<Message>,
    held: Option<HeldBy>,
}

impl PeekedMessage {
    /// The message, its body cut; `None` where it came damaged.
    pub fn message(&self) -> Option<Message> {
        Message::from_stored(&base64::decode(&self.stored)?).ok()
    }

    fn of(seen: &Seen, message: &Message, body_bytes: usize, held: Option<HeldBy>) -> Self {
        Self {
            position: seen.seq,
            stored: stored(message, body_bytes),
            bytes: seen.bytes,
            redelivered: seen.redelivered,
            returns: seen.returns,
            arrived: seen.arrived,
            expires: seen.expires,
            held,
        }
    }

    /// A message of a stream, where nothing happens to it.
    fn of_stream(offset: u64, arrived: Timestamp, message: &Message, body_bytes: usize) -> Self {
        Self {
            position: offset,
            stored: stored(message, body_bytes),
            bytes: u32::try_from(message.body().len()).unwrap_or(u32::MAX),
            redelivered: false,
            returns: 0,
            arrived: Some(arrived),
            expires: None,
            held: None,
        }
    }
}

/// A message as it is stored, its body cut, in base64.
fn stored(message: &Message, body_bytes: usize) -> String {
    let cut = message.cut(body_bytes);
    let (head, [rest, large]) = cut.stored();
    base64::encode(&[&head, rest, large].concat())
}

impl<'a> Look<'a> {
    fn of(peek: &'a Peek) -> Self {
        let peeked = Peeked {
            messages: Vec::new(),
            next: None,
            scanned: 0,
        };
        Self {
            peek,
            peeked,
            read: 0,
            shown: 0,
        }
    }

    /// Whether it stops before the next message.
    fn is_enough(&self) -> bool {
        self.peeked.messages.len() == self.peek.count
            || self.peeked.scanned == MOST_READ
            || self.read >= MOST_BYTES_READ
            || (self.shown >= MOST_BYTES_SHOWN && !self.peeked.messages.is_empty())
    }

    /// Takes a message in, if it is meant; `view` is given the bytes of its body that are shown.
    fn sees(&mut self, message: Option<&Message>, view: impl FnOnce(&Message, usize) -> PeekedMessage) {
        self.peeked.scanned += 1;
        let Some(message) = message else { return };
        let bytes = message.body().len();
        self.read += bytes;
        if self.peek.matching.as_ref().is_none_or(|meant| meant.matches(message)) {
            self.shown += bytes.min(self.peek.body_bytes);
            self.peeked.messages.push(view(message, self.peek.body_bytes));
        }
    }

    /// What it has seen before that position, where somebody may go on.
    fn until(mut self, position: u64) -> Peeked {
        self.peeked.next = Some(position);
        self.peeked
    }
}

impl Queues {
    /// Looks at messages of a queue; `None` when its machine is not here.
    pub(super) async fn peek_here(self: &Arc<Self>, queue: &Arc<QueueHandle>, peek: Peek) -> Option<Peeked> {
        if !queue.is_here() {
            return None;
        }
        let (queues, queue) = (self.clone(), queue.clone());
        // It reads the disk. One that panics has seen nothing.
        tasks::blocking(move || queues.look_at(&queue, &peek))
            .await
            .ok()
            .flatten()
    }

    fn look_at(self: &Arc<Self>, queue: &Arc<QueueHandle>, peek: &Peek) -> Option<Peeked> {
        let mut look = Look::of(peek);
        let since = match peek.since {
            Some(at) => queue.read(|live| live.first_since(at))?,
            None => 0,
        };
        let mut from = peek.from.max(since);
        loop {
            let most = match peek.matching {
                Some(_) => TOGETHER,
                None => TOGETHER.min((peek.count + 1).saturating_sub(look.peeked.messages.len())),
            };
            let seen = self.looked_at(queue, peek.unacked, from, most)?;
            let is_last = seen.len() < most;
            for Looked { seen, message, held } in seen {
                from = seen.seq + 1;
                if look.is_enough() {
                    return Some(look.until(seen.seq));
                }
                // One whose body cannot be read any more goes when it gets to the head.
                look.sees(message.as_ref(), |message, body_bytes| {
                    PeekedMessage::of(&seen, message, body_bytes, held)
                });
            }
            if is_last {
                return Some(look.peeked);
            }
        }
    }

    /// Looks at messages of a stream, by a member that can be read; `None` when none can. What publishers have
    /// compressed themselves is passed over: it is for their own readers.
    pub(super) async fn peek_stream(self: &Arc<Self>, queue: &Arc<QueueHandle>, peek: &Peek) -> Option<Peeked> {
        let mut look = Look::of(peek);
        if peek.unacked {
            // Readers of a stream hold places in it, no messages.
            return Some(look.peeked);
        }
        let live = self.streams().of(queue)?;
        let resolve = async |spec| live.resolve(self, queue, spec).await.ok();
        let end = resolve(OffsetSpec::Next).await?;
        let since = match peek.since {
            Some(at) => resolve(OffsetSpec::Time(at)).await?,
            None => 0,
        };
        let mut from = peek.from.max(since);
        while from < end {
            let read = live.read(self, queue, from, STREAM_BYTES);
            for piece in timeout(STREAM_TIMEOUT, read).await.ok()? {
                let arrived = piece.chunk.place().at;
                for (offset, message) in read_messages(&piece.chunk, from, &queue.spec.name) {
                    if look.is_enough() {
                        return Some(look.until(offset));
                    }
                    look.sees(Some(&message), |message, body_bytes| {
                        PeekedMessage::of_stream(offset, arrived, message, body_bytes)
                    });
                }
                from = from.max(piece.chunk.end());
            }
        }
        Some(look.peeked)
    }

    /// Those of these messages that are ready, in the order of their positions; `None` when the machine is
    /// not here.
    pub(in crate::broker) fn read_ready(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        positions: &[u64],
    ) -> Option<Vec<(u64, Message)>> {
        let mut read = Vec::new();
        for position in positions {
            let seen = self.looked_at(queue, false, *position, 1)?.pop();
            if let Some(Looked {
                seen,
                message: Some(message),
                ..
            }) = seen
                && seen.seq == *position
            {
                read.push((seen.seq, message));
            }
        }
        Some(read)
    }

    /// Some messages with their bodies, wherever these are.
    fn looked_at(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        unacked: bool,
        from: u64,
        most: usize,
    ) -> Option<Vec<Looked>> {
        let among = match unacked {
            true => Among::Unacked,
            false => Among::Ready,
        };
        let us = self.us();
        let seen = queue.read(|live| {
            let seen = live.peek(among, from, most).into_iter();
            seen.map(|seen| {
                let held = seen.held.map(|(holder, since)| HeldBy {
                    since,
                    consumer: match holder {
                        Holder::Consumer(id) => live.consumer(id).map(|view| {
                            let (node, key) = view.handle.whose(us);
                            (node, key.0)
                        }),
                        Holder::Get => None,
                    },
                });
                (seen, held)
            })
            .collect::<Vec<_>>()
        })?;
        let away = seen
            .iter()
            .filter_map(|(seen, _)| Some((seen.seq, *seen.message.as_ref().err()?)));
        let run: Vec<_> = away.collect();
        let replica = queue.state.lock().replica.clone();
        let mut bodies = match replica {
            _ if run.is_empty() => Vec::new(),
            // What is damaged here is for whoever delivers it to find.
            Some(replica) => read_ledger(&replica, &run, false).unwrap_or_default(),
            None => {
                let run: Vec<_> = run.iter().map(|&(seq, loc)| (seq, Loc::from_raw(loc))).collect();
                self.read_bodies(queue.owner(), &run)
            }
        }
        .into_iter();
        let seen = seen.into_iter().map(|(seen, held)| {
            let message = match &seen.message {
                Ok(message) => Some(message.clone()),
                // The answers are in the order of the questions.
                Err(_) => bodies.next().and_then(|(_, message)| message),
            };
            Looked { seen, message, held }
        });
        Some(seen.collect())
    }
}
