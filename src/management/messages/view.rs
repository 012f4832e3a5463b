//! How a message is shown.

use serde_json::{Value, json};

use super::properties;
use crate::types::{Message, base64};

/// How payloads are shown.
pub struct Shown {
    pub as_base64: bool,
    /// Bytes of a payload that are shown.
    pub at_most: usize,
}

/// A message of a queue that is not served, whole.
pub fn whole_view(message: &Message) -> Value {
    let shown = Shown {
        as_base64: false,
        at_most: usize::MAX,
    };
    let mut view = view(message, false, 0, &shown);
    if let Some(view) = view.as_object_mut() {
        view.retain(|key, _| key != "redelivered" && key != "message_count");
    }
    view
}

/// A message that was fetched, and how many there are still.
pub fn view(message: &Message, redelivered: bool, remaining: u64, shown: &Shown) -> Value {
    let body = message.body();
    let cut = &body[..body.len().min(shown.at_most)];
    let (payload, encoding) = match std::str::from_utf8(cut) {
        Ok(text) if !shown.as_base64 => (text.to_owned(), "string"),
        _ => (base64::encode(cut), "base64"),
    };
    json!({
        "payload_bytes": body.len(),
        "redelivered": redelivered,
        "exchange": message.exchange_str(),
        "routing_key": String::from_utf8_lossy(message.routing_key()),
        "message_count": remaining,
        "properties": properties::view(message),
        "payload": payload,
        "payload_encoding": encoding,
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::codec::Properties;
    use crate::types::MessageParts;

    pub fn message(properties: &Properties, body: &[u8]) -> Message {
        let parts = MessageParts {
            exchange: b"e",
            routing_key: b"k",
            properties: &properties.encode(),
            traits: crate::types::Traits::default(),
        };
        Message::new(parts, body, &mut Vec::new())
    }

    #[test]
    fn payloads_are_text_where_they_can_be() {
        let shown = |as_base64, at_most| Shown { as_base64, at_most };
        let plain = Properties::default();
        let text = view(&message(&plain, b"hello"), false, 3, &shown(false, 2));
        assert_eq!(text["payload"], "he");
        assert_eq!(text["payload_bytes"], 5);
        assert_eq!(text["message_count"], 3);
        let bytes = view(&message(&plain, &[0, 255, 1]), true, 0, &shown(false, 99));
        assert_eq!(
            (&bytes["payload"], &bytes["payload_encoding"]),
            (&json!("AP8B"), &json!("base64"))
        );
        let forced = view(&message(&plain, b"hi"), true, 0, &shown(true, 99));
        assert_eq!(forced["payload"], "aGk=");
    }
}
