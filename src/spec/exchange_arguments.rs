//! Exchange arguments: what their values may be. Which type takes which is in the table of
//! [`EXCHANGE_TYPES`](super::exchange::EXCHANGE_TYPES); those of every exchange are here.
//!
//! An argument that a type does not take is ignored, as are unknown ones.

use std::borrow::Cow;

use super::argument::{Merge, PolicyKey, Takes};
use super::arguments::exchange_in_vhost;
use super::error::SpecError;
use super::exchange::ExchangeKind;
use super::shape::{Kind, Shape};
use super::term::term;
use crate::types::{FieldTable, FieldValue};

/// An exchange argument.
pub struct ExchangeArgument {
    pub name: &'static str,
    /// It must be the same when the exchange is declared again.
    pub is_compared: bool,
    /// The policy key that sets the same.
    pub policy: Option<PolicyKey>,
    /// What a form asks for.
    pub shape: Shape,
    /// A sentence for forms.
    pub help: &'static str,
    check: fn(&FieldValue) -> Result<(), Bad>,
}

/// What is wrong with a value.
pub enum Bad {
    /// It has the wrong type.
    Type,
    /// Anything else.
    Whole(SpecError),
}

impl ExchangeArgument {
    /// An argument that no policy sets, and that may differ when the exchange is declared again.
    pub const fn new(name: &'static str, check: fn(&FieldValue) -> Result<(), Bad>) -> Self {
        Self {
            name,
            is_compared: false,
            policy: None,
            shape: Shape::any(Kind::Text),
            help: "",
            check,
        }
    }

    /// What a form asks for, and what it says.
    pub const fn asks(mut self, shape: Shape, help: &'static str) -> Self {
        self.shape = shape;
        self.help = help;
        self
    }

    const fn compared(mut self) -> Self {
        self.is_compared = true;
        self
    }

    const fn policy(mut self, key: PolicyKey) -> Self {
        self.policy = Some(key);
        self
    }
}

/// The arguments of every exchange.
pub static OF_EVERY_EXCHANGE: &[ExchangeArgument] = &[ExchangeArgument::new(ALTERNATE_EXCHANGE, text)
    .compared()
    .asks(
        Shape::any(Kind::Text),
        "The exchange that gets the messages which no binding takes.",
    )
    .policy(PolicyKey::new(
        ALTERNATE_EXCHANGE,
        Merge::First,
        Takes::Text,
        "alternate exchange name",
    ))];

/// Names the exchange that gets what has nowhere to go; the policy key has the same name.
pub const ALTERNATE_EXCHANGE: &str = "alternate-exchange";

/// The properties that an `x-consistent-hash` exchange can hash.
const HASH_PROPERTIES: [&[u8]; 3] = [b"correlation_id", b"message_id", b"timestamp"];

/// The alternate exchange that the arguments name.
///
/// # Errors
/// When it is not a text.
pub fn alternate_exchange<'a>(
    vhost: &str,
    name: &str,
    arguments: &'a FieldTable,
) -> Result<Option<Cow<'a, str>>, SpecError> {
    match arguments.get(ALTERNATE_EXCHANGE) {
        None => Ok(None),
        Some(FieldValue::LongString(text)) => Ok(Some(String::from_utf8_lossy(text))),
        Some(other) => Err(bad_type(ALTERNATE_EXCHANGE, vhost, name, other)),
    }
}

/// Checks the arguments of an exchange that is to be declared.
///
/// # Errors
/// The first argument that RabbitMQ would refuse, with its text.
pub fn validate(kind: ExchangeKind, vhost: &str, name: &str, arguments: &FieldTable) -> Result<(), SpecError> {
    let row = kind.spec();
    (row.check)(arguments)?;
    for argument in OF_EVERY_EXCHANGE.iter().chain(row.arguments) {
        let Some(value) = arguments.get(argument.name) else {
            continue;
        };
        (argument.check)(value).map_err(|bad| match bad {
            Bad::Type => bad_type(argument.name, vhost, name, value),
            Bad::Whole(error) => error,
        })?;
    }
    match kind {
        // It routes as another type does, with the arguments of that type.
        ExchangeKind::DelayedMessage => validate(ExchangeKind::delayed(arguments), vhost, name, arguments),
        _ => Ok(()),
    }
}

/// The exchange type of that name.
///
/// # Errors
/// When there is none, with RabbitMQ's text for a word it never heard of.
pub fn exchange_kind(name: &str) -> Result<ExchangeKind, SpecError> {
    ExchangeKind::named(name).ok_or_else(|| SpecError::NoExchangeType(name.to_owned()))
}

fn bad_type(argument: &str, vhost: &str, name: &str, value: &FieldValue) -> SpecError {
    SpecError::BadType {
        name: argument.into(),
        target: exchange_in_vhost(vhost, name),
        type_name: value.type_name(),
    }
}

/// `hash-header` or `hash-property`, not both.
pub(super) fn hashed_once(arguments: &FieldTable) -> Result<(), SpecError> {
    let has = |name| arguments.get(name).is_some();
    match has("hash-header") && has("hash-property") {
        true => Err(SpecError::HashedTwice),
        false => Ok(()),
    }
}

