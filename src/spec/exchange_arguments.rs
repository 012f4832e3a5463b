//! THE table of exchange arguments: which exchange types take which, and what a value may be.
//!
//! Texts are RabbitMQ's. An argument that a type does not take is ignored, as are unknown ones.

use std::borrow::Cow;

use super::arguments::{SpecError, exchange_in_vhost};
use super::exchange::ExchangeKind;
use super::term::term;
use crate::types::{FieldTable, FieldValue};

/// An exchange argument.
pub struct ExchangeArgument {
    pub name: &'static str,
    /// The types that take it; `None` is all.
    pub kind: Option<ExchangeKind>,
    check: fn(&FieldValue) -> Result<(), Bad>,
}

enum Bad {
    /// The value has the wrong type.
    Type,
    /// The whole text.
    Text(String),
}

/// The table.
pub static EXCHANGE_ARGUMENTS: &[ExchangeArgument] = &[
    row("alternate-exchange", None, text),
    row("hash-header", Some(ExchangeKind::ConsistentHash), text),
    row("hash-property", Some(ExchangeKind::ConsistentHash), property),
    row(
        "x-recent-history-length",
        Some(ExchangeKind::RecentHistory),
        history_length,
    ),
    row("x-delayed-type", Some(ExchangeKind::DelayedMessage), delayed_type),
];

/// The arguments that must be the same when an exchange is declared again.
pub const COMPARED: [&str; 1] = ["alternate-exchange"];

/// The properties that an `x-consistent-hash` exchange can hash.
const HASH_PROPERTIES: [&[u8]; 3] = [b"correlation_id", b"message_id", b"timestamp"];

const fn row(
    name: &'static str,
    kind: Option<ExchangeKind>,
    check: fn(&FieldValue) -> Result<(), Bad>,
) -> ExchangeArgument {
    ExchangeArgument { name, kind, check }
}

/// The alternate exchange that the arguments name.
///
/// # Errors
/// When it is not a text.
pub fn alternate_exchange<'a>(
    vhost: &str,
    name: &str,
    arguments: &'a FieldTable,
) -> Result<Option<Cow<'a, str>>, SpecError> {
    match arguments.get("alternate-exchange") {
        None => Ok(None),
        Some(FieldValue::LongString(text)) => Ok(Some(String::from_utf8_lossy(text))),
        Some(other) => Err(bad_type("alternate-exchange", vhost, name, other)),
    }
}

/// Checks the arguments of an exchange that is to be declared.
///
/// # Errors
/// The first argument that RabbitMQ would refuse, with its text.
pub fn validate(kind: ExchangeKind, vhost: &str, name: &str, arguments: &FieldTable) -> Result<(), SpecError> {
    let has = |name| arguments.get(name).is_some();
    match kind {
        ExchangeKind::ConsistentHash if has("hash-header") && has("hash-property") => {
            return Err(SpecError::Text(
                "hash-header and hash-property are mutually exclusive".into(),
            ));
        }
        ExchangeKind::DelayedMessage if !has("x-delayed-type") => return Err(no_delayed_type()),
        _ => {}
    }
    let taken = EXCHANGE_ARGUMENTS
        .iter()
        .filter(|row| row.kind.is_none_or(|own| own == kind));
    for (row, value) in taken.filter_map(|row| Some((row, arguments.get(row.name)?))) {
        (row.check)(value).map_err(|bad| match bad {
            Bad::Type => bad_type(row.name, vhost, name, value),
            Bad::Text(text) => SpecError::Text(text),
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
    ExchangeKind::named(name).ok_or_else(|| SpecError::Text(format!("invalid exchange type '{name}'")))
}

fn bad_type(argument: &str, vhost: &str, name: &str, value: &FieldValue) -> SpecError {
    SpecError::BadType {
        name: argument.into(),
        target: exchange_in_vhost(vhost, name),
        type_name: value.type_name(),
    }
}

fn no_delayed_type() -> SpecError {
    SpecError::Text("Invalid argument, 'x-delayed-type' must be an existing exchange type".into())
}

fn text(value: &FieldValue) -> Result<(), Bad> {
    match value {
        FieldValue::LongString(_) => Ok(()),
        _ => Err(Bad::Type),
    }
}

fn property(value: &FieldValue) -> Result<(), Bad> {
    match value {
        FieldValue::LongString(name) if HASH_PROPERTIES.contains(&name.as_slice()) => Ok(()),
        FieldValue::LongString(name) => Err(Bad::Text(format!(
            "Unsupported property: {}",
            String::from_utf8_lossy(name)
        ))),
        _ => Err(Bad::Type),
    }
}

fn history_length(value: &FieldValue) -> Result<(), Bad> {
    if value.as_int().is_some_and(|length| length > 0) {
        return Ok(());
    }
    Err(Bad::Text(format!(
        "Invalid argument {}, 'x-recent-history-length' must be a positive integer",
        term(value)
    )))
}

fn delayed_type(value: &FieldValue) -> Result<(), Bad> {
    let refused = |error: SpecError| Bad::Text(error.to_string());
    let FieldValue::LongString(name) = value else {
        return Err(refused(no_delayed_type()));
    };
    match exchange_kind(&String::from_utf8_lossy(name)).map_err(refused)? {
        ExchangeKind::DelayedMessage => Err(Bad::Text(
            "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'".into(),
        )),
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
