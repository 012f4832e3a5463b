//! Publishing and fetching messages by hand.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::{Call, Fields, Identity};
use super::exchanges::exchange_name;
use super::route::{Access, Route};
use crate::broker::joint::{Joint, JointAnswer};
use crate::broker::outbox::Outbox;
use crate::broker::publish::{Body, From, Publisher, Publishing};
use crate::broker::{Broker, DEADLINE, QueueHandle};
use crate::codec::Properties;
use crate::codec::content::PublishRef;
use crate::codec::method::BasicGet;
use crate::declare;
use crate::metadata::json;
use crate::queue::{Get, Outcome, Slot};
use crate::types::{Message, Refusal, ReplyCode, base64};

/// What can be done with messages.
pub static ROUTES: &[Route] = &[
    Route::post(
        "/exchanges/{vhost}/{name}/publish",
        Access::Vhost,
        "Publishes a message: properties, routing_key, payload, payload_encoding (string or base64).",
        |call| Box::pin(publish(call)),
    ),
    Route::post(
        "/queues/{vhost}/{name}/get",
        Access::Vhost,
        "Fetches messages: count, ackmode, encoding (auto or base64), truncate.",
        |call| Box::pin(get(call)),
    ),
];

/// Payload bytes of one answer: after those no further message is fetched.
const MAX_FETCHED_BYTES: usize = 64 * 1024 * 1024;
/// The channel a message is published on; there is no other.
const CHANNEL: u16 = 1;

async fn publish(call: Call) -> Answered {
    let fields = call.fields()?;
    fields.need(&["properties", "routing_key", "payload", "payload_encoding"])?;
    let payload = fields.some_text("payload")?;
    let body = match fields.text("payload_encoding")? {
        Some("string") => payload.as_bytes().to_vec(),
        Some("base64") => base64::decode(payload).ok_or_else(|| Failure::Bad(json!(["not_base64", payload])))?,
        other => return Err(Failure::Bad(json!(["unsupported_encoding", other]))),
    };
    let properties = properties(&fields)?.encode();
    let key = fields.some_text("routing_key")?.to_owned();
    if key.len() > crate::types::names::MAX_NAME_BYTES {
        return Err(Failure::bad("routing key is longer than 255 bytes"));
    }
    let identity = call.identity()?;
    let to = (exchange_name(call.name("name")), key.as_str());
    let (routed, answered) = hand_in(&call, &identity, to, &properties, &body)?;
    match answered.is_accepted().await {
        true => Ok(Answer::Json(json!({"routed": routed}))),
        false => Err(Failure::bad("rejected Unable to publish message. Check queue limits.")),
    }
}

/// Publishes to an exchange with a routing key, as a client would, and says whether a queue gets the
/// message, and when all have it.
///
/// # Errors
/// In the broker's words.
pub fn hand_in(
    call: &Call,
    identity: &Identity,
    (exchange, key): (&str, &str),
    properties: &[u8],
    body: &[u8],
) -> Result<(bool, JointAnswer), Failure> {
    let missing = || Failure::Missing("vhost_not_found".to_owned());
    let by = Publishing {
        vhost: call.broker.vhost(&identity.vhost).ok_or_else(missing)?,
        user: identity.user.clone(),
        impersonator: call.caller.tags.iter().any(|tag| tag == "impersonator"),
    };
    let from = From {
        channel: CHANNEL,
        incarnation: 0,
        seq: None,
        reply_token: None,
    };
    let outbox = Arc::new(Outbox::new(identity.who().connection));
    let mut publisher = Publisher::new(outbox);
    let publish = PublishRef {
        exchange: exchange.as_bytes(),
        routing_key: key.as_bytes(),
        mandatory: false,
        immediate: false,
    };
    let ready = publisher
        .prepare(&call.broker, &by, from, publish, properties, Body::Read(body))
        .map_err(|error| {
            let reply = error.reply();
            match reply.code {
                ReplyCode::NotFound => Failure::Missing("exchange_not_found".to_owned()),
                code => Failure::bad(format!("{} {}", code.code(), reply.wire_text())),
            }
        })?;
    let (joint, answered) = Joint::new();
    let routed = publisher.publish(&call.broker, &by, ready, Some(&joint));
    publisher.flush(&call.broker);
    Ok((routed, answered))
}

