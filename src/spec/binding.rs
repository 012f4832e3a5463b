//! Bindings as declared.

use serde::{Deserialize, Serialize};

use crate::types::{ExchangeName, FieldTable, QueueName};

/// Where a binding leads.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Destination {
    Queue(QueueName),
    Exchange(ExchangeName),
}

/// One binding within a vhost. Two bindings are the same when all fields are equal.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BindingSpec {
    pub source: ExchangeName,
    pub destination: Destination,
    /// The binding key; its meaning depends on the exchange type.
    pub key: String,
    pub arguments: FieldTable,
}
