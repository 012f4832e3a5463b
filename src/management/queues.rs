//! Queues: what they are and hold, and what operators do to them.

mod counts;
mod health;
mod listed;
mod view;

use std::sync::Arc;

use serde_json::json;

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::fields::checked_name;
use super::route::{Access, Route, Run, Verb};
use super::{bindings, list, messages, page};
use crate::broker::QueueHandle;
use crate::broker::quarantine::{QuarantineError, Served};
use crate::codec::method::{QueueDeclare, QueueDelete, QueuePurge};
use crate::declare::{self, Actor, DeclareError, DeletePlan, QueuePlan};
use crate::metadata::{Command, Vhost, json};
use crate::spec::{Destination, QueueSpec};
use crate::types::{NodeId, VhostName};
use listed::{Listed, View, live};
use view::{detailed_view, list_view, one_view};

/// What can be asked of queues.
pub static ROUTES: &[Route] = &[
    Route::gathered(
        "/queues",
        Access::Management,
        "All queues; disable_stats=true leaves the numbers out.",
        list_all,
    ),
    Route::gathered(
        "/queues/detailed",
        Access::Management,
        "All queues, with what they have not as well.",
        |call| listing(call, &visible(call), detailed_view, &["vhost", "name"]),
    ),
    Route::gathered("/queues/{vhost}", Access::Vhost, "Queues of a vhost.", |call| {
        call.in_vhost(|_| ())?;
        listing(call, &[call.vhost()], list_view(call), &["name"])
    }),
    Route::gathered("/queues/{vhost}/{name}", Access::Vhost, "A queue.", |call| {
        let view = with_queue(call, |vhost, spec| one_view(&Listed::new(call, vhost, spec, one_view)))?;
        page::single(call, view)
    }),
    Route::put(
        "/queues/{vhost}/{name}",
        Access::Vhost,
        "Declares a queue: durable, auto_delete, arguments.",
        |call| Box::pin(put(call)),
    ),
    Route::delete(
        "/queues/{vhost}/{name}",
        Access::Vhost,
        "Deletes a queue; if-unused=true and if-empty=true spare it.",
        |call| Box::pin(delete(call)),
    ),
    Route::new(
        Verb::Get,
        "/queues/{vhost}/{name}/health",
        Access::Vhost,
        "Why a queue does not get on: health in a word, and reasons.",
        Run::Later(|call| Box::pin(health::health(call))),
    ),
    Route::get(
        "/queues/{vhost}/{name}/bindings",
        Access::Vhost,
        "Bindings that lead to a queue.",
        |call| {
            let views = with_queue(call, |vhost, spec| {
                bindings::to(vhost, &Destination::Queue(spec.name.clone()))
            })?;
            list::listing(call, views, &["source", "properties_key"])
        },
    ),
    Route::delete(
        "/queues/{vhost}/{name}/contents",
        Access::Vhost,
        "Drops all messages that are ready.",
        |call| Box::pin(purge(call)),
    )
    .plain(),
    Route::post(
        "/queues/{vhost}/{name}/actions",
        Access::Administrator,
        "Takes an action: recover serves a damaged queue with what can be read of it.",
        |call| Box::pin(act(call)),
    )
    .plain(),
    Route::new(
        Verb::Get,
        "/queues/{vhost}/{name}/readable/{from}",
        Access::Administrator,
        "What can be read of a damaged queue, from a place in it: messages, lost, next.",
        Run::Later(|call| Box::pin(readable(call))),
    ),
];

fn visible(call: &Call) -> Vec<VhostName> {
    call.caller.vhosts(&call.broker.catalogue())
}

fn list_all(call: &Call) -> Answered {
    listing(call, &visible(call), list_view(call), &["vhost", "name"])
}

fn listing(call: &Call, vhosts: &[VhostName], view: View, order: &[&str]) -> Answered {
    let catalogue = call.broker.catalogue();
    let vhosts = vhosts.iter().filter_map(|name| catalogue.vhost(name));
    let queues = vhosts.flat_map(|vhost| vhost.queues().map(move |spec| Listed::new(call, vhost, spec, view)));
    list::listing(call, queues.collect(), order)
}

/// Something of the queue of the path.
fn with_queue<R>(call: &Call, read: impl FnOnce(&Vhost, &QueueSpec) -> R) -> Result<R, Failure> {
    call.in_vhost(|vhost| vhost.queue(call.name("name")).map(|spec| read(vhost, spec)))?
        .ok_or(Failure::NotFound)
}

