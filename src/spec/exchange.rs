//! Exchanges as declared.

use serde::{Deserialize, Serialize};

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

impl ExchangeKind {
    /// Every type with its name on the wire.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::Direct, "direct"),
        (Self::Fanout, "fanout"),
        (Self::Topic, "topic"),
        (Self::Headers, "headers"),
        (Self::ConsistentHash, "x-consistent-hash"),
        (Self::Random, "x-random"),
        (Self::LocalRandom, "x-local-random"),
        (Self::ModulusHash, "x-modulus-hash"),
        (Self::RecentHistory, "x-recent-history"),
        (Self::DelayedMessage, "x-delayed-message"),
    ];

    /// The type of that name, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, own)| *own == name).map(|(kind, _)| *kind)
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or("", |(_, name)| name)
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
