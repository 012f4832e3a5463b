//! Exchanges as declared, and their types: what each takes, and how its bindings route.
//!
//! A type is its file, which says what can be said of it ([`ExchangeTypeSpec`]) and makes its bindings
//! ([`ExchangeType`]), and its line in the table below. Declares, checks of arguments and bindings,
//! definitions, routes, their explanations and the HTTP API follow.

pub mod again;
mod exchange_type;

pub mod consistent_hash;
pub mod delay;
mod delayed_message;
mod direct;
mod fanout;
mod headers;
mod local_random;
mod modulus_hash;
mod random;
mod recent_history;
mod topic;

use serde::{Deserialize, Serialize};

pub use exchange_type::{
    Before, Deciding, ExchangeType, ExchangeTypeSpec, Headers, NewBinding, Queue, RouteInput, Target, Why,
};

use crate::spec::SpecError;
use crate::spec::exchange_arguments::OF_EVERY_EXCHANGE;
use crate::types::{ExchangeName, FieldTable, NodeId, UserName, VhostName};

macro_rules! exchange_types {
    ($($kind:ident => $file:ident,)*) => {
        /// The exchange types that can be declared.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        pub enum ExchangeKind {
            $($kind,)*
        }

        /// What can be said of each type, in the order of the table.
        pub static EXCHANGE_TYPES: &[&ExchangeTypeSpec] = &[$(&$file::TYPE,)*];

        const KINDS: &[ExchangeKind] = &[$(ExchangeKind::$kind,)*];

        impl ExchangeKind {
            /// What can be said of the type.
            pub fn spec(self) -> &'static ExchangeTypeSpec {
                match self {
                    $(Self::$kind => &$file::TYPE,)*
                }
            }

            /// The bindings of an exchange of this type that was declared with these arguments: none yet.
            pub fn bindings<Q: Queue>(self, arguments: &FieldTable) -> Box<dyn ExchangeType<Q>> {
                match self {
                    $(Self::$kind => $file::bindings(arguments),)*
                }
            }
        }
    };
}

// THE table of exchange types: the name of each, and its file.
exchange_types! {
    Direct => direct,
    Fanout => fanout,
    Topic => topic,
    Headers => headers,
    ConsistentHash => consistent_hash,
    Random => random,
    LocalRandom => local_random,
    ModulusHash => modulus_hash,
    RecentHistory => recent_history,
    DelayedMessage => delayed_message,
}

impl ExchangeKind {
    /// The type of that name on the wire, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        KINDS.iter().copied().find(|kind| kind.name() == name)
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.spec().name
    }
}

/// An exchange as it was declared. Never changes while the exchange lives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExchangeSpec {
    pub vhost: VhostName,
    pub name: ExchangeName,
    pub kind: ExchangeKind,
    pub durable: bool,
    pub auto_delete: bool,
    pub internal: bool,
    /// The node with whose run it ends, if it is not durable.
    #[serde(default)]
    pub home: NodeId,
    pub arguments: FieldTable,
    /// Who declared it; the predeclared ones belong to `rmq-internal`.
    pub user: UserName,
}

impl ExchangeSpec {
    /// The type that decides where a message goes, once any delay is over.
    pub fn routes_as(&self) -> ExchangeKind {
        let other = self.kind.spec().routes_as;
        other.map_or(self.kind, |other| other(&self.arguments))
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
        argument.check(vhost, name, value)?;
    }
    match row.routes_as {
        // It takes the arguments of that type too.
        Some(other) => validate(other(arguments), vhost, name, arguments),
        None => Ok(()),
    }
}

/// Checks a binding from an exchange that routes as `source`.
///
/// # Errors
/// With RabbitMQ's text.
pub fn validate_binding(source: ExchangeKind, binding: &NewBinding<'_>) -> Result<(), SpecError> {
    (source.spec().check_binding)(binding)
}

/// The exchange type of that name.
///
/// # Errors
/// When there is none, with RabbitMQ's text for a word it never heard of.
pub fn exchange_kind(name: &str) -> Result<ExchangeKind, SpecError> {
    ExchangeKind::named(name).ok_or_else(|| SpecError::NoExchangeType(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FieldValue;

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
