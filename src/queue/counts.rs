//! What the management API and declare replies want to know of a queue.

use serde::{Deserialize, Serialize};

use crate::spec::QueueSettings;
use crate::types::Message;

use super::Queue;
use super::consumers::{Consumer, Standing};
use super::sink::{ConsumeError, ConsumerId, Rank};

/// Numbers of one queue at one moment. Bytes are those of message bodies unless said otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    pub ready: u64,
    pub ready_bytes: u64,
    pub unacked: u64,
    pub unacked_bytes: u64,
    pub consumers: u64,
    /// Messages that survive a restart, ready or not.
    pub persistent: u64,
    pub persistent_bytes: u64,
    /// Memory that messages take, names and properties included.
    pub memory_bytes: u64,
    /// Ready messages whose body is not in memory.
    pub paged_out: u64,
    /// Dead letters that are kept until their targets have them.
    #[serde(default)]
    pub discarded: u64,
    #[serde(default)]
    pub discarded_bytes: u64,
    /// Of the ready messages of a quorum queue: those of high priority, and those that came back.
    #[serde(default)]
    pub ready_high: u64,
    #[serde(default)]
    pub ready_returned: u64,
    /// Of a stream: what is dropped together, as its leader has it.
    #[serde(default)]
    pub segments: u64,
    /// Of a stream: the offset of its oldest message.
    #[serde(default)]
    pub first_offset: u64,
}

impl Counts {
    /// Ready messages of a quorum queue that are neither of high priority nor came back.
    pub fn ready_normal(&self) -> u64 {
        self.ready.saturating_sub(self.ready_high + self.ready_returned)
    }
}

/// A consumer as the management API shows it.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerView<'a, C> {
    pub id: ConsumerId,
    pub handle: &'a C,
    /// `None` is no limit.
    pub prefetch: Option<u32>,
    pub exclusive: bool,
    pub no_ack: bool,
    pub priority: i32,
    /// Messages it holds.
    pub unacked: u32,
    pub status: ConsumerStatus,
    pub rank: Rank,
}

/// Whether a consumer is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ConsumerStatus {
    /// One of many.
    Up,
    /// The one that is served.
    SingleActive,
    /// Another one is served.
    Waiting,
}

impl ConsumerStatus {
    /// The word of the HTTP API's `activity_status`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::SingleActive => "single_active",
            Self::Waiting => "waiting",
        }
    }

    /// The HTTP API's `active`.
    pub fn is_active(self) -> bool {
        self != Self::Waiting
    }
}

impl<C, P> Queue<C, P> {
    /// All numbers at once.
    pub fn counts(&self) -> Counts {
        let (high, returned) = self.ready.by_lane();
        Counts {
            ready: self.ready(),
            ready_bytes: self.bytes_ready(),
            unacked: self.unacked(),
            unacked_bytes: self.bytes_unacked(),
            consumers: self.consumer_count() as u64,
            persistent: self.persistent.0,
            persistent_bytes: self.persistent.1,
            memory_bytes: self.bytes_in_memory(),
            paged_out: self.ready.paged() as u64,
            discarded: self.discards.len(),
            discarded_bytes: self.discards.bytes(),
            ready_high: high as u64,
            ready_returned: returned as u64,
            segments: 0,
            first_offset: 0,
        }
    }

    /// What the queue goes by.
    pub fn settings(&self) -> &QueueSettings {
        &self.settings
    }

    /// Whether [`Queue::consume`] would take such a consumer now.
    ///
    /// # Errors
    /// Why it would not.
    pub fn check_consume(&self, exclusive: bool) -> Result<(), ConsumeError> {
        self.consumers.check_add(exclusive)
    }

    /// The number of the message that comes next.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Messages waiting for a consumer.
    pub fn ready(&self) -> u64 {
        self.ready.len() as u64
    }

    /// Messages that clients hold.
    pub fn unacked(&self) -> u64 {
        self.outstanding.unacked() as u64
    }

    /// Consumers, whether they are served or not.
    pub fn consumer_count(&self) -> usize {
        self.consumers.len()
    }

    /// Bytes of the ready messages' bodies.
    pub fn bytes_ready(&self) -> u64 {
        self.ready.bytes()
    }

    /// Bytes of the bodies that clients hold.
    pub fn bytes_unacked(&self) -> u64 {
        self.outstanding.bytes()
    }

    /// Bytes of memory that messages take.
    pub fn bytes_in_memory(&self) -> u64 {
        self.paging.memory + self.uncommitted.memory()
    }

    /// The message that is next, when it is in memory.
    pub fn head(&self) -> Option<&Message> {
        self.ready.entry(self.ready.head()?)?.message.as_ref()
    }

    /// The consumers.
    pub fn consumers(&self) -> impl Iterator<Item = ConsumerView<'_, C>> {
        self.consumers.iter().map(|(id, consumer)| self.view(id, consumer))
    }

    /// The consumer of that id, if it is still there.
    pub fn consumer(&self, id: ConsumerId) -> Option<ConsumerView<'_, C>> {
        Some(self.view(id, self.consumers.get(id)?))
    }

    fn view<'a>(&self, id: ConsumerId, consumer: &'a Consumer<C>) -> ConsumerView<'a, C> {
        ConsumerView {
            id,
            handle: &consumer.handle,
            prefetch: consumer.prefetch,
            exclusive: consumer.exclusive,
            no_ack: consumer.no_ack,
            priority: consumer.priority,
            unacked: consumer.unacked,
            status: self.status(id, consumer),
            rank: consumer.rank,
        }
    }

    /// The consumer that is served, where only one is.
    pub fn single_active(&self) -> Option<ConsumerId> {
        self.consumers.single_active()
    }

    /// The same, as the caller calls it.
    pub fn single_active_consumer(&self) -> Option<&C> {
        Some(&self.consumers.get(self.single_active()?)?.handle)
    }

    fn status(&self, id: ConsumerId, consumer: &Consumer<C>) -> ConsumerStatus {
        match (self.consumers.is_single_active(), consumer.standing) {
            (false, _) => ConsumerStatus::Up,
            (true, Standing::Standby) if self.single_active() != Some(id) => ConsumerStatus::Waiting,
            (true, _) => ConsumerStatus::SingleActive,
        }
    }
}
