//! Streams as sessions of this protocol use them.

use std::sync::Arc;

use super::confirms::Confirms;
use crate::broker::delivery::streaming::SubscriptionCounts;
use crate::broker::queue::stream::direct::Entries;
use crate::broker::queue::stream::{LiveStream, Lost};
use crate::broker::{Broker, QueueHandle};
use crate::front::streams::{StreamRefusal, Streams};
use crate::stream::{Bounds, Matcher, OffsetSpec, Piece};
use crate::stream_protocol::codec::{Code, StartAt};
use crate::types::{NodeId, QueueId, Timestamp, VhostName};

/// A stream.
#[derive(Clone)]
pub(super) struct Stream {
    broker: Arc<Broker>,
    queue: Arc<QueueHandle>,
    live: Arc<LiveStream>,
}

/// Where a stream is.
pub(super) struct Place {
    pub leader: Option<NodeId>,
    /// Without the leader.
    pub replicas: Vec<NodeId>,
}

impl Stream {
    /// The stream of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(streams: &Streams, vhost: &VhostName, name: &str) -> Result<Self, Code> {
        let (queue, live) = streams.find(vhost, name)?;
        Ok(Self {
            broker: streams.0.clone(),
            queue,
            live,
        })
    }

    /// Whether what is published here is taken.
    pub fn is_led_here(&self) -> bool {
        self.live.is_led_here()
    }

    /// Waits a while until the stream is led, here or elsewhere.
    pub async fn led(&self) {
        self.live.led(self.broker.queues(), &self.queue).await;
    }

    /// Whether this node has a member.
    pub fn is_here(&self) -> bool {
        self.live.bounds(&self.queue).is_some()
    }

    /// Appends what is published, by the name of its publisher if that counts.
    pub fn publish(&self, (stream, name): (&str, Option<(&str, u64)>), entries: &Entries, confirms: Confirms) {
        let stream = stream.to_owned();
        self.live
            .publish_entries(self.broker.queues(), name, entries, move |written| match written {
                Ok(()) => confirms.committed(),
                Err(Lost::Fenced) => confirms.fenced(),
                Err(_) => confirms.lost(stream),
            });
    }

    /// A publisher of that name begins, and those before it write no more. Gives its epoch.
    pub fn claim(&self, name: &str) -> u64 {
        self.live.claim(name)
    }

    /// It ends.
    pub fn release(&self, name: &str, epoch: u64) {
        self.live.release(name, epoch);
    }

    /// The highest number of a publisher's name.
    pub fn sequence(&self, name: &str) -> Option<u64> {
        self.live.sequence(&self.queue, name)
    }

    /// Keeps how far a reader has come.
    pub fn store_offset(&self, name: &str, offset: u64) {
        self.live.store_cursor(self.broker.queues(), &self.queue, name, offset);
    }

    /// How far it has.
    pub fn stored_offset(&self, name: &str) -> Option<u64> {
        self.live.cursor(&self.queue, name)
    }

    /// Offsets, as far as this node's member knows them.
    pub fn bounds(&self) -> Option<Bounds> {
        self.live.bounds(&self.queue)
    }

    /// The offset at which a reader begins.
    pub async fn attach(&self, start: StartAt) -> Option<u64> {
        let spec = match start {
            StartAt::First => OffsetSpec::First,
            StartAt::Last => OffsetSpec::Last,
            StartAt::Next => OffsetSpec::Next,
            StartAt::Offset(offset) => OffsetSpec::Offset(offset),
            StartAt::Timestamp(at) => match u64::try_from(at) {
                Ok(at) => OffsetSpec::Time(Timestamp(at)),
                Err(_) => OffsetSpec::First,
            },
        };
        let offset = self.live.resolve(self.broker.queues(), &self.queue, spec).await.ok()?;
        // Beyond the end is what comes next.
        let next = self.bounds().map_or(offset, |bounds| bounds.next);
        Some(offset.min(next))
    }

    /// Chunks from that offset on, once there are any, with about so many bytes.
    pub async fn read(&self, from: u64, most_bytes: usize) -> Vec<Piece> {
        self.live
            .read(self.broker.queues(), &self.queue, from, most_bytes)
            .await
    }

    /// Waits until this node does not lead the stream any more, or it is deleted.
    pub async fn deposed(&self) {
        self.live.deposed(&self.queue).await;
    }

    /// Waits until this node has no member of the stream any more, or it is deleted.
    pub async fn gone(&self) {
        self.live.gone(&self.queue).await;
    }

    /// A client reads it from now on, for whoever shows that.
    pub fn subscribe(&self, subscription: Arc<SubscriptionCounts>) {
        self.live.subscribe(subscription);
    }

    /// It does not any more.
    pub fn unsubscribe(&self, subscription: &SubscriptionCounts) {
        self.live.unsubscribe(subscription);
    }

    pub fn id(&self) -> QueueId {
        self.queue.spec.id
    }

    pub fn place(&self) -> Place {
        let (leader, replicas) = self.live.place(self.broker.queues(), &self.queue);
        Place { leader, replicas }
    }
}

impl From<StreamRefusal> for Code {
    fn from(refusal: StreamRefusal) -> Self {
        match refusal {
            StreamRefusal::NoStream => Self::NoStream,
            StreamRefusal::StreamExists => Self::StreamExists,
            StreamRefusal::AccessRefused => Self::AccessRefused,
            StreamRefusal::PreconditionFailed => Self::PreconditionFailed,
            StreamRefusal::InternalError => Self::InternalError,
        }
    }
}

/// What a reader wants, as filter values and whether it takes chunks with messages that have none.
pub(super) fn matcher(values: Vec<Vec<u8>>, match_unfiltered: bool) -> Option<Matcher> {
    // Whoever wants messages with an empty value wants those without one.
    let unfiltered = match_unfiltered || values.iter().any(Vec::is_empty);
    (!values.is_empty()).then_some(Matcher { values, unfiltered })
}
