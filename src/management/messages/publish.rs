//! Publishing a message.

use std::sync::Arc;

use serde_json::json;

use super::super::answer::{Answer, Answered, Failure};
use super::super::call::Call;
use super::super::text::exchange_name;
use super::properties;
use crate::broker::Outbox;
use crate::broker::joint::{Joint, JointAnswer};
use crate::broker::publish::{Body, From, Publisher, Publishing};
use crate::codec::content::PublishRef;
use crate::declare::Actor;
use crate::statistics::Measure;
use crate::types::names::MAX_NAME_BYTES;
use crate::types::{Refusal, ReplyCode, base64};

/// The channel a message is published on; there is no other.
const CHANNEL: u16 = 1;

/// Publishes what the request says, and answers when all queues have it.
///
/// # Errors
/// When the request says it wrongly, or a queue refuses the message.
pub async fn publish(call: Call) -> Answered {
    let exchange = exchange_name(call.name("exchange"));
    call.declared_vhost()?;
    // The default exchange is not in the catalogue.
    if !exchange.is_empty() {
        call.in_vhost(|vhost| vhost.exchange(exchange).map(drop))?
            .ok_or_else(|| Failure::Missing("exchange_not_found".to_owned()))?;
    }
    let fields = call.fields()?;
    fields.need(&["properties", "routing_key", "payload", "payload_encoding"])?;
    let payload = fields.some_text("payload")?;
    let body = match fields.text("payload_encoding")? {
        Some("string") => payload.as_bytes().to_vec(),
        Some("base64") => base64::decode(payload).ok_or_else(|| Failure::Bad(json!(["not_base64", payload])))?,
        other => return Err(Failure::Bad(json!(["unsupported_encoding", other]))),
    };
    let properties = properties::of(&fields)?.encode();
    let key = fields.some_text("routing_key")?.to_owned();
    if key.len() > MAX_NAME_BYTES {
        return Err(Failure::bad("routing key is longer than 255 bytes"));
    }
    let actor = call.actor()?;
    let to = (exchange, key.as_str());
    let (routed, answered) = hand_in(&call, &actor, to, &properties, &body)?;
    match answered.is_accepted().await {
        true => {
            if let Some(vhost) = call.broker.vhost(&actor.vhost) {
                vhost.scope.add(Measure::Confirm, 1);
            }
            Ok(Answer::Json(json!({"routed": routed})))
        }
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
    actor: &Actor,
    (exchange, key): (&str, &str),
    properties: &[u8],
    body: &[u8],
) -> Result<(bool, JointAnswer), Failure> {
    let missing = || Failure::Missing("vhost_not_found".to_owned());
    let by = Publishing {
        vhost: call.broker.vhost(&actor.vhost).ok_or_else(missing)?,
        user: actor.user.clone(),
        impersonator: call.caller.tags.iter().any(|tag| tag == "impersonator"),
    };
    let from = From {
        channel: CHANNEL,
        incarnation: 0,
        seq: None,
        reply_token: None,
    };
    let outbox = Arc::new(Outbox::new(actor.who().connection));
    let mut publisher = Publisher::new(outbox);
    let publish = PublishRef {
        exchange: exchange.as_bytes(),
        routing_key: key.as_bytes(),
        mandatory: false,
        immediate: false,
    };
    let ready = publisher
        .prepare(call.broker.vhosts(), &by, from, publish, properties, Body::Read(body))
        .map_err(|error| {
            let reply = error.reply();
            match reply.code {
                ReplyCode::NotFound => Failure::Missing("exchange_not_found".to_owned()),
                code => Failure::bad(format!("{} {}", code.code(), reply.wire_text())),
            }
        })?;
    let (joint, answered) = Joint::new();
    let routed = publisher.publish(call.broker.vhosts(), &by, ready, Some(&joint));
    publisher.flush(call.broker.queues());
    Ok((routed, answered))
}
