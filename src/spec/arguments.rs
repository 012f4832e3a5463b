//! THE table of queue arguments: who takes which, what a value may be, and what each makes of
//! [`QueueSettings`]. What of them is compared when a queue is declared again is in
//! [`equivalence`](super::equivalence).
//!
//! Texts are RabbitMQ 4.0's, which prints Erlang terms; clients' logs and tests compare them.

use std::borrow::Cow;

use thiserror::Error;

use super::queue::{DeadLetterStrategy, Overflow, QueueSettings, QueueType};
use crate::types::{FieldTable, FieldValue, Millis, Refusal, Reply, ReplyCode};

/// A queue argument.
pub struct Argument {
    pub name: &'static str,
    /// The queue types that take it; on the others it is refused.
    pub types: &'static [QueueType],
    value: Value,
    sets: fn(&mut QueueSettings, &FieldValue),
}

/// What a value may be.
#[derive(Clone, Copy)]
pub(super) enum Value {
    /// An integer from `from` to `to`.
    Integer {
        from: i64,
        to: i64,
    },
    /// Milliseconds from that many to ten years.
    Time {
        from: i64,
    },
    Boolean,
    /// A long string, with the term RabbitMQ names when the text is not one of these.
    OneOf(&'static [&'static str], &'static str),
    /// Like `OneOf`, with the text in the term.
    OneOfShown(&'static [&'static str], &'static str),
    /// One of these integers, with the text RabbitMQ names.
    Version(&'static [i64]),
    /// Any long string; the type is refused in a text of its own.
    ExchangeName,
    /// A long string, only where a dead letter exchange is named.
    DeadLetterKey,
    /// A duration such as `7D`.
    Age,
    /// An integer, refused in a text of its own below `from` or above `to`.
    Bounded {
        from: i64,
        to: i64,
        text: &'static str,
    },
    /// Anything; the value is read where it makes sense.
    Any,
}

const ALL: &[QueueType] = &[QueueType::Classic, QueueType::Quorum, QueueType::Stream];
const QUEUES: &[QueueType] = &[QueueType::Classic, QueueType::Quorum];
const CLASSIC: &[QueueType] = &[QueueType::Classic];
const QUORUM: &[QueueType] = &[QueueType::Quorum];
const STREAM: &[QueueType] = &[QueueType::Stream];
const COUNT: Value = Value::Integer { from: 0, to: i64::MAX };
const POSITIVE: Value = Value::Integer { from: 1, to: i64::MAX };
/// The largest `x-stream-max-segment-size-bytes`.
const MAX_SEGMENT: i64 = 3_000_000_000;

/// The table.
pub static ARGUMENTS: &[Argument] = &[
    row("x-message-ttl", QUEUES, Value::Time { from: 0 }, |s, v| {
        s.message_ttl = millis(v);
    }),
    row("x-expires", QUEUES, Value::Time { from: 1 }, |s, v| {
        s.expires = millis(v)
    }),
    row("x-max-length", QUEUES, COUNT, |s, v| s.max_length = count(v)),
    row("x-max-length-bytes", ALL, COUNT, |s, v| s.max_length_bytes = count(v)),
    row(
        "x-max-priority",
        CLASSIC,
        Value::Integer { from: 0, to: 255 },
        |s, v| {
            s.max_priority = count(v)
                .and_then(|most| u8::try_from(most).ok())
                .filter(|most| *most > 0);
        },
    ),
    row(
        "x-overflow",
        QUEUES,
        Value::OneOf(
            &["drop-head", "reject-publish", "reject-publish-dlx"],
            "invalid_overflow",
        ),
        |s, v| s.overflow = overflow(v),
    ),
    row("x-dead-letter-exchange", QUEUES, Value::ExchangeName, |s, v| {
        s.dead_letter_exchange = v.as_str().map(Into::into);
    }),
    row("x-dead-letter-routing-key", QUEUES, Value::DeadLetterKey, |s, v| {
        s.dead_letter_routing_key = v.as_str().map(Into::into);
    }),
    row(
        "x-dead-letter-strategy",
        QUORUM,
        Value::OneOf(&["at-most-once", "at-least-once"], "invalid_dlx_strategy"),
        |s, v| {
            s.dead_letter_strategy = match v.as_str() {
                Some("at-least-once") => DeadLetterStrategy::AtLeastOnce,
                _ => DeadLetterStrategy::AtMostOnce,
            }
        },
    ),
    row("x-delivery-limit", QUORUM, Value::Any, |s, v| {
        s.delivery_limit = v.as_int().map_or(s.delivery_limit, |limit| u32::try_from(limit).ok());
    }),
    row("x-single-active-consumer", QUEUES, Value::Boolean, |s, v| {
        s.single_active_consumer = v.as_bool() == Some(true);
    }),
    row("x-queue-type", ALL, Value::Any, |_, _| {}),
    row(
        "x-queue-mode",
        CLASSIC,
        Value::OneOfShown(&["default", "lazy"], "unsupported queue mode"),
        |_, _| {},
    ),
    row("x-queue-version", CLASSIC, Value::Version(&[1, 2]), |_, _| {}),
    row("x-queue-master-locator", CLASSIC, Value::Any, |_, _| {}),
    row(
        "x-queue-leader-locator",
        ALL,
        Value::OneOf(
            &["client-local", "balanced", "random", "least-leaders", "min-masters"],
            "invalid_queue_locator_arg",
        ),
        |_, _| {},
    ),
    row("x-max-in-memory-length", QUORUM, COUNT, |_, _| {}),
    row("x-max-in-memory-bytes", QUORUM, COUNT, |_, _| {}),
    row("x-quorum-initial-group-size", QUORUM, POSITIVE, |_, _| {}),
    row("x-initial-cluster-size", STREAM, POSITIVE, |_, _| {}),
    row("x-max-age", STREAM, Value::Age, |_, _| {}),
    row(
        "x-stream-max-segment-size-bytes",
        STREAM,
        Value::Bounded {
            from: i64::MIN,
            to: MAX_SEGMENT,
            text: "Exceeded max value for x-stream-max-segment-size-bytes",
        },
        |_, _| {},
    ),
];

/// Returns after which RabbitMQ 4.0 gives up on a message of a quorum queue.
const DEFAULT_DELIVERY_LIMIT: u32 = 20;

const fn row(
    name: &'static str,
    types: &'static [QueueType],
    value: Value,
    sets: fn(&mut QueueSettings, &FieldValue),
) -> Argument {
    Argument {
        name,
        types,
        value,
        sets,
    }
}

/// Why a queue, an exchange, a binding or a consumer cannot be declared as asked.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum SpecError {
    #[error("invalid arg '{name}' for {queue} of queue type {kind}")]
    NotForType {
        name: String,
        queue: String,
        kind: &'static str,
    },
    #[error("invalid arg '{name}' for {queue}: {reason}")]
    BadValue {
        name: String,
        queue: String,
        reason: String,
    },
    #[error("invalid type '{type_name}' for arg '{name}' in {target}")]
    BadType {
        name: String,
        target: String,
        type_name: &'static str,
    },
    #[error("{0}")]
    Text(String),
    #[error("invalid property '{property}' for {queue}")]
    BadProperty { property: &'static str, queue: String },
    #[error("Cannot declare a server-named queue for type {0}")]
    ServerNamed(&'static str),
    #[error("inequivalent arg '{name}' for {target}: received {received} but current is {current}")]
    Inequivalent {
        name: String,
        target: String,
        received: String,
        current: String,
    },
}

impl Refusal for SpecError {
    fn reply(&self) -> Reply {
        Reply::channel(ReplyCode::PreconditionFailed, self.to_string())
    }
}

/// `queue 'q' in vhost 'v'`, as RabbitMQ names one in its texts.
pub fn queue_in_vhost(vhost: &str, name: &str) -> String {
    format!("queue '{name}' in vhost '{vhost}'")
}

/// `exchange 'e' in vhost 'v'`, as RabbitMQ names one in its texts.
pub fn exchange_in_vhost(vhost: &str, name: &str) -> String {
    format!("exchange '{name}' in vhost '{vhost}'")
}

/// The queue type that the arguments ask for, or the default of the vhost.
///
/// # Errors
/// When `x-queue-type` is not a text or not a type.
pub fn queue_type(arguments: &FieldTable, default: QueueType, vhost: &str, name: &str) -> Result<QueueType, SpecError> {
    let Some(value) = arguments.get("x-queue-type") else {
        return Ok(default);
    };
    let reason = match value {
        FieldValue::LongString(text) => match text.as_slice() {
            b"classic" => return Ok(QueueType::Classic),
            b"quorum" => return Ok(QueueType::Quorum),
            b"stream" => return Ok(QueueType::Stream),
            other => format!("\"unsupported queue type '{}'\"", String::from_utf8_lossy(other)),
        },
        other => unacceptable(other),
    };
    Err(SpecError::BadValue {
        name: "x-queue-type".into(),
        queue: queue_in_vhost(vhost, name),
        reason,
    })
}

/// The dead letter exchange that the arguments name. RabbitMQ looks at it before it knows the
/// queue type.
///
/// # Errors
/// When it is not a text.
pub fn dead_letter_exchange<'a>(
    vhost: &str,
    name: &str,
    arguments: &'a FieldTable,
) -> Result<Option<Cow<'a, str>>, SpecError> {
    match arguments.get("x-dead-letter-exchange") {
        None => Ok(None),
        Some(FieldValue::LongString(text)) => Ok(Some(String::from_utf8_lossy(text))),
        Some(other) => Err(SpecError::BadType {
            name: "x-dead-letter-exchange".into(),
            target: queue_in_vhost(vhost, name),
            type_name: other.type_name(),
        }),
    }
}

