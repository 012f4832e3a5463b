//! What a form asks for when it asks for an argument: the kind of its value, and the words it may be.

use super::takes::Takes;
use super::value::Value;

/// See the head of this file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    pub kind: Kind,
    /// The only texts it may be; none where it may be any.
    pub choices: &'static [&'static str],
    /// The bounds of a number, where it has some of its own.
    pub from: Option<i64>,
    pub to: Option<i64>,
}

/// The kind of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Integer,
    Milliseconds,
    Bytes,
    Boolean,
    Text,
    /// A duration such as `7D`.
    Age,
}

impl Kind {
    /// The word of the HTTP API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Milliseconds => "milliseconds",
            Self::Bytes => "bytes",
            Self::Boolean => "boolean",
            Self::Text => "text",
            Self::Age => "age",
        }
    }
}

impl Shape {
    /// Any value of a kind.
    pub const fn any(kind: Kind) -> Self {
        Self {
            kind,
            choices: &[],
            from: None,
            to: None,
        }
    }

    /// One of these words.
    pub const fn one_of(choices: &'static [&'static str]) -> Self {
        Self {
            choices,
            ..Self::any(Kind::Text)
        }
    }

    /// A number that is not below this.
    pub const fn at_least(kind: Kind, from: i64) -> Self {
        Self {
            from: Some(from),
            ..Self::any(kind)
        }
    }

    /// What an argument with such a value asks for; `None` where the value may be anything.
    pub(super) fn of_value(value: Value) -> Option<Self> {
        Some(match value {
            Value::Integer { from, to } => Self {
                to: Some(to).filter(|to| *to < i64::MAX),
                ..Self::at_least(Kind::Integer, from)
            },
            Value::Time { from } => Self::at_least(Kind::Milliseconds, from),
            Value::Boolean => Self::any(Kind::Boolean),
            Value::OneOf(words, _) | Value::OneOfShown(words, _) => Self::one_of(words),
            Value::Version(_) => Self {
                to: Some(2),
                ..Self::at_least(Kind::Integer, 1)
            },
            Value::ExchangeName | Value::DeadLetterKey => Self::any(Kind::Text),
            Value::Age => Self::any(Kind::Age),
            Value::SegmentSize | Value::FilterSize => Self::at_least(Kind::Bytes, 0),
            Value::Any => return None,
        })
    }

    /// What a policy key asks for that takes this.
    pub(super) fn of_policy(takes: Takes) -> Self {
        match takes {
            Takes::Count => Self::at_least(Kind::Integer, 0),
            Takes::Positive => Self::at_least(Kind::Integer, 1),
            Takes::Within(from, to) => Self {
                to: i64::try_from(to).ok(),
                ..Self::at_least(Kind::Bytes, i64::try_from(from).unwrap_or(0))
            },
            Takes::Text | Takes::Any => Self::any(Kind::Text),
            Takes::Age => Self::any(Kind::Age),
            Takes::OneOf(words) => Self::one_of(words),
        }
    }
}
