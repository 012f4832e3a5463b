//! How frames are written.

use super::{
    ANSWERED, ATTACH, ATTACHED, AWAITED, CANCEL, CANCELLED, CONSUME, COUNT, COUNTS, DELIVER, DONE, EMPTY, EXCLUSIVE,
    GET, GOT, LEAD, LEADERLESS, LEAVE, LIMITED, NO_ACK, NOT_LEADER, NOTHING, OVERDUE, PUBLISH, PURGE, RANKED,
    REDELIVERED, REFUSED, REPLY, SETTLE, SETTLED, TAKEN, WHO,
};
use crate::handover::message::{ConsumerSpec, Delivered, SettleBatch};
use crate::queue::record::put_number;
use crate::queue::{Outcome, Rank, Slot};
use crate::types::{Message, QueueId};

fn begin(to: &mut Vec<u8>, kind: u8, queue: QueueId) {
    to.push(kind);
    put_number(to, queue.0);
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put_number(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

fn put_message(to: &mut Vec<u8>, message: &Message) {
    let (head, [rest, large]) = message.stored();
    put_number(to, (head.len() + rest.len() + large.len()) as u64);
    for piece in [&head[..], rest, large] {
        to.extend_from_slice(piece);
    }
}

fn put_slot(to: &mut Vec<u8>, slot: Slot) {
    let (index, turn, seq) = slot.parts();
    to.extend_from_slice(&index.to_le_bytes());
    put_number(to, turn.into());
    put_number(to, seq);
}

fn put_slots(to: &mut Vec<u8>, slots: &[Slot]) {
    put_number(to, slots.len() as u64);
    for slot in slots {
        put_slot(to, *slot);
    }
}

fn put_delivered(to: &mut Vec<u8>, delivered: Delivered) {
    put_slot(to, delivered.slot);
    to.push(if delivered.redelivered { REDELIVERED } else { 0 });
    put_number(to, delivered.delivery_count.into());
}

fn put_batch(to: &mut Vec<u8>, batch: &SettleBatch) {
    put_number(to, batch.number);
    let outcome = match batch.outcome {
        Outcome::Accept => 0,
        Outcome::Requeue => 1,
        Outcome::Discard => 2,
    };
    to.push(if batch.is_awaited { outcome | AWAITED } else { outcome });
    put_slots(to, &batch.slots);
}

fn put_consumer<T: AsRef<str>>(to: &mut Vec<u8>, consumer: &ConsumerSpec<T>) {
    put_number(to, consumer.key);
    put_bytes(to, consumer.tag.as_ref().as_bytes());
    let mut flags = 0;
    for (is_set, flag) in [
        (consumer.no_ack, NO_ACK),
        (consumer.exclusive, EXCLUSIVE),
        (consumer.prefetch.is_some(), LIMITED),
    ] {
        flags |= if is_set { flag } else { 0 };
    }
    to.push(flags);
    put_number(to, consumer.prefetch.unwrap_or(0).into());
    to.extend_from_slice(&consumer.priority.to_le_bytes());
    put_rank(to, consumer.rank);
}

fn put_rank(to: &mut Vec<u8>, rank: Rank) {
    put_number(to, rank.arrival);
    put_number(to, rank.activation);
}

/// Who attaches to whom; see [`Attach`].
pub struct Attaching {
    pub term: u64,
    pub number: u64,
    pub producer: u64,
}

/// Writes [`FrameBody::Attach`].
pub fn attach<'a>(
    to: &mut Vec<u8>,
    queue: QueueId,
    attaching: &Attaching,
    consumers: impl ExactSizeIterator<Item = ConsumerSpec<&'a str>>,
    held: impl ExactSizeIterator<Item = (u64, Slot)>,
    settles: impl ExactSizeIterator<Item = &'a SettleBatch>,
) {
    begin(to, ATTACH, queue);
    put_number(to, attaching.term);
    put_number(to, attaching.number);
    to.extend_from_slice(&attaching.producer.to_le_bytes());
    put_number(to, consumers.len() as u64);
    for consumer in consumers {
        put_consumer(to, &consumer);
    }
    put_number(to, held.len() as u64);
    for (key, slot) in held {
        put_number(to, key);
        put_slot(to, slot);
    }
    put_number(to, settles.len() as u64);
    for batch in settles {
        put_batch(to, batch);
    }
}

/// Writes [`FrameBody::Attached`].
pub fn attached(to: &mut Vec<u8>, queue: QueueId, number: u64, lost: &[Slot]) {
    begin(to, ATTACHED, queue);
    put_number(to, number);
    put_slots(to, lost);
}

/// Writes [`FrameBody::Consume`].
pub fn consume(to: &mut Vec<u8>, queue: QueueId, call: u64, consumer: &ConsumerSpec<&str>) {
    begin(to, CONSUME, queue);
    put_number(to, call);
    put_consumer(to, consumer);
}

/// Writes [`FrameBody::Publish`].
pub fn publish(to: &mut Vec<u8>, queue: QueueId, first: u64, messages: &[Message]) {
    begin(to, PUBLISH, queue);
    put_number(to, first);
    put_number(to, messages.len() as u64);
    for message in messages {
        put_message(to, message);
    }
}

/// Writes [`FrameBody::Settle`].
pub fn settle(to: &mut Vec<u8>, queue: QueueId, batch: &SettleBatch) {
    begin(to, SETTLE, queue);
    put_batch(to, batch);
}

/// Writes [`FrameBody::Cancel`].
pub fn cancel(to: &mut Vec<u8>, queue: QueueId, call: u64, key: u64, kept: &[Slot]) {
    begin(to, CANCEL, queue);
    put_number(to, call);
    put_number(to, key);
    put_slots(to, kept);
}

/// Writes [`FrameBody::Leave`].
pub fn leave(to: &mut Vec<u8>, queue: QueueId, call: u64, keys: &[u64], batch: &SettleBatch) {
    begin(to, LEAVE, queue);
    put_number(to, call);
    put_number(to, keys.len() as u64);
    for key in keys {
        put_number(to, *key);
    }
    put_batch(to, batch);
}

/// Writes [`FrameBody::Deliver`].
pub fn deliver(to: &mut Vec<u8>, queue: QueueId, key: u64, delivered: Delivered, message: &Message) {
    begin(to, DELIVER, queue);
    put_number(to, key);
    put_delivered(to, delivered);
    put_message(to, message);
}

/// Writes [`FrameBody::Got`].
pub fn got(to: &mut Vec<u8>, queue: QueueId, call: u64, delivered: Delivered, remaining: u64, message: &Message) {
    begin(to, GOT, queue);
    put_number(to, call);
    put_delivered(to, delivered);
    put_number(to, remaining);
    put_message(to, message);
}

/// Writes [`FrameBody::Refused`].
pub fn refused(to: &mut Vec<u8>, queue: QueueId, call: u64, code: u16, text: &str) {
    begin(to, REFUSED, queue);
    put_number(to, call);
    put_number(to, code.into());
    put_bytes(to, text.as_bytes());
}

/// Writes [`FrameBody::Answered`].
pub fn answered(to: &mut Vec<u8>, queue: QueueId, is_accepted: bool, first: u64, last: u64) {
    begin(to, ANSWERED, queue);
    to.push(is_accepted.into());
    put_number(to, first);
    put_number(to, last - first);
}

/// Writes [`FrameBody::Reply`].
pub fn reply(to: &mut Vec<u8>, secret: u128, message: &Message) {
    begin(to, REPLY, QueueId(0));
    to.extend_from_slice(&secret.to_le_bytes());
    put_message(to, message);
}

/// Frames that are only numbers.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($kind:ident $(, $field:ident)*);)*) => {$(
        $(#[$doc])*
        pub fn $name(to: &mut Vec<u8>, queue: QueueId $(, $field: u64)*) {
            begin(to, $kind, queue);
            $(put_number(to, $field);)*
        }
    )*};
}

