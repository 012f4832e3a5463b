//! The fields of a JSON body, of the kinds that RabbitMQ takes and with its words for others.

use serde_json::{Map, Value, json};

use super::answer::Failure;
use crate::types::names::MAX_NAME_BYTES;

/// The fields of a JSON body.
#[derive(Debug)]
pub struct Fields(pub Map<String, Value>);

impl Fields {
    /// Reads a body; an empty one has none, nor have RabbitMQ's other two words for that.
    ///
    /// # Errors
    /// When it is not a JSON object.
    pub fn read(body: &[u8]) -> Result<Self, Failure> {
        if matches!(body, b"" | b"null" | b"undefined") {
            return Ok(Self(Map::new()));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(Value::String(_)) => Err(Failure::bad(DOUBLY_ENCODED)),
            _ => Err(Failure::bad("not_json")),
        }
    }

    /// The fields of an object, for tests.
    #[cfg(test)]
    pub fn of(value: Value) -> Self {
        match value {
            Value::Object(fields) => Self(fields),
            _ => panic!("an object"),
        }
    }

    /// All these fields are there.
    ///
    /// # Errors
    /// With those that are missing, in the order asked.
    pub fn need(&self, keys: &[&str]) -> Result<(), Failure> {
        let missing: Vec<_> = keys.iter().copied().filter(|key| !self.0.contains_key(*key)).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Failure::keys_missing(&missing))
        }
    }

    /// A field; null counts as absent.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// A text, if the field is there.
    ///
    /// # Errors
    /// When it is something else.
    pub fn text(&self, key: &str) -> Result<Option<&str>, Failure> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Failure::Bad(json!(["not_string", other]))),
        }
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// When it is missing, null or something else.
    pub fn some_text(&self, key: &str) -> Result<&str, Failure> {
        self.need(&[key])?;
        let text = self.text(key)?;
        text.ok_or_else(|| Failure::Bad(json!(["not_string", null])))
    }

    /// A boolean, also as text.
    ///
    /// # Errors
    /// When it is something else.
    pub fn boolean(&self, key: &str, default: bool) -> Result<bool, Failure> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(other) => Err(Failure::Bad(json!(["not_boolean", other]))),
        }
    }

    /// An integer, also as text.
    ///
    /// # Errors
    /// When it is something else.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, Failure> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let number = match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_i64(),
        };
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(Failure::Bad(json!(["not_integer", value]))),
        }
    }
}

/// A name of a path or a body that is put in the catalogue: no longer than the wire can carry.
///
/// # Errors
/// When it is longer.
pub fn checked_name(name: &str) -> Result<&str, Failure> {
    if name.len() <= MAX_NAME_BYTES {
        Ok(name)
    } else {
        Err(Failure::bad(format!(
            "Resource name is longer than {MAX_NAME_BYTES} bytes"
        )))
    }
}

const DOUBLY_ENCODED: &str =
    "invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_as_text_too() {
        let fields = Fields::of(json!({"a": "true", "b": "maybe", "n": "12", "x": "x", "none": null}));
        assert_eq!(fields.boolean("a", false), Ok(true));
        assert_eq!(
            fields.boolean("b", false),
            Err(Failure::Bad(json!(["not_boolean", "maybe"])))
        );
        assert_eq!(fields.boolean("none", true), Ok(true));
        assert_eq!(fields.integer("n"), Ok(Some(12)));
        assert_eq!(fields.integer("x"), Err(Failure::Bad(json!(["not_integer", "x"]))));
        assert_eq!(fields.integer("missing"), Ok(None));
        assert_eq!(fields.some_text("x"), Ok("x"));
        assert_eq!(fields.some_text("none"), Err(Failure::Bad(json!(["not_string", null]))));
        assert_eq!(fields.some_text("missing"), Err(Failure::keys_missing(&["missing"])));
    }
}
