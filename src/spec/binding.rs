//! Bindings as declared, and what each exchange type asks of one.

use serde::{Deserialize, Serialize};

use super::arguments::{SpecError, type_module};
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

/// Checks a binding from an exchange that routes as `source`. `destination` is the type of the
/// queue it leads to, `None` when that is an exchange.
///
/// # Errors
/// With RabbitMQ's text.
pub fn validate(
    source: ExchangeKind,
    key: &str,
    arguments: &FieldTable,
    destination: Option<QueueType>,
) -> Result<(), SpecError> {
    let refused = match source {
        ExchangeKind::Headers => x_match(arguments),
        ExchangeKind::ConsistentHash => weight(key),
        ExchangeKind::LocalRandom => local_target(key, destination),
        _ => None,
    };
    refused.map_or(Ok(()), |text| Err(SpecError::Text(text)))
}

fn x_match(arguments: &FieldTable) -> Option<String> {
    let value = arguments.get("x-match")?;
    match value {
        FieldValue::LongString(text) => match text.as_slice() {
            b"all" | b"any" | b"all-with-x" | b"any-with-x" => None,
            other => Some(format!(
                "Invalid x-match field value {}; expected all, any, all-with-x, or any-with-x",
                binary(other)
            )),
        },
        other => Some(format!(
            "Invalid x-match field type {} (value {}); expected longstr",
            other.type_name(),
            term(other)
        )),
    }
}

fn weight(key: &str) -> Option<String> {
    let digits = key.strip_prefix(['+', '-']).unwrap_or(key);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let key = binary(key.as_bytes());
        return Some(format!("The binding key must be an integer: {key}"));
    }
    let positive = !key.starts_with('-') && digits.bytes().any(|byte| byte != b'0');
    (!positive).then(|| "The binding key must be greater than 0".to_owned())
}

fn local_target(key: &str, destination: Option<QueueType>) -> Option<String> {
    if !key.is_empty() {
        return Some(format!("Non empty binding '{key}' key not permitted"));
    }
    match destination {
        Some(QueueType::Classic) => None,
        Some(other) => Some(format!(
            "Queue type {} not valid for this exchange type",
            type_module(other)
        )),
        None => Some("Destination not found".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(source: ExchangeKind, key: &str, x_match: Option<FieldValue>) -> Option<String> {
        let arguments = x_match.into_iter().map(|value| ("x-match".to_owned(), value));
        validate(source, key, &FieldTable(arguments.collect()), Some(QueueType::Classic))
            .err()
            .map(|error| error.to_string())
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
            validate(ExchangeKind::LocalRandom, key, &FieldTable::new(), destination).map_err(|error| error.to_string())
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
