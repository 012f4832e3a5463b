//! Bindings as declared, and what each exchange type asks of one.

use serde::{Deserialize, Serialize};

use super::arguments::type_module;
use super::error::SpecError;
use super::exchange::ExchangeKind;
use super::queue::QueueType;
use super::term::{binary, term};
use crate::types::{ExchangeName, FieldTable, FieldValue, QueueName};

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

/// A binding that is to be made, as the type of its source looks at it.
pub struct NewBinding<'a> {
    pub key: &'a str,
    pub arguments: &'a FieldTable,
    /// The type of the queue it leads to; `None` when that is an exchange.
    pub destination: Option<QueueType>,
}

/// Checks a binding from an exchange that routes as `source`.
///
/// # Errors
/// With RabbitMQ's text.
pub fn validate(source: ExchangeKind, binding: &NewBinding<'_>) -> Result<(), SpecError> {
    (source.spec().check_binding)(binding)
}

/// Of a headers exchange.
pub(super) fn x_match(binding: &NewBinding<'_>) -> Result<(), SpecError> {
    match binding.arguments.get("x-match") {
        None => Ok(()),
        Some(FieldValue::LongString(text)) => match text.as_slice() {
            b"all" | b"any" | b"all-with-x" | b"any-with-x" => Ok(()),
            other => Err(SpecError::MatchValue(binary(other))),
        },
        Some(other) => Err(SpecError::MatchType(other.type_name(), term(other))),
    }
}

/// Of a consistent hash exchange, where the key is a weight.
pub(super) fn weight(binding: &NewBinding<'_>) -> Result<(), SpecError> {
    let key = binding.key;
    let digits = key.strip_prefix(['+', '-']).unwrap_or(key);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SpecError::WeightIsNoNumber(binary(key.as_bytes())));
    }
    match !key.starts_with('-') && digits.bytes().any(|byte| byte != b'0') {
        true => Ok(()),
        false => Err(SpecError::WeightTooSmall),
    }
}

/// Of a local random exchange, which leads to classic queues.
pub(super) fn local_target(binding: &NewBinding<'_>) -> Result<(), SpecError> {
    if !binding.key.is_empty() {
        return Err(SpecError::KeyNotEmpty(binding.key.to_owned()));
    }
    match binding.destination {
        Some(QueueType::Classic) => Ok(()),
        Some(other) => Err(SpecError::NotForExchangeType(type_module(other))),
        None => Err(SpecError::NoDestination),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(source: ExchangeKind, key: &str, x_match: Option<FieldValue>) -> Option<String> {
        let arguments = x_match.into_iter().map(|value| ("x-match".to_owned(), value));
        let binding = NewBinding {
            key,
            arguments: &FieldTable(arguments.collect()),
            destination: Some(QueueType::Classic),
        };
        validate(source, &binding).err().map(|error| error.to_string())
    }

    #[test]
    fn a_headers_binding_needs_a_known_x_match() {
        let with = |value| refusal(ExchangeKind::Headers, "", Some(value));
        for good in ["all", "any", "all-with-x", "any-with-x"] {
            assert_eq!(with(FieldValue::text(good)), None);
        }
        assert_eq!(refusal(ExchangeKind::Headers, "", None), None);
        assert_eq!(
            with(FieldValue::text("some")).as_deref(),
            Some("Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x")
        );
        assert_eq!(
            with(FieldValue::I32(1)).as_deref(),
            Some("Invalid x-match field type signedint (value 1); expected longstr")
        );
    }

    #[test]
    fn a_consistent_hash_binding_key_is_a_weight() {
        let key = |key| refusal(ExchangeKind::ConsistentHash, key, None);
        for good in ["1", "+2", "007", "99999999999999999999999"] {
            assert_eq!(key(good), None);
        }
        for zero in ["0", "-1", "-0"] {
            assert_eq!(key(zero).as_deref(), Some("The binding key must be greater than 0"));
        }
        assert_eq!(
            key("1.5").as_deref(),
            Some("The binding key must be an integer: <<\"1.5\">>")
        );
        assert_eq!(key("").as_deref(), Some("The binding key must be an integer: <<>>"));
        assert!(key("-").is_some());
    }

    #[test]
    fn a_local_random_exchange_leads_to_classic_queues_without_a_key() {
        let check = |key, destination| {
            let binding = NewBinding {
                key,
                arguments: &FieldTable::new(),
                destination,
            };
            validate(ExchangeKind::LocalRandom, &binding).map_err(|error| error.to_string())
        };
        assert_eq!(check("", Some(QueueType::Classic)), Ok(()));
        assert_eq!(
            check("abc", Some(QueueType::Classic)),
            Err("Non empty binding 'abc' key not permitted".into())
        );
        assert_eq!(
            check("", Some(QueueType::Quorum)),
            Err("Queue type rabbit_quorum_queue not valid for this exchange type".into())
        );
        assert_eq!(check("", None), Err("Destination not found".into()));
    }
}