/// Checks the arguments of a queue that is to be declared. Unknown ones are ignored.
///
/// # Errors
/// The first argument that RabbitMQ would refuse, with its text.
pub fn validate(kind: QueueType, vhost: &str, name: &str, arguments: &FieldTable) -> Result<(), SpecError> {
    let queue = || queue_in_vhost(vhost, name);
    dead_letter_exchange(vhost, name, arguments)?;
    let known = || ARGUMENTS.iter().filter_map(|row| Some((row, arguments.get(row.name)?)));
    if let Some((row, _)) = known().find(|(row, _)| !row.types.contains(&kind)) {
        return Err(SpecError::NotForType {
            name: row.name.into(),
            queue: queue(),
            kind: type_module(kind),
        });
    }
    for (row, value) in known() {
        row.value
            .check(value, arguments)
            .map_err(|bad| bad.of(row.name, queue()))?;
    }
    if kind == QueueType::Stream
        && let Some(value) = arguments.get("x-stream-filter-size-bytes")
        && !value.as_int().is_some_and(|size| (16..=255).contains(&size))
    {
        return Err(SpecError::Text("Invalid value for  x-stream-filter-size-bytes".into()));
    }
    Ok(())
}

/// Checks what a quorum queue or a stream must be besides its arguments.
///
/// # Errors
/// The property that RabbitMQ would refuse.
pub fn validate_properties(
    kind: QueueType,
    vhost: &str,
    name: &str,
    durable: bool,
    exclusive: bool,
    auto_delete: bool,
) -> Result<(), SpecError> {
    if kind == QueueType::Classic {
        return Ok(());
    }
    let broken = [
        (auto_delete, "auto-delete"),
        (exclusive, "exclusive-owner"),
        (!durable, "non-durable"),
    ];
    match broken.into_iter().find(|(is, _)| *is) {
        Some((_, property)) => Err(SpecError::BadProperty {
            property,
            queue: queue_in_vhost(vhost, name),
        }),
        None => Ok(()),
    }
}

