//! The properties of a message as JSON, and back.

use serde_json::{Map, Value, json};

use super::super::answer::Failure;
use super::super::fields::Fields;
use crate::codec::Properties;
use crate::metadata::json;
use crate::types::Message;

/// The properties of a JSON object; those it does not know are left out.
///
/// # Errors
/// When one is of another kind than it should be.
pub fn of(fields: &Fields) -> Result<Properties, Failure> {
    let given = match fields.get("properties") {
        None => Fields(Map::new()),
        Some(given) => {
            let given = json::to_object(given).ok_or_else(|| Failure::Bad(json!(["not_a_table", given])))?;
            Fields(given)
        }
    };
    let text = |key| {
        let value = given.get(key).map(|value| value.as_str().map(str::to_owned));
        value
            .map(|text| text.ok_or_else(|| Failure::Bad(json!(["not_string", key]))))
            .transpose()
    };
    let number = |key| {
        let value = given.get(key).map(Value::as_u64);
        value
            .map(|number| number.ok_or_else(|| Failure::Bad(json!(["not_int", key]))))
            .transpose()
    };
    let octet = |key| {
        let octet = number(key)?.map(u8::try_from).transpose();
        octet.map_err(|_| Failure::Bad(json!(["not_int", key])))
    };
    Ok(Properties {
        content_type: text("content_type")?,
        content_encoding: text("content_encoding")?,
        headers: given
            .get("headers")
            .map(|headers| json::to_table(Some(headers)))
            .transpose()?,
        delivery_mode: octet("delivery_mode")?,
        priority: octet("priority")?,
        correlation_id: text("correlation_id")?,
        reply_to: text("reply_to")?,
        expiration: text("expiration")?,
        message_id: text("message_id")?,
        timestamp: number("timestamp")?,
        kind: text("type")?,
        user_id: text("user_id")?,
        app_id: text("app_id")?,
        cluster_id: text("cluster_id")?,
    })
}

/// The properties that are set; an empty list when none is, as RabbitMQ has it.
pub fn view(message: &Message) -> Value {
    let Ok(properties) = Properties::decode(message.properties()) else {
        return json!([]);
    };
    let fields = [
        ("timestamp", json!(properties.timestamp)),
        ("expiration", json!(properties.expiration)),
        ("reply_to", json!(properties.reply_to)),
        ("correlation_id", json!(properties.correlation_id)),
        ("message_id", json!(properties.message_id)),
        ("type", json!(properties.kind)),
        ("user_id", json!(properties.user_id)),
        ("app_id", json!(properties.app_id)),
        ("cluster_id", json!(properties.cluster_id)),
        ("priority", json!(properties.priority)),
        ("delivery_mode", json!(properties.delivery_mode)),
        (
            "headers",
            properties.headers.as_ref().map_or(Value::Null, json::from_table),
        ),
        ("content_encoding", json!(properties.content_encoding)),
        ("content_type", json!(properties.content_type)),
    ];
    let set: Map<_, _> = fields
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    if set.is_empty() { json!([]) } else { set.into() }
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::message;
    use super::*;

    #[test]
    fn properties_come_back_as_they_were_given() {
        let given =
            json!({"delivery_mode": 2, "headers": {"a": 1, "b": "x"}, "content_type": "text/plain", "type": "t"});
        let properties = of(&Fields::of(json!({"properties": given}))).expect("good properties");
        let shown = view(&message(&properties, b""));
        assert_eq!(shown["headers"], json!({"a": 1, "b": "x"}));
        assert_eq!(shown["delivery_mode"], 2);
        assert_eq!(shown["type"], "t");
        assert_eq!(shown.as_object().map(Map::len), Some(4));
        assert_eq!(view(&message(&Properties::default(), b"")), json!([]));
    }

    #[test]
    fn properties_of_the_wrong_kind_are_refused() {
        let refused = |given: Value| of(&Fields::of(json!({"properties": given}))).expect_err("refused");
        assert_eq!(
            refused(json!({"priority": "high"})),
            Failure::Bad(json!(["not_int", "priority"]))
        );
        assert_eq!(
            refused(json!({"priority": 300})),
            Failure::Bad(json!(["not_int", "priority"]))
        );
        assert_eq!(
            refused(json!({"headers": {"n": null}})),
            Failure::bad("null_not_allowed")
        );
        assert!(of(&Fields::of(json!({"properties": {"nonsense": 1}}))).is_ok());
    }
}
