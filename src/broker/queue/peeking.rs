//! Messages of a queue looked at, on the node that has its machine, for whoever asks.
//!
//! A look is bounded: by how many messages are shown, how many are read to find those that are meant,
//! and the bytes of bodies. Where it stopped early it says from where to go on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::effects::read_ledger;
use super::handle::QueueHandle;
use super::matching::Matching;
use super::queues::Queues;
use crate::queue::Holder;
use crate::queue::peek::{Among, Seen};
use crate::store::Loc;
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

/// A request to look.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Peek {
    /// At those that clients hold, not at those that wait.
    pub unacked: bool,
    /// From that position on.
    pub from: u64,
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
        let cut = message.cut(body_bytes);
        let (head, [rest, large]) = cut.stored();
        Self {
            position: seen.seq,
            stored: base64::encode(&[&head, rest, large].concat()),
            bytes: seen.bytes,
            redelivered: seen.redelivered,
            returns: seen.returns,
            arrived: seen.arrived,
            expires: seen.expires,
            held,
        }
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
        let mut peeked = Peeked {
            messages: Vec::new(),
            next: None,
            scanned: 0,
        };
        let (mut read, mut shown) = (0, 0);
        let mut from = peek.from;
        loop {
            let most = match peek.matching {
                Some(_) => TOGETHER,
                None => TOGETHER.min((peek.count + 1).saturating_sub(peeked.messages.len())),
            };
            let seen = self.looked_at(queue, peek.unacked, from, most)?;
            let is_last = seen.len() < most;
            for Looked { seen, message, held } in seen {
                from = seen.seq + 1;
                let is_enough = peeked.messages.len() == peek.count
                    || peeked.scanned == MOST_READ
                    || read >= MOST_BYTES_READ
                    || (shown >= MOST_BYTES_SHOWN && !peeked.messages.is_empty());
                if is_enough {
                    peeked.next = Some(seen.seq);
                    return Some(peeked);
                }
                peeked.scanned += 1;
                // One whose body cannot be read any more goes when it gets to the head.
                let Some(message) = message else { continue };
                read += message.body().len();
                if peek.matching.as_ref().is_none_or(|meant| meant.matches(&message)) {
                    shown += message.body().len().min(peek.body_bytes);
                    let own = PeekedMessage::of(&seen, &message, peek.body_bytes, held);
                    peeked.messages.push(own);
                }
            }
            if is_last {
                return Some(peeked);
            }
        }
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
