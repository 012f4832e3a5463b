//! One item of a document: its fields, of the kinds that their keys take.

use serde_json::{Map, Value};

use super::DefinitionError;
use crate::metadata::json::{to_object, to_table};
use crate::types::FieldTable;
use crate::types::names::MAX_NAME_BYTES;

/// One item of a list.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    pub section: &'static str,
    pub fields: &'a Value,
}

impl<'a> Item<'a> {
    /// A field; null counts as absent.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    pub fn need(&self, key: &'static str) -> Result<&'a Value, DefinitionError> {
        let section = self.section;
        self.get(key).ok_or(DefinitionError::Missing { section, key })
    }

    pub fn text(&self, key: &'static str) -> Result<&'a str, DefinitionError> {
        let section = self.section;
        let text = self.need(key)?.as_str();
        text.ok_or(DefinitionError::Missing { section, key })
    }

    /// A text that becomes a name.
    pub fn name(&self, key: &'static str) -> Result<&'a str, DefinitionError> {
        let section = self.section;
        match self.text(key)? {
            name if name.len() <= MAX_NAME_BYTES => Ok(name),
            _ => Err(DefinitionError::LongName { section, key }),
        }
    }

    pub fn maybe_text(&self, key: &str) -> Result<Option<&'a str>, DefinitionError> {
        self.get(key).map(|value| self.as_text(key, value)).transpose()
    }

    pub fn as_text(&self, key: &str, value: &'a Value) -> Result<&'a str, DefinitionError> {
        value.as_str().ok_or_else(|| self.wrong(key, "a text", value))
    }

    pub fn flag(&self, key: &str, default: bool) -> Result<bool, DefinitionError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.wrong(key, "true or false", value)),
        }
    }

    /// An object; an empty list is an empty one.
    pub fn object(&self, key: &str) -> Result<Option<Map<String, Value>>, DefinitionError> {
        let object = |value| to_object(value).ok_or_else(|| self.wrong(key, "an object", value));
        self.get(key).map(object).transpose()
    }

    /// A field that stands in the item's metadata or, as it did before there was metadata, in the
    /// item itself.
    pub fn described(&self, key: &str) -> Option<&'a Value> {
        let within = self.fields.get("metadata").and_then(|metadata| metadata.get(key));
        within.filter(|value| !value.is_null()).or_else(|| self.get(key))
    }

    pub fn tags(&self, key: &str, value: &Value) -> Result<Vec<String>, DefinitionError> {
        let wrong = || self.wrong(key, "a text with commas or a list of texts", value);
        match value {
            Value::String(text) => {
                let tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
                Ok(tags.map(str::to_owned).collect())
            }
            Value::Array(tags) => {
                let tags = tags.iter().map(|tag| tag.as_str().map(str::to_owned));
                tags.collect::<Option<_>>().ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }

    /// The table of its arguments; `what` they are of is for the refusal.
    pub fn arguments(&self, what: impl FnOnce() -> String) -> Result<FieldTable, DefinitionError> {
        to_table(self.get("arguments")).map_err(|error| DefinitionError::Arguments(what(), error))
    }

    pub fn wrong(&self, key: &str, expected: &'static str, value: &Value) -> DefinitionError {
        let item = match self.fields.get("name").and_then(Value::as_str) {
            Some(name) => format!("'{name}' in {}", self.section),
            None => format!("an item of {}", self.section),
        };
        DefinitionError::Value {
            item,
            key: key.to_owned(),
            expected,
            value: value.to_string(),
        }
    }
}
