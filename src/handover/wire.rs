//! What nodes say to each other about queues: frames, many in one message of a link.
//!
//! A link message is a format byte and frames one after the other: a kind, the queue, and fields;
//! numbers are variable in length, as in [`crate::queue::record`]. Bodies are read as slices of the
//! message they came in.

use bytes::Bytes;

use super::message::{Attach, ConsumerSpec, Delivered, Frame, FrameBody, SettleBatch};
use crate::queue::record::{Input, put_number};
use crate::queue::{Outcome, Rank, Slot};
use crate::types::{Message, QueueId};

/// First byte of a link message.
pub const FORMAT: u8 = 4;

const ATTACH: u8 = 1;
const CONSUME: u8 = 2;
const CANCEL: u8 = 3;
const TAKEN: u8 = 4;
const PUBLISH: u8 = 5;
const SETTLE: u8 = 6;
const GET: u8 = 7;
const PURGE: u8 = 8;
const COUNT: u8 = 9;
const WHO: u8 = 10;
const NOTHING: u8 = 11;
const LEAVE: u8 = 12;
const LEAD: u8 = 20;
const NOT_LEADER: u8 = 21;
const ANSWERED: u8 = 22;
const SETTLED: u8 = 23;
const DELIVER: u8 = 24;
const GOT: u8 = 25;
const EMPTY: u8 = 26;
const DONE: u8 = 27;
const COUNTS: u8 = 28;
const REFUSED: u8 = 29;
const CANCELLED: u8 = 30;
const ATTACHED: u8 = 31;
const LEADERLESS: u8 = 32;
const RANKED: u8 = 33;
const OVERDUE: u8 = 34;
const REPLY: u8 = 40;

/// Beside the outcome of a settled batch.
const AWAITED: u8 = 4;

const NO_ACK: u8 = 1;
const EXCLUSIVE: u8 = 2;
const LIMITED: u8 = 4;
const REDELIVERED: u8 = 1;

/// A link message that cannot be read: of another version, or damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a message between nodes is of another version, or damaged")]
pub struct Garbled;

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

/// The frames of a link message; ends after the first that cannot be read.
pub fn frames(message: &Bytes) -> impl Iterator<Item = Result<Frame, Garbled>> {
    let mut at = match message.first() {
        Some(&FORMAT) => Some(1),
        _ => None,
    };
    let mut is_known = at.is_some();
    std::iter::from_fn(move || {
        if !std::mem::replace(&mut is_known, true) {
            return Some(Err(Garbled));
        }
        let begin = at.take()?;
        if begin >= message.len() {
            return None;
        }
        let mut input = Input {
            bytes: message,
            at: begin,
        };
        let frame = read(message, &mut input);
        if frame.is_some() {
            at = Some(input.at);
        }
        Some(frame.ok_or(Garbled))
    })
}

