//! Policies and operator policies.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::fields::{Fields, checked_name};
use super::list;
use super::preview::preview;
use super::route::{Access, Route, Verb};
use crate::metadata::json::to_object;
use crate::metadata::{Command, Vhost};
use crate::spec::policy::{Policy, PolicyKind, PolicySpec, term};

/// What can be asked of policies.
pub static ROUTES: &[Route] = &[
    Route::get("/policies", Access::Management, "All policies.", |call| {
        list(call, PolicyKind::User)
    }),
    Route::get("/policies/{vhost}", Access::Vhost, "Policies of a vhost.", |call| {
        list_of_vhost(call, PolicyKind::User)
    }),
    Route::get("/policies/{vhost}/{name}", Access::Policymaker, "A policy.", |call| {
        one(call, PolicyKind::User)
    }),
    Route::put(
        "/policies/{vhost}/{name}",
        Access::Policymaker,
        "Makes a policy or changes it: pattern, definition, priority, apply-to.",
        |call| Box::pin(put(call, PolicyKind::User)),
    ),
    Route::delete(
        "/policies/{vhost}/{name}",
        Access::Policymaker,
        "Deletes a policy.",
        |call| Box::pin(async move { delete(&call, PolicyKind::User).await }),
    ),
    Route::get(
        "/operator-policies",
        Access::Management,
        "All operator policies.",
        |call| list(call, PolicyKind::Operator),
    )
    .plain(),
    Route::get(
        "/operator-policies/{vhost}",
        Access::Vhost,
        "Operator policies of a vhost.",
        |call| list_of_vhost(call, PolicyKind::Operator),
    )
    .plain(),
    Route::get(
        "/operator-policies/{vhost}/{name}",
        Access::Administrator,
        "An operator policy.",
        |call| one(call, PolicyKind::Operator),
    )
    .plain(),
    Route::put(
        "/operator-policies/{vhost}/{name}",
        Access::Administrator,
        "Makes an operator policy or changes it: pattern, definition, priority, apply-to.",
        |call| Box::pin(put(call, PolicyKind::Operator)),
    )
    .plain(),
    Route::delete(
        "/operator-policies/{vhost}/{name}",
        Access::Administrator,
        "Deletes an operator policy.",
        |call| Box::pin(async move { delete(&call, PolicyKind::Operator).await }),
    )
    .plain(),
    Route::post(
        "/policies/{vhost}/{name}/preview",
        Access::Policymaker,
        "What would follow from a policy; nothing is saved.",
        |call| {
            let spec = asked(&call);
            Box::pin(preview(call, PolicyKind::User, spec))
        },
    ),
    Route::post(
        "/operator-policies/{vhost}/{name}/preview",
        Access::Administrator,
        "What would follow from an operator policy; nothing is saved.",
        |call| {
            let spec = asked(&call);
            Box::pin(preview(call, PolicyKind::Operator, spec))
        },
    )
    .plain(),
];

fn policies(vhost: &Vhost, kind: PolicyKind) -> &BTreeMap<String, Policy> {
    match kind {
        PolicyKind::User => &vhost.policies,
        PolicyKind::Operator => &vhost.operator_policies,
    }
}

fn view(policy: &Policy) -> Value {
    let spec = &policy.spec;
    json!({
        "vhost": spec.vhost,
        "name": spec.name,
        "pattern": spec.pattern,
        "apply-to": spec.apply_to,
        "definition": spec.definition,
        "priority": spec.priority,
    })
}

fn list(call: &Call, kind: PolicyKind) -> Answered {
    let all = call.in_vhosts(|vhost| policies(vhost, kind).values().map(view).collect());
    list::listing(call, all, &["vhost", "name"])
}

fn list_of_vhost(call: &Call, kind: PolicyKind) -> Answered {
    let all = call.in_vhost(|vhost| policies(vhost, kind).values().map(view).collect())?;
    list::listing(call, all, &["name"])
}

fn one(call: &Call, kind: PolicyKind) -> Answered {
    let found = call.in_vhost(|vhost| policies(vhost, kind).get(call.name("name")).map(view))?;
    found.map(Answer::Json).ok_or(Failure::NotFound)
}

async fn put(call: Call, kind: PolicyKind) -> Answered {
    put_checked(call, kind).await.map_err(|failure| match (kind, failure) {
        // RabbitMQ makes these reasons fit for a page, and those of operator policies not.
        (PolicyKind::User, Failure::Bad(Value::String(reason))) => {
            Failure::bad(reason.replace('<', "&lt;").replace('>', "&gt;"))
        }
        (_, failure) => failure,
    })
}

