//! What goes into a queue and what comes out of it, as values.
//!
//! Effects and records are pushed into a [`Sink`] that the caller passes with every call, so the
//! path of a message allocates nothing and a test collects them in a list. A sink must not call
//! back into the queue.

use crate::types::{Message, QueueId};

/// Opaque place of a stored body; 0 is none.
pub type Loc = u64;

/// Bytes of what the journal keeps for the queue beside each message.
pub const META_LEN: usize = 24;

/// A consumer within its queue. The id of a consumer that is gone is harmless.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConsumerId(pub(super) u32);

/// An outstanding message, as the channel keeps it to settle it. A stale one is ignored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Slot {
    pub(super) index: u32,
    /// How often the message had come back when it went out: one slot is one delivery.
    pub(super) turn: u32,
    pub(super) seq: u64,
}

impl Slot {
    /// The slot of a message that nobody will settle: one delivered without acknowledgement, or
    /// one that was refused and never became part of the queue.
    pub const NONE: Self = Self {
        index: u32::MAX,
        turn: 0,
        seq: 0,
    };

    /// The slot as numbers, to be sent to another node.
    pub fn parts(self) -> (u32, u32, u64) {
        (self.index, self.turn, self.seq)
    }

    /// The slot of these numbers; any are harmless.
    pub fn from_parts((index, turn, seq): (u32, u32, u64)) -> Self {
        Self { index, turn, seq }
    }

    /// The message's place in the queue's order of arrival.
    pub fn seq(self) -> u64 {
        self.seq
    }
}

/// Who holds a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Holder {
    Consumer(ConsumerId),
    /// Whoever got it with `basic.get`.
    Get,
}

/// A message for the queue.
pub struct Publish<P> {
    pub message: Message,
    /// What to say when it is safe; only for publishers in confirm mode.
    pub publish: Option<P>,
}

/// A consumer's place among the others of a replicated queue: one leader tells it the consumer's node,
/// and that the next leader. The numbers grow, whoever leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rank {
    /// Given when it came; 0 when no leader has taken it on yet.
    pub arrival: u64,
    /// Given when it became the single active consumer; 0 when it never was.
    pub activation: u64,
}

/// A request to consume.
pub struct Consume<C> {
    pub handle: C,
    /// Most messages it may hold unsettled; `None` is no limit. Has no meaning with `no_ack`.
    pub prefetch: Option<u32>,
    pub no_ack: bool,
    pub exclusive: bool,
    /// `x-priority`: higher ones are served first.
    pub priority: i32,
    /// As the leader before said.
    pub rank: Rank,
}

/// Why a consumer was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConsumeError {
    /// An exclusive consumer is there, or this one wants to be exclusive and cannot.
    #[error("in exclusive use")]
    ExclusiveUse,
    /// More consumers than a queue can number.
    #[error("too many consumers")]
    TooMany,
}

/// What a consumer says about messages it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Done: the message is gone.
    Accept,
    /// Back into the queue.
    Requeue,
    /// Dead-lettered as rejected, or gone.
    Discard,
}

/// What becomes of a message that dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dying {
    /// It is gone: there is no dead letter exchange.
    Disabled,
    /// It is published to the exchange, and gone.
    AtMostOnce,
    /// It is kept until it is where it is to get to.
    AtLeastOnce,
}

/// Why a message is dead-lettered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeathReason {
    Rejected,
    Expired,
    MaxLen,
    DeliveryLimit,
}

impl DeathReason {
    /// Its number in records, which never changes.
    pub fn code(self) -> u8 {
        match self {
            Self::Rejected => 1,
            Self::Expired => 2,
            Self::MaxLen => 3,
            Self::DeliveryLimit => 4,
        }
    }

    /// The reason of a number; `None` where it has none.
    pub fn from_code(code: u8) -> Option<Self> {
        let all = [Self::Rejected, Self::Expired, Self::MaxLen, Self::DeliveryLimit];
        all.into_iter().find(|reason| reason.code() == code)
    }

    /// The word in the `x-death` header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLen => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}

/// What became of a dead letter that its queue keeps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeadLetterOutcome {
    /// There were targets, and all of them have it.
    Confirmed,
    /// Some target refused it, or there was none.
    Refused {
        /// Those that have it all the same, and those that had it before.
        reached: Vec<QueueId>,
    },
}

/// Why a message is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// It must survive a restart; answered with `durable`.
    Durable,
    /// Only to save memory.
    Page,
}

