//! What the value of an argument may be, and how one is read.

use super::error::SpecError;
use crate::types::{FieldTable, FieldValue, Millis};

/// What a value may be.
#[derive(Clone, Copy)]
pub enum Value {
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
    /// Bytes of a stream's segment.
    SegmentSize,
    /// Bytes of a stream's filter.
    FilterSize,
    /// Anything; the value is read where it makes sense.
    Any,
}

/// The largest segment of a stream.
pub(super) const MAX_SEGMENT: i64 = 3_000_000_000;

/// What is wrong with a value.
pub(super) enum Bad {
    /// The end of RabbitMQ's text about an argument of a queue.
    Reason(String),
    /// A refusal that does not name the queue.
    Whole(SpecError),
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
            Self::Whole(error) => error,
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
            Self::SegmentSize => match integer(value, 0, i64::MAX).map_err(Bad::Reason)? {
                ..=MAX_SEGMENT => return Ok(()),
                _ => return Err(Bad::Whole(SpecError::SegmentSize)),
            },
            Self::FilterSize => match value.as_int() {
                Some(16..=255) => return Ok(()),
                _ => return Err(Bad::Whole(SpecError::FilterSize)),
            },
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

/// RabbitMQ's term for a value of the wrong type.
pub(super) fn unacceptable(value: &FieldValue) -> String {
    format!("{{unacceptable_type,{}}}", value.type_name())
}

/// Whether that is a duration such as `7D`.
pub(super) fn is_age(text: &[u8]) -> bool {
    age(text).is_some()
}

/// A duration such as `7D`: a number that does not begin with 0, and one of the units year (of 365 days), month (of
/// 30), day, hour, minute, second.
pub fn age(text: &[u8]) -> Option<Millis> {
    let (unit, number) = text.split_last()?;
    let seconds: u64 = match unit {
        b'Y' => 365 * 86_400,
        b'M' => 30 * 86_400,
        b'D' => 86_400,
        b'h' => 3_600,
        b'm' => 60,
        b's' => 1,
        _ => return None,
    };
    if number.first().is_none_or(|digit| *digit == b'0') || !number.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // More than fits is for ever, as good as.
    let count = number.iter().fold(0u64, |count, digit| {
        count.saturating_mul(10).saturating_add((digit - b'0').into())
    });
    Some(Millis(count.saturating_mul(seconds * 1000)))
}
