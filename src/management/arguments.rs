//! What queues, exchanges, policies and limits can be given, so that forms follow the tables that the
//! broker itself goes by.

use serde_json::{Value, json};

use super::answer::Answer;
use super::route::{Access, Route};
use crate::exchange::EXCHANGE_TYPES;
use crate::spec::argument::{Argument, PolicyKey};
use crate::spec::arguments::{ARGUMENTS, MIRRORED, OTHER_POLICY_KEYS};
use crate::spec::exchange_arguments::{ExchangeArgument, OF_EVERY_EXCHANGE};
use crate::spec::shape::{Kind, Shape};

/// What can be asked of them.
pub static ROUTES: &[Route] = &[Route::get(
    "/arguments",
    Access::Management,
    "What queues, exchanges, policies and limits can be given: name, type, help.",
    |_| {
        Ok(Answer::Json(json!({
            "queue": ARGUMENTS.iter().map(of_queue).collect::<Value>(),
            "exchange": exchange_arguments().map(|(types, row)| of_exchange(&types, row)).collect::<Value>(),
            "policy": policy_keys(),
            "limits": {
                "vhost": [
                    limit("max-connections", "Most connections of clients to the virtual host; below 0 is no limit."),
                    limit("max-queues", "Most queues in the virtual host; below 0 is no limit."),
                ],
                "user": [
                    limit("max-connections", "Most connections of the user; below 0 is no limit."),
                    limit("max-channels", "Most channels of the user; below 0 is no limit."),
                ],
            },
        })))
    },
)];

/// What the keys of federation say of themselves.
const OF_MIRRORS: &str =
    "Kept for definitions of RabbitMQ before version 4; there are no mirrored queues, so nothing acts on it.";
const OF_FEDERATION: &str = "Kept for definitions; this broker has no federation, so nothing acts on it.";

fn shaped(name: &str, shape: Shape, help: &str) -> Value {
    let mut view = json!({"name": name, "type": shape.kind.name(), "help": help});
    if !shape.choices.is_empty() {
        view["values"] = json!(shape.choices);
    }
    for (key, bound) in [("from", shape.from), ("to", shape.to)] {
        if let Some(bound) = bound {
            view[key] = json!(bound);
        }
    }
    view
}

fn limit(name: &str, help: &str) -> Value {
    shaped(name, Shape::any(Kind::Integer), help)
}

fn of_queue(row: &Argument) -> Value {
    let mut view = shaped(row.name, row.shape(), row.help);
    view["on"] = json!(row.types);
    view["policy"] = json!(row.policy.as_ref().map(|key| key.name));
    view
}

/// Each exchange argument with the types that take it.
fn exchange_arguments() -> impl Iterator<Item = (Vec<&'static str>, &'static ExchangeArgument)> {
    let every = || EXCHANGE_TYPES.iter().map(|kind| kind.name).collect();
    let of_every = OF_EVERY_EXCHANGE.iter().map(move |row| (every(), row));
    let of_types = EXCHANGE_TYPES
        .iter()
        .flat_map(|kind| kind.arguments.iter().map(|row| (vec![kind.name], row)));
    of_every.chain(of_types)
}

fn of_exchange(types: &[&str], row: &ExchangeArgument) -> Value {
    let mut view = shaped(row.name, row.shape, row.help);
    view["on"] = json!(types);
    view["policy"] = json!(row.policy.as_ref().map(|key| key.name));
    view
}

fn policy_keys() -> Value {
    let of_queues = ARGUMENTS.iter().filter_map(|row| {
        let key = row.policy.as_ref()?;
        // The row knows more of its numbers than the key does: whether they are a time.
        let shape = match (key.shape(), row.shape().kind) {
            (shape, kind @ (Kind::Milliseconds | Kind::Bytes)) if shape.kind == Kind::Integer => {
                Shape { kind, ..shape }
            }
            (shape, _) if shape.kind == Kind::Text && shape.choices.is_empty() => row.shape(),
            (shape, _) => shape,
        };
        Some(policy_key(key, shape, row.help, json!(row.types)))
    });
    let of_exchanges = exchange_arguments().filter_map(|(_, row)| {
        let key = row.policy.as_ref()?;
        Some(policy_key(key, row.shape, row.help, json!(["exchange"])))
    });
    let others = OTHER_POLICY_KEYS.iter();
    let others = others.map(|key| {
        let help = match key.name.starts_with(MIRRORED) {
            true => OF_MIRRORS,
            false => OF_FEDERATION,
        };
        policy_key(key, key.shape(), help, json!([]))
    });
    of_queues.chain(of_exchanges).chain(others).collect()
}

fn policy_key(key: &PolicyKey, shape: Shape, help: &str, on: Value) -> Value {
    let mut view = shaped(key.name, shape, help);
    view["on"] = on;
    view["operator"] = json!(key.is_operators);
    view
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_and_key_has_a_help() {
        let keys = policy_keys();
        let keys = keys.as_array().expect("a list").iter();
        let rows = ARGUMENTS.iter().map(of_queue);
        let exchanges = exchange_arguments().map(|(types, row)| of_exchange(&types, row));
        for view in rows.chain(exchanges).chain(keys.cloned()) {
            assert!(view["help"].as_str().is_some_and(|help| help.ends_with('.')), "{view}");
        }
    }

    #[test]
    fn a_policy_key_asks_for_what_its_argument_asks() {
        let keys = policy_keys();
        let key = |name: &str| {
            let mut keys = keys.as_array().expect("a list").iter();
            keys.find(|key| key["name"] == name).expect("there is one").clone()
        };
        assert_eq!(key("message-ttl")["type"], "milliseconds");
        assert_eq!(key("overflow")["values"][1], "reject-publish");
        assert_eq!(key("queue-leader-locator")["values"][0], "client-local");
        assert_eq!(
            (&key("max-length")["operator"], &key("max-length")["from"]),
            (&json!(true), &json!(0))
        );
        assert_eq!(key("alternate-exchange")["on"], json!(["exchange"]));
        assert_eq!(key("federation-upstream")["on"], json!([]));
    }
}
