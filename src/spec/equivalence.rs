//! What must be the same when a queue is declared again; of exchanges it is compared in the same words.
//!
//! Texts and the order of the comparisons are RabbitMQ's. Arguments that are in no table, and those
//! that the type does not know, are free to differ.

use super::argument::Again;
use super::arguments::{taken_by, type_name};
use super::error::{SpecError, queue_in_vhost};
use super::queue::{QueueSpec, QueueType};
use super::term::term;
use crate::types::{FieldTable, FieldValue};

/// A queue as it is declared again.
pub struct QueueAgain<'a> {
    pub durable: bool,
    pub auto_delete: bool,
    /// The type it gets when the arguments name none.
    pub default_type: QueueType,
    pub arguments: &'a FieldTable,
    /// A quorum queue may be declared again as one of another type.
    pub relaxed: bool,
}

/// Whether a queue declared again is the same as the one there.
///
/// # Errors
/// The first property or argument that differs: durable, auto-delete, then arguments.
pub fn queue(existing: &QueueSpec, again: &QueueAgain<'_>) -> Result<(), SpecError> {
    let target = queue_in_vhost(&existing.vhost, &existing.name);
    compare("durable", &target, again.durable, existing.durable)?;
    compare("auto_delete", &target, again.auto_delete, existing.auto_delete)?;
    for row in taken_by(existing.queue_type) {
        let received = again.arguments.get(row.name);
        match row.again {
            Again::Free => {}
            Again::Same => compare_argument(row.name, &target, received, existing.arguments.get(row.name))?,
            Again::SameType if again.relaxed && existing.queue_type == QueueType::Quorum => {}
            Again::SameType => {
                let received = received.map_or_else(|| type_name(again.default_type).to_owned(), plain);
                compare(row.name, &target, received.as_str(), type_name(existing.queue_type))?;
            }
        }
    }
    Ok(())
}

pub fn compare<T: PartialEq + ToString>(name: &str, target: &str, received: T, current: T) -> Result<(), SpecError> {
    if received == current {
        return Ok(());
    }
    let (received, current) = (received.to_string(), current.to_string());
    Err(inequivalent(
        name,
        target,
        format!("'{received}'"),
        format!("'{current}'"),
    ))
}

/// Whether two arguments are the same: of numbers, floats and texts the values count and not the
/// types.
fn is_same(a: &FieldValue, b: &FieldValue) -> bool {
    let number = |value: &FieldValue| match value {
        FieldValue::Timestamp(seconds) => Some(i128::from(*seconds)),
        other => other.as_int().map(i128::from),
    };
    let same_number = number(a).is_some_and(|a| number(b) == Some(a));
    let same_float = a.as_float().is_some_and(|a| b.as_float() == Some(a));
    let same_text = a.as_bytes().is_some_and(|a| b.as_bytes() == Some(a));
    a == b || same_number || same_float || same_text
}

pub fn compare_argument(
    name: &str,
    target: &str,
    received: Option<&FieldValue>,
    current: Option<&FieldValue>,
) -> Result<(), SpecError> {
    let (received, current) = match (received, current) {
        (None, None) => return Ok(()),
        (Some(a), Some(b)) if is_same(a, b) => return Ok(()),
        (Some(a), Some(b)) => (format!("'{}'", plain(a)), format!("'{}'", plain(b))),
        (received, current) => (typed(received), typed(current)),
    };
    Err(inequivalent(name, target, received, current))
}

fn inequivalent(name: &str, target: &str, received: String, current: String) -> SpecError {
    SpecError::Inequivalent {
        name: name.into(),
        target: target.into(),
        received,
        current,
    }
}

fn typed(value: Option<&FieldValue>) -> String {
    match value {
        Some(value) => format!("the value '{}' of type '{}'", plain(value), value.type_name()),
        None => "none".to_owned(),
    }
}

