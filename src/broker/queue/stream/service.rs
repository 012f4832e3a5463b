//! Answers what other nodes ask about streams; the format is described in [`asking`](super::asking).
//!
//! Whoever is asked and has no member, or does not lead, says so.

use std::sync::{Arc, Weak};

use bytes::{Buf, BufMut, Bytes};
use tokio::time::timeout;

use super::asking::{
    ABSENT, APPEND, BEGIN, CURSOR, FORMAT, GAP, NOT_LEADER, NOTED, OFFSET, PIECES, READ, REFUSED, WAIT, WRITTEN,
};
use super::live::replica;
use super::outgoing::Numbered;
use super::reading::resolve_here;
use super::written::Lost;
use crate::broker::queue::queues::Queues;
use crate::cluster::rpc::{CallFuture, Failed, Flow, Handler, Origin};
use crate::stream::chunk::{self, Count};
use crate::stream::producers::{Key, NAME_BYTES};
use crate::stream::{OffsetSpec, Writer};
use crate::types::QueueId;

/// Bytes of chunks in an answer, but for the last.
const MOST_BYTES: usize = 1024 * 1024;

/// Answers other nodes.
pub struct StreamService(pub Weak<Queues>);

impl Handler for StreamService {
    fn call(&self, _from: Origin, question: Bytes) -> CallFuture {
        let queues = self.0.clone();
        Box::pin(async move {
            let queues = queues.upgrade().ok_or_else(|| Failed("the node stops".to_owned()))?;
            let asked =
                Question::decode(&question).ok_or_else(|| Failed("a question of another version".to_owned()))?;
            Ok(asked
                .answer(&queues)
                .await
                .unwrap_or_else(|| Bytes::from_static(&[FORMAT, ABSENT])))
        })
    }

    fn messages(&self, _from: &Origin, messages: &mut Vec<Bytes>) -> Flow {
        messages.clear();
        Flow::Ready
    }
}

/// What is asked about which stream.
struct Question {
    queue: QueueId,
    what: What,
}

enum What {
    Append(Numbered),
    Read { from: u64, most_bytes: usize },
    Begin(OffsetSpec),
    Cursor { name: String, offset: u64 },
}

impl Question {
    fn decode(question: &Bytes) -> Option<Self> {
        let mut from = &question[..];
        if from.try_get_u8().ok()? != FORMAT {
            return None;
        }
        let kind = from.try_get_u8().ok()?;
        let queue = QueueId(from.try_get_u64().ok()?);
        let what = match kind {
            APPEND => {
                let writer = Writer {
                    key: Key::Id(from.try_get_u64().ok()?),
                    epoch: 0,
                    first: from.try_get_u64().ok()?,
                    last: from.try_get_u64().ok()?,
                };
                let count = Count {
                    entries: from.try_get_u16().ok()?,
                    records: from.try_get_u32().ok()?,
                };
                let len = usize::from(from.try_get_u8().ok()?);
                let data = question.len() - from.len().checked_sub(len)?;
                let filter = question.slice(data - len..data);
                let data = question.slice(data..);
                // What another node says is in it counts for offsets.
                (chunk::count(&data) == Ok(count)).then_some(())?;
                What::Append(Numbered {
                    writer,
                    count,
                    filter,
                    data,
                })
            }
            READ => What::Read {
                from: from.try_get_u64().ok()?,
                most_bytes: from.try_get_u32().ok()? as usize,
            },
            BEGIN => What::Begin(OffsetSpec::of_parts((
                from.try_get_u8().ok()?,
                from.try_get_u64().ok()?,
            ))?),
            CURSOR => What::Cursor {
                offset: from.try_get_u64().ok()?,
                name: String::from_utf8(from.to_vec())
                    .ok()
                    .filter(|name| name.len() <= NAME_BYTES)?,
            },
            _ => return None,
        };
        Some(Self { queue, what })
    }

    /// `None` where there is no such stream, or no member of it that can answer.
    async fn answer(self, queues: &Arc<Queues>) -> Option<Bytes> {
        let queue = queues.by_id(self.queue)?;
        let stream = queues.streams.of(&queue)?;
        let mut answer = vec![FORMAT];
        match self.what {
            What::Append(batch) => {
                let told = stream.append(queues, &batch.batch());
                match told.await.unwrap_or(Err(Lost::NotLeader { leader: None })) {
                    Ok(end) => {
                        answer.put_u8(WRITTEN);
                        answer.put_u64(end);
                    }
                    Err(Lost::NotLeader { .. }) => {
                        let leader = replica(&queue).and_then(|group| group.leadership().leader);
                        answer.put_u8(NOT_LEADER);
                        answer.put_u64(leader.map_or(0, |leader| leader.0));
                    }
                    Err(Lost::Gap) => answer.put_u8(GAP),
                    Err(Lost::Refused | Lost::Fenced) => answer.put_u8(REFUSED),
                }
            }
            What::Read { from, most_bytes } => {
                let read = stream.read_here(queues, &queue, from, most_bytes.min(MOST_BYTES));
                let pieces = match timeout(WAIT, read).await {
                    Ok(read) => read?,
                    Err(_) => Vec::new(),
                };
                answer.put_u8(PIECES);
                for piece in pieces {
                    answer.put_u8(piece.filter.len() as u8);
                    answer.put_slice(&piece.filter);
                    answer.put_u32(piece.chunk.bytes().len() as u32);
                    answer.put_slice(piece.chunk.bytes());
                }
            }
            What::Cursor { name, offset } => {
                stream.set_cursor(queues, &name, offset, |_| {});
                answer.put_u8(NOTED);
            }
            What::Begin(spec) => {
                let group = replica(&queue)?;
                answer.put_u8(OFFSET);
                answer.put_u64(resolve_here(&group, spec).await?);
            }
        }
        Some(answer.into())
    }
}