fn read(message: &Bytes, input: &mut Input<'_>) -> Option<Frame> {
    let kind = input.byte()?;
    let queue = QueueId(input.number()?);
    let what = match kind {
        ATTACH => FrameBody::Attach(read_attach(input)?),
        CONSUME => FrameBody::Consume {
            call: input.number()?,
            consumer: read_consumer(input)?,
        },
        CANCEL => FrameBody::Cancel {
            call: input.number()?,
            key: input.number()?,
            kept: read_slots(input)?,
        },
        LEAVE => {
            let call = input.number()?;
            let keys = (0..input.number()?).map(|_| input.number());
            FrameBody::Leave {
                call,
                keys: keys.collect::<Option<_>>()?,
                batch: read_batch(input)?,
            }
        }
        TAKEN => FrameBody::Taken {
            key: input.number()?,
            bytes: input.number()?,
        },
        PUBLISH => {
            let first = input.number()?;
            let messages = (0..input.number()?).map(|_| read_bytes(message, input));
            FrameBody::Publish {
                first,
                messages: messages.collect::<Option<_>>()?,
            }
        }
        SETTLE => FrameBody::Settle(read_batch(input)?),
        GET => FrameBody::Get {
            call: input.number()?,
            no_ack: input.byte()? != 0,
        },
        PURGE => FrameBody::Purge { call: input.number()? },
        COUNT => FrameBody::Count { call: input.number()? },
        WHO => FrameBody::Who,
        NOTHING => FrameBody::Nothing { term: input.number()? },
        LEAD => FrameBody::Lead {
            term: input.number()?,
            starts_anew: input.byte()? != 0,
        },
        NOT_LEADER => FrameBody::NotLeader,
        LEADERLESS => FrameBody::Leaderless { term: input.number()? },
        ATTACHED => FrameBody::Attached {
            number: input.number()?,
            lost: read_slots(input)?,
        },
        ANSWERED => {
            let is_accepted = input.byte()? != 0;
            let first = input.number()?;
            FrameBody::Answered {
                is_accepted,
                first,
                last: first.checked_add(input.number()?)?,
            }
        }
        SETTLED => FrameBody::Settled { up_to: input.number()? },
        DELIVER => FrameBody::Deliver {
            key: input.number()?,
            delivered: read_delivered(input)?,
            message: read_bytes(message, input)?,
        },
        GOT => FrameBody::Got {
            call: input.number()?,
            delivered: read_delivered(input)?,
            remaining: input.number()?,
            message: read_bytes(message, input)?,
        },
        EMPTY => FrameBody::Empty { call: input.number()? },
        DONE => FrameBody::Done {
            call: input.number()?,
            value: input.number()?,
        },
        COUNTS => FrameBody::Counts {
            call: input.number()?,
            ready: input.number()?,
            unacked: input.number()?,
            consumers: input.number()?,
        },
        REFUSED => FrameBody::Refused {
            call: input.number()?,
            code: input.number()?.try_into().ok()?,
            text: read_text(input)?,
        },
        CANCELLED => FrameBody::Cancelled { key: input.number()? },
        OVERDUE => FrameBody::Overdue {
            key: input.number()?,
            timeout: input.number()?,
        },
        RANKED => FrameBody::Ranked {
            key: input.number()?,
            rank: read_rank(input)?,
        },
        REPLY => FrameBody::Reply {
            secret: u128::from_le_bytes(*input.take(16)?.first_chunk()?),
            message: read_bytes(message, input)?,
        },
        _ => return None,
    };
    Some(Frame { queue, what })
}

fn read_attach(input: &mut Input<'_>) -> Option<Attach> {
    let term = input.number()?;
    let number = input.number()?;
    let producer = input.fixed()?;
    let consumers = (0..input.number()?).map(|_| read_consumer(input));
    let consumers = consumers.collect::<Option<_>>()?;
    let held = (0..input.number()?).map(|_| Some((input.number()?, read_slot(input)?)));
    let held = held.collect::<Option<_>>()?;
    let settles = (0..input.number()?).map(|_| read_batch(input));
    Some(Attach {
        term,
        number,
        producer,
        consumers,
        held,
        settles: settles.collect::<Option<_>>()?,
    })
}

fn read_batch(input: &mut Input<'_>) -> Option<SettleBatch> {
    let number = input.number()?;
    let outcome = input.byte()?;
    let is_awaited = outcome & AWAITED != 0;
    let outcome = match outcome & !AWAITED {
        0 => Outcome::Accept,
        1 => Outcome::Requeue,
        2 => Outcome::Discard,
        _ => return None,
    };
    Some(SettleBatch {
        number,
        outcome,
        is_awaited,
        slots: read_slots(input)?,
    })
}

fn read_consumer(input: &mut Input<'_>) -> Option<ConsumerSpec<String>> {
    let key = input.number()?;
    let tag = read_text(input)?;
    let flags = input.byte()?;
    let prefetch = input.number()?.try_into().ok()?;
    Some(ConsumerSpec {
        key,
        tag,
        prefetch: (flags & LIMITED != 0).then_some(prefetch),
        no_ack: flags & NO_ACK != 0,
        exclusive: flags & EXCLUSIVE != 0,
        priority: i32::from_le_bytes(*input.take(4)?.first_chunk()?),
        rank: read_rank(input)?,
    })
}

