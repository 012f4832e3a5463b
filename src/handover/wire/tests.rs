//! Every kind comes back as it was written.

use proptest::prelude::*;

use bytes::Bytes;

use super::*;
use crate::handover::message::{ConsumerSpec, Delivered, Frame, FrameBody, SettleBatch};
use crate::queue::{Outcome, Rank, Slot};
use crate::types::{Message, MessageParts, QueueId, Traits};

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
    let FrameBody::Attach(read) = &frames[0].body else {
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
    let FrameBody::Attached { number: 2, lost } = &frames[1].body else {
        panic!("not an attached: {:?}", frames[1]);
    };
    assert_eq!(lost, &[held[1].1]);
    assert!(matches!(
        frames[2].body,
        FrameBody::Lead {
            term: 9,
            starts_anew: true
        }
    ));
    assert!(matches!(frames[3].body, FrameBody::Ranked { key: 7, rank } if rank == consumer.rank));
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
    assert!(matches!(&frames[0].body, FrameBody::Cancel { call: 6, key: 7, kept } if kept == &[one]));
    assert!(
        matches!(&frames[1].body, FrameBody::Leave { call: 8, keys, batch: came } if keys == &[9, 10] && *came == batch)
    );
    assert!(matches!(frames[2].body, FrameBody::Overdue { key: 7, timeout: 500 }));
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
            frames.next().map(|frame| frame.body),
            Some(FrameBody::Publish { first: read, messages: came }) if read == first
                && came.iter().zip(&bodies).all(|(came, body)| {
                    Message::from_stored(came).is_ok_and(|came| came.body() == &body[..])
                })
                && came.len() == bodies.len()
        );
        prop_assert!(is_published);
        let is_settled = matches!(
            frames.next().map(|frame| frame.body),
            Some(FrameBody::Settle(came)) if came == batch
        );
        prop_assert!(is_settled);
        for ((slot, body), frame) in slots.iter().zip(&bodies).zip(frames) {
            let is_delivered = matches!(
                frame.body,
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