numbers! {
    /// Writes [`FrameBody::Taken`].
    taken(TAKEN, key, bytes);
    /// Writes [`FrameBody::Purge`].
    purge(PURGE, call);
    /// Writes [`FrameBody::Count`].
    count(COUNT, call);
    /// Writes [`FrameBody::Who`].
    who(WHO);
    /// Writes [`FrameBody::Nothing`].
    nothing(NOTHING, term);
    /// Writes [`FrameBody::NotLeader`].
    not_leader(NOT_LEADER);
    /// Writes [`FrameBody::Leaderless`].
    leaderless(LEADERLESS, term);
    /// Writes [`FrameBody::Settled`].
    settled(SETTLED, up_to);
    /// Writes [`FrameBody::Empty`].
    empty(EMPTY, call);
    /// Writes [`FrameBody::Done`].
    done(DONE, call, value);
    /// Writes [`FrameBody::Counts`].
    counts(COUNTS, call, ready, unacked, consumers);
    /// Writes [`FrameBody::Cancelled`].
    cancelled(CANCELLED, key);
    /// Writes [`FrameBody::Overdue`].
    overdue(OVERDUE, key, timeout);
}

/// Writes [`FrameBody::Lead`].
pub fn lead(to: &mut Vec<u8>, queue: QueueId, term: u64, starts_anew: bool) {
    begin(to, LEAD, queue);
    put_number(to, term);
    to.push(starts_anew.into());
}

/// Writes [`FrameBody::Ranked`].
pub fn ranked(to: &mut Vec<u8>, queue: QueueId, key: u64, rank: Rank) {
    begin(to, RANKED, queue);
    put_number(to, key);
    put_rank(to, rank);
}

/// Writes [`FrameBody::Get`].
pub fn get(to: &mut Vec<u8>, queue: QueueId, call: u64, no_ack: bool) {
    begin(to, GET, queue);
    put_number(to, call);
    to.push(no_ack.into());
}