/// The properties of a JSON object; those it does not know are left out.
fn properties(fields: &Fields) -> Result<Properties, Failure> {
    let given = match fields.get("properties") {
        None => Fields(Map::new()),
        Some(Value::Object(given)) => Fields(given.clone()),
        // An empty list is what some clients make of an empty object.
        Some(Value::Array(items)) if items.is_empty() => Fields(Map::new()),
        Some(other) => return Err(Failure::Bad(json!(["not_a_table", other]))),
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

/// How fetched messages are left.
fn outcome(mode: &str) -> Option<Outcome> {
    Some(match mode {
        "ack_requeue_true" | "reject_requeue_true" => Outcome::Requeue,
        "ack_requeue_false" => Outcome::Accept,
        "reject_requeue_false" => Outcome::Discard,
        _ => return None,
    })
}

/// What a fetch asks for.
struct Wish {
    count: u64,
    outcome: Outcome,
    shown: Shown,
}

/// How payloads are shown.
struct Shown {
    as_base64: bool,
    /// Bytes of a payload that are shown.
    at_most: usize,
}

impl Wish {
    fn of(fields: &Fields) -> Result<Self, Failure> {
        fields.need(&["count", "ackmode", "encoding"])?;
        let mode = fields.some_text("ackmode")?;
        let as_base64 = match fields.text("encoding")? {
            Some("auto") => false,
            Some("base64") => true,
            _ => return Err(Failure::bad("Unsupported encoding. Please use auto or base64.")),
        };
        let positive = |number: Option<i64>| number.map(|number| u64::try_from(number).unwrap_or(0));
        let at_most = positive(fields.integer("truncate")?).unwrap_or(u64::MAX);
        Ok(Self {
            count: positive(fields.integer("count")?).unwrap_or(0),
            outcome: outcome(mode).ok_or_else(|| Failure::Bad(json!(["unknown_ackmode", mode])))?,
            shown: Shown {
                as_base64,
                at_most: usize::try_from(at_most).unwrap_or(usize::MAX),
            },
        })
    }
}

async fn get(call: Call) -> Answered {
    let missing = || Failure::Missing("queue_not_found".to_owned());
    let identity = call.identity()?;
    call.in_vhost(|vhost| vhost.queue(call.name("name")).map(drop))?
        .ok_or_else(missing)?;
    let wish = Wish::of(&call.fields()?)?;
    let method = BasicGet {
        queue: call.name("name").to_owned(),
        ..BasicGet::default()
    };
    let name = declare::basic_get(&call.broker.catalog(), &identity.who(), None, &method).map_err(Failure::of)?;
    let queue = call.broker.vhost(&identity.vhost).and_then(|vhost| vhost.queue(&name));
    let queue = queue.ok_or_else(missing)?;
    let mut slots = Vec::new();
    let mut views = Vec::new();
    let mut bytes = 0;
    while (slots.len() as u64) < wish.count && bytes < MAX_FETCHED_BYTES {
        let Get::Message {
            message,
            slot,
            redelivered,
            remaining,
            ..
        } = call
            .broker
            .get(&queue, false)
            .await
            .map_err(|away| Failure::Broken(away.text.to_string()))?
        else {
            break;
        };
        slots.push(slot);
        bytes += message.body().len();
        views.push(view(&message, redelivered, remaining, &wish.shown));
    }
    settle(&call.broker, &queue, slots, wish.outcome).await?;
    Ok(Answer::Json(views.into()))
}

/// Leaves fetched messages as asked for. Those that are to be gone are gone for good before the answer.
async fn settle(
    broker: &Arc<Broker>,
    queue: &Arc<QueueHandle>,
    slots: Vec<Slot>,
    outcome: Outcome,
) -> Result<(), Failure> {
    if slots.is_empty() {
        return Ok(());
    }
    let (joint, answered) = Joint::new();
    broker.settle(queue, slots, outcome, Some(&joint));
    drop(joint);
    if outcome == Outcome::Requeue {
        return Ok(());
    }
    let settled = tokio::time::timeout(DEADLINE, answered.is_accepted()).await;
    if settled != Ok(true) {
        return Err(Failure::Broken(
            "the messages were fetched, and may come back".to_owned(),
        ));
    }
    let synced = broker.synced().await;
    synced.map_err(|error| Failure::Broken(error.to_string()))
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

/// Takes one message for good, as a client would.
///
/// # Errors
/// In the broker's words.
pub async fn fetch(call: &Call, identity: &Identity, method: &BasicGet) -> Result<Option<Message>, Failure> {
    let name = declare::basic_get(&call.broker.catalog(), &identity.who(), None, method).map_err(Failure::of)?;
    let queue = call.broker.vhost(&identity.vhost).and_then(|vhost| vhost.queue(&name));
    let queue = queue.ok_or_else(|| Failure::Missing("queue_not_found".to_owned()))?;
    let got = call.broker.get(&queue, true).await;
    match got.map_err(|away| Failure::Broken(away.text.to_string()))? {
        Get::Message { message, .. } => Ok(Some(message)),
        _ => Ok(None),
    }
}

fn view(message: &Message, redelivered: bool, remaining: u64, shown: &Shown) -> Value {
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
        "properties": properties_view(message),
        "payload": payload,
        "payload_encoding": encoding,
    })
}

/// The properties that are set; an empty list when none is, as RabbitMQ has it.
fn properties_view(message: &Message) -> Value {
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
    use super::*;
    use crate::types::MessageParts;

    fn message(properties: &Properties, body: &[u8]) -> Message {
        let parts = MessageParts {
            exchange: b"e",
            routing_key: b"k",
            properties: &properties.encode(),
            traits: crate::types::Traits::default(),
        };
        Message::new(parts, body, &mut Vec::new())
    }

    #[test]
    fn properties_come_back_as_they_were_given() {
        let given =
            json!({"delivery_mode": 2, "headers": {"a": 1, "b": "x"}, "content_type": "text/plain", "type": "t"});
        let properties = properties(&Fields::of(json!({"properties": given}))).expect("good properties");
        let view = properties_view(&message(&properties, b""));
        assert_eq!(view["headers"], json!({"a": 1, "b": "x"}));
        assert_eq!(view["delivery_mode"], 2);
        assert_eq!(view["type"], "t");
        assert_eq!(view.as_object().map(Map::len), Some(4));
        assert_eq!(properties_view(&message(&Properties::default(), b"")), json!([]));
    }

    #[test]
    fn properties_of_the_wrong_kind_are_refused() {
        let refused = |given: Value| properties(&Fields::of(json!({"properties": given}))).expect_err("refused");
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
        assert!(properties(&Fields::of(json!({"properties": {"nonsense": 1}}))).is_ok());
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

    #[test]
    fn a_fetch_says_what_is_wrong_with_it() {
        let refused = |value| Wish::of(&Fields::of(value)).err().expect("refused");
        assert_eq!(
            refused(json!({"count": 1, "requeue": true, "encoding": "auto"})),
            Failure::keys_missing(&["ackmode"])
        );
        assert_eq!(
            refused(json!({"count": "x", "ackmode": "ack_requeue_true", "encoding": "auto"})),
            Failure::Bad(json!(["not_integer", "x"]))
        );
    }
}
