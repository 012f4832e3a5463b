//! What nodes ask of each other about streams: to append a batch, to read chunks, where a reader begins.
//!
//! ```text
//! question  u8 format │ u8 kind │ u64 queue │ fields, big endian        answer  u8 format │ u8 kind │ fields
//! 1 append  u64 writer, u64 first, u64 last, u16 entries, u32 messages, u8 length, filter │ data to the end
//! 2 read    u64 offset, u32 bytes            3 begin  u8 kind, u64 value of the offset
//! 4 cursor  u64 offset, name to the end
//! ```
//! Whoever is asked and has no member, or does not lead, says so.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::leading::{Lost, Written};
use super::live::replica;
use super::reading::resolve_here;
use super::writer::{Numbered, PATIENCE};
use crate::broker::queue::queues::Queues;
use crate::cluster::rpc::{CallFuture, Failed, Flow, Handler, Origin};
use crate::stream::chunk::{self, Count};
use crate::stream::producers::{Key, NAME_BYTES};
use crate::stream::{Chunk, OffsetSpec, Piece, Writer};
use crate::tasks;
use crate::types::{NodeId, QueueId};

/// The service of this file.
pub const STREAMS: u16 = 4;

/// First byte of a question and of an answer.
pub const FORMAT: u8 = 1;
const APPEND: u8 = 1;
const READ: u8 = 2;
const BEGIN: u8 = 3;
const CURSOR: u8 = 4;

const WRITTEN: u8 = 1;
const NOT_LEADER: u8 = 2;
const GAP: u8 = 3;
const REFUSED: u8 = 4;
const PIECES: u8 = 5;
const OFFSET: u8 = 6;
const ABSENT: u8 = 7;
const NOTED: u8 = 8;

/// How long whoever is asked for chunks waits for some.
const WAIT: Duration = Duration::from_secs(2);
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

fn begin(kind: u8, queue: QueueId) -> Vec<u8> {
    let mut question = vec![FORMAT, kind];
    question.put_u64(queue.0);
    question
}

/// The answer behind its format.
async fn ask(queues: &Queues, node: NodeId, question: Vec<u8>, patience: Duration) -> Option<Bytes> {
    let deadline = std::time::Instant::now() + patience;
    let answer = queues
        .nodes
        .cluster()?
        .call(node, STREAMS, question.into(), deadline)
        .await;
    match answer {
        Ok(mut answer) if answer.first() == Some(&FORMAT) => {
            answer.advance(1);
            Some(answer)
        }
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%node, %error, "no answer about a stream");
            None
        }
    }
}

/// Has another node append a batch.
pub(super) fn append_there(
    queues: &Arc<Queues>,
    leader: NodeId,
    queue: QueueId,
    batch: &Numbered,
) -> BoxFuture<'static, Written> {
    let mut question = begin(APPEND, queue);
    let Key::Id(id) = batch.writer.key else {
        return Box::pin(std::future::ready(Err(Lost::Refused)));
    };
    question.put_u64(id);
    question.put_u64(batch.writer.first);
    question.put_u64(batch.writer.last);
    question.put_u16(batch.count.entries);
    question.put_u32(batch.count.records);
    question.put_u8(batch.filter.len() as u8);
    question.put_slice(&batch.filter);
    question.put_slice(&batch.data);
    let queues = queues.clone();
    Box::pin(async move {
        let lost = |leader| Err(Lost::NotLeader { leader });
        let Some(mut answer) = ask(&queues, leader, question, PATIENCE).await else {
            return lost(None);
        };
        match (answer.try_get_u8(), answer.try_get_u64()) {
            (Ok(WRITTEN), Ok(end)) => Ok(end),
            (Ok(NOT_LEADER), Ok(leader)) => lost((leader > 0).then_some(NodeId(leader))),
            (Ok(GAP), _) => Err(Lost::Gap),
            (Ok(REFUSED), _) => Err(Lost::Refused),
            _ => lost(None),
        }
    })
}

/// Has another node keep a cursor; nobody hears of it.
pub(super) fn store_cursor_there(queues: &Arc<Queues>, leader: NodeId, queue: QueueId, name: &str, offset: u64) {
    let mut question = begin(CURSOR, queue);
    question.put_u64(offset);
    question.put_slice(name.as_bytes());
    let queues = queues.clone();
    tasks::spawn("stream cursor", async move {
        ask(&queues, leader, question, PATIENCE).await
    });
}

/// Chunks that one of these nodes has; none when nothing came in time, `None` when nobody answers.
pub(super) async fn read_there(
    queues: &Queues,
    nodes: Vec<NodeId>,
    queue: QueueId,
    from: u64,
    most_bytes: usize,
) -> Option<Vec<Piece>> {
    for node in nodes {
        let mut question = begin(READ, queue);
        question.put_u64(from);
        question.put_u32(most_bytes as u32);
        let answer = ask(queues, node, question, WAIT + PATIENCE).await;
        if let Some(pieces) = answer.and_then(pieces) {
            return Some(pieces);
        }
    }
    None
}

fn pieces(mut answer: Bytes) -> Option<Vec<Piece>> {
    if answer.try_get_u8().ok()? != PIECES {
        return None;
    }
    let mut pieces = Vec::new();
    while !answer.is_empty() {
        let len = usize::from(answer.try_get_u8().ok()?);
        let filter = take(&mut answer, len)?;
        let len = answer.try_get_u32().ok()? as usize;
        let chunk = Chunk::check(take(&mut answer, len)?).ok()?;
        pieces.push(Piece { filter, chunk });
    }
    Some(pieces)
}

fn take(from: &mut Bytes, len: usize) -> Option<Bytes> {
    (from.len() >= len).then(|| from.split_to(len))
}

/// The offset from which a reader begins, as one of these nodes sees it.
pub(super) async fn resolve_there(
    queues: &Queues,
    nodes: Vec<NodeId>,
    queue: QueueId,
    spec: OffsetSpec,
) -> Option<u64> {
    for node in nodes {
        let mut question = begin(BEGIN, queue);
        let (kind, value) = spec.parts();
        question.put_u8(kind);
        question.put_u64(value);
        if let Some(mut answer) = ask(queues, node, question, PATIENCE).await
            && let (Ok(OFFSET), Ok(offset)) = (answer.try_get_u8(), answer.try_get_u64())
        {
            return Some(offset);
        }
    }
    None
}
