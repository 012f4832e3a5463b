//! The refusals and their texts, the settings made, and what follows from a row of the table alone.

mod rows;

use super::*;
use crate::types::Refusal;

fn refusal(kind: QueueType, entries: &[(&str, FieldValue)]) -> String {
    validate(kind, "v", "q", &FieldTable::of(entries))
        .expect_err("refused")
        .reply()
        .wire_text()
}

#[test]
fn times_up_to_ten_years_are_taken() {
    for name in ["x-message-ttl", "x-expires"] {
        let arguments = FieldTable::of(&[(name, FieldValue::I64(315_360_000_000))]);
        assert_eq!(validate(QueueType::Classic, "v", "q", &arguments), Ok(()));
    }
}

#[test]
fn bad_values_are_refused_in_rabbitmqs_words() {
    let cases: &[(QueueType, &str, FieldValue, &str)] = &[
        (
            QueueType::Classic,
            "x-message-ttl",
            FieldValue::I32(-1),
            ": {value_negative,-1}",
        ),
        (
            QueueType::Classic,
            "x-message-ttl",
            FieldValue::text("60000"),
            ": \"expected integer, got longstr\"",
        ),
        (
            QueueType::Quorum,
            "x-message-ttl",
            FieldValue::Timestamp(5),
            ": \"expected integer, got timestamp\"",
        ),
        (QueueType::Classic, "x-expires", FieldValue::I32(0), ": {value_zero,0}"),
        (
            QueueType::Classic,
            "x-message-ttl",
            FieldValue::I64(315_360_000_001),
            ": {value_too_large,315360000001}",
        ),
        (
            QueueType::Quorum,
            "x-expires",
            FieldValue::I64(i64::MAX),
            ": {value_too_large,9223372036854775807}",
        ),
        (
            QueueType::Classic,
            "x-max-priority",
            FieldValue::I32(256),
            ": {max_value_exceeded,256}",
        ),
        (
            QueueType::Quorum,
            "x-max-priority",
            FieldValue::I32(5),
            " of queue type rabbit_quorum_queue",
        ),
        (
            QueueType::Stream,
            "x-message-ttl",
            FieldValue::I32(5),
            " of queue type rabbit_stream_queue",
        ),
        (
            QueueType::Classic,
            "x-overflow",
            FieldValue::text("nope"),
            ": invalid_overflow",
        ),
        (
            QueueType::Classic,
            "x-overflow",
            FieldValue::I32(5),
            ": {unacceptable_type,signedint}",
        ),
        (
            QueueType::Classic,
            "x-queue-mode",
            FieldValue::text("nope"),
            ": \"unsupported queue mode 'nope'\"",
        ),
        (
            QueueType::Classic,
            "x-queue-version",
            FieldValue::I32(3),
            ": \"unsupported queue version '3'\"",
        ),
        (
            QueueType::Classic,
            "x-dead-letter-routing-key",
            FieldValue::text("k"),
            ": routing_key_but_no_dlx_defined",
        ),
        (
            QueueType::Classic,
            "x-delivery-limit",
            FieldValue::I32(5),
            " of queue type rabbit_classic_queue",
        ),
        (
            QueueType::Stream,
            "x-max-age",
            FieldValue::text("1"),
            ": invalid_max_age",
        ),
    ];
    for (kind, name, value, end) in cases {
        let expected = format!("PRECONDITION_FAILED - invalid arg '{name}' for queue 'q' in vhost 'v'{end}");
        assert_eq!(refusal(*kind, &[(name, value.clone())]), expected);
    }
}

#[test]
fn leaders_are_located_with_the_words_of_before_too() {
    for word in ["client-local", "balanced", "random", "least-leaders", "min-masters"] {
        let arguments = FieldTable::of(&[("x-queue-leader-locator", FieldValue::text(word))]);
        let checked = validate(QueueType::Quorum, "v", "q", &arguments);
        assert!(checked.is_ok(), "{word}: {checked:?}");
    }
}

#[test]
fn a_dead_letter_exchange_must_be_a_text_for_every_type() {
    for kind in [QueueType::Classic, QueueType::Quorum, QueueType::Stream] {
        assert_eq!(
            refusal(kind, &[("x-dead-letter-exchange", FieldValue::Void)]),
            "PRECONDITION_FAILED - invalid type 'void' for arg 'x-dead-letter-exchange' in queue 'q' in vhost 'v'"
        );
    }
}

#[test]
fn unknown_arguments_are_ignored() {
    assert_eq!(
        validate(
            QueueType::Classic,
            "v",
            "q",
            &FieldTable::of(&[("x-unknown-thing", FieldValue::text("a"))])
        ),
        Ok(())
    );
}

#[test]
fn the_type_comes_from_the_argument_or_the_vhost() {
    let of = |value: Option<FieldValue>| {
        let entries: Vec<_> = value.into_iter().map(|value| ("x-queue-type", value)).collect();
        queue_type(&FieldTable::of(&entries), QueueType::Quorum, "v", "q")
    };
    assert_eq!(of(None), Ok(QueueType::Quorum));
    assert_eq!(of(Some(FieldValue::text("stream"))), Ok(QueueType::Stream));
    let text = of(Some(FieldValue::text("Quorum"))).expect_err("refused").to_string();
    assert_eq!(
        text,
        "invalid arg 'x-queue-type' for queue 'q' in vhost 'v': \"unsupported queue type 'Quorum'\""
    );
}

#[test]
fn quorum_queues_and_streams_must_be_durable_and_shared() {
    let check = |durable, exclusive, auto_delete| {
        validate_properties(QueueType::Quorum, "v", "q", durable, exclusive, auto_delete)
            .map_err(|error| error.to_string())
    };
    assert_eq!(check(true, false, false), Ok(()));
    assert_eq!(
        check(false, false, false),
        Err("invalid property 'non-durable' for queue 'q' in vhost 'v'".into())
    );
    // An exclusive queue is never durable; what is said is that it is exclusive.
    assert_eq!(
        check(false, true, false),
        Err("invalid property 'exclusive-owner' for queue 'q' in vhost 'v'".into())
    );
    assert_eq!(
        check(false, true, true),
        Err("invalid property 'auto-delete' for queue 'q' in vhost 'v'".into())
    );
}

#[test]
fn arguments_make_settings() {
    let made = settings(
        QueueType::Quorum,
        &FieldTable::of(&[
            ("x-delivery-limit", FieldValue::I32(-1)),
            ("x-overflow", FieldValue::text("reject-publish")),
        ]),
    );
    assert_eq!(made.delivery_limit, None);
    assert_eq!(made.overflow, Overflow::RejectPublish);
    assert_eq!(settings(QueueType::Quorum, &FieldTable::new()).delivery_limit, Some(20));
    let bad_limit = FieldTable::of(&[("x-delivery-limit", FieldValue::text("abc"))]);
    assert_eq!(settings(QueueType::Quorum, &bad_limit).delivery_limit, Some(20));
    assert_eq!(
        settings(QueueType::Classic, &FieldTable::new()),
        QueueSettings::default()
    );
}