/// What the arguments alone make of a queue.
pub fn settings(kind: QueueType, arguments: &FieldTable) -> QueueSettings {
    let mut settings = QueueSettings {
        delivery_limit: (kind == QueueType::Quorum).then_some(DEFAULT_DELIVERY_LIMIT),
        ..QueueSettings::default()
    };
    for row in ARGUMENTS.iter().filter(|row| row.types.contains(&kind)) {
        if let Some(value) = arguments.get(row.name) {
            (row.sets)(&mut settings, value);
        }
    }
    settings
}

/// What is wrong with a value.
pub(super) enum Bad {
    /// The end of RabbitMQ's text.
    Reason(String),
    /// The whole text.
    Text(&'static str),
}

impl Bad {
    /// The refusal of an argument of that name.
    pub(super) fn of(self, name: &str, queue: String) -> SpecError {
        match self {
            Self::Reason(reason) => SpecError::BadValue {
                name: name.into(),
                queue,
                reason,
            },
            Self::Text(text) => SpecError::Text(text.into()),
        }
    }
}

impl Value {
    /// Whether the value is one of these.
    pub(super) fn check(self, value: &FieldValue, arguments: &FieldTable) -> Result<(), Bad> {
        let reason = match self {
            Self::Integer { from, to } => return integer(value, from, to).map(|_| ()).map_err(Bad::Reason),
            Self::Time { from } => match integer(value, from, i64::MAX).map_err(Bad::Reason)? {
                time if time.unsigned_abs() <= Millis::TEN_YEARS.0 => return Ok(()),
                time => format!("{{value_too_large,{time}}}"),
            },
            Self::Bounded { from, to, text } => {
                let number = integer(value, from.max(0), i64::MAX).map_err(Bad::Reason)?;
                return if number <= to { Ok(()) } else { Err(Bad::Text(text)) };
            }
            Self::Version(allowed) => {
                let number = integer(value, i64::MIN, i64::MAX).map_err(Bad::Reason)?;
                if allowed.contains(&number) {
                    return Ok(());
                }
                format!("\"unsupported queue version '{number}'\"")
            }
            Self::Boolean => match value {
                FieldValue::Boolean(_) => return Ok(()),
                other => unacceptable(other),
            },
            Self::OneOf(allowed, term) => match text(value)? {
                text if allowed.iter().any(|one| one.as_bytes() == text) => return Ok(()),
                _ => term.to_owned(),
            },
            Self::OneOfShown(allowed, what) => match text(value)? {
                text if allowed.iter().any(|one| one.as_bytes() == text) => return Ok(()),
                text => format!("\"{what} '{}'\"", String::from_utf8_lossy(text)),
            },
            Self::DeadLetterKey => {
                text(value)?;
                if arguments.get("x-dead-letter-exchange").is_some() {
                    return Ok(());
                }
                "routing_key_but_no_dlx_defined".to_owned()
            }
            Self::Age => match is_age(text(value)?) {
                true => return Ok(()),
                false => "invalid_max_age".to_owned(),
            },
            Self::ExchangeName | Self::Any => return Ok(()),
        };
        Err(Bad::Reason(reason))
    }
}

fn integer(value: &FieldValue, from: i64, to: i64) -> Result<i64, String> {
    let number = value
        .as_int()
        .ok_or_else(|| format!("\"expected integer, got {}\"", value.type_name()))?;
    match number {
        0 if from > 0 => Err("{value_zero,0}".to_owned()),
        number if number < from => Err(format!("{{value_negative,{number}}}")),
        number if number > to => Err(format!("{{max_value_exceeded,{number}}}")),
        number => Ok(number),
    }
}

fn text(value: &FieldValue) -> Result<&[u8], Bad> {
    match value {
        FieldValue::LongString(text) => Ok(text),
        other => Err(Bad::Reason(unacceptable(other))),
    }
}

fn unacceptable(value: &FieldValue) -> String {
    format!("{{unacceptable_type,{}}}", value.type_name())
}

/// A number and one of the units year, month, day, hour, minute, second.
/// Whether that is a duration such as `7D`.
pub(super) fn is_age(text: &[u8]) -> bool {
    text.split_last().is_some_and(|(unit, number)| {
        b"YMDhms".contains(unit) && !number.is_empty() && number.iter().all(u8::is_ascii_digit)
    })
}

/// The name of a queue type on the wire.
pub fn type_name(kind: QueueType) -> &'static str {
    match kind {
        QueueType::Classic => "classic",
        QueueType::Quorum => "quorum",
        QueueType::Stream => "stream",
    }
}

/// What RabbitMQ calls a queue type in its texts.
pub fn type_module(kind: QueueType) -> &'static str {
    match kind {
        QueueType::Classic => "rabbit_classic_queue",
        QueueType::Quorum => "rabbit_quorum_queue",
        QueueType::Stream => "rabbit_stream_queue",
    }
}

fn count(value: &FieldValue) -> Option<u64> {
    value.as_int().and_then(|count| u64::try_from(count).ok())
}

fn millis(value: &FieldValue) -> Option<Millis> {
    count(value).map(Millis)
}

fn overflow(value: &FieldValue) -> Overflow {
    match value.as_str() {
        Some("reject-publish") => Overflow::RejectPublish,
        Some("reject-publish-dlx") => Overflow::RejectPublishDlx,
        _ => Overflow::DropHead,
    }
}

#[cfg(test)]
mod tests;
