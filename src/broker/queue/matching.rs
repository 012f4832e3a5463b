//! Which messages an operator means, by what is in them.

use serde::{Deserialize, Serialize};

use crate::codec::headers;
use crate::codec::properties::scan;
use crate::types::{FieldValue, Message};

/// A message is meant when this is so of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Matching {
    /// The text is in its body, its routing key, or anywhere in its properties.
    Text(String),
    /// The header is there, and reads so.
    Header { name: String, value: String },
}

impl Matching {
    /// Reads what an operator writes: `header:NAME=VALUE`, or any text.
    pub fn read(text: &str) -> Self {
        let header = text.strip_prefix("header:").and_then(|rest| rest.split_once('='));
        match header {
            Some((name, value)) => Self::Header {
                name: name.trim().to_owned(),
                value: value.trim().to_owned(),
            },
            None => Self::Text(text.to_owned()),
        }
    }

    /// Whether it is so of a message.
    pub fn matches(&self, message: &Message) -> bool {
        match self {
            Self::Text(text) => [message.body(), message.routing_key(), message.properties()]
                .iter()
                .any(|bytes| contains(bytes, text.as_bytes())),
            Self::Header { name, value } => {
                let headers = scan(message.properties()).ok().and_then(|scan| scan.headers);
                let field = headers.and_then(|all| headers::find(all, name));
                field.is_some_and(|field| reads(&field, value))
            }
        }
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    text.is_empty() || memchr::memmem::find(bytes, text).is_some()
}

/// Whether a value reads so, as people write it.
fn reads(field: &FieldValue, text: &str) -> bool {
    match field {
        FieldValue::LongString(bytes) | FieldValue::Bytes(bytes) => bytes == text.as_bytes(),
        FieldValue::Boolean(value) => text.parse() == Ok(*value),
        FieldValue::Timestamp(seconds) => text.parse() == Ok(*seconds),
        other => match (other.as_int(), other.as_float()) {
            (Some(number), _) => text.parse() == Ok(number),
            (None, Some(number)) => text.parse() == Ok(number),
            (None, None) => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Properties;
    use crate::types::{FieldTable, MessageParts, Traits};

    #[test]
    fn messages_are_found_by_text_and_by_headers() {
        let entries = [("type", FieldValue::text("paid")), ("n", FieldValue::I32(7))];
        let properties = Properties {
            headers: Some(FieldTable::of(&entries)),
            message_id: Some("id-12".to_owned()),
            ..Properties::default()
        };
        let parts = MessageParts {
            exchange: b"e",
            routing_key: b"order.eu",
            properties: &properties.encode(),
            traits: Traits::default(),
        };
        let message = Message::new(parts, b"{\"total\": 5}", &mut Vec::new());
        for (text, is_meant) in [
            ("total", true),
            ("order.eu", true),
            ("id-12", true),
            ("paid", true),
            ("", true),
            ("unpaid", false),
            ("header:type=paid", true),
            ("header:type=pai", false),
            ("header:n=7", true),
            ("header:n=8", false),
            ("header:none=", false),
            ("header:type", false),
        ] {
            assert_eq!(Matching::read(text).matches(&message), is_meant, "{text}");
        }
    }
}
