//! Messages looked at without being taken: what waits in a queue, and what clients hold.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde_json::{Value, json};

use super::super::answer::{Answer, Answered, Failure};
use super::super::call::Call;
use super::properties;
use crate::broker::QueueHandle;
use crate::broker::gathered::ConsumerName;
use crate::broker::matching::Matching;
use crate::broker::peeking::{HeldBy, Peek, Peeked, PeekedMessage};
use crate::broker::report::About;
use crate::declare;
use crate::types::{NodeId, Timestamp, base64};

/// Messages of one answer unless the query says otherwise, and at most.
const COUNT: usize = 50;
const MOST: usize = 200;
/// Bytes of a body that are shown in a list unless the query says otherwise, and at most.
const BODY_BYTES: usize = 1024;
const MOST_BODY_BYTES: usize = 64 << 10;
/// Bytes of the body of one message that is shown by itself.
const WHOLE: usize = 8 << 20;

/// What consumers are called, by their nodes and keys.
type Names = FxHashMap<(NodeId, u64), ConsumerName>;

/// Answers with messages of the queue of the path.
///
/// # Errors
/// Without the right to read the queue, when the query says something wrongly, or nobody leads the queue.
pub async fn list(mut call: Call) -> Answered {
    let queue = readable(&call)?;
    let peek = asked(&call)?;
    let peeked = look(&mut call, &queue, &peek).await?;
    let Some(peeked) = peeked else { return away() };
    let names = call
        .gathered
        .consumer_names(call.broker.queues(), call.broker.connections(), &queue);
    let messages = peeked
        .messages
        .iter()
        .map(|message| view(&names, message, peek.unacked));
    Ok(Answer::Json(json!({
        "messages": messages.collect::<Value>(),
        "next": peeked.next,
        "scanned": peeked.scanned,
    })))
}

/// Answers with one message, whole.
///
/// # Errors
/// The same, and when there is no message at that position any more.
pub async fn one(mut call: Call) -> Answered {
    let queue = readable(&call)?;
    let position = call.name("position").parse();
    let position = position.map_err(|_| Failure::bad("a position is a number"))?;
    for unacked in [false, true] {
        let peek = Peek {
            unacked,
            from: position,
            since: None,
            count: 1,
            body_bytes: WHOLE,
            matching: None,
        };
        let Some(peeked) = look(&mut call, &queue, &peek).await? else {
            return away();
        };
        let found = peeked.messages.iter().find(|message| message.position == position);
        if let Some(message) = found {
            let names = call
                .gathered
                .consumer_names(call.broker.queues(), call.broker.connections(), &queue);
            return Ok(Answer::Json(view(&names, message, unacked)));
        }
    }
    Err(Failure::Missing("message_not_found".to_owned()))
}

/// The queue of the path, if whoever asks may read it.
///
/// # Errors
/// Without the right to, or without such a queue.
pub fn readable(call: &Call) -> Result<Arc<QueueHandle>, Failure> {
    let missing = || Failure::Missing("queue_not_found".to_owned());
    let actor = call.actor()?;
    call.in_vhost(|vhost| vhost.queue(call.name("name")).map(drop))?
        .ok_or_else(missing)?;
    let name = declare::queue_look(&call.broker.catalogue(), &actor.who(), call.name("name")).map_err(Failure::of)?;
    let queue = call.broker.vhost(&actor.vhost).and_then(|vhost| vhost.queue(&name));
    queue.ok_or_else(missing)
}

fn asked(call: &Call) -> Result<Peek, Failure> {
    let number = |name: &str, default: usize, most: usize| match call.query.get(name) {
        None | Some("") => Ok(default),
        Some(text) => match text.parse::<usize>() {
            Ok(number) => Ok(number.min(most)),
            Err(_) => Err(Failure::bad(format!("{name} is not a number"))),
        },
    };
    let unacked = match call.query.get("state") {
        None | Some("" | "ready") => false,
        Some("unacked") => true,
        Some(_) => return Err(Failure::bad("state is neither ready nor unacked")),
    };
    let from = match call.query.get("from") {
        None | Some("") => 0,
        Some(text) => text.parse().map_err(|_| Failure::bad("from is not a position"))?,
    };
    let since = match call.query.get("since") {
        None | Some("") => None,
        Some(text) => {
            let at = text.parse();
            Some(Timestamp(at.map_err(|_| {
                Failure::bad("since is not a number of milliseconds since 1970")
            })?))
        }
    };
    Ok(Peek {
        unacked,
        from,
        since,
        count: number("count", COUNT, MOST)?,
        body_bytes: number("body_bytes", BODY_BYTES, MOST_BODY_BYTES)?,
        matching: call
            .query
            .get("match")
            .filter(|text| !text.is_empty())
            .map(Matching::read),
    })
}

async fn look(call: &mut Call, queue: &Arc<QueueHandle>, peek: &Peek) -> Result<Option<Peeked>, Failure> {
    if queue.is_quarantined() {
        return Err(Failure::bad("the queue is damaged, and not served"));
    }
    let peeked = call.broker.queues().peek(queue, peek).await;
    if peek.unacked {
        // Who the consumers are is known to the nodes of their clients.
        call.gather(About::Queues).await?;
    }
    Ok(peeked)
}

fn away() -> Answered {
    Ok(Answer::Unhealthy(
        json!({"error": "unavailable", "reason": "the queue has no leader that answers"}),
    ))
}

fn view(names: &Names, peeked: &PeekedMessage, unacked: bool) -> Value {
    let state = if unacked { "unacked" } else { "ready" };
    let mut view = json!({
        "position": peeked.position,
        "state": state,
        "redelivered": peeked.redelivered,
        "delivery_count": peeked.returns,
        "enqueued_at": peeked.arrived,
        "expires_at": peeked.expires,
        "body_bytes": peeked.bytes,
    });
    if let Some(message) = peeked.message() {
        let (body, encoding) = shown(message.body(), peeked.bytes as usize);
        view["exchange"] = json!(message.exchange_str());
        view["routing_key"] = json!(String::from_utf8_lossy(message.routing_key()));
        view["properties"] = properties::view(&message);
        view["body"] = body.into();
        view["encoding"] = encoding.into();
    }
    view["held_by"] = match &peeked.held {
        Some(held) => holder(names, held),
        None => Value::Null,
    };
    view
}

/// A body, of which the end may be cut off, as text where it is one.
fn shown(body: &[u8], whole: usize) -> (String, &'static str) {
    let text = match std::str::from_utf8(body) {
        Ok(text) => Some(text),
        // A letter was cut in two.
        Err(error) if body.len() < whole && error.error_len().is_none() => {
            std::str::from_utf8(&body[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    match text {
        Some(text) => (text.to_owned(), "string"),
        None => (base64::encode(body), "base64"),
    }
}

fn holder(names: &Names, held: &HeldBy) -> Value {
    // None of what was fetched with `basic.get`, or its consumer has ended.
    let consumer = held.consumer.and_then(|consumer| names.get(&consumer));
    json!({
        "consumer_tag": consumer.map(|one| &one.tag),
        "channel": consumer.and_then(|one| one.channel.as_ref()),
        "since": held.since,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_cut_stays_a_text() {
        let body = "grün".as_bytes();
        assert_eq!(shown(body, 5), ("grün".to_owned(), "string"));
        assert_eq!(shown(&body[..3], 5), ("gr".to_owned(), "string"));
        assert_eq!(shown(&[0xff, 0x61], 2).1, "base64");
        assert_eq!(shown(&body[..3], 3).1, "base64", "it is no text");
    }
}