fn read_rank(input: &mut Input<'_>) -> Option<Rank> {
    Some(Rank {
        arrival: input.number()?,
        activation: input.number()?,
    })
}

fn read_slot(input: &mut Input<'_>) -> Option<Slot> {
    let index = u32::from_le_bytes(*input.take(4)?.first_chunk()?);
    let turn = input.number()?.try_into().ok()?;
    Some(Slot::from_parts((index, turn, input.number()?)))
}

fn read_slots(input: &mut Input<'_>) -> Option<Vec<Slot>> {
    (0..input.number()?).map(|_| read_slot(input)).collect()
}

fn read_delivered(input: &mut Input<'_>) -> Option<Delivered> {
    Some(Delivered {
        slot: read_slot(input)?,
        redelivered: input.byte()? & REDELIVERED != 0,
        delivery_count: input.number()?.try_into().ok()?,
    })
}

fn read_bytes(message: &Bytes, input: &mut Input<'_>) -> Option<Bytes> {
    let len = usize::try_from(input.number()?).ok()?;
    let begin = input.at;
    input.take(len)?;
    Some(message.slice(begin..input.at))
}

fn read_text(input: &mut Input<'_>) -> Option<String> {
    let len = usize::try_from(input.number()?).ok()?;
    Some(std::str::from_utf8(input.take(len)?).ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{MessageParts, Traits};

    fn message(body: &[u8]) -> Message {
        let parts = MessageParts {
            exchange: b"exchange",
            routing_key: b"key",
            properties: &[0, 0],
            traits: Traits::default(),
        };
        Message::new(parts, body, &mut Vec::new())
    }

    fn read_all(bytes: Vec<u8>) -> Vec<Frame> {
        let message = Bytes::from(bytes);
        let read: Result<Vec<_>, _> = frames(&message).collect();
        read.expect("what was written can be read")
    }

    #[test]
    fn what_is_at_stake_comes_over_whole() {
        let consumer = ConsumerSpec {
            key: 7,
            tag: "ctag",
            prefetch: Some(10),
            no_ack: false,
            exclusive: true,
            priority: -3,
            rank: Rank {
                arrival: 5,
                activation: u64::MAX,
            },
        };
        let mut bytes = vec![FORMAT];
        let held = [
            (7, Slot::from_parts((3, 2, 1))),
            (0, Slot::from_parts((u32::MAX, u32::MAX, u64::MAX / 2))),
        ];
        let batch = SettleBatch {
            number: 4,
            outcome: Outcome::Discard,
            is_awaited: true,
            slots: vec![held[0].1],
        };
        let consumers = std::iter::once(consumer);
        let attaching = Attaching {
            term: 9,
            number: 2,
            producer: 11,
        };
        attach(
            &mut bytes,
            QueueId(5),
            &attaching,
            consumers,
            held.into_iter(),
            std::iter::once(&batch),
        );
        attached(&mut bytes, QueueId(6), 2, &[held[1].1]);
        lead(&mut bytes, QueueId(6), 9, true);
        ranked(&mut bytes, QueueId(6), 7, consumer.rank);
        let frames = read_all(bytes);
        assert_eq!(
            frames.iter().map(|frame| frame.queue.0).collect::<Vec<_>>(),
            [5, 6, 6, 6]
        );
        let FrameBody::Attach(read) = &frames[0].what else {
            panic!("not an attach: {:?}", frames[0]);
        };
        assert_eq!((read.term, read.number, read.producer), (9, 2, 11));
        assert_eq!(read.held, held);
        assert_eq!(read.settles, [batch]);
        let [consumer] = &read.consumers[..] else {
            panic!("one consumer: {:?}", read.consumers);
        };
        assert_eq!(
            (consumer.key, consumer.tag.as_str(), consumer.prefetch),
            (7, "ctag", Some(10))
        );
        assert_eq!(
            (consumer.no_ack, consumer.exclusive, consumer.priority, consumer.rank),
            (false, true, -3, consumer.rank)
        );
        let FrameBody::Attached { number: 2, lost } = &frames[1].what else {
            panic!("not an attached: {:?}", frames[1]);
        };
        assert_eq!(lost, &[held[1].1]);
        assert!(matches!(
            frames[2].what,
            FrameBody::Lead {
                term: 9,
                starts_anew: true
            }
        ));
        assert!(matches!(frames[3].what, FrameBody::Ranked { key: 7, rank } if rank == consumer.rank));
    }

    #[test]
    fn the_end_of_a_client_comes_over_whole() {
        let [one, two] = [(3, 2, 1), (0, 0, 9)].map(Slot::from_parts);
        let batch = SettleBatch {
            number: 4,
            outcome: Outcome::Requeue,
            is_awaited: false,
            slots: vec![one, two],
        };
        let mut bytes = vec![FORMAT];
        cancel(&mut bytes, QueueId(5), 6, 7, &[one]);
        leave(&mut bytes, QueueId(5), 8, &[9, 10], &batch);
        overdue(&mut bytes, QueueId(5), 7, 500);
        let frames = read_all(bytes);
        assert!(frames.iter().all(|frame| frame.queue == QueueId(5)));
        assert!(matches!(&frames[0].what, FrameBody::Cancel { call: 6, key: 7, kept } if kept == &[one]));
        assert!(
            matches!(&frames[1].what, FrameBody::Leave { call: 8, keys, batch: came } if keys == &[9, 10] && *came == batch)
        );
        assert!(matches!(frames[2].what, FrameBody::Overdue { key: 7, timeout: 500 }));
        assert_eq!(frames.len(), 3);
    }

    proptest! {
        #[test]
        fn publishes_settles_and_deliveries_come_over_whole(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
            slots in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u64>()), 0..50),
            first in any::<u64>(),
        ) {
            let messages: Vec<_> = bodies.iter().map(|body| message(body)).collect();
            let slots: Vec<_> = slots.into_iter().map(Slot::from_parts).collect();
            let mut bytes = vec![FORMAT];
            publish(&mut bytes, QueueId(1), first, &messages);
            let batch = SettleBatch {
                number: first,
                outcome: Outcome::Requeue,
                is_awaited: slots.len() % 2 == 1,
                slots: slots.clone(),
            };
            settle(&mut bytes, QueueId(1), &batch);
            for (slot, message) in slots.iter().zip(&messages) {
                let delivered = Delivered { slot: *slot, redelivered: true, delivery_count: 3 };
                deliver(&mut bytes, QueueId(1), 4, delivered, message);
            }
            let mut frames = read_all(bytes).into_iter();
            let is_published = matches!(
                frames.next().map(|frame| frame.what),
                Some(FrameBody::Publish { first: read, messages: came }) if read == first
                    && came.iter().zip(&bodies).all(|(came, body)| {
                        Message::from_stored(came).is_ok_and(|came| came.body() == &body[..])
                    })
                    && came.len() == bodies.len()
            );
            prop_assert!(is_published);
            let is_settled = matches!(
                frames.next().map(|frame| frame.what),
                Some(FrameBody::Settle(came)) if came == batch
            );
            prop_assert!(is_settled);
            for ((slot, body), frame) in slots.iter().zip(&bodies).zip(frames) {
                let is_delivered = matches!(
                    frame.what,
                    FrameBody::Deliver { key: 4, delivered, message } if delivered.slot == *slot
                        && Message::from_stored(&message).is_ok_and(|came| came.body() == &body[..])
                );
                prop_assert!(is_delivered);
            }
        }

        /// Reading ends, without a panic, whatever came.
        #[test]
        fn garbage_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for bytes in [bytes.clone(), [&[FORMAT], &bytes[..]].concat()] {
                let message = Bytes::from(bytes);
                prop_assert!(frames(&message).count() <= message.len() + 1);
            }
        }
    }
}
