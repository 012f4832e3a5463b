//! What whoever runs a node may see and change of its configuration while it runs. A change holds until
//! the node ends: the files say what holds at the next start.

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::route::{Access, Route, Run, Verb};
use crate::broker::Broker;
use crate::logging;
use crate::types::sorting::sort_by;

/// What can be asked of settings.
pub static ROUTES: &[Route] = &[
    Route::get(
        "/settings",
        Access::Administrator,
        "Each key of the configuration and the value that the node was started with.",
        |call| Ok(Answer::Json(json!(call.broker.config().effective()))),
    ),
    Route::new(
        Verb::Put,
        "/settings/{key}",
        Access::Administrator,
        "Gives a key another value until the node ends: {\"value\": \"50MB\"}.",
        Run::Later(|call| Box::pin(async move { put(&call) })),
    ),
    Route::get(
        "/settings/os-env",
        Access::Administrator,
        "The variables of the node's environment that are about it, without secrets.",
        |_| Ok(Answer::Json(environment(std::env::vars()))),
    ),
];

fn put(call: &Call) -> Answered {
    let fields = call.fields()?;
    let value = fields.text("value")?.ok_or_else(|| Failure::keys_missing(&["value"]))?;
    set(&call.broker, call.name("key"), value).map_err(Failure::bad)?;
    Ok(Answer::Done)
}

/// Gives a key another value. The error is for people.
fn set(broker: &Broker, key: &str, value: &str) -> Result<(), String> {
    let config = broker
        .config()
        .with(key, value)
        .map_err(|problem| problem.to_string())?;
    match key {
        "vm_memory_high_watermark.relative" | "vm_memory_high_watermark.absolute" => {
            broker.alarms().set_memory_limit(&config.resources);
        }
        "disk_free_limit.relative" | "disk_free_limit.absolute" => broker.alarms().set_disk_limit(&config.resources),
        "log.default.level" => logging::set_level(config.logging.level),
        _ => return Err(format!("{key} cannot be changed while the node runs")),
    }
    tracing::info!(key, value, "a setting was changed");
    Ok(())
}

/// Names by which a variable is about the node.
const OURS: [&str; 2] = ["RABBITMQ_", "WARREN_"];
/// Parts of names of variables with secrets.
const SECRETS: [&str; 5] = ["PASS", "SECRET", "COOKIE", "TOKEN", "KEY"];

fn environment(variables: impl Iterator<Item = (String, String)>) -> Value {
    let ours = variables.filter(|(name, _)| OURS.iter().any(|begin| name.starts_with(begin)));
    let mut ours: Vec<_> = ours
        .map(|(name, value)| match SECRETS.iter().any(|part| name.contains(part)) {
            true => (name, json!("********")),
            false => (name, json!(value)),
        })
        .collect();
    sort_by(&mut ours, |(one, _), (other, _)| one.cmp(other));
    Value::Object(ours.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_told_without_secrets() {
        let variables = [
            ("WARREN_DATA_DIR", "/data"),
            ("RABBITMQ_NODENAME", "a@b"),
            ("RABBITMQ_DEFAULT_PASS", "hidden"),
            ("RABBITMQ_ERLANG_COOKIE", "hidden"),
            ("HOME", "/root"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let told = environment(variables.into_iter()).to_string();
        assert_eq!(
            told,
            r#"{"RABBITMQ_DEFAULT_PASS":"********","RABBITMQ_ERLANG_COOKIE":"********","RABBITMQ_NODENAME":"a@b","WARREN_DATA_DIR":"/data"}"#
        );
    }
}
