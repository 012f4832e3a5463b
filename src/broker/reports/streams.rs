//! Streams as operators see and steer them: how each member is, what is tracked in a stream, and where its readers go
//! on. Whoever leads knows the most, so it is asked first.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Reports;
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::stream::{LiveStream, Tracked};
use crate::stream::OffsetSpec;
use crate::types::{NodeId, QueueId};

/// How long whoever leads may take to have a cursor on a majority.
const CURSOR_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks for who leads.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// How a member of a stream is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamMember {
    pub is_leader: bool,
    pub epoch: u64,
    /// Of the oldest message, and behind the newest.
    pub first: u64,
    pub end: u64,
    /// Of the first message of the newest chunk, if any is there.
    pub last_chunk: Option<u64>,
    pub segments: u64,
    /// Consumers and subscriptions of that node's clients.
    pub readers: u64,
}

impl Reports {
    /// A stream as this node knows it.
    fn stream(&self, queue: QueueId) -> Option<(Arc<QueueHandle>, Arc<LiveStream>)> {
        let queue = self.queues.by_id(queue)?;
        let live = self.queues.streams().of(&queue)?;
        Some((queue, live))
    }

    /// How the member of a stream on this node is; `None` where there is none.
    pub(super) fn stream_member_here(&self, queue: QueueId) -> Option<StreamMember> {
        let (queue, live) = self.stream(queue)?;
        let bounds = live.bounds(&queue)?;
        Some(StreamMember {
            is_leader: live.is_led_here(),
            epoch: live.epoch(&queue),
            first: bounds.first,
            end: bounds.next,
            last_chunk: bounds.last_chunk,
            segments: bounds.segments as u64,
            readers: live.readers() as u64,
        })
    }

    /// How the members of a stream are; a node that does not answer, or has none yet, says nothing.
    pub async fn stream_members(&self, queue: &QueueHandle) -> Vec<(NodeId, Option<StreamMember>)> {
        let id = queue.spec.id;
        let members = queue.member_nodes().into_iter().map(async |node| {
            let member = match node == self.nodes.us() {
                true => self.stream_member_here(id),
                false if !self.nodes.is_alive(node) => None,
                false => self.ask_for_stream_member(node, id).await,
            };
            (node, member)
        });
        futures_util::future::join_all(members).await
    }

    pub(super) fn tracked_here(&self, queue: QueueId) -> Option<Tracked> {
        let (queue, live) = self.stream(queue)?;
        live.tracked(&queue)
    }

    /// What is tracked in a stream, as whoever leads it knows, or else a member that can be asked.
    pub async fn tracked(&self, queue: &QueueHandle) -> Option<Tracked> {
        let live = self.queues.streams().of(queue)?;
        let (leader, others) = live.place(&self.queues, queue);
        for node in leader.into_iter().chain(others) {
            let tracked = match node == self.nodes.us() {
                true => self.tracked_here(queue.spec.id),
                false => self.ask_what_is_tracked(node, queue.spec.id).await,
            };
            if tracked.is_some() {
                return tracked;
            }
        }
        None
    }

    /// Keeps how far a reader has come, or forgets it, if this node leads: whether a majority has it. `None` where
    /// another leads.
    pub(super) async fn keep_cursor_here(&self, queue: QueueId, name: &str, offset: Option<u64>) -> Option<bool> {
        let (_, live) = self.stream(queue)?;
        match live.is_led_here() {
            true => Some(live.keep_cursor(&self.queues, name, offset).await),
            false => None,
        }
    }

    /// The same wherever it is led; false when no majority has it in time.
    pub async fn keep_cursor(&self, queue: &QueueHandle, name: &str, offset: Option<u64>) -> bool {
        let Some(live) = self.queues.streams().of(queue) else {
            return false;
        };
        let (id, deadline) = (queue.spec.id, Instant::now() + CURSOR_TIMEOUT);
        while Instant::now() < deadline {
            let kept = match live.place(&self.queues, queue).0 {
                Some(leader) if leader == self.nodes.us() => self.keep_cursor_here(id, name, offset).await,
                Some(leader) => self.ask_to_keep_cursor(leader, id, name, offset, deadline).await,
                None => None,
            };
            if kept == Some(true) {
                return true;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        false
    }

    /// The offset of the first message that is meant; `None` where no member can be asked.
    pub async fn offset_in(&self, queue: &Arc<QueueHandle>, spec: OffsetSpec) -> Option<u64> {
        let live = self.queues.streams().of(queue)?;
        live.resolve(&self.queues, queue, spec).await.ok()
    }
}
