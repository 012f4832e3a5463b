//! Where a message would go: the answer of the router itself, and nothing is published.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::fields::Fields;
use super::messages::properties_of;
use super::route::{Access, Route, Run, Verb};
use super::text::exchange_name;
use crate::broker::publish::{RouteRequest, routing_keys};
use crate::broker::{Explained, QueueHandle, Vhost, Why};
use crate::codec::properties::scan;
use crate::metadata::json;
use crate::queue::Health;
use crate::spec::{Destination, QueueType};
use crate::types::names::MAX_NAME_BYTES;

/// What can be asked.
pub static ROUTES: &[Route] = &[Route::new(
    Verb::Post,
    "/route/{vhost}",
    Access::Vhost,
    "Where a message would go, and why: exchange, routing_key, headers, properties. Nothing is published.",
    Run::Later(|call| Box::pin(route(call))),
)];

/// Queues of which it is asked whether they take the message.
const ASKED: usize = 50;
/// How often a message is followed that dies.
const DEATHS: usize = 4;

async fn route(call: Call) -> Answered {
    call.in_vhost(|_| ())?;
    let fields = call.fields()?;
    let exchange = exchange_name(fields.some_text("exchange")?).to_owned();
    let key = fields.text("routing_key")?.unwrap_or_default().to_owned();
    if key.len() > MAX_NAME_BYTES {
        return Err(Failure::bad("routing key is longer than 255 bytes"));
    }
    let properties = properties(&fields)?;
    let vhost = call.broker.vhost(call.name("vhost")).ok_or(Failure::NotFound)?;
    let explained = explain(&vhost, &exchange, &key, &properties)?;
    let reached: Vec<_> = explained
        .queues
        .iter()
        .map(|(queue, via)| (queue.0.clone(), via.clone()))
        .collect();
    let accepts = join_all(reached.iter().take(ASKED).map(|(queue, _)| accepts(&call, queue)));
    let mut accepts = accepts.await.into_iter();
    let queues = reached.iter().map(|(queue, via)| {
        let (accepts, why) = match accepts.next() {
            Some(Ok(())) => (Some(true), None),
            Some(Err(why)) => (Some(false), Some(why)),
            None => (None, None),
        };
        json!({"name": queue.spec.name, "accepts": accepts, "why": why, "via": via})
    });
    let queues = queues.collect::<Value>();
    let dead_letter = dead_letters(&call, &vhost, &reached, &key, &properties);
    Ok(Answer::Json(json!({
        "outcome": outcome(&explained),
        "queues": queues,
        "steps": steps(&explained),
        "dead_letter": dead_letter,
    })))
}

/// The properties as they go on the wire; `headers` may stand beside them.
fn properties(fields: &Fields) -> Result<Vec<u8>, Failure> {
    let mut properties = properties_of(fields)?;
    if let Some(headers) = fields.get("headers") {
        properties.headers = Some(json::to_table(Some(headers))?);
    }
    Ok(properties.encode())
}

fn explain(vhost: &Vhost, exchange: &str, key: &str, properties: &[u8]) -> Result<Explained, Failure> {
    let scanned = scan(properties).map_err(|error| Failure::bad(error.to_string()))?;
    let keys = routing_keys(key.as_bytes(), &scanned).map_err(Failure::of)?;
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let request = RouteRequest {
        exchange,
        keys: &keys,
        properties: &scanned,
        delayed: false,
    };
    let explained = vhost.explain(&request);
    explained.ok_or_else(|| Failure::Missing("exchange_not_found".to_owned()))
}

fn outcome(explained: &Explained) -> &'static str {
    match explained {
        Explained { queues, .. } if queues.is_empty() => "unroutable",
        Explained { is_delayed: true, .. } => "delayed",
        Explained { is_certain: false, .. } => "one_of",
        _ => "routed",
    }
}

/// Whether a queue would take a message now.
async fn accepts(call: &Call, queue: &QueueHandle) -> Result<(), &'static str> {
    if queue.is_quarantined() {
        return Err("its records are damaged");
    }
    if queue.spec.queue_type == QueueType::Stream {
        return match call.broker.reports().is_stream_led(queue) {
            true => Ok(()),
            false => Err("nobody leads it who answers"),
        };
    }
    match call.broker.queues().vitals(queue).await {
        None => Err("nobody leads it who answers"),
        Some(known) if known.vitals.health == Health::Full => Err("it is full"),
        Some(_) => Ok(()),
    }
}

fn steps(explained: &Explained) -> Value {
    let steps = explained.steps.iter().map(|step| {
        let (mut matched, mut missed) = (Vec::new(), Vec::new());
        for tried in &step.tried {
            let (to, kind) = match &tried.binding.destination {
                Destination::Queue(name) => (name.as_str(), "queue"),
                Destination::Exchange(name) => (name.as_str(), "exchange"),
            };
            let mut view = json!({
                "binding_key": tried.binding.key,
                "arguments": json::from_table(&tried.binding.arguments),
                "to": to,
                "to_kind": kind,
            });
            match tried.verdict.why() {
                None => matched.push(view),
                Some(why) => {
                    view["why"] = json!(said(why));
                    missed.push(view);
                }
            }
        }
        json!({
            "exchange": step.exchange,
            "type": step.kind.name(),
            "tried": step.tried.len(),
            "matched": matched,
            "missed": missed,
            "alternate": step.alternate,
            "delay_ms": step.delay,
        })
    });
    steps.collect()
}

fn said(why: Why) -> &'static str {
    match why {
        Why::OtherKey => "the routing key is another",
        Why::PatternDiffers => "the routing key does not fit the pattern",
        Why::HeadersDiffer => "the headers are not as the arguments say",
        Why::OtherHash => "the hash chose another",
        Why::NotHere => "its queue is led by another node",
    }
}

/// Where the message goes from each queue if it dies there, and from there on.
fn dead_letters(
    call: &Call,
    vhost: &Vhost,
    reached: &[(std::sync::Arc<QueueHandle>, crate::types::ExchangeName)],
    key: &str,
    properties: &[u8],
) -> Value {
    let mut told = Vec::new();
    let mut seen = BTreeSet::new();
    let mut queues: Vec<_> = reached
        .iter()
        .map(|(queue, _)| (queue.clone(), key.to_owned()))
        .collect();
    for _ in 0..DEATHS {
        let mut next = Vec::new();
        for (queue, key) in queues {
            let settings = call.broker.queues().settings_of(&queue);
            let Some(exchange) = settings.dead_letter_exchange.filter(|_| seen.insert(queue.spec.id)) else {
                continue;
            };
            let key = settings.dead_letter_routing_key.unwrap_or(key);
            let explained = explain(vhost, &exchange, &key, properties).ok();
            let names = explained.as_ref().map(|explained| {
                let names = explained.queues.iter().map(|(queue, _)| queue.0.spec.name.to_string());
                names.collect::<Vec<_>>()
            });
            told.push(json!({
                "queue": queue.spec.name,
                "exchange": exchange,
                "exists": names.is_some(),
                "routing_key": key,
                "queues": names.unwrap_or_default(),
            }));
            let reached = explained.into_iter().flat_map(|explained| explained.queues);
            next.extend(reached.map(|(queue, _)| (queue.0, key.clone())));
        }
        queues = next;
    }
    told.into()
}
