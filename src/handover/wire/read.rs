//! How frames are read.

use bytes::Bytes;

use super::{
    ANSWERED, ATTACH, ATTACHED, AWAITED, CANCEL, CANCELLED, CONSUME, COUNT, COUNTS, DELIVER, DONE, EMPTY, EXCLUSIVE,
    FORMAT, GET, GOT, Garbled, LEAD, LEADERLESS, LEAVE, LIMITED, NO_ACK, NOT_LEADER, NOTHING, OVERDUE, PUBLISH, PURGE,
    RANKED, REDELIVERED, REFUSED, REPLY, SETTLE, SETTLED, TAKEN, WHO,
};
use crate::handover::message::{Attach, ConsumerSpec, Delivered, Frame, FrameBody, SettleBatch};
use crate::queue::record::Input;
use crate::queue::{Outcome, Rank, Slot};
use crate::types::QueueId;

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
    let body = match kind {
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
    Some(Frame { queue, body })
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
