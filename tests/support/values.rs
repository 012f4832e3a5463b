//! Field tables and properties, shortly.

use std::collections::BTreeMap;

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};

pub use lapin::BasicProperties as Properties;

/// A field table of these fields.
pub fn table<const N: usize>(fields: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in fields {
        table.insert(name.into(), value);
    }
    table
}

/// A text as clients send it.
pub fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// An array of texts.
pub fn texts(values: &[&str]) -> AMQPValue {
    let values: Vec<_> = values.iter().map(|value| text(value)).collect();
    AMQPValue::FieldArray(values.into())
}

/// A number as clients send it.
pub fn number(value: i32) -> AMQPValue {
    AMQPValue::LongInt(value)
}

/// Properties with only headers.
pub fn headers<const N: usize>(fields: [(&str, AMQPValue); N]) -> BasicProperties {
    BasicProperties::default().with_headers(table(fields))
}

/// Properties of a message that survives.
pub fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

/// Properties with a time to live in milliseconds.
pub fn expiring(milliseconds: u32) -> BasicProperties {
    BasicProperties::default().with_expiration(milliseconds.to_string().into())
}

/// A header of the message.
pub fn header<'a>(delivery: &'a Delivery, name: &str) -> Option<&'a AMQPValue> {
    delivery.properties.headers().as_ref()?.inner().get(name)
}

/// A header of the message, as [`written`].
pub fn header_text(delivery: &Delivery, name: &str) -> Option<String> {
    header(delivery, name).map(written)
}

/// The `x-death` header, one line for an entry: `queue reason count exchange [keys]`.
pub fn deaths(delivery: &Delivery) -> Vec<String> {
    let Some(AMQPValue::FieldArray(deaths)) = header(delivery, "x-death") else {
        return Vec::new();
    };
    let line = |death: &AMQPValue| {
        let AMQPValue::FieldTable(death) = death else {
            panic!("not a table: {death:?}")
        };
        assert!(
            matches!(at(death.inner(), "time"), AMQPValue::Timestamp(_)),
            "{death:?}"
        );
        let word = |name: &str| written(at(death.inner(), name));
        format!(
            "{} {} {} '{}' {}",
            word("queue"),
            word("reason"),
            word("count"),
            word("exchange"),
            word("routing-keys")
        )
    };
    deaths.as_slice().iter().map(line).collect()
}

/// A value for a comparison: texts as they are, arrays in brackets.
pub fn written(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => text.to_string(),
        AMQPValue::FieldArray(values) => {
            let values: Vec<_> = values.as_slice().iter().map(written).collect();
            format!("[{}]", values.join(" "))
        }
        AMQPValue::LongLongInt(number) => number.to_string(),
        AMQPValue::LongInt(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn at<'a>(fields: &'a BTreeMap<lapin::types::ShortString, AMQPValue>, name: &str) -> &'a AMQPValue {
    fields.get(name).unwrap_or_else(|| panic!("no {name} in {fields:?}"))
}

/// Arguments of a queue whose dead letters go to the queue of this name.
pub fn dying_to<const N: usize>(queue: &str, fields: [(&str, AMQPValue); N]) -> FieldTable {
    let mut arguments = table(fields);
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    arguments.insert("x-dead-letter-routing-key".into(), text(queue));
    arguments
}
