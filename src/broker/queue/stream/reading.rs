//! Chunks of a stream: from this node's member where it has one, else from another's.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use super::asking;
use super::live::{LiveStream, replica};
use crate::broker::queue::contents::Contents;
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::queues::Queues;
use crate::journal::raft::Group;
use crate::stream::log::Reader;
use crate::stream::{OffsetSpec, Piece};
use crate::tasks;
use crate::types::NodeId;

/// How long a reader rests before it asks another member.
const AGAIN: Duration = Duration::from_millis(100);
/// How long a question may take over all.
const DEADLINE: Duration = Duration::from_secs(8);

/// No member can be asked just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no member of the stream can be read from now")]
pub struct Unreachable;

impl LiveStream {
    /// The offset from which a reader begins.
    ///
    /// # Errors
    /// [`Unreachable`], after some seconds.
    pub async fn resolve(
        &self,
        queues: &Arc<Queues>,
        queue: &Arc<QueueHandle>,
        spec: OffsetSpec,
    ) -> Result<u64, Unreachable> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let resolved = match replica(queue) {
                Some(group) => resolve_here(&group, spec).await,
                None => {
                    let asked = self.others(queues, queue);
                    asking::resolve_there(queues, asked, self.id, spec).await
                }
            };
            match resolved {
                Some(offset) => return Ok(offset),
                None if Instant::now() >= deadline || self.is_ended() => return Err(Unreachable),
                None => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// How many messages there are, as far as it can be told.
    pub(in crate::broker) async fn count(&self, queues: &Arc<Queues>, queue: &Arc<QueueHandle>) -> u64 {
        if let Some(bounds) = self.bounds(queue) {
            return bounds.next - bounds.first;
        }
        let others = || self.others(queues, queue);
        let first = asking::resolve_there(queues, others(), self.id, OffsetSpec::First).await;
        let next = asking::resolve_there(queues, others(), self.id, OffsetSpec::Next).await;
        next.unwrap_or(0).saturating_sub(first.unwrap_or(0))
    }

    /// Chunks from that offset on, as soon as there are any. At most so many bytes, but for the last.
    pub async fn read(
        &self,
        queues: &Arc<Queues>,
        queue: &Arc<QueueHandle>,
        from: u64,
        most_bytes: usize,
    ) -> Vec<Piece> {
        loop {
            let read = match self.read_here(queues, queue, from, most_bytes).await {
                Some(pieces) => Some(pieces),
                None => {
                    let asked = self.others(queues, queue);
                    asking::read_there(queues, asked, self.id, from, most_bytes).await
                }
            };
            match read {
                Some(pieces) if !pieces.is_empty() => return pieces,
                // Nothing came in time.
                Some(_) => {}
                None => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// The same of the member here, as long as there is one that can be read.
    pub(super) async fn read_here(
        &self,
        queues: &Arc<Queues>,
        queue: &Arc<QueueHandle>,
        from: u64,
        most_bytes: usize,
    ) -> Option<Vec<Piece>> {
        loop {
            let turns = self.tail.turns();
            let group = replica(queue)?;
            let reader = group.machine().log().and_then(|log| log.read_from(from, most_bytes));
            let Some(reader) = reader else {
                // What the tail tells may be of the member before.
                match self.tail.next() > from {
                    true => tokio::time::sleep(AGAIN).await,
                    false => self.tail.beyond(from, turns).await,
                }
                continue;
            };
            let pieces = reader.read_at_once();
            if !pieces.is_empty() {
                return Some(pieces);
            }
            match blocking(move || reader.read()).await {
                Ok(pieces) => return Some(pieces),
                // It became too old in this moment: what follows is read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => tokio::time::sleep(AGAIN).await,
                Err(error) => {
                    self.cannot_read(queues, queue, &group, &error);
                    return None;
                }
            }
        }
    }

    /// The member here is damaged where others may not be, and is filled from them.
    fn cannot_read(&self, queues: &Arc<Queues>, queue: &Arc<QueueHandle>, group: &Group<Contents>, error: &io::Error) {
        // Readers try again and again.
        if !self.is_told_unreadable.swap(true, Ordering::Relaxed) {
            tracing::error!(queue = %queue.spec.name, vhost = %queue.spec.vhost, %error, "a stream cannot be read");
        }
        if group.has_lost()
            && let Some(above) = queues.above()
        {
            above.member_fails(queue, group);
        }
    }

    /// Whom to ask that may have a member: who leads, or any other.
    fn others(&self, queues: &Queues, queue: &QueueHandle) -> Vec<NodeId> {
        let first = self.leader_of(queues, queue);
        let members = queue.member_nodes();
        let alive = members.into_iter().filter(|node| queues.nodes.is_alive(*node));
        let others = alive.filter(|node| Some(*node) != first);
        first
            .into_iter()
            .chain(others)
            .filter(|node| *node != queues.us())
            .collect()
    }
}

/// By the member here; `None` where that does not work.
pub(super) async fn resolve_here(group: &Group<Contents>, spec: OffsetSpec) -> Option<u64> {
    let (reader, at) = {
        let machine = group.machine();
        let log = machine.log()?;
        match spec {
            OffsetSpec::Time(at) => match log.read_time(at) {
                Some(reader) => (reader, at),
                None => return Some(log.next()),
            },
            spec => return Some(log.resolve(spec)),
        }
    };
    first_at(reader, at).await
}

async fn first_at(reader: Reader, at: crate::types::Timestamp) -> Option<u64> {
    blocking(move || reader.first_at(at)).await.ok().flatten()
}

async fn blocking<T: Send + 'static>(read: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tasks::blocking(read).await.map_err(io::Error::other)?
}