/// A text as it is, anything else as a term.
fn plain(value: &FieldValue) -> String {
    match value {
        FieldValue::LongString(text) | FieldValue::Bytes(text) => String::from_utf8_lossy(text).into_owned(),
        other => term(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;

    fn existing(queue_type: QueueType, entries: &[(&str, FieldValue)]) -> QueueSpec {
        QueueSpec {
            id: crate::types::QueueId(1),
            vhost: "v".into(),
            name: "q".into(),
            queue_type,
            durable: true,
            auto_delete: false,
            exclusive_owner: None,
            home: NodeId::default(),
            members: Vec::new(),
            generations: 0,
            arguments: FieldTable::of(entries),
            user: "guest".into(),
        }
    }

    fn again(arguments: &FieldTable) -> QueueAgain<'_> {
        QueueAgain {
            durable: true,
            auto_delete: false,
            default_type: QueueType::Classic,
            arguments,
            relaxed: false,
        }
    }

    fn difference(old: &[(&str, FieldValue)], new: &[(&str, FieldValue)]) -> Option<String> {
        queue(&existing(QueueType::Classic, old), &again(&FieldTable::of(new)))
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn a_queue_declared_again_must_have_the_same_arguments() {
        let ttl = |value| ("x-message-ttl", value);
        let start = "inequivalent arg 'x-message-ttl' for queue 'q' in vhost 'v': received";
        assert_eq!(
            difference(&[ttl(FieldValue::I32(1000))], &[ttl(FieldValue::I64(2000))]),
            Some(format!("{start} '2000' but current is '1000'"))
        );
        assert_eq!(
            difference(&[ttl(FieldValue::I32(1000))], &[]),
            Some(format!(
                "{start} none but current is the value '1000' of type 'signedint'"
            ))
        );
        assert_eq!(
            difference(&[], &[ttl(FieldValue::I32(1000))]),
            Some(format!(
                "{start} the value '1000' of type 'signedint' but current is none"
            ))
        );
        for same in [
            FieldValue::I8(5),
            FieldValue::U8(5),
            FieldValue::I16(5),
            FieldValue::U32(5),
            FieldValue::I64(5),
        ] {
            assert_eq!(difference(&[ttl(FieldValue::I32(5))], &[ttl(same)]), None);
        }
        assert_eq!(difference(&[], &[("x-queue-type", FieldValue::text("classic"))]), None);
        assert_eq!(
            difference(&[("x-foo", FieldValue::Void)], &[("x-foo", FieldValue::I32(1))]),
            None
        );
    }

    /// What RabbitMQ 4.0.5 answered, for an argument that may have any type.
    #[test]
    fn values_of_other_types_are_the_same_where_rabbitmq_finds_them_so() {
        use FieldValue::{Boolean, Bytes, Decimal, F32, F64, I8, I32, I64, Timestamp};
        let text = FieldValue::text;
        let list = |value: FieldValue| FieldValue::Array(vec![value]);
        let table = |entries: &[(&str, FieldValue)]| FieldValue::Table(FieldTable::of(entries));
        let (p, q) = (("p", I32(5)), ("q", I32(6)));
        let groups = [
            vec![I32(5), I8(5), I64(5), Timestamp(5)],
            vec![F64(5.0), F32(5.0)],
            vec![F64(0.1)],
            vec![F32(0.1)],
            vec![F64(0.0), F64(-0.0)],
            vec![text("5"), Bytes(b"5".to_vec())],
            vec![text("true")],
            vec![Decimal(0, 5)],
            vec![Boolean(true)],
            vec![FieldValue::Void],
            vec![list(I32(5))],
            vec![list(I64(5))],
            vec![list(text("a"))],
            vec![list(Bytes(b"a".to_vec()))],
            vec![table(&[("p", I64(5))])],
            vec![table(&[p.clone(), q.clone()])],
            vec![table(&[q, p])],
        ];
        for (at, current) in groups.iter().enumerate() {
            for (group, received) in groups.iter().enumerate() {
                for (current, received) in current.iter().flat_map(|a| received.iter().map(move |b| (a, b))) {
                    assert_eq!(is_same(received, current), at == group, "{received:?} {current:?}");
                }
            }
        }
    }

    #[test]
    fn the_type_is_compared_as_it_was_asked_for() {
        let start = "inequivalent arg 'x-queue-type' for queue 'q' in vhost 'v': received";
        let with = |text| difference(&[], &[("x-queue-type", FieldValue::text(text))]);
        assert_eq!(
            with("quorum"),
            Some(format!("{start} 'quorum' but current is 'classic'"))
        );
        assert_eq!(with("nope"), Some(format!("{start} 'nope' but current is 'classic'")));
    }

    #[test]
    fn relaxed_checks_let_a_quorum_queue_be_declared_as_classic() {
        let quorum = existing(QueueType::Quorum, &[("x-expires", FieldValue::I32(5))]);
        let classic = [
            ("x-queue-type", FieldValue::text("classic")),
            ("x-max-priority", FieldValue::I32(5)),
            ("x-expires", FieldValue::I32(5)),
        ];
        let arguments = FieldTable::of(&classic);
        let strict = again(&arguments);
        assert_eq!(
            queue(&quorum, &strict).map_err(|error| error.to_string()),
            Err(
                "inequivalent arg 'x-queue-type' for queue 'q' in vhost 'v': received 'classic' but current is 'quorum'"
                    .into()
            )
        );
        let relaxed = QueueAgain {
            relaxed: true,
            ..strict
        };
        assert_eq!(queue(&quorum, &relaxed), Ok(()));
        assert!(
            queue(
                &quorum,
                &QueueAgain {
                    arguments: &FieldTable::new(),
                    ..relaxed
                }
            )
            .is_err(),
            "the other arguments are still compared"
        );
    }

    #[test]
    fn properties_are_compared_before_arguments() {
        let spec = existing(QueueType::Classic, &[("x-message-ttl", FieldValue::I32(1))]);
        let arguments = FieldTable::new();
        let text = |durable, auto_delete| {
            let again = QueueAgain {
                durable,
                auto_delete,
                ..again(&arguments)
            };
            queue(&spec, &again).expect_err("differs").to_string()
        };
        assert_eq!(
            text(false, true),
            "inequivalent arg 'durable' for queue 'q' in vhost 'v': received 'false' but current is 'true'"
        );
        assert_eq!(
            text(true, true),
            "inequivalent arg 'auto_delete' for queue 'q' in vhost 'v': received 'true' but current is 'false'"
        );
    }
}
