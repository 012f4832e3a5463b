//! Bindings as declared.

use serde::{Deserialize, Serialize};

use crate::types::{ExchangeName, FieldTable, QueueName};

/// Where a binding leads.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Destination {
    Queue(QueueName),
    Exchange(ExchangeName),
}

/// One binding within a vhost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BindingSpec {
    pub source: ExchangeName,
    pub destination: Destination,
    /// The binding key; its meaning depends on the exchange type.
    pub key: String,
    pub arguments: FieldTable,
}

/// Two bindings are the same when all fields are; the arguments are a map, whose order does not
/// count: clients in some languages send it in another order each time.
impl PartialEq for BindingSpec {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
            && self.source == other.source
            && self.destination == other.destination
            && self.arguments.is_same_map(&other.arguments)
    }
}
