//! Bindings, each addressed by its ends and a key made of its binding key and arguments.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::list;
use super::route::{Access, Route};
use super::text::{exchange_name, quoted, unquoted};
use crate::codec::method::{ExchangeBind, ExchangeUnbind, QueueBind, QueueUnbind};
use crate::declare::{self, DeclareError};
use crate::metadata::{Vhost, json};
use crate::spec::{BindingSpec, Destination};
use crate::types::{ExchangeName, FieldTable, VhostName};

/// What can be asked of bindings.
pub static ROUTES: &[Route] = &[
    Route::get("/bindings", Access::Management, "All bindings.", |call| {
        list::listing(call, call.in_vhosts(of_vhost), ORDER)
    }),
    Route::get("/bindings/{vhost}", Access::Vhost, "Bindings of a vhost.", |call| {
        list::listing(call, call.in_vhost(of_vhost)?, ORDER)
    }),
    Route::get(
        "/bindings/{vhost}/e/{source}/q/{queue}",
        Access::Vhost,
        "Bindings from an exchange to a queue.",
        list,
    ),
    Route::get(
        "/bindings/{vhost}/e/{source}/e/{exchange}",
        Access::Vhost,
        "Bindings from an exchange to an exchange.",
        list,
    ),
    Route::post(
        "/bindings/{vhost}/e/{source}/q/{queue}",
        Access::Vhost,
        "Binds a queue: routing_key, arguments.",
        |call| Box::pin(bind(call)),
    ),
    Route::post(
        "/bindings/{vhost}/e/{source}/e/{exchange}",
        Access::Vhost,
        "Binds an exchange: routing_key, arguments.",
        |call| Box::pin(bind(call)),
    ),
    Route::get(
        "/bindings/{vhost}/e/{source}/q/{queue}/{properties}",
        Access::Vhost,
        "A binding, by its properties_key.",
        one,
    ),
    Route::get(
        "/bindings/{vhost}/e/{source}/e/{exchange}/{properties}",
        Access::Vhost,
        "A binding, by its properties_key.",
        one,
    ),
    Route::delete(
        "/bindings/{vhost}/e/{source}/q/{queue}/{properties}",
        Access::Vhost,
        "Unbinds a queue.",
        |call| Box::pin(unbind(call)),
    ),
    Route::delete(
        "/bindings/{vhost}/e/{source}/e/{exchange}/{properties}",
        Access::Vhost,
        "Unbinds an exchange.",
        |call| Box::pin(unbind(call)),
    ),
];

const ORDER: &[&str] = &["vhost", "source", "destination_type", "destination", "properties_key"];

/// Bindings from an exchange; every queue is bound to the default one by its name.
pub fn from(vhost: &Vhost, source: &ExchangeName) -> Vec<Value> {
    if source.is_empty() {
        return defaults(vhost).map(|binding| view(vhost.name(), &binding)).collect();
    }
    let own = vhost.bindings_from(source);
    own.map(|binding| view(vhost.name(), binding)).collect()
}

/// Bindings that lead to a queue or an exchange.
pub fn to(vhost: &Vhost, destination: &Destination) -> Vec<Value> {
    let by_name = defaults(vhost).filter(|binding| binding.destination == *destination);
    let by_name = by_name.map(|binding| view(vhost.name(), &binding));
    let own = vhost.bindings_to(destination);
    by_name.chain(own.map(|binding| view(vhost.name(), binding))).collect()
}

fn of_vhost(vhost: &Vhost) -> Vec<Value> {
    let by_name = defaults(vhost).map(|binding| view(vhost.name(), &binding));
    by_name
        .chain(vhost.bindings().map(|binding| view(vhost.name(), binding)))
        .collect()
}

fn defaults(vhost: &Vhost) -> impl Iterator<Item = BindingSpec> {
    vhost.queues().map(|queue| BindingSpec {
        source: "".into(),
        destination: Destination::Queue(queue.name.clone()),
        key: queue.name.to_string(),
        arguments: FieldTable::new(),
    })
}

