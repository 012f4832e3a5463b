//! Why a queue, an exchange, a binding or a consumer cannot be declared as asked.

use thiserror::Error;

use crate::types::{Refusal, Reply, ReplyCode};

/// A refusal, in the words of RabbitMQ 4.0, which prints Erlang terms; clients' logs and tests
/// compare them. Every one of them closes the channel with 406.
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
    #[error("Exceeded max value for x-stream-max-segment-size-bytes")]
    SegmentSize,
    #[error("Invalid value for  x-stream-filter-size-bytes")]
    FilterSize,
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
    #[error("invalid exchange type '{0}'")]
    NoExchangeType(String),
    #[error("hash-header and hash-property are mutually exclusive")]
    HashedTwice,
    #[error("Unsupported property: {0}")]
    HashProperty(String),
    /// With the value as a term.
    #[error("Invalid argument {0}, 'x-recent-history-length' must be a positive integer")]
    HistoryLength(String),
    #[error("Invalid argument, 'x-delayed-type' must be an existing exchange type")]
    NoDelayedType,
    #[error("Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'")]
    DelayedTwice,
    /// With the value as a term.
    #[error("Invalid x-match field value {0}; expected all, any, all-with-x, or any-with-x")]
    MatchValue(String),
    /// With the value as a term.
    #[error("Invalid x-match field type {0} (value {1}); expected longstr")]
    MatchType(&'static str, String),
    /// With the binding key as a term.
    #[error("The binding key must be an integer: {0}")]
    WeightIsNoNumber(String),
    #[error("The binding key must be greater than 0")]
    WeightTooSmall,
    #[error("Non empty binding '{0}' key not permitted")]
    KeyNotEmpty(String),
    #[error("Queue type {0} not valid for this exchange type")]
    NotForExchangeType(&'static str),
    #[error("Destination not found")]
    NoDestination,
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
