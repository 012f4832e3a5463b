//! Jobs: work that goes on when whoever asked for it is gone. Messages redriven and moved, queues purged
//! and deleted.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::fields::Fields;
use super::messages::readable_queue;
use super::route::{Access, Route, Run, Verb};
use super::text::exchange_name;
use crate::broker::jobs::{Bulk, BulkQueue, Died, Plan, Redrive};
use crate::broker::matching::Matching;
use crate::broker::moving::MoveTo;
use crate::declare;
use crate::pattern::Pattern;
use crate::spec::QueueType;
use crate::types::Timestamp;
use crate::types::sorting::sort_by;

/// What can be asked of jobs.
pub static ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/jobs",
        Access::Management,
        "The jobs of all nodes: own ones, or all for those who monitor.",
        Run::Later(|call| Box::pin(async move { Ok(Answer::Json(visible(&call).await.into())) })),
    ),
    Route::post(
        "/jobs",
        Access::Management,
        "Begins a job on queues: kind (purge or delete), vhost, queues or pattern.",
        |call| Box::pin(begin(call)),
    ),
    Route::new(
        Verb::Get,
        "/jobs/{id}",
        Access::Management,
        "A job.",
        Run::Later(|call| Box::pin(async move { Ok(Answer::Json(one(&call).await?)) })),
    ),
    Route::delete(
        "/jobs/{id}",
        Access::Management,
        "Stops a job; forgets one that has ended.",
        |call| {
            Box::pin(async move {
                one(&call).await?;
                match call.broker.jobs().stop(call.name("id")).await {
                    true => Ok(Answer::Done),
                    false => Err(Failure::NotFound),
                }
            })
        },
    ),
    Route::post(
        "/queues/{vhost}/{name}/redrive",
        Access::Vhost,
        "Moves messages: to (origin, or exchange and routing_key), which (all, positions or match, and died: since, \
         until), rate, limit, dry_run.",
        |call| Box::pin(redrive(call)),
    ),
];

/// Positions that one request names at most.
const POSITIONS: usize = 10_000;

/// The jobs that whoever asks may see.
async fn visible(call: &Call) -> Vec<Value> {
    let mut jobs = call.broker.jobs().all().await;
    if !call.caller.is_monitor() {
        jobs.retain(|job| job["by"] == call.caller.name.as_str());
    }
    jobs
}

async fn one(call: &Call) -> Result<Value, Failure> {
    let mut jobs = visible(call).await.into_iter();
    jobs.find(|job| job["id"] == call.name("id")).ok_or(Failure::NotFound)
}

async fn redrive(call: Call) -> Answered {
    let queue = readable_queue(&call)?;
    if queue.spec.queue_type == QueueType::Stream {
        return Err(Failure::bad("a stream keeps its messages: none can be moved out of it"));
    }
    let fields = call.fields()?;
    let redrive = redrive_of(&fields)?;
    let actor = call.actor()?;
    let (exchange, key) = match &redrive.to {
        MoveTo::Origin => ("", queue.spec.name.as_str()),
        MoveTo::Exchange { exchange, routing_key } => (exchange.as_str(), routing_key.as_deref().unwrap_or_default()),
    };
    let target = declare::publish_target(&call.broker.catalogue(), &actor.who(), exchange, key.as_bytes()).map(drop);
    target.map_err(Failure::of)?;
    let Ok(plan) = call.broker.jobs().plan_redrive(&queue, &redrive).await else {
        return Ok(Answer::Unhealthy(
            json!({"error": "unavailable", "reason": "the queue has no leader that answers"}),
        ));
    };
    if fields.boolean("dry_run", false)? {
        return Ok(Answer::Json(planned(&plan)));
    }
    let by = call.caller.name.clone();
    let job = call.broker.jobs().redrive(&queue, redrive, plan, by);
    begun(job.map_err(|error| error.to_string()))
}

fn planned(plan: &Plan) -> Value {
    let would = plan
        .would
        .iter()
        .map(|((exchange, key), count)| json!({"exchange": exchange, "routing_key": key, "count": count}));
    json!({"would": would.collect::<Value>(), "unroutable": plan.unroutable, "loops": plan.loops})
}

fn begun(job: Result<String, String>) -> Answered {
    Ok(Answer::Json(json!({"job": job.map_err(Failure::bad)?})))
}