/// A message on its way to a consumer.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    pub message: &'a Message,
    /// [`Slot::NONE`] when nothing is to be settled.
    pub slot: Slot,
    pub redelivered: bool,
    /// How often it was delivered before and came back (`x-delivery-count` of quorum queues).
    pub delivery_count: u32,
    pub no_ack: bool,
}

/// The answer to `basic.get`.
#[derive(Debug)]
pub enum Get {
    Empty,
    /// The body is on its way from the store: ask again after `fetched`.
    NeedsFetch,
    /// Only of a replicated queue: the journal has yet to commit that it may be delivered, or who
    /// holds messages is still being heard. Ask again after `marked` and after `unstall_all`.
    NeedsMark,
    Message {
        message: Message,
        slot: Slot,
        redelivered: bool,
        delivery_count: u32,
        /// Messages still ready.
        remaining: u64,
    },
}

/// What a tick found out.
#[derive(Debug)]
pub struct Tick<C> {
    /// The queue was not used for its `x-expires`: delete it.
    pub expire_queue: bool,
    /// Consumers that hold a message longer than the delivery acknowledgement timeout.
    pub overdue: Vec<C>,
}

/// A message of the ledger, read at start.
#[derive(Clone, Copy, Debug)]
pub struct Recovered {
    pub seq: u64,
    pub loc: Loc,
    /// What [`Sink::store`] was given.
    pub meta: [u8; META_LEN],
    /// Delivery count last recorded by [`Sink::returned`] or [`Sink::discarded`].
    pub count: u32,
    /// Why it is dead, as recorded by [`Sink::discarded`].
    pub discarded: Option<DeathReason>,
    /// Bytes of the body.
    pub len: u32,
}

/// Takes what a queue decided. Effects are carried out, records survive.
pub trait Sink {
    /// What the caller calls a consumer.
    type Consumer;
    /// What the caller calls a publish that waits for its confirm.
    type Publish;

    /// Effect: may this consumer take one more now? After `false` it is passed over until
    /// `unstall`.
    fn room(&mut self, consumer: &Self::Consumer) -> bool;
    /// Effect: hands a message to a consumer that had room.
    fn deliver(&mut self, consumer: &Self::Consumer, id: ConsumerId, delivery: Delivery<'_>);
    /// Effect: the message is safe.
    fn confirm(&mut self, publish: Self::Publish);
    /// Effect: the message was not taken (`basic.nack`).
    fn refuse(&mut self, publish: Self::Publish);
    /// Effect: publish to the dead letter exchange. The queue keeps the message until
    /// `dead_lettered` or `dead_letters_answered` names the slot, so nothing is lost between;
    /// [`Slot::NONE`] need not be named.
    fn dead_letter(&mut self, slot: Slot, message: Message, reason: DeathReason);
    /// Effect: a message dies.
    fn died(&mut self, _dying: Dying, _reason: DeathReason) {}
    /// Effect: a message is about to be dropped or dead-lettered because it came back too often,
    /// the first of this queue since it was made.
    fn delivery_limit_reached(&mut self) {}
    /// Effect: a message goes to a client, for the first time or again.
    fn leaves(&mut self, _seq: u64) {}
    /// Effect: the queue is deleted under this consumer.
    fn cancel(&mut self, consumer: Self::Consumer);

    /// Record: keeps a message. The place must answer `fetch` from now on for [`Keep::Page`], and
    /// from `durable` on for [`Keep::Durable`].
    fn store(&mut self, seq: u64, meta: [u8; META_LEN], message: &Message, keep: Keep) -> Loc;
    /// Record: a message kept with [`Keep::Durable`] is gone.
    fn settled(&mut self, seq: u64);
    /// Record: a durable message came back; `count` is absolute. Only where counts must survive
    /// (quorum queues): for the others `delivered_up_to` says enough.
    fn returned(&mut self, seq: u64, count: u32);
    /// Record: a durable message is dead and only kept until its dead letter is confirmed; `count` is
    /// absolute. Only of queues that keep dead letters.
    fn discarded(&mut self, seq: u64, count: u32, reason: DeathReason);
    /// Record: messages up to `mark`, and no others, may have been delivered. It grows, but for the
    /// last one before an orderly stop.
    fn delivered_up_to(&mut self, mark: u64);
    /// A message kept with [`Keep::Page`] is gone. Nothing to record: a help for freeing space.
    fn unpaged(&mut self, _seq: u64, _loc: Loc) {}
    /// Effect: read these bodies and answer with one `fetched` that names every one of them.
    fn fetch(&mut self, wanted: &[(u64, Loc)]);
}
