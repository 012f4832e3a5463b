//! Exchanges as declared.

use serde::{Deserialize, Serialize};

use super::binding::{self, NewBinding};
use super::error::SpecError;
use super::exchange_arguments::{self, ExchangeArgument};
use super::shape::{Kind, Shape};
use crate::types::{ExchangeName, FieldTable, FieldValue, NodeId, UserName, VhostName};

/// The exchange types that can be declared, by the name on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ExchangeKind {
    Direct,
    Fanout,
    Topic,
    Headers,
    ConsistentHash,
    Random,
    LocalRandom,
    ModulusHash,
    RecentHistory,
    DelayedMessage,
}

/// What can be said of an exchange type before a message comes: its row of the table.
pub struct ExchangeTypeSpec {
    pub kind: ExchangeKind,
    /// The name on the wire.
    pub name: &'static str,
    /// In RabbitMQ's words, for the HTTP API.
    pub description: &'static str,
    /// The arguments it takes besides those of every exchange.
    pub arguments: &'static [ExchangeArgument],
    /// Looks at the arguments together, before it is looked at each.
    pub check: fn(&FieldTable) -> Result<(), SpecError>,
    /// Looks at a binding from such an exchange.
    pub check_binding: fn(&NewBinding<'_>) -> Result<(), SpecError>,
}

impl ExchangeTypeSpec {
    const fn new(kind: ExchangeKind, name: &'static str, description: &'static str) -> Self {
        Self {
            kind,
            name,
            description,
            arguments: &[],
            check: |_| Ok(()),
            check_binding: |_| Ok(()),
        }
    }

    const fn takes(mut self, arguments: &'static [ExchangeArgument]) -> Self {
        self.arguments = arguments;
        self
    }

    const fn checks(mut self, check: fn(&FieldTable) -> Result<(), SpecError>) -> Self {
        self.check = check;
        self
    }

    const fn checks_bindings(mut self, check: fn(&NewBinding<'_>) -> Result<(), SpecError>) -> Self {
        self.check_binding = check;
        self
    }
}

/// THE table of exchange types. To add one, add its variant and its row here, and to the router its
/// file and what builds it; declares, definitions and the HTTP API read the row.
pub static EXCHANGE_TYPES: &[ExchangeTypeSpec] = &[
    ExchangeTypeSpec::new(
        ExchangeKind::Direct,
        "direct",
        "AMQP direct exchange, as per the AMQP specification",
    ),
    ExchangeTypeSpec::new(
        ExchangeKind::Fanout,
        "fanout",
        "AMQP fanout exchange, as per the AMQP specification",
    ),
    ExchangeTypeSpec::new(
        ExchangeKind::Topic,
        "topic",
        "AMQP topic exchange, as per the AMQP specification",
    ),
    ExchangeTypeSpec::new(
        ExchangeKind::Headers,
        "headers",
        "AMQP headers exchange, as per the AMQP specification",
    )
    .checks_bindings(binding::x_match),
    ExchangeTypeSpec::new(
        ExchangeKind::ConsistentHash,
        "x-consistent-hash",
        "Consistent Hashing Exchange",
    )
    .takes(&[
        ExchangeArgument::new("hash-header", exchange_arguments::text).asks(
            Shape::any(Kind::Text),
            "The header that is hashed instead of the routing key.",
        ),
        ExchangeArgument::new("hash-property", exchange_arguments::hash_property).asks(
            Shape::one_of(&["correlation_id", "message_id", "timestamp"]),
            "The property that is hashed instead of the routing key.",
        ),
    ])
    .checks(exchange_arguments::hashed_once)
    .checks_bindings(binding::weight),
    ExchangeTypeSpec::new(
        ExchangeKind::Random,
        "x-random",
        "Randomly picks a binding (queue) to route via (to).",
    ),
    ExchangeTypeSpec::new(
        ExchangeKind::LocalRandom,
        "x-local-random",
        "Picks one random local binding (queue) to route via (to).",
    )
    .checks_bindings(binding::local_target),
    ExchangeTypeSpec::new(ExchangeKind::ModulusHash, "x-modulus-hash", "Modulus Hashing Exchange"),
    ExchangeTypeSpec::new(
        ExchangeKind::RecentHistory,
        "x-recent-history",
        "Recent History Exchange.",
    )
    .takes(&[
        ExchangeArgument::new("x-recent-history-length", exchange_arguments::history_length).asks(
            Shape::at_least(Kind::Integer, 1),
            "Messages that are kept, and given to each queue that is bound; 20 without it.",
        ),
    ]),
    ExchangeTypeSpec::new(
        ExchangeKind::DelayedMessage,
        "x-delayed-message",
        "Delayed Message Exchange.",
    )
    .takes(&[
        ExchangeArgument::new("x-delayed-type", exchange_arguments::delayed_type).asks(
            Shape::one_of(&[
                "direct",
                "fanout",
                "topic",
                "headers",
                "x-consistent-hash",
                "x-random",
                "x-local-random",
                "x-modulus-hash",
                "x-recent-history",
            ]),
            "How messages are routed when their delay is over.",
        ),
    ])
    .checks(exchange_arguments::has_delayed_type),
];

impl ExchangeKind {
    /// The type of that name, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        EXCHANGE_TYPES.iter().find(|row| row.name == name).map(|row| row.kind)
    }

    /// Its row.
    pub fn spec(self) -> &'static ExchangeTypeSpec {
        let row = EXCHANGE_TYPES.iter().find(|row| row.kind == self);
        row.expect("a test holds that every type has a row")
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// The type that an `x-delayed-message` exchange with these arguments routes by when the
    /// delay is over.
    pub fn delayed(arguments: &FieldTable) -> Self {
        arguments
            .get("x-delayed-type")
            .and_then(FieldValue::as_str)
            .and_then(Self::named)
            .filter(|kind| *kind != Self::DelayedMessage)
            .unwrap_or(Self::Direct)
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
        match self.kind {
            ExchangeKind::DelayedMessage => ExchangeKind::delayed(&self.arguments),
            kind => kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_row() {
        use ExchangeKind::*;
        // Who adds a type is told here by the compiler.
        let next = |kind| match kind {
            Direct => Some(Fanout),
            Fanout => Some(Topic),
            Topic => Some(Headers),
            Headers => Some(ConsistentHash),
            ConsistentHash => Some(Random),
            Random => Some(LocalRandom),
            LocalRandom => Some(ModulusHash),
            ModulusHash => Some(RecentHistory),
            RecentHistory => Some(DelayedMessage),
            DelayedMessage => None,
        };
        let all: Vec<_> = std::iter::successors(Some(Direct), |kind| next(*kind)).collect();
        assert_eq!(all, EXCHANGE_TYPES.iter().map(|row| row.kind).collect::<Vec<_>>());
        for row in EXCHANGE_TYPES {
            assert_eq!(ExchangeKind::named(row.name), Some(row.kind));
            assert!(!row.description.is_empty(), "{}", row.name);
        }
    }
}