/// A delayed exchange must say what it is after the delay.
pub(super) fn has_delayed_type(arguments: &FieldTable) -> Result<(), SpecError> {
    match arguments.get("x-delayed-type") {
        Some(_) => Ok(()),
        None => Err(SpecError::NoDelayedType),
    }
}

pub(super) fn text(value: &FieldValue) -> Result<(), Bad> {
    match value {
        FieldValue::LongString(_) => Ok(()),
        _ => Err(Bad::Type),
    }
}

pub(super) fn hash_property(value: &FieldValue) -> Result<(), Bad> {
    match value {
        FieldValue::LongString(name) if HASH_PROPERTIES.contains(&name.as_slice()) => Ok(()),
        FieldValue::LongString(name) => Err(Bad::Whole(SpecError::HashProperty(
            String::from_utf8_lossy(name).into_owned(),
        ))),
        _ => Err(Bad::Type),
    }
}

pub(super) fn history_length(value: &FieldValue) -> Result<(), Bad> {
    if value.as_int().is_some_and(|length| length > 0) {
        return Ok(());
    }
    Err(Bad::Whole(SpecError::HistoryLength(term(value))))
}

pub(super) fn delayed_type(value: &FieldValue) -> Result<(), Bad> {
    let FieldValue::LongString(name) = value else {
        return Err(Bad::Whole(SpecError::NoDelayedType));
    };
    match exchange_kind(&String::from_utf8_lossy(name)).map_err(Bad::Whole)? {
        ExchangeKind::DelayedMessage => Err(Bad::Whole(SpecError::DelayedTwice)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Entries<'a> = &'a [(&'a str, FieldValue)];

    fn refusal(kind: ExchangeKind, entries: Entries<'_>) -> Option<String> {
        let entries = entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        validate(kind, "v", "e", &FieldTable(entries.collect()))
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn bad_values_are_refused_in_rabbitmqs_words() {
        use ExchangeKind::{ConsistentHash, DelayedMessage, Direct, RecentHistory};
        let text = FieldValue::text;
        let no_type = "Invalid argument, 'x-delayed-type' must be an existing exchange type";
        let cases: &[(ExchangeKind, Entries<'_>, &str)] = &[
            (
                Direct,
                &[("alternate-exchange", FieldValue::I32(5))],
                "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'e' in vhost 'v'",
            ),
            (
                ConsistentHash,
                &[("hash-header", text("a")), ("hash-property", text("nope"))],
                "hash-header and hash-property are mutually exclusive",
            ),
            (
                ConsistentHash,
                &[("hash-property", text("nope"))],
                "Unsupported property: nope",
            ),
            (
                ConsistentHash,
                &[("hash-header", FieldValue::Void)],
                "invalid type 'void' for arg 'hash-header' in exchange 'e' in vhost 'v'",
            ),
            (
                RecentHistory,
                &[("x-recent-history-length", text("many"))],
                "Invalid argument <<\"many\">>, 'x-recent-history-length' must be a positive integer",
            ),
            (
                RecentHistory,
                &[("x-recent-history-length", FieldValue::I32(0))],
                "Invalid argument 0, 'x-recent-history-length' must be a positive integer",
            ),
            (DelayedMessage, &[], no_type),
            (DelayedMessage, &[("x-delayed-type", FieldValue::I32(1))], no_type),
            (
                DelayedMessage,
                &[("x-delayed-type", text("nosuch"))],
                "invalid exchange type 'nosuch'",
            ),
            (
                DelayedMessage,
                &[("x-delayed-type", text("x-delayed-message"))],
                "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'",
            ),
            (
                DelayedMessage,
                &[
                    ("x-delayed-type", text("x-consistent-hash")),
                    ("hash-property", text("nope")),
                ],
                "Unsupported property: nope",
            ),
        ];
        for (kind, arguments, expected) in cases {
            assert_eq!(refusal(*kind, arguments).as_deref(), Some(*expected));
        }
    }

    #[test]
    fn good_values_and_those_of_other_types_pass() {
        use ExchangeKind::{ConsistentHash, DelayedMessage, Direct, RecentHistory};
        let text = FieldValue::text;
        let cases: &[(ExchangeKind, Entries<'_>)] = &[
            (Direct, &[("x-foo", FieldValue::I32(1))]),
            (Direct, &[("hash-property", text("nope"))]),
            (Direct, &[("x-delayed-type", text("topic"))]),
            (Direct, &[("alternate-exchange", text(""))]),
            (ConsistentHash, &[("hash-property", text("message_id"))]),
            (ConsistentHash, &[("hash-header", text("h"))]),
            (RecentHistory, &[("x-recent-history-length", FieldValue::I64(5))]),
            (DelayedMessage, &[("x-delayed-type", text("topic"))]),
        ];
        for (kind, arguments) in cases {
            assert_eq!(refusal(*kind, arguments), None);
        }
    }

    #[test]
    fn a_word_that_is_no_type_is_refused() {
        assert_eq!(exchange_kind("x-random"), Ok(ExchangeKind::Random));
        for word in ["nosuch", "Direct", ""] {
            let text = exchange_kind(word).expect_err("no type").to_string();
            assert_eq!(text, format!("invalid exchange type '{word}'"));
        }
    }
}
