//! Limits of vhosts and users.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::route::{Access, Route};
use crate::metadata::json::to_object;
use crate::metadata::{Catalogue, Command, User, UserLimit, Vhost, VhostLimit};
use crate::spec::policy::term;

/// What can be asked of limits.
pub static ROUTES: &[Route] = &[
    Route::get("/vhost-limits", Access::Management, "Limits of all vhosts.", |call| {
        let catalogue = call.broker.catalogue();
        let limits = catalogue
            .vhosts()
            .filter(|vhost| call.caller.sees(vhost))
            .filter_map(of_vhost);
        Ok(Answer::Json(limits.collect()))
    })
    .plain(),
    Route::get(
        "/vhost-limits/{vhost}",
        Access::VhostVisible,
        "Limits of a vhost.",
        |call| call.in_vhost(|vhost| Answer::Json(of_vhost(vhost).into_iter().collect())),
    )
    .plain(),
    Route::put(
        "/vhost-limits/{vhost}/{limit}",
        Access::Administrator,
        "Sets max-connections or max-queues of a vhost: value, negative for none.",
        |call| Box::pin(put_vhost(call)),
    )
    .plain(),
    Route::delete(
        "/vhost-limits/{vhost}/{limit}",
        Access::Administrator,
        "Takes a limit of a vhost away.",
        |call| Box::pin(delete_vhost(call)),
    )
    .plain(),
    Route::get("/user-limits", Access::Management, "Limits of all users.", |call| {
        let catalogue = call.broker.catalogue();
        Ok(Answer::Json(catalogue.users().filter_map(of_user).collect()))
    })
    .plain(),
    Route::get("/user-limits/{user}", Access::Management, "Limits of a user.", |call| {
        let catalogue = call.broker.catalogue();
        let user = user(&catalogue, call)?;
        Ok(Answer::Json(of_user(user).into_iter().collect()))
    })
    .plain(),
    Route::put(
        "/user-limits/{user}/{limit}",
        Access::Administrator,
        "Sets max-connections or max-channels of a user: value, negative for none.",
        |call| Box::pin(put_user(call)),
    )
    .plain(),
    Route::delete(
        "/user-limits/{user}/{limit}",
        Access::Administrator,
        "Takes a limit of a user away.",
        |call| Box::pin(delete_user(call)),
    )
    .plain(),
];

fn of_vhost(vhost: &Vhost) -> Option<Value> {
    let limits = &vhost.limits;
    (!limits.is_empty()).then(|| json!({"value": sorted(json!(limits)), "vhost": vhost.name()}))
}

fn of_user(user: &User) -> Option<Value> {
    let limits = &user.limits;
    (!limits.is_empty()).then(|| json!({"user": user.spec.name, "value": sorted(json!(limits))}))
}

/// An object with its keys in order, as RabbitMQ has them.
fn sorted(mut value: Value) -> Value {
    value.sort_all_objects();
    value
}

fn user<'a>(catalogue: &'a Catalogue, call: &Call) -> Result<&'a User, Failure> {
    catalogue.user(call.name("user")).ok_or(Failure::NotFound)
}

async fn put_vhost(call: Call) -> Answered {
    let vhost = call.in_vhost(|vhost| vhost.name().clone())?;
    let invalid = |why: String| Failure::bad(format!("Validation failed\n\n{why}\n"));
    let (limit, value) = limit(&call, "limits").map_err(|error| error.told(invalid))?;
    let value = Some(value);
    call.command(Command::SetVhostLimit { vhost, limit, value }).await?;
    Ok(Answer::Done)
}

async fn delete_vhost(call: Call) -> Answered {
    let vhost = call.in_vhost(|vhost| vhost.name().clone())?;
    if let Some(limit) = named::<VhostLimit>(&call) {
        let value = None;
        call.command(Command::SetVhostLimit { vhost, limit, value }).await?;
    }
    Ok(Answer::Done)
}

async fn put_user(call: Call) -> Answered {
    let user = user(&call.broker.catalogue(), &call)?.spec.name.clone();
    let (limit, value) = limit(&call, "user-limits").map_err(|error| error.told(Failure::bad))?;
    let value = Some(value);
    call.command(Command::SetUserLimit { user, limit, value }).await?;
    Ok(Answer::Done)
}