async fn put(call: Call) -> Answered {
    let fields = call.fields()?;
    let home = match fields.text("node")? {
        None => NodeId::default(),
        Some(name) => {
            let mut nodes = call.broker.declarations().node_names().into_iter();
            let named = nodes.find(|(id, known)| known == name && call.broker.nodes().is_alive(*id));
            let (home, _) = named.ok_or_else(|| Failure::bad(format!("Node {name} could not be contacted")))?;
            home
        }
    };
    let method = QueueDeclare {
        queue: checked_name(call.name("name"))?.to_owned(),
        durable: fields.boolean("durable", false)?,
        auto_delete: fields.boolean("auto_delete", false)?,
        arguments: json::to_table(fields.get("arguments"))?,
        ..QueueDeclare::default()
    };
    let actor = call.actor()?;
    declare(&call, &actor, &method, home).await
}

/// Declares a queue as the user who asks: 201 when it is new, else 204.
///
/// # Errors
/// In the broker's words.
pub async fn declare(call: &Call, actor: &Actor, method: &QueueDeclare, home: NodeId) -> Answered {
    let rules = call.broker.queue_rules();
    let decided = call
        .broker
        .declarations()
        .decide_by(Some(&call.caller.name), |catalogue| {
            let plan = declare::queue_declare(catalogue, &actor.who(), rules, method, rand::random)?;
            Ok::<_, DeclareError>(match plan {
                QueuePlan::Create(spec) => {
                    let spec = QueueSpec { home, ..spec };
                    (Some(Command::DeclareQueue(spec)), Answer::Created(None))
                }
                _ => (None, Answer::Done),
            })
        });
    Ok(decided.await?)
}

async fn delete(call: Call) -> Answered {
    with_queue(&call, |_, _| ())?;
    let method = QueueDelete {
        queue: call.name("name").to_owned(),
        if_unused: call.query.is_true("if-unused"),
        if_empty: call.query.is_true("if-empty"),
        ..QueueDelete::default()
    };
    let actor = call.actor()?;
    let plan = declare::queue_delete(&call.broker.catalogue(), &actor.who(), None, &method).map_err(Failure::of)?;
    if let DeletePlan::Delete {
        queue,
        if_unused,
        if_empty,
    } = plan
    {
        call.broker
            .declarations()
            .delete_queue(&actor.who(), &queue, if_unused, if_empty)
            .await?;
    }
    Ok(Answer::Done)
}

async fn purge(call: Call) -> Answered {
    with_queue(&call, |_, _| ())?;
    let method = QueuePurge {
        queue: call.name("name").to_owned(),
        ..QueuePurge::default()
    };
    let actor = call.actor()?;
    let name = declare::queue_purge(&call.broker.catalogue(), &actor.who(), None, &method).map_err(Failure::of)?;
    let queue = call.broker.vhost(&actor.vhost).and_then(|vhost| vhost.queue(&name));
    let purged = call.broker.queues().purge(&queue.ok_or(Failure::NotFound)?).await;
    purged.map_err(|away| Failure::Broken(away.text.clone()))?;
    Ok(Answer::Done)
}

async fn act(call: Call) -> Answered {
    with_queue(&call, |_, _| ())?;
    let fields = call.fields()?;
    fields.need(&["action"])?;
    if fields.0.get("action") != Some(&json!("recover")) {
        return Err(Failure::Bad(json!(["unknown", fields.0.get("action")])));
    }
    let served = call.broker.replicas().serve_what_is_left(&its_queue(&call)?).await;
    Ok(match served.map_err(quarantine)? {
        Served::Now => Answer::Done,
        Served::NextStart => Answer::Json(json!({"served": "next start"})),
    })
}

async fn readable(call: Call) -> Answered {
    let from = call.name("from").parse();
    let from = from.map_err(|_| Failure::bad("a place in a queue is a number"))?;
    let read = call
        .broker
        .replicas()
        .readable(&its_queue(&call)?, from)
        .await
        .map_err(quarantine)?;
    let messages: Vec<_> = read.messages.iter().map(messages::whole_view).collect();
    Ok(Answer::Json(
        json!({"messages": messages, "lost": read.lost, "next": read.next}),
    ))
}

/// The live queue of the path.
fn its_queue(call: &Call) -> Result<Arc<QueueHandle>, Failure> {
    let queue = with_queue(call, |vhost, spec| live(call, vhost, spec))?;
    queue.ok_or(Failure::NotFound)
}

fn quarantine(error: QuarantineError) -> Failure {
    match error {
        QuarantineError::Broker(error) => error.into(),
        error => Failure::bad(error.to_string()),
    }
}
