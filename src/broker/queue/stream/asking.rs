//! What nodes ask of each other about streams: to append a batch, to read chunks, where a reader begins.
//!
//! ```text
//! question  u8 format │ u8 kind │ u64 queue │ fields, big endian        answer  u8 format │ u8 kind │ fields
//! 1 append  u64 writer, u64 first, u64 last, u16 entries, u32 messages, u8 length, filter │ data to the end
//! 2 read    u64 offset, u32 bytes            3 begin  u8 kind, u64 value of the offset
//! 4 cursor  u64 offset, name to the end
//! ```

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures_util::future::BoxFuture;

use super::outgoing::Numbered;
use super::written::{Lost, PATIENCE, Written};
use crate::broker::queue::queues::Queues;
use crate::stream::producers::Key;
use crate::stream::{Chunk, OffsetSpec, Piece};
use crate::tasks;
use crate::types::{NodeId, QueueId};

/// The service that answers, see [`super::service`].
pub const STREAMS: u16 = 4;

/// First byte of a question and of an answer.
pub const FORMAT: u8 = 1;
pub(super) const APPEND: u8 = 1;
pub(super) const READ: u8 = 2;
pub(super) const BEGIN: u8 = 3;
pub(super) const CURSOR: u8 = 4;

pub(super) const WRITTEN: u8 = 1;
pub(super) const NOT_LEADER: u8 = 2;
pub(super) const GAP: u8 = 3;
pub(super) const REFUSED: u8 = 4;
pub(super) const PIECES: u8 = 5;
pub(super) const OFFSET: u8 = 6;
pub(super) const ABSENT: u8 = 7;
pub(super) const NOTED: u8 = 8;

/// How long whoever is asked for chunks waits for some.
pub(super) const WAIT: Duration = Duration::from_secs(2);

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
