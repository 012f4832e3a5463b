//! How long messages wait, consumers hold them, and confirms take.

use serde_json::{Map, Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::route::{Access, Route, Run, Verb};
use crate::broker::report::Subject;
use crate::statistics::{Delay, Spread};

/// What can be asked of times.
pub static ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/queues/{vhost}/{name}/latency",
        Access::VhostVisible,
        "How long messages wait in a queue, are held and take to be confirmed, in ms: age.",
        Run::Later(|call| {
            Box::pin(async move {
                let vhost = call.broker.vhost(call.name("vhost"));
                let queue = vhost.and_then(|vhost| vhost.queue(call.name("name")));
                let queue = queue.ok_or(Failure::NotFound)?.spec.id;
                latency(&call, &Subject::Queue(queue)).await
            })
        }),
    ),
    Route::new(
        Verb::Get,
        "/nodes/{node}/latency",
        Access::Monitoring,
        "The same of all queues together, on a node: age.",
        Run::Later(|call| {
            Box::pin(async move {
                let node = call.node()?;
                latency(&call, &Subject::Node(node)).await
            })
        }),
    ),
];

/// Seconds that are looked back on unless the query says otherwise.
const AGE: u64 = 600;
/// Seconds of an hour, which is as long as anything is kept.
const LONGEST: u64 = 3600;

async fn latency(call: &Call, subject: &Subject) -> Answered {
    let age = match call.query.get("age") {
        None | Some("") => AGE,
        Some(text) => text.parse().map_err(|_| Failure::bad("age is no number"))?,
    };
    let age = age.min(LONGEST);
    let (spreads, silent) = call.broker.reports().latencies(subject, age).await;
    let minute = call.broker.reports().second() / 60;
    let first = minute.saturating_sub(age.div_ceil(60));
    let mut answer = json!({});
    let mut series = Map::new();
    series.insert("t0".to_owned(), json!(first * 60_000));
    series.insert("every".to_owned(), json!(60));
    for ((_, name), spreads) in Delay::ALL.iter().zip(&spreads) {
        answer[*name] = percentiles(&spreads.together());
        let slow = (first..=minute).map(|minute| milliseconds(spreads.of(minute).and_then(|spread| spread.at(0.95))));
        series.insert((*name).to_owned(), slow.collect());
    }
    answer["series"] = series.into();
    if !silent.is_empty() {
        answer["silent"] = json!(silent);
    }
    Ok(Answer::Json(answer))
}

/// All null where nothing was timed.
fn percentiles(spread: &Spread) -> Value {
    json!({
        "p50": milliseconds(spread.at(0.5)),
        "p95": milliseconds(spread.at(0.95)),
        "p99": milliseconds(spread.at(0.99)),
        "max": milliseconds(spread.at(1.0)),
        "samples": spread.len(),
    })
}

fn milliseconds(us: Option<u64>) -> Value {
    us.map_or(Value::Null, |us| json!(us as f64 / 1000.0))
}
