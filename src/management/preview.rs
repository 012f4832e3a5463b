//! What a policy would do if it were put: which queues and exchanges it is meant for, where another
//! wins, and what changes, with the messages that would be dropped. Nothing is changed.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::policies;
use super::route::{Access, Route, Run, Verb};
use crate::broker::report::About;
use crate::metadata::Vhost;
use crate::spec::policy::{self, Policy, PolicyKind, Subject};
use crate::spec::{Overflow, QueueSpec};

/// What can be asked.
pub static ROUTES: &[Route] = &[
    Route::new(
        Verb::Post,
        "/policies/{vhost}/{name}/preview",
        Access::Policymaker,
        "What a policy would change; the body is that of putting it.",
        Run::Later(|call| Box::pin(preview(call, PolicyKind::User))),
    ),
    Route::new(
        Verb::Post,
        "/operator-policies/{vhost}/{name}/preview",
        Access::Administrator,
        "What an operator policy would change; the body is that of putting it.",
        Run::Later(|call| Box::pin(preview(call, PolicyKind::Operator))),
    ),
];

/// Changes that are told one by one; how many there are is told beside them.
const SAMPLE: usize = 50;

async fn preview(mut call: Call, kind: PolicyKind) -> Answered {
    call.gather(About::Queues).await?;
    let fields = call.fields()?;
    fields.need(&["pattern", "definition"])?;
    let spec = match policies::spec(&call, &fields) {
        Ok(spec) => spec,
        Err(Failure::Bad(reason)) => return Ok(refused(&reason)),
        Err(failure) => return Err(failure),
    };
    match Policy::new(kind, spec) {
        Ok(policy) => call.in_vhost(|vhost| Answer::Json(told(&call, vhost, kind, &policy))),
        Err(error) => Ok(refused(&json!(error.to_string()))),
    }
}

/// That it would not be taken.
fn refused(reason: &Value) -> Answer {
    Answer::Json(json!({"matches": 0, "wins": 0, "loses": [], "changes": 0, "sample": [], "errors": [reason]}))
}

/// What applies to one thing now, and what would.
struct Change<'a> {
    winner: Option<&'a Policy>,
    now: Map<String, Value>,
    then: Map<String, Value>,
}

impl<'a> Change<'a> {
    fn of(vhost: &'a Vhost, kind: PolicyKind, new: &'a Policy, subject: Subject, name: &str) -> Self {
        let others = policies::policies(vhost, kind)
            .values()
            .filter(|policy| policy.spec.name != new.spec.name);
        let winner = policy::applying(others.chain([new]), subject, name);
        let own = || policy::applying(vhost.policies.values(), subject, name);
        let operators = || policy::applying(vhost.operator_policies.values(), subject, name);
        let then = match kind {
            PolicyKind::User => policy::merged(winner, operators()),
            PolicyKind::Operator => policy::merged(own(), winner),
        };
        Self {
            winner,
            now: policy::merged(own(), operators()),
            then,
        }
    }
}

fn told(call: &Call, vhost: &Vhost, kind: PolicyKind, new: &Policy) -> Value {
    let (mut matches, mut wins, mut changes) = (0, 0, 0);
    let mut loses = BTreeMap::<&str, usize>::new();
    let mut sample = Vec::new();
    let mut dropped = 0;
    let mut queues: Vec<_> = vhost.queues().collect();
    queues.sort_by(|one, other| one.name.cmp(&other.name));
    let mut exchanges: Vec<_> = vhost.exchanges().collect();
    exchanges.sort_by(|one, other| one.name.cmp(&other.name));
    let queues = queues
        .into_iter()
        .map(|spec| (Subject::Queue(spec.queue_type), spec.name.as_str(), Some(spec)));
    let exchanges = exchanges
        .into_iter()
        .map(|spec| (Subject::Exchange, spec.name.as_str(), None));
    for (subject, name, queue) in queues.chain(exchanges) {
        let change = Change::of(vhost, kind, new, subject, name);
        if new.matches(subject, name) {
            matches += 1;
            match change.winner {
                Some(winner) if winner.spec.name != new.spec.name => {
                    *loses.entry(winner.spec.name.as_str()).or_default() += 1;
                }
                _ => wins += 1,
            }
        }
        if change.now == change.then {
            continue;
        }
        changes += 1;
        let drops = queue.map_or(0, |queue| drops(call, vhost, queue, &change.then));
        dropped += drops;
        if sample.len() < SAMPLE {
            let kind = if queue.is_some() { "queue" } else { "exchange" };
            sample.push(json!({"kind": kind, "name": name, "now": change.now, "then": change.then, "drops": drops}));
        }
    }
    let loses = loses
        .into_iter()
        .map(|(policy, count)| json!({"policy": policy, "count": count}));
    json!({
        "matches": matches,
        "wins": wins,
        "loses": loses.collect::<Value>(),
        "changes": changes,
        "drops": dropped,
        "sample": sample,
        "errors": [],
    })
}

/// Ready messages that the queue would have too many of, and drop from its head.
fn drops(call: &Call, vhost: &Vhost, queue: &QueueSpec, then: &Map<String, Value>) -> u64 {
    let settings = policy::queue_settings(queue, then);
    let Some(limit) = settings.max_length.filter(|_| settings.overflow == Overflow::DropHead) else {
        return 0;
    };
    let live = call
        .broker
        .vhost(vhost.name())
        .and_then(|vhost| vhost.queue(&queue.name));
    let report = live.and_then(|queue| call.gathered.queue(&queue));
    report.map_or(0, |report| report.counts.ready.saturating_sub(limit))
}
