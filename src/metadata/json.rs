//! Field tables as JSON and back, as RabbitMQ's HTTP API and definitions files write them.

use serde_json::{Map, Number, Value, json};
use thiserror::Error;

use crate::types::sorting::sort_by_key;
use crate::types::{FieldTable, FieldValue, base64};

/// Why JSON is not a table.
#[derive(Debug, Error, PartialEq)]
pub enum NotATable {
    #[error("null_not_allowed")]
    Null,
    #[error("not a table: {0}")]
    OtherShape(Value),
    /// It would have to be rounded.
    #[error("{0} does not fit in 64 bits")]
    TooLarge(Number),
}

/// A table as a JSON object, its keys in order. Of a key that comes twice the first counts.
pub fn from_table(table: &FieldTable) -> Value {
    let mut object = Map::new();
    let mut entries: Vec<_> = table.iter().collect();
    sort_by_key(&mut entries, |(key, _)| *key);
    for (key, value) in entries {
        object.entry(key).or_insert_with(|| from_field(value));
    }
    object.into()
}

/// A field's value. Bytes that are no UTF-8 are base64, as payloads are.
pub fn from_field(value: &FieldValue) -> Value {
    match value {
        FieldValue::Boolean(value) => json!(value),
        FieldValue::I8(_)
        | FieldValue::U8(_)
        | FieldValue::I16(_)
        | FieldValue::U16(_)
        | FieldValue::I32(_)
        | FieldValue::U32(_)
        | FieldValue::I64(_) => json!(value.as_int()),
        FieldValue::F32(value) => json!(value),
        FieldValue::F64(value) => json!(value),
        FieldValue::Decimal(scale, value) => json!(f64::from(*value) / 10f64.powi(i32::from(*scale))),
        FieldValue::LongString(bytes) | FieldValue::Bytes(bytes) => text(bytes),
        FieldValue::Array(items) => items.iter().map(from_field).collect(),
        FieldValue::Timestamp(seconds) => json!(seconds),
        FieldValue::Table(table) => from_table(table),
        FieldValue::Void => Value::Null,
    }
}

/// Bytes as text, or as base64 when they are none.
pub fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!(base64::encode(bytes)),
    }
}

/// A JSON object. An empty list is an empty one: PHP cannot tell the two apart, and Erlang has lists for both.
pub fn to_object(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object.clone()),
        Value::Array(items) if items.is_empty() => Some(Map::new()),
        _ => None,
    }
}

/// A JSON object as a table: integers are 64 bits wide, other numbers doubles. An empty list is an
/// empty object: PHP cannot tell the two apart.
///
/// # Errors
/// When it is no object, or has a null or an integer of more than 64 bits in it.
pub fn to_table(value: Option<&Value>) -> Result<FieldTable, NotATable> {
    match value {
        None => Ok(FieldTable::new()),
        Some(Value::Object(object)) => table(object),
        Some(Value::Array(items)) if items.is_empty() => Ok(FieldTable::new()),
        Some(other) => Err(NotATable::OtherShape(other.clone())),
    }
}

fn table(object: &Map<String, Value>) -> Result<FieldTable, NotATable> {
    let entries = object.iter().map(|(key, value)| Ok((key.clone(), field(value)?)));
    Ok(FieldTable(entries.collect::<Result<_, NotATable>>()?))
}

fn field(value: &Value) -> Result<FieldValue, NotATable> {
    Ok(match value {
        Value::Null => return Err(NotATable::Null),
        Value::Bool(value) => FieldValue::Boolean(*value),
        Value::Number(number) => number_field(number)?,
        Value::String(text) => FieldValue::text(text),
        Value::Array(items) => FieldValue::Array(items.iter().map(field).collect::<Result<_, _>>()?),
        Value::Object(object) => FieldValue::Table(table(object)?),
    })
}

fn number_field(number: &Number) -> Result<FieldValue, NotATable> {
    let too_large = || NotATable::TooLarge(number.clone());
    match number.as_i64() {
        Some(integer) => Ok(FieldValue::I64(integer)),
        None if number.is_f64() => number.as_f64().map(FieldValue::F64).ok_or_else(too_large),
        None => Err(too_large()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_comes_back_as_it_went() {
        let value = json!({"a": 1, "b": "x", "c": [true, 1.5, {"d": -2}], "e": {}});
        let table = to_table(Some(&value)).expect("a table");
        assert_eq!(table.get("a"), Some(&FieldValue::I64(1)));
        assert_eq!(from_table(&table), value);
    }

    #[test]
    fn nulls_and_other_shapes_are_refused() {
        assert_eq!(to_table(Some(&json!({"n": null}))), Err(NotATable::Null));
        assert!(to_table(Some(&json!("x"))).is_err());
        assert_eq!(to_table(None), Ok(FieldTable::new()));
        assert!(to_table(Some(&json!([1]))).is_err());
    }

    #[test]
    fn an_empty_list_is_an_empty_table_and_within_one_a_list() {
        assert_eq!(to_table(Some(&json!([]))), Ok(FieldTable::new()));
        let table = to_table(Some(&json!({"a": []}))).expect("a table");
        assert_eq!(table.get("a"), Some(&FieldValue::Array(Vec::new())));
    }

    #[test]
    fn no_number_is_rounded() {
        let most = i64::MAX as u64;
        let table = to_table(Some(&json!({"n": most}))).expect("a table");
        assert_eq!(table.get("n"), Some(&FieldValue::I64(i64::MAX)));
        assert!(to_table(Some(&json!({"n": most + 1}))).is_err());
    }

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        assert_eq!(from_field(&FieldValue::LongString(vec![0, 255, 1])), json!("AP8B"));
        assert_eq!(from_field(&FieldValue::Decimal(2, 275)), json!(2.75));
    }
}