fn view(vhost: &VhostName, binding: &BindingSpec) -> Value {
    let (name, kind) = match &binding.destination {
        Destination::Queue(name) => (name.as_str(), "queue"),
        Destination::Exchange(name) => (name.as_str(), "exchange"),
    };
    json!({
        "source": binding.source,
        "vhost": vhost,
        "destination": name,
        "destination_type": kind,
        "routing_key": binding.key,
        "arguments": json::from_table(&binding.arguments),
        "properties_key": properties_key(binding),
    })
}

/// The binding key, escaped, and after a `~` a hash of the arguments if there are any.
fn properties_key(binding: &BindingSpec) -> String {
    if binding.arguments.is_empty() {
        return match binding.key.as_str() {
            "" => "~".to_owned(),
            key => quoted(key),
        };
    }
    let mut bytes = Vec::new();
    binding.arguments.sorted().encode(&mut bytes);
    let hash = crc32c::crc32c(&bytes).to_be_bytes();
    format!("{}~{}", quoted(&binding.key), URL_SAFE_NO_PAD.encode(hash))
}

/// Whether a key from a path means the binding: such a key may have been escaped once or twice.
fn is_meant(binding: &BindingSpec, properties: &str) -> bool {
    let own = properties_key(binding);
    own == properties
        || (!properties.contains('~') && binding.arguments.is_empty() && binding.key == unquoted(properties))
}

fn destination(call: &Call) -> Destination {
    match call.name("queue") {
        "" => Destination::Exchange(exchange_name(call.name("exchange")).into()),
        name => Destination::Queue(name.into()),
    }
}

/// The bindings between the two ends of the path.
///
/// # Errors
/// When there is no such end.
fn between(call: &Call) -> Result<Vec<BindingSpec>, Failure> {
    let source = exchange_name(call.name("source"));
    let destination = destination(call);
    let found = call.in_vhost(|vhost| {
        let there = match &destination {
            Destination::Queue(name) => vhost.queue(name).is_some(),
            Destination::Exchange(name) => vhost.exchange(name).is_some(),
        };
        if vhost.exchange(source).is_none() || !there {
            return None;
        }
        let by_name = defaults(vhost).filter(|binding| source.is_empty() && binding.destination == destination);
        let own = vhost
            .bindings_from(source)
            .filter(|binding| binding.destination == destination);
        Some(by_name.chain(own.cloned()).collect())
    })?;
    found.ok_or(Failure::NotFound)
}

fn list(call: &Call) -> Answered {
    let vhost = call.vhost();
    let views = between(call)?.iter().map(|binding| view(&vhost, binding)).collect();
    list::listing(call, views, &["properties_key"])
}

fn addressed(call: &Call) -> Result<BindingSpec, Failure> {
    let mut all = between(call)?.into_iter();
    all.find(|binding| is_meant(binding, call.name("properties")))
        .ok_or(Failure::NotFound)
}

fn one(call: &Call) -> Answered {
    Ok(Answer::Json(view(&call.vhost(), &addressed(call)?)))
}