async fn delete_user(call: Call) -> Answered {
    let user = user(&call.broker.catalogue(), &call)?.spec.name.clone();
    if let Some(limit) = named::<UserLimit>(&call) {
        let value = None;
        call.command(Command::SetUserLimit { user, limit, value }).await?;
    }
    Ok(Answer::Done)
}

/// Makes a vhost's limits what a parameter's value says, and no others; 201 when there were none.
///
/// # Errors
/// When the value says something else.
pub async fn put_parameter(call: &Call, value: &Value) -> Answered {
    let invalid = |why: String| Failure::bad(format!("Validation failed\n\n{why}\n"));
    let (vhost, old) = call.in_vhost(|vhost| (vhost.name().clone(), vhost.limits.clone()))?;
    let name = call.name("name");
    if name != PARAMETER {
        return Err(invalid(format!(
            "{name} is none of the names of vhost-limits: {PARAMETER}"
        )));
    }
    let given = to_object(value).ok_or_else(|| invalid(format!("{name} not a list {}", term(value))))?;
    let mut limits = BTreeMap::new();
    for (limit, number) in &given {
        let term = term(number);
        let unknown = |_| invalid(format!("Unrecognised terms [{{<<\"{limit}\">>,{term}}}] in {name}"));
        let known: VhostLimit = serde_json::from_value(limit.as_str().into()).map_err(unknown)?;
        let other = || invalid(format!("{limit} should be a number, actually was {term}"));
        limits.insert(known, number.as_i64().ok_or_else(other)?);
    }
    let existed = !old.is_empty();
    let gone = old
        .keys()
        .filter(|limit| !limits.contains_key(limit))
        .map(|limit| (*limit, None));
    let changes: Vec<_> = gone
        .chain(limits.iter().map(|(limit, value)| (*limit, Some(*value))))
        .collect();
    for (limit, value) in changes {
        let vhost = vhost.clone();
        call.command(Command::SetVhostLimit { vhost, limit, value }).await?;
    }
    Ok(if existed { Answer::Done } else { Answer::Created(None) })
}

/// Takes all limits of a vhost away.
///
/// # Errors
/// When there are none.
pub async fn delete_parameter(call: &Call) -> Answered {
    let (vhost, old) = call.in_vhost(|vhost| (vhost.name().clone(), vhost.limits.clone()))?;
    if old.is_empty() || call.name("name") != PARAMETER {
        return Err(Failure::NotFound);
    }
    for limit in old.into_keys() {
        let (vhost, value) = (vhost.clone(), None);
        call.command(Command::SetVhostLimit { vhost, limit, value }).await?;
    }
    Ok(Answer::Done)
}

/// The one name of the component `vhost-limits`.
pub const PARAMETER: &str = "limits";

/// Why a limit is not taken.
enum BadLimit {
    Request(Failure),
    Invalid(String),
}

impl BadLimit {
    fn told(self, invalid: impl FnOnce(String) -> Failure) -> Failure {
        match self {
            Self::Request(failure) => failure,
            Self::Invalid(why) => invalid(why),
        }
    }
}

fn named<L: DeserializeOwned>(call: &Call) -> Option<L> {
    serde_json::from_value(call.name("limit").into()).ok()
}

/// The limit of the path with the value of the body.
fn limit<L: DeserializeOwned>(call: &Call, what: &str) -> Result<(L, i64), BadLimit> {
    let fields = call.fields().map_err(BadLimit::Request)?;
    fields.need(&["value"]).map_err(BadLimit::Request)?;
    let name = call.name("limit");
    let value = fields.0.get("value").unwrap_or(&Value::Null);
    let term = term(value);
    let limit = named(call)
        .ok_or_else(|| BadLimit::Invalid(format!("Unrecognised terms [{{<<\"{name}\">>,{term}}}] in {what}")))?;
    let number = value
        .as_i64()
        .ok_or_else(|| BadLimit::Invalid(format!("{name} should be a number, actually was {term}")))?;
    Ok((limit, number))
}
