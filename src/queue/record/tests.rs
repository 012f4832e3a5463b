use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::types::{MessageParts, Traits};

fn message(body: &[u8]) -> Message {
    let parts = MessageParts {
        exchange: b"ex",
        routing_key: b"key",
        properties: &[0, 0],
        traits: Traits::default(),
    };
    Message::new(parts, body, &mut Vec::new())
}

fn all(batch: &[u8]) -> Vec<Record> {
    let records = records(batch).expect("of this version");
    records.collect::<Result<_, _>>().expect("just written")
}

fn origin(producer: u64, number: u64) -> Option<Origin> {
    let producer = ProducerId(producer);
    Some(Origin { producer, number })
}

#[test]
fn a_batch_comes_back_as_it_was_written() {
    let mut batch = Records::default();
    assert_eq!(batch.take(), None);
    batch.gone(9);
    batch.append(300, &[7; META_LEN], origin(u64::MAX, 1 << 40), &message(b"one"));
    batch.returned(4, 1);
    batch.delivered_up_to(1);
    batch.append(302, &[8; META_LEN], None, &message(&[1; 20_000]));
    for seq in [7, 8, 1, 5] {
        batch.gone(seq);
    }
    batch.returned(5, 2);
    batch.returned(4, 2);
    batch.returned(6, 3);
    batch.delivered_up_to(400);
    batch.forget(ProducerId(3));
    let bytes = batch.take().expect("something");
    assert!(batch.is_empty());

    let range = |first, last| Seqs { first, last };
    let [Record::Append(one), Record::Append(two), rest @ ..] = &all(&bytes)[..] else {
        panic!("two messages first");
    };
    assert_eq!(
        rest,
        [
            Record::Forget(ProducerId(3)),
            Record::Returned(range(4, 5), 2),
            Record::Returned(range(6, 6), 3),
            Record::Gone(range(1, 1)),
            Record::Gone(range(5, 5)),
            Record::Gone(range(7, 9)),
            Record::DeliveredUpTo(400),
        ]
    );
    assert_eq!(
        (one.seq, one.meta, one.origin),
        (300, [7; META_LEN], origin(u64::MAX, 1 << 40))
    );
    assert_eq!((two.seq, two.meta, two.origin), (302, [8; META_LEN], None));
    assert_eq!((one.body_len, two.body_len), (3, 20_000));
    let back = Message::from_stored(&bytes[two.stored.clone()]).expect("whole");
    assert_eq!((back.body(), back.routing_key()), (&[1; 20_000][..], &b"key"[..]));
}

#[test]
fn only_messages_that_are_gone_may_wait() {
    let waited_for: [fn(&mut Records); 5] = [
        |batch| batch.append(5, &[0; META_LEN], None, &message(b"")),
        |batch| batch.returned(1, 1),
        |batch| batch.discarded(1, 1, DeathReason::Rejected),
        |batch| batch.delivered_up_to(1),
        |batch| batch.forget(ProducerId(1)),
    ];
    let mut batch = Records::default();
    for record in waited_for {
        assert!(batch.may_wait() && batch.is_empty());
        record(&mut batch);
        assert!(!batch.may_wait() && !batch.is_empty());
        batch.gone(2);
        assert!(!batch.may_wait() && !batch.is_empty());
        assert!(batch.take().is_some());
        batch.gone(3);
        assert!(batch.may_wait() && !batch.is_empty());
        assert!(batch.take().is_some());
    }
}

#[test]
fn the_next_batch_knows_nothing_of_the_last() {
    let mut batch = Records::default();
    for _ in 0..2 {
        batch.append(5, &[0; META_LEN], None, &message(b""));
        batch.gone(1);
        let bytes = batch.take().expect("something");
        assert!(matches!(
            &all(&bytes)[..],
            [Record::Append(Append { seq: 5, .. }), Record::Gone(_)]
        ));
    }
}

#[test]
fn only_what_needs_a_new_version_is_written_in_it() {
    let mut batch = Records::default();
    batch.gone(1);
    assert_eq!(batch.take().expect("something")[0], FORMAT);
    batch.returned(4, 1);
    for seq in [6, 4, 5, 8] {
        batch.discarded(seq, 2, DeathReason::Rejected);
    }
    batch.discarded(7, 2, DeathReason::DeliveryLimit);
    batch.gone(4);
    let bytes = batch.take().expect("something");
    assert_eq!(bytes[0], FORMAT_DISCARDED);
    let range = |first, last| Seqs { first, last };
    assert_eq!(
        all(&bytes),
        [
            Record::Returned(range(4, 4), 1),
            Record::Discarded(range(4, 6), 2, DeathReason::Rejected),
            Record::Discarded(range(7, 7), 2, DeathReason::DeliveryLimit),
            Record::Discarded(range(8, 8), 2, DeathReason::Rejected),
            Record::Gone(range(4, 4)),
        ]
    );
    assert!(batch.is_empty());
    let mut older = bytes.to_vec();
    older[0] = FORMAT;
    assert!(records(&older).expect("of this version").any(|record| record.is_err()));
}

#[test]
fn other_versions_are_named() {
    let error = records(&[3, 1]).err().expect("refused");
    assert!(error.to_string().contains("format version 3"), "{error}");
    assert!(records(&[]).is_err());
}

proptest! {
    #[test]
    fn numbers_come_back(number: u64) {
        let mut bytes = Vec::new();
        put_number(&mut bytes, number);
        let mut input = Input { bytes: &bytes, at: 0 };
        prop_assert_eq!(input.number(), Some(number));
        prop_assert!(input.is_at_end());
        input = Input { bytes: &bytes[..bytes.len() - 1], at: 0 };
        prop_assert_eq!(input.number(), None);
    }

    #[test]
    fn any_bytes_give_no_more_than_they_are(mut bytes in vec(any::<u8>(), 0..200)) {
        if let Some(version) = bytes.first_mut() {
            *version = [FORMAT, FORMAT_DISCARDED][usize::from(*version % 2)];
        }
        for record in records(&bytes).into_iter().flatten().flatten() {
            if let Record::Append(append) = record {
                prop_assert!(append.stored.end <= bytes.len());
                prop_assert!(append.body_len as usize <= append.stored.len());
                prop_assert!(Message::from_stored(&bytes[append.stored]).is_ok());
            }
        }
    }
}