async fn bind(call: Call) -> Answered {
    let fields = call.fields()?;
    let binding = BindingSpec {
        source: exchange_name(call.name("source")).into(),
        destination: destination(&call),
        key: fields.text("routing_key")?.unwrap_or_default().to_owned(),
        arguments: json::to_table(fields.get("arguments"))?,
    };
    let actor = call.actor()?;
    let decided = call
        .broker
        .declarations()
        .decide_by(Some(&call.caller.name), |catalogue| {
            let who = actor.who();
            let command = match &binding.destination {
                Destination::Queue(name) => declare::queue_bind(
                    catalogue,
                    &who,
                    None,
                    &QueueBind {
                        queue: name.to_string(),
                        exchange: binding.source.to_string(),
                        routing_key: binding.key.clone(),
                        arguments: binding.arguments.clone(),
                        ..QueueBind::default()
                    },
                ),
                Destination::Exchange(name) => declare::exchange_bind(
                    catalogue,
                    &who,
                    &ExchangeBind {
                        destination: name.to_string(),
                        source: binding.source.to_string(),
                        routing_key: binding.key.clone(),
                        arguments: binding.arguments.clone(),
                        ..ExchangeBind::default()
                    },
                ),
            }?;
            Ok::<_, DeclareError>((Some(command), ()))
        });
    decided.await?;
    let name = match &binding.destination {
        Destination::Queue(name) => name.as_str(),
        Destination::Exchange(name) => name.as_str(),
    };
    let place = format!("{}/{}", quoted(name), quoted_key(&properties_key(&binding)));
    Ok(Answer::Created(Some(place)))
}

/// Escapes a properties key for a location; its `~` stands for itself.
fn quoted_key(key: &str) -> String {
    quoted(key).replace("%7E", "~")
}

async fn unbind(call: Call) -> Answered {
    let binding = addressed(&call)?;
    let actor = call.actor()?;
    let decided = call
        .broker
        .declarations()
        .decide_by(Some(&call.caller.name), |catalogue| {
            let who = actor.who();
            let command = match &binding.destination {
                Destination::Queue(name) => declare::queue_unbind(
                    catalogue,
                    &who,
                    None,
                    &QueueUnbind {
                        queue: name.to_string(),
                        exchange: binding.source.to_string(),
                        routing_key: binding.key.clone(),
                        arguments: binding.arguments.clone(),
                    },
                ),
                Destination::Exchange(name) => declare::exchange_unbind(
                    catalogue,
                    &who,
                    &ExchangeUnbind {
                        destination: name.to_string(),
                        source: binding.source.to_string(),
                        routing_key: binding.key.clone(),
                        arguments: binding.arguments.clone(),
                        ..ExchangeUnbind::default()
                    },
                ),
            }?;
            Ok::<_, DeclareError>((Some(command), Answer::Done))
        });
    Ok(decided.await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FieldValue;

    fn binding(key: &str, arguments: &[(&str, i64)]) -> BindingSpec {
        let entries = arguments
            .iter()
            .map(|(name, value)| ((*name).to_owned(), FieldValue::I64(*value)));
        BindingSpec {
            source: "e".into(),
            destination: Destination::Queue("q".into()),
            key: key.to_owned(),
            arguments: FieldTable(entries.collect()),
        }
    }

    #[test]
    fn a_binding_is_found_by_its_key_however_often_it_was_escaped() {
        assert_eq!(properties_key(&binding("", &[])), "~");
        assert_eq!(properties_key(&binding("order.#", &[])), "order.%23");
        let odd = binding("a~b/c d", &[]);
        assert_eq!(properties_key(&odd), "a%7Eb%2Fc+d");
        assert_eq!(quoted_key(&properties_key(&odd)), "a%257Eb%252Fc%2Bd");
        assert!(is_meant(&odd, "a%7Eb%2Fc+d"));
        assert!(!is_meant(&odd, "a~b/c d"));
        assert!(is_meant(&binding("order.#", &[]), "order.#"));
        assert!(is_meant(&binding("", &[]), "~"));
    }

    #[test]
    fn arguments_are_told_apart_whatever_their_order() {
        let (ab, ba) = (binding("k", &[("a", 1), ("b", 2)]), binding("k", &[("b", 2), ("a", 1)]));
        assert_eq!(properties_key(&ab), properties_key(&ba));
        assert_ne!(properties_key(&ab), properties_key(&binding("k", &[("a", 1)])));
        assert!(is_meant(&ab, &properties_key(&ab)));
        assert!(!is_meant(&ab, "k"));
        assert_eq!(properties_key(&ab).len(), "k~".len() + 6);
    }
}
