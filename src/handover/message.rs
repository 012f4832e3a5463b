//! What nodes say to each other about a queue, as values; [`super::wire`] has the bytes.

use bytes::Bytes;

use crate::queue::{Outcome, Rank, Slot};
use crate::types::{Message, QueueId};

/// A consumer among all of its node, never used again while the process runs. 0 stands for
/// `basic.get`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConsumerKey(pub u64);

impl ConsumerKey {
    /// Whoever fetched with `basic.get`.
    pub const GET: Self = Self(0);
}

/// A frame that was read.
#[derive(Debug)]
pub struct Frame {
    pub queue: QueueId,
    pub body: FrameBody,
}

/// What a frame says. The first part goes from a node with clients to the one with the machine,
/// the second one the other way.
#[derive(Debug)]
pub enum FrameBody {
    /// Everything that is at stake, with the publishes that follow.
    Attach(Attach),
    Consume {
        call: u64,
        consumer: ConsumerSpec<String>,
    },
    /// A consumer ends; its client has these messages of it, and nothing more will be passed on. A call
    /// of 0 wants no answer; another one is answered when all that follows is done.
    Cancel {
        call: u64,
        key: u64,
        kept: Vec<Slot>,
    },
    /// Consumers end with all that they have, and what their client had otherwise comes back too.
    Leave {
        call: u64,
        keys: Vec<u64>,
        batch: SettleBatch,
    },
    /// So many bytes of deliveries were passed on.
    Taken {
        key: u64,
        bytes: u64,
    },
    /// Numbered from `first`, in their stored form.
    Publish {
        first: u64,
        messages: Vec<Bytes>,
    },
    Settle(SettleBatch),
    Get {
        call: u64,
        no_ack: bool,
    },
    Purge {
        call: u64,
    },
    Count {
        call: u64,
    },
    /// Whoever leads is to say so.
    Who,
    /// The answer to `Lead` of a node that has nothing at stake.
    Nothing {
        term: u64,
    },

    /// The node leads. It `starts_anew` with whoever hears it when it knows nothing, or not all, of
    /// what they said before.
    Lead {
        term: u64,
        starts_anew: bool,
    },
    NotLeader,
    /// The node asks for votes: whoever takes it for the leader of this term is mistaken.
    Leaderless {
        term: u64,
    },
    /// The attach of that number is taken in, and all that was sent before it is void: deliveries
    /// from now on count. Messages that it said its clients hold, and that they do not, are `lost`.
    Attached {
        number: u64,
        lost: Vec<Slot>,
    },
    /// Publishes from the first to the last number.
    Answered {
        is_accepted: bool,
        first: u64,
        last: u64,
    },
    /// Batches up to this one are committed.
    Settled {
        up_to: u64,
    },
    Deliver {
        key: u64,
        delivered: Delivered,
        message: Bytes,
    },
    Got {
        call: u64,
        delivered: Delivered,
        remaining: u64,
        message: Bytes,
    },
    Empty {
        call: u64,
    },
    Done {
        call: u64,
        value: u64,
    },
    Counts {
        call: u64,
        ready: u64,
        unacked: u64,
        consumers: u64,
    },
    Refused {
        call: u64,
        code: u16,
        text: String,
    },
    Cancelled {
        key: u64,
    },
    /// The client of a consumer has held a message for longer than this many milliseconds.
    Overdue {
        key: u64,
        timeout: u64,
    },
    /// A consumer's place among the others.
    Ranked {
        key: u64,
        rank: Rank,
    },
    /// An answer to a request of a client (direct reply-to); the queue is 0.
    Reply {
        secret: u128,
        message: Bytes,
    },
}

impl FrameBody {
    /// Whether it only means something to who knows what the node has at stake.
    pub fn follows_attach(&self) -> bool {
        matches!(
            self,
            Self::Publish { .. }
                | Self::Settle(_)
                | Self::Consume { .. }
                | Self::Cancel { .. }
                | Self::Leave { .. }
                | Self::Taken { .. }
                | Self::Get { .. }
        )
    }
}

/// See [`FrameBody::Attach`].
#[derive(Debug)]
pub struct Attach {
    /// In which the node was told to lead; 0 for a queue that is not replicated.
    pub term: u64,
    /// Of the attaches of this node to this queue.
    pub number: u64,
    pub producer: u64,
    pub consumers: Vec<ConsumerSpec<String>>,
    /// Consumer (0 is none) and message.
    pub held: Vec<(u64, Slot)>,
    /// What was settled and is not answered: it may have come before, to whoever had the machine.
    pub settles: Vec<SettleBatch>,
}

/// Slots that were settled in one go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SettleBatch {
    pub number: u64,
    pub outcome: Outcome,
    /// Somebody waits until it survives a crash.
    pub is_awaited: bool,
    pub slots: Vec<Slot>,
}

/// A consumer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConsumerSpec<T> {
    pub key: u64,
    pub tag: T,
    pub prefetch: Option<u32>,
    pub no_ack: bool,
    pub exclusive: bool,
    pub priority: i32,
    /// As the leader before said.
    pub rank: Rank,
}

/// How a message is handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delivered {
    pub slot: Slot,
    pub redelivered: bool,
    pub delivery_count: u32,
}

/// A delivery that came from another node.
#[derive(Debug)]
pub struct RemoteDelivery {
    pub message: Message,
    pub slot: Slot,
    pub redelivered: bool,
    pub delivery_count: u32,
}

/// Bytes on their way to one consumer of another node.
pub(super) const WINDOW: u64 = 1024 * 1024;
