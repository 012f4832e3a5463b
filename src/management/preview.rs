//! What would follow from a policy before it is saved: which queues and exchanges it would apply to, and
//! what each would go by.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use crate::broker::report::About;
use crate::metadata::Vhost;
use crate::queue::Counts;
use crate::spec::policy::{self, Policy, PolicyKind, PolicySpec, Subject};
use crate::spec::{Overflow, QueueSettings};
use crate::types::sorting::sort_by;

/// Things that are shown of those that would change.
const SHOWN: usize = 20;

/// Answers with what would follow from a policy that is not saved.
///
/// # Errors
/// When there is no such vhost.
pub async fn preview(mut call: Call, kind: PolicyKind, spec: Result<PolicySpec, Failure>) -> Answered {
    call.in_vhost(|_| ())?;
    let policy = match spec {
        Ok(spec) => Policy::new(kind, spec).map_err(|error| error.to_string()),
        Err(Failure::Bad(Value::String(reason))) => Err(reason),
        Err(other) => return Err(other),
    };
    let policy = match policy {
        Ok(policy) => policy,
        Err(error) => {
            return Ok(refused(&error));
        }
    };
    if let Err(error) = call.in_vhost(|vhost| policy.check_steps(vhost.names()))? {
        return Ok(refused(&error.to_string()));
    }
    call.gather(About::Queues).await?;
    let counts = |name: &str| {
        let queue = call.broker.vhost(call.name("vhost"))?.queue(name)?;
        call.gathered.counts(&queue)
    };
    let preview = call.in_vhost(|vhost| Preview::of(vhost, kind, &policy, counts))?;
    Ok(Answer::Json(preview.view()))
}

fn refused(error: &str) -> Answer {
    Answer::Json(json!({
        "matches": 0, "wins": 0, "loses": [], "changes": 0, "drops": 0, "sample": [], "errors": [error],
    }))
}

#[derive(Default)]
struct Preview {
    matches: u64,
    wins: u64,
    /// Policies that would apply all the same, and to how many.
    loses: BTreeMap<String, u64>,
    changes: u64,
    drops: u64,
    sample: Vec<Value>,
}

impl Preview {
    fn of(vhost: &Vhost, kind: PolicyKind, policy: &Policy, counts: impl Fn(&str) -> Option<Counts>) -> Self {
        let mut preview = Self::default();
        let mut queues: Vec<_> = vhost.queues().collect();
        sort_by(&mut queues, |one, other| one.name.cmp(&other.name));
        for spec in queues {
            let subject = Subject::Queue(spec.queue_type);
            let Some((now, then)) = preview.look(vhost, kind, policy, subject, &spec.name) else {
                continue;
            };
            let settings = policy::queue_settings(spec, &then);
            let drops = counts(&spec.name).map_or(0, |counts| dropped(&settings, &counts));
            preview.change("queue", &spec.name, &now, &then, drops);
        }
        let mut exchanges: Vec<_> = vhost.exchanges().collect();
        sort_by(&mut exchanges, |one, other| one.name.cmp(&other.name));
        for spec in exchanges {
            if let Some((now, then)) = preview.look(vhost, kind, policy, Subject::Exchange, &spec.name) {
                preview.change("exchange", &spec.name, &now, &then, 0);
            }
        }
        preview
    }

    /// What a thing goes by and would go by; `None` where that is the same.
    fn look(
        &mut self,
        vhost: &Vhost,
        kind: PolicyKind,
        policy: &Policy,
        subject: Subject,
        name: &str,
    ) -> Option<(Map<String, Value>, Map<String, Value>)> {
        let (own, others) = match kind {
            PolicyKind::User => (&vhost.policies, &vhost.operator_policies),
            PolicyKind::Operator => (&vhost.operator_policies, &vhost.policies),
        };
        let rest = own.values().filter(|other| other.spec.name != policy.spec.name);
        let wins = policy::applying(rest.chain([policy]), subject, name);
        let other = policy::applying(others.values(), subject, name);
        if policy.matches(subject, name) {
            self.matches += 1;
            match wins {
                Some(winner) if winner.spec.name != policy.spec.name => {
                    *self.loses.entry(winner.spec.name.clone()).or_default() += 1;
                }
                _ => self.wins += 1,
            }
        }
        let then = match kind {
            PolicyKind::User => policy::merged(wins, other),
            PolicyKind::Operator => policy::merged(other, wins),
        };
        // One that does not match any more loses its policy.
        let now = vhost.definition_for(subject, name);
        (now != then).then_some((now, then))
    }

    fn change(&mut self, kind: &str, name: &str, now: &Map<String, Value>, then: &Map<String, Value>, drops: u64) {
        self.changes += 1;
        self.drops += drops;
        if self.sample.len() < SHOWN {
            self.sample
                .push(json!({"kind": kind, "name": name, "now": now, "then": then, "drops": drops}));
        }
    }

    fn view(self) -> Value {
        let loses = self.loses.iter();
        json!({
            "matches": self.matches,
            "wins": self.wins,
            "loses": loses.map(|(policy, count)| json!({"policy": policy, "count": count})).collect::<Value>(),
            "changes": self.changes,
            "drops": self.drops,
            "sample": self.sample,
            "errors": [],
        })
    }
}

/// Ready messages that a queue would drop at once, or dead-letter: by its length, and by their mean size
/// where the bytes are limited.
fn dropped(settings: &QueueSettings, counts: &Counts) -> u64 {
    if settings.overflow != Overflow::DropHead {
        return 0;
    }
    let by_length = settings.max_length.map_or(0, |most| counts.ready.saturating_sub(most));
    let by_bytes = settings.max_length_bytes.map_or(0, |most| {
        let too_much = u128::from(counts.ready_bytes.saturating_sub(most)) * u128::from(counts.ready);
        too_much.div_ceil(u128::from(counts.ready_bytes.max(1))) as u64
    });
    by_length.max(by_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_limit_drops_is_counted() {
        let counts = Counts {
            ready: 10,
            ready_bytes: 1000,
            ..Counts::default()
        };
        let would_drop = |max_length, max_length_bytes, overflow| {
            let settings = QueueSettings {
                max_length,
                max_length_bytes,
                overflow,
                ..QueueSettings::default()
            };
            dropped(&settings, &counts)
        };
        assert_eq!(would_drop(Some(4), None, Overflow::DropHead), 6);
        assert_eq!(would_drop(None, Some(250), Overflow::DropHead), 8);
        assert_eq!(would_drop(Some(4), None, Overflow::RejectPublish), 0);
        assert_eq!(would_drop(None, None, Overflow::DropHead), 0);
        assert_eq!(would_drop(Some(20), Some(5000), Overflow::DropHead), 0);
    }
}