fn redrive_of(fields: &Fields) -> Result<Redrive, Failure> {
    let to = match fields.get("to") {
        Some(Value::String(word)) if word == "origin" => MoveTo::Origin,
        Some(Value::Object(to)) => {
            let to = Fields(to.clone());
            MoveTo::Exchange {
                exchange: exchange_name(to.some_text("exchange")?).to_owned(),
                routing_key: to.text("routing_key")?.map(str::to_owned),
            }
        }
        None => return Err(Failure::keys_missing(&["to"])),
        Some(_) => return Err(Failure::bad("to is origin, or an exchange and a routing_key")),
    };
    let mut redrive = Redrive {
        to,
        positions: None,
        matching: None,
        died: None,
        rate: None,
        limit: None,
    };
    match fields.get("which") {
        None => {}
        Some(Value::String(word)) if word == "all" => {}
        Some(Value::Object(which)) => {
            match (which.get("positions"), which.get("match")) {
                (Some(positions), None) => redrive.positions = Some(numbers(positions)?),
                (None, Some(Value::String(text))) => redrive.matching = Some(Matching::read(text)),
                (None, None) if which.contains_key("died") => {}
                _ => return Err(Failure::bad(WHICH)),
            }
            redrive.died = which.get("died").map(died).transpose()?;
        }
        Some(_) => return Err(Failure::bad(WHICH)),
    }
    let number = |key: &str| match fields.integer(key)? {
        None => Ok(None),
        Some(number) if number > 0 => Ok(Some(number.unsigned_abs())),
        Some(_) => Err(Failure::bad(format!("{key} is a number above 0"))),
    };
    redrive.rate = number("rate")?.map(|rate| u32::try_from(rate).unwrap_or(u32::MAX));
    redrive.limit = number("limit")?.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(redrive)
}

/// Two times in milliseconds since 1970, either of which may be left out.
fn died(value: &Value) -> Result<Died, Failure> {
    let none = || Failure::bad("died is since and until, each in milliseconds since 1970");
    let times = value.as_object().ok_or_else(none)?;
    let time = |key: &str, otherwise: u64| match times.get(key) {
        None | Some(Value::Null) => Ok(Timestamp(otherwise)),
        Some(time) => time.as_u64().map(Timestamp).ok_or_else(none),
    };
    Ok(Died {
        since: time("since", 0)?,
        until: time("until", u64::MAX)?,
    })
}

const WHICH: &str = "which is all, a list of positions, or a text to match; or the time in which they died";

fn numbers(value: &Value) -> Result<Vec<u64>, Failure> {
    let items = value.as_array().filter(|items| items.len() <= POSITIONS);
    let items = items.ok_or_else(|| Failure::bad(format!("positions is a list of at most {POSITIONS} numbers")))?;
    let numbers: Option<Vec<_>> = items.iter().map(Value::as_u64).collect();
    let mut numbers = numbers.ok_or_else(|| Failure::bad("a position is a number"))?;
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

async fn begin(call: Call) -> Answered {
    let fields = call.fields()?;
    let bulk = match fields.some_text("kind")? {
        "purge" => Bulk::Purge,
        "delete" => Bulk::Delete,
        _ => return Err(Failure::bad("kind is purge or delete")),
    };
    let vhost = fields.some_text("vhost")?;
    let queues = {
        let catalogue = call.broker.catalogue();
        let may_enter = call
            .caller
            .vhosts(&catalogue)
            .iter()
            .any(|visible| visible.as_str() == vhost);
        let known = catalogue
            .vhost(vhost)
            .filter(|_| may_enter || call.caller.rights.is_operator());
        let known = known.ok_or_else(|| Failure::Missing("vhost_not_found".to_owned()))?;
        let named = |name: &str| BulkQueue {
            vhost: vhost.into(),
            name: name.into(),
        };
        match (fields.get("queues"), fields.text("pattern")?) {
            (Some(Value::Array(names)), None) => {
                let names: Option<Vec<_>> = names.iter().map(|name| name.as_str().map(named)).collect();
                names.ok_or_else(|| Failure::bad("queues is a list of names"))?
            }
            (None, Some(text)) => {
                let pattern = Pattern::new(text).map_err(|error| Failure::bad_pattern(text.as_bytes(), &error))?;
                let matching = known.queues().filter(|spec| pattern.matches(&spec.name));
                let mut matching: Vec<_> = matching.map(|spec| named(&spec.name)).collect();
                sort_by(&mut matching, |one, other| one.name.cmp(&other.name));
                matching
            }
            _ => return Err(Failure::bad("either queues or a pattern says which are meant")),
        }
    };
    let actor = declare::Actor {
        user: call.caller.name.clone(),
        vhost: vhost.into(),
        connection: call.broker.next_connection(),
        rights: call.caller.rights.clone(),
    };
    let broker: &Arc<_> = &call.broker;
    begun(
        broker
            .jobs()
            .begin_bulk(bulk, queues, &actor)
            .map_err(|error| error.to_string()),
    )
}
