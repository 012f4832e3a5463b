//! Why a queue does not get on, as its leader knows.

use serde_json::{Value, json};

use super::super::answer::{Answer, Answered};
use super::super::call::Call;
use super::super::text::encoded;
use super::its_queue;
use crate::broker::QueueHandle;
use crate::broker::diagnosis::{Diagnosis, Place};
use crate::broker::report::About;

/// Answers with the health of the queue of the path.
///
/// # Errors
/// When there is no such queue.
pub async fn health(mut call: Call) -> Answered {
    let queue = its_queue(&call)?;
    call.gather(About::Queues).await?;
    let diagnosis = call.broker.reports().diagnose(&queue, &call.gathered).await;
    Ok(Answer::Json(view(&queue, &diagnosis)))
}

fn view(queue: &QueueHandle, diagnosis: &Diagnosis) -> Value {
    let reasons = diagnosis.reasons.iter().map(|reason| {
        json!({
            "code": reason.code,
            "level": reason.level.name(),
            "text": reason.text,
            "do": reason.remedy,
            "link": reason.place.as_ref().map(|place| link(queue, place)),
        })
    });
    let vitals = diagnosis.vitals.as_ref().map(|known| &known.vitals);
    let leaving = vitals.and_then(|vitals| {
        let (arriving, leaving) = vitals.rates?;
        Some(leaving - arriving)
    });
    let ready = vitals.map(|vitals| vitals.counts.ready);
    let drain = match (leaving, ready) {
        (_, Some(0)) => Some(0.0),
        (Some(net), Some(ready)) if net > 0.0 => Some((ready as f64 / net).ceil()),
        _ => None,
    };
    json!({
        "health": diagnosis.health,
        "since": diagnosis.since,
        "reasons": reasons.collect::<Value>(),
        "oldest_ready_ms": vitals.and_then(|vitals| vitals.oldest_ready),
        "oldest_unacked_ms": vitals.and_then(|vitals| vitals.oldest_unacked),
        "at_prefetch": vitals.map(|vitals| vitals.at_prefetch),
        "drain_s": drain,
    })
}

fn link(queue: &QueueHandle, place: &Place) -> String {
    let spec = &queue.spec;
    let (vhost, name) = (encoded(&spec.vhost), encoded(&spec.name));
    let tab = |tab: &str| format!("#/queues/{vhost}/{name}{tab}");
    match place {
        Place::Queue => tab(""),
        Place::Consumers => tab("?tab=consumers"),
        Place::Messages => tab("?tab=messages"),
        Place::Members => tab("?tab=members"),
        Place::Exchange(exchange) => format!("#/exchanges/{vhost}/{}", encoded(exchange)),
        Place::Channel(channel) => format!("#/channels/{}", encoded(channel)),
    }
}
