//! Super streams: made, given partitions, deleted.

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::fields::Fields;
use super::list;
use super::route::{Access, Route};
use crate::front::streams::{StreamRefusal, Streams};
use crate::front::super_streams::SuperStream;
use crate::metadata::json::to_object;

/// What can be asked of super streams.
pub static ROUTES: &[Route] = &[
    Route::get(
        "/stream/super-streams",
        Access::Management,
        "All super streams, with their partitions.",
        |call| {
            let all = call.in_vhosts(|vhost| views(vhost.name(), &Streams::super_streams(vhost)));
            list::listing(call, all, &["vhost", "name"])
        },
    ),
    Route::get(
        "/stream/super-streams/{vhost}",
        Access::Vhost,
        "Super streams of a vhost.",
        |call| {
            let all = call.in_vhost(|vhost| views(vhost.name(), &Streams::super_streams(vhost)))?;
            list::listing(call, all, &["name"])
        },
    ),
    Route::put(
        "/stream/super-streams/{vhost}/{name}",
        Access::Vhost,
        "Makes a super stream: partitions, how many, or binding-keys, joined by commas; and arguments of its streams.",
        |call| Box::pin(create(call)),
    ),
    Route::post(
        "/stream/super-streams/{vhost}/{name}/partitions",
        Access::Vhost,
        "Gives a super stream another partition, the last: its binding-key.",
        |call| Box::pin(add_partition(call)),
    ),
    Route::delete(
        "/stream/super-streams/{vhost}/{name}",
        Access::Vhost,
        "Deletes a super stream and its partitions.",
        |call| {
            Box::pin(async move {
                let actor = call.actor()?;
                let deleted = Streams(call.broker.clone())
                    .delete_super(&actor, call.name("name"))
                    .await;
                deleted.map(|()| Answer::Done).map_err(failure)
            })
        },
    ),
];

/// The most partitions that are made at once, as RabbitMQ's command line has it.
const MOST: i64 = 1_000;

fn views(vhost: &str, all: &[SuperStream]) -> Vec<Value> {
    let view = |one: &SuperStream| {
        let partitions = one.partitions.iter();
        let partitions = partitions.map(|partition| json!({"name": partition.name, "binding_key": partition.key}));
        json!({"name": one.name, "vhost": vhost, "partitions": partitions.collect::<Vec<_>>()})
    };
    all.iter().map(view).collect()
}

fn failure(refusal: StreamRefusal) -> Failure {
    match refusal {
        StreamRefusal::NoStream => Failure::NotFound,
        StreamRefusal::StreamExists => Failure::bad("there is already an exchange or a queue of that name"),
        StreamRefusal::AccessRefused => Failure::NotAuthorised("Access refused."),
        StreamRefusal::PreconditionFailed => Failure::bad("a name or an argument cannot be used"),
        StreamRefusal::InternalError => Failure::Broken("the super stream cannot be changed now".to_owned()),
    }
}

/// Names of partitions and their binding keys.
fn partitions(name: &str, fields: &Fields) -> Result<Vec<(String, String)>, Failure> {
    let keys: Vec<String> = match (fields.integer("partitions")?, fields.text("binding-keys")?) {
        (Some(_), Some(_)) => return Err(Failure::bad("Specify partitions or binding-keys, not both.")),
        (Some(count), None) if (1..=MOST).contains(&count) => (0..count).map(|key| key.to_string()).collect(),
        (Some(_), None) => return Err(Failure::bad(format!("partitions is from 1 to {MOST}"))),
        (None, Some(keys)) => keys.split(',').map(|key| key.trim().to_owned()).collect(),
        (None, None) => return Err(Failure::bad("partitions or binding-keys is needed")),
    };
    if keys.iter().any(String::is_empty) || keys.len() as i64 > MOST {
        return Err(Failure::bad("a binding key is empty, or there are too many"));
    }
    Ok(keys.into_iter().map(|key| (format!("{name}-{key}"), key)).collect())
}

async fn create(call: Call) -> Answered {
    let actor = call.actor()?;
    let (name, fields) = (call.name("name"), call.fields()?);
    let partitions = partitions(name, &fields)?;
    let arguments = match fields.get("arguments").map(to_object) {
        None => Vec::new(),
        Some(Some(arguments)) => arguments.iter().map(argument).collect(),
        Some(None) => return Err(Failure::bad("arguments is an object")),
    };
    let streams = Streams(call.broker.clone());
    let created = streams.create_super(&actor, name, &partitions, &arguments).await;
    created.map(|()| Answer::Created(None)).map_err(failure)
}

/// As the stream protocol has them: without `x-`, all of them texts.
fn argument((key, value): (&String, &Value)) -> (String, String) {
    let key = key.strip_prefix("x-").unwrap_or(key).to_owned();
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    (key, value)
}

async fn add_partition(call: Call) -> Answered {
    let actor = call.actor()?;
    let (name, fields) = (call.name("name"), call.fields()?);
    let key = fields.some_text("binding-key")?;
    let partition = format!("{name}-{key}");
    let added = Streams(call.broker.clone())
        .add_partition(&actor, name, (&partition, key))
        .await;
    added.map(|()| Answer::Created(None)).map_err(failure)
}