async fn put_checked(call: Call, kind: PolicyKind) -> Answered {
    check_changes(&call, kind)?;
    let existed = call.in_vhost(|vhost| policies(vhost, kind).contains_key(call.name("name")))?;
    let spec = asked(&call)?;
    let command = match kind {
        PolicyKind::User => Command::PutPolicy(spec),
        PolicyKind::Operator => Command::PutOperatorPolicy(spec),
    };
    call.put(existed, command).await
}

/// The policy of the request, whose definition is not looked at yet.
fn asked(call: &Call) -> Result<PolicySpec, Failure> {
    let fields = call.fields()?;
    fields.need(&["pattern", "definition"])?;
    spec(call, &fields)
}

/// The policy of the path, as the fields say.
fn spec(call: &Call, fields: &Fields) -> Result<PolicySpec, Failure> {
    let apply_to = fields.get("apply-to").cloned().unwrap_or_else(|| json!("all"));
    let definition = fields.get("definition").and_then(to_object);
    let definition = definition.ok_or_else(|| invalid("definition should be an object"))?;
    Ok(PolicySpec {
        vhost: call.vhost(),
        name: checked_name(call.name("name"))?.to_owned(),
        pattern: fields.some_text("pattern")?.to_owned(),
        apply_to: serde_json::from_value(apply_to.clone()).map_err(|_| {
            let given = apply_to.as_str().map_or_else(|| apply_to.to_string(), str::to_owned);
            invalid(&format!("apply-to '{given}' unrecognised; {APPLY_TO}"))
        })?,
        priority: match fields.get("priority") {
            None => 0,
            Some(value) => value
                .as_i64()
                .ok_or_else(|| invalid(&format!("priority should be a number, actually was {}", term(value))))?,
        },
        definition,
    })
}

/// Makes an operator policy of a parameter's value.
///
/// # Errors
/// As for any operator policy; a parameter must say everything of it.
pub async fn put_parameter(call: &Call, value: &Value) -> Answered {
    check_changes(call, PolicyKind::Operator)?;
    let name = call.name("name");
    let fields = to_object(value).ok_or_else(|| invalid(&format!("{name} not a list {}", term(value))))?;
    let fields = Fields(fields);
    let missing: Vec<_> = ["pattern", "definition", "priority"]
        .into_iter()
        .filter(|key| fields.get(key).is_none())
        .map(|key| format!("Key \"{key}\" not found in {name}"))
        .collect();
    if !missing.is_empty() {
        return Err(invalid(&missing.join("\n")));
    }
    let existed = call.in_vhost(|vhost| vhost.operator_policies.contains_key(name))?;
    let spec = spec(call, &fields)?;
    call.put(existed, Command::PutOperatorPolicy(spec)).await
}

/// Deletes the operator policy of a parameter's name.
///
/// # Errors
/// When there is none.
pub async fn delete_parameter(call: &Call) -> Answered {
    delete(call, PolicyKind::Operator).await
}

async fn delete(call: &Call, kind: PolicyKind) -> Answered {
    check_changes(call, kind)?;
    let name = call.name("name").to_owned();
    if !call.in_vhost(|vhost| policies(vhost, kind).contains_key(&name))? {
        return Err(Failure::NotFound);
    }
    let vhost = call.vhost();
    call.command(match kind {
        PolicyKind::User => Command::DeletePolicy { vhost, name },
        PolicyKind::Operator => Command::DeleteOperatorPolicy { vhost, name },
    })
    .await?;
    Ok(Answer::Done)
}

/// Whether the configuration lets operator policies be changed over HTTP.
fn check_changes(call: &Call, kind: PolicyKind) -> Result<(), Failure> {
    let forbidden = call.broker.config().management.forbid_operator_policy_changes && !call.caller.rights.is_operator();
    if kind == PolicyKind::Operator && forbidden {
        return Err(Failure::OtherVerb(vec![Verb::Get]));
    }
    Ok(())
}

/// RabbitMQ's words, spaces included.
const APPLY_TO: &str =
    "should be one of: 'queues', 'classic_queues',  'quorum_queues', 'streams', 'exchanges', or 'all'";

/// The policies of a vhost as parameters have them.
pub fn parameters(vhost: &Vhost, kind: PolicyKind) -> impl Iterator<Item = (&str, Value)> {
    policies(vhost, kind).values().map(|policy| {
        let spec = &policy.spec;
        let value = json!({
            "pattern": spec.pattern, "definition": spec.definition,
            "priority": spec.priority, "apply-to": spec.apply_to,
        });
        (spec.name.as_str(), value)
    })
}

fn invalid(why: &str) -> Failure {
    Failure::bad(format!("Validation failed\n\n{why}\n"))
}
