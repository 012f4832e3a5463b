//! Streams on this node: written, read and consumed by its clients, wherever a stream's members are.
//!
//! ```text
//! publishes of this node → writer: chunks, numbered, kept until answered → the leader, here or on another node
//!                                                                            │ offsets → group → members
//! consumer: a task each → reading: from the member here, or another's → messages → outbox
//! ```
//! [`LiveStream`] is what this node knows of a stream: who leads, what is on its way, who reads. Every node numbers
//! its own writes, so that what is sent again after a change of leader is written once. A
//! confirm is a majority's sync. `asking` asks other nodes and `service` answers them; [`direct`] is for those who
//! speak of streams by their own words.

pub(in crate::broker) mod asking;
mod consumer;
pub mod direct;
mod leadership;
mod leading;
mod live;
mod outgoing;
mod reader;
mod reading;
pub(in crate::broker) mod service;
mod standing;
mod tracked;
mod writer;

#[cfg(test)]
mod tests;
mod written;

use std::sync::Arc;

use parking_lot::RwLock;
use rustc_hash::FxHashMap;

pub use consumer::Subscription;
pub(super) use consumer::messages as read_messages;
pub use live::LiveStream;
pub use reading::Unreachable;
pub use tracked::{Tracked, TrackedProducer};
pub use written::{Lost, Written};

use super::contents::Tail;
use super::handle::QueueHandle;
use crate::spec::{QueueSettings, QueueType};
use crate::stream::Retention;
use crate::types::{ByteSize, QueueId};

/// The streams that are declared.
#[derive(Default)]
pub struct Streams(RwLock<FxHashMap<QueueId, Arc<LiveStream>>>);

impl Streams {
    /// What this node knows of a stream; `None` for a queue of another type.
    pub fn of(&self, queue: &QueueHandle) -> Option<Arc<LiveStream>> {
        match queue.spec.queue_type {
            QueueType::Stream => self.0.read().get(&queue.spec.id).cloned(),
            QueueType::Classic | QueueType::Quorum => None,
        }
    }

    /// A stream is declared.
    pub(in crate::broker) fn open(&self, queue: &QueueHandle, settings: &QueueSettings) -> Arc<LiveStream> {
        let live = Arc::new(LiveStream::new(queue.spec.id, Arc::new(Tail::default()), settings));
        self.0.write().insert(queue.spec.id, live.clone());
        live
    }

    /// It is deleted.
    pub(in crate::broker) fn forget(&self, queue: &QueueHandle) -> Option<Arc<LiveStream>> {
        match queue.spec.queue_type {
            QueueType::Stream => self.0.write().remove(&queue.spec.id),
            QueueType::Classic | QueueType::Quorum => None,
        }
    }

    /// The offset behind the last message of a stream that has a member here.
    pub(in crate::broker) fn end(&self, queue: &QueueHandle) -> Option<u64> {
        Some(self.of(queue)?.bounds(queue)?.next)
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<LiveStream>> {
        self.0.read().values().cloned().collect()
    }
}

/// What is kept of a stream that goes by this.
pub(in crate::broker) fn retention_of(settings: &QueueSettings) -> Retention {
    Retention {
        max_age: settings.max_age,
        max_bytes: settings.max_length_bytes.map(ByteSize),
        segment: settings.segment_bytes.map(ByteSize),
    }
}
