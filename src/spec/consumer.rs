//! THE table of consumer arguments, and what is read from them. Unknown ones are ignored.

use super::arguments::type_module;
use super::error::{SpecError, queue_in_vhost};
use super::queue::QueueType;
use super::value::Value;
use crate::types::{FieldTable, FieldValue};

/// An argument of `basic.consume`.
pub struct ConsumerArgument {
    pub name: &'static str,
    /// The queue types that take it; on the others it is refused.
    pub types: &'static [QueueType],
    value: Value,
}

const NUMBER: Value = Value::Integer {
    from: i64::MIN,
    to: i64::MAX,
};

/// The table.
pub static CONSUMER_ARGUMENTS: &[ConsumerArgument] = &[
    row("x-priority", &[QueueType::Classic, QueueType::Quorum], NUMBER),
    row("x-stream-offset", &[QueueType::Stream], Value::Any),
    row("x-stream-filter", &[QueueType::Stream], Value::Any),
    row("x-stream-match-unfiltered", &[QueueType::Stream], Value::Any),
];

const fn row(name: &'static str, types: &'static [QueueType], value: Value) -> ConsumerArgument {
    ConsumerArgument { name, types, value }
}

/// Checks the arguments of a consumer of a queue.
///
/// # Errors
/// The first argument that RabbitMQ would refuse, with its text.
pub fn validate(kind: QueueType, vhost: &str, queue: &str, arguments: &FieldTable) -> Result<(), SpecError> {
    let given = || {
        CONSUMER_ARGUMENTS
            .iter()
            .filter_map(|row| Some((row, arguments.get(row.name)?)))
    };
    for (row, value) in given() {
        row.value
            .check(value, arguments)
            .map_err(|bad| bad.of(row.name, queue_in_vhost(vhost, queue)))?;
    }
    match given().find(|(row, _)| !row.types.contains(&kind)) {
        None => Ok(()),
        Some((row, _)) => Err(SpecError::NotForType {
            name: row.name.into(),
            queue: queue_in_vhost(vhost, queue),
            kind: type_module(kind),
        }),
    }
}

/// The priority that checked arguments give a consumer. What does not fit is the highest or the
/// lowest there is.
pub fn priority(arguments: &FieldTable) -> i32 {
    let given = arguments.get("x-priority").and_then(FieldValue::as_int).unwrap_or(0);
    // Clamped, so it fits.
    given.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: FieldValue) -> FieldTable {
        FieldTable(vec![(name.to_owned(), value)])
    }

    #[test]
    fn bad_values_are_refused_in_rabbitmqs_words() {
        let text = |name, value| {
            validate(QueueType::Quorum, "v", "q", &one(name, value))
                .err()
                .map(|error| error.to_string())
        };
        let priority = |reason| {
            Some(format!(
                "invalid arg 'x-priority' for queue 'q' in vhost 'v': \"expected integer, got {reason}\""
            ))
        };
        assert_eq!(text("x-priority", FieldValue::F64(1.5)), priority("double"));
        assert_eq!(text("x-priority", FieldValue::text("high")), priority("longstr"));
        assert_eq!(text("x-priority", FieldValue::I32(-5)), None);
        assert_eq!(text("x-nonsense", FieldValue::I32(1)), None);
        assert_eq!(
            text("x-stream-offset", FieldValue::text("first")).as_deref(),
            Some("invalid arg 'x-stream-offset' for queue 'q' in vhost 'v' of queue type rabbit_quorum_queue")
        );
    }

    #[test]
    fn a_priority_out_of_reach_is_the_highest_or_lowest() {
        assert_eq!(priority(&FieldTable::new()), 0);
        assert_eq!(priority(&one("x-priority", FieldValue::I8(-5))), -5);
        assert_eq!(
            priority(&one("x-priority", FieldValue::I64(1_099_511_627_776))),
            i32::MAX
        );
    }
}
