//! What a list shows of its items, and how a value of it is taken.

use serde_json::{Value, json};

/// A column of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    /// The field of the item.
    pub field: &'static str,
    pub kind: Kind,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// A word of RabbitMQ's, such as a type or a state, or several: names to Erlang.
    Word,
    /// Keys and values: Erlang's map; in JSON an object.
    Map,
    /// Keys and values: Erlang's list of pairs.
    Pairs,
    /// An AMQP table: Erlang's list of pairs; in JSON with the types that the values seem to have.
    Table,
    /// A JSON document within a text.
    Document,
    /// An address, four or eight numbers in JSON.
    Address,
    /// `AMQP 0-9-1` as the three numbers.
    Protocol,
}

impl Column {
    /// A column named after the field.
    pub const fn plain(name: &'static str) -> Self {
        Self::of(name, name, Kind::Plain)
    }

    /// A column with all its properties.
    pub const fn of(name: &'static str, field: &'static str, kind: Kind) -> Self {
        Self { name, field, kind }
    }
}

/// Columns named after their fields.
pub fn plain(names: &[&'static str]) -> Vec<Column> {
    names.iter().map(|name| Column::plain(name)).collect()
}

/// `[["x-max-length","long",5]]`. The API does not tell which type of integer it is.
pub(super) fn typed(value: &Value) -> Value {
    let fields = value.as_object().into_iter().flatten();
    fields
        .map(|(key, value)| {
            let (kind, value) = typed_value(value);
            json!([key, kind, value])
        })
        .collect()
}

/// A value of a table, and the type that it seems to have.
pub fn typed_value(value: &Value) -> (&'static str, Value) {
    match value {
        Value::Null => ("void", Value::Null),
        Value::Bool(_) => ("bool", value.clone()),
        Value::Number(number) if number.is_f64() => ("double", value.clone()),
        Value::Number(_) => ("long", value.clone()),
        Value::String(_) => ("longstr", value.clone()),
        Value::Object(_) => ("table", typed(value)),
        Value::Array(items) => {
            let items = items.iter().map(|item| {
                let (kind, value) = typed_value(item);
                json!([kind, value])
            });
            ("array", items.collect())
        }
    }
}

pub(super) fn version(value: &Value) -> Vec<u64> {
    let text = value.as_str().unwrap_or_default();
    let numbers = text.split(|letter: char| !letter.is_ascii_digit());
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// An address or a version of a protocol as its numbers.
pub fn numbers(kind: Kind, value: &Value) -> Value {
    match kind {
        Kind::Protocol => json!(version(value)),
        _ => address(value),
    }
}

pub(super) fn address(value: &Value) -> Value {
    match value.as_str().map(str::parse) {
        Some(Ok(std::net::IpAddr::V4(address))) => json!(address.octets()),
        Some(Ok(std::net::IpAddr::V6(address))) => json!(address.segments()),
        _ => value.clone(),
    }
}
