//! Queues: what they are and hold, and what operators do to them.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::{Call, Identity, checked_name};
use super::route::{Access, Route, Run, Verb};
use super::views::{self, still};
use super::{bindings, consumers, messages, page};
use crate::broker::declare::{self, DeclareError, DeletePlan, QueuePlan, QueueRules};
use crate::broker::quarantine::{QuarantineError, Served};
use crate::broker::{QueueHandle, connections::connection_name};
use crate::codec::method::{QueueDeclare, QueueDelete, QueuePurge};
use crate::metadata::json;
use crate::metadata::{Command, Vhost};
use crate::queue::Counts;
use crate::spec::policy::{self, Policy, Subject};
use crate::spec::{Destination, QueueSpec, QueueType};
use crate::types::{NodeId, VhostName};

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
        |call| {
            let views = collect(call, &visible(call), detailed_view);
            page::listing(call, views, &["vhost", "name"])
        },
    ),
    Route::gathered("/queues/{vhost}", Access::Vhost, "Queues of a vhost.", |call| {
        call.in_vhost(|_| ())?;
        let views = collect(call, &[call.vhost()], list_view(call));
        page::listing(call, views, &["name"])
    }),
    Route::gathered("/queues/{vhost}/{name}", Access::Vhost, "A queue.", |call| {
        let view = with_queue(call, |vhost, spec| one_view(call, vhost, spec))?;
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
    Route::get(
        "/queues/{vhost}/{name}/bindings",
        Access::Vhost,
        "Bindings that lead to a queue.",
        |call| {
            let views = with_queue(call, |vhost, spec| {
                bindings::to(vhost, &Destination::Queue(spec.name.clone()))
            })?;
            page::listing(call, views, &["source", "properties_key"])
        },
    ),
    Route::delete(
        "/queues/{vhost}/{name}/contents",
        Access::Vhost,
        "Drops all messages that are ready.",
        |call| Box::pin(purge(call)),
    ),
    Route::post(
        "/queues/{vhost}/{name}/actions",
        Access::Vhost,
        "Takes an action: recover serves a damaged queue with what can be read of it.",
        |call| Box::pin(act(call)),
    ),
    Route::new(
        Verb::Get,
        "/queues/{vhost}/{name}/readable/{from}",
        Access::Administrator,
        "What can be read of a damaged queue, from a place in it: messages, lost, next.",
        Run::Later(|call| Box::pin(readable(call))),
    ),
];

fn visible(call: &Call) -> Vec<VhostName> {
    call.caller.vhosts(&call.broker.catalog())
}

fn list_all(call: &Call) -> Answered {
    let views = collect(call, &visible(call), list_view(call));
    page::listing(call, views, &["vhost", "name"])
}

/// How one queue is shown.
type View = fn(&Call, &Vhost, &QueueSpec) -> Value;

/// How a queue is shown in lists.
fn list_view(call: &Call) -> View {
    let config = &call.broker.config().management;
    if !(call.query.is_true("disable_stats") || config.disable_stats) {
        return numbers_view;
    }
    match call.query.is_true("enable_queue_totals") || config.enable_queue_totals {
        true => |call, vhost, spec| {
            let mut view = declared_view(call, vhost, spec);
            let counts = live(call, vhost, spec).and_then(|queue| call.gathered.counts(&queue));
            let counts = counts.unwrap_or_default();
            view["messages"] = json!(counts.ready + counts.unacked);
            view["messages_ready"] = json!(counts.ready);
            view["messages_unacknowledged"] = json!(counts.unacked);
            view
        },
        false => declared_view,
    }
}

fn collect(call: &Call, vhosts: &[VhostName], view: View) -> Vec<Value> {
    let catalog = call.broker.catalog();
    let vhosts = vhosts.iter().filter_map(|name| catalog.vhost(name));
    vhosts
        .flat_map(|vhost| vhost.queues().map(move |spec| view(call, vhost, spec)))
        .collect()
}

/// Something of the queue of the path.
fn with_queue<R>(call: &Call, read: impl FnOnce(&Vhost, &QueueSpec) -> R) -> Result<R, Failure> {
    call.in_vhost(|vhost| vhost.queue(call.name("name")).map(|spec| read(vhost, spec)))?
        .ok_or(Failure::NotFound)
}

fn live(call: &Call, vhost: &Vhost, spec: &QueueSpec) -> Option<Arc<QueueHandle>> {
    call.broker.vhost(vhost.name())?.queue(&spec.name)
}

/// A queue as it is declared, without numbers; its policy only where it has one.
fn declared_view(call: &Call, vhost: &Vhost, spec: &QueueSpec) -> Value {
    let queue = live(call, vhost, spec);
    let standing = queue.map(|queue| call.broker.standing(&queue, &call.gathered));
    let leader = standing.as_ref().map_or(spec.home, |standing| standing.leader);
    let node = call.gathered.name(leader);
    let state = standing.as_ref().map_or("down", |standing| standing.health.name());
    let mut view = json!({
        "arguments": json::from_table(&spec.arguments),
        "auto_delete": spec.auto_delete,
        "durable": spec.durable,
        "exclusive": spec.exclusive_owner.is_some(),
        "name": spec.name,
        "node": node,
        "state": state,
        "type": views::queue_type(spec.queue_type),
        "vhost": spec.vhost,
    });
    let (policy, _) = policies(vhost, spec);
    if policy.is_some() {
        view["policy"] = json!(policy);
    }
    if let (QueueType::Quorum | QueueType::Stream, Some(standing)) = (spec.queue_type, standing) {
        view["leader"] = json!(node);
        view["members"] = names(call, &standing.members);
        view["online"] = names(call, &standing.online);
        if !standing.incomplete.is_empty() {
            view["members_being_filled"] = names(call, &standing.incomplete);
        }
    }
    view
}

/// The names of nodes, in their order.
fn names(call: &Call, nodes: &[NodeId]) -> Value {
    let mut names: Vec<_> = nodes.iter().map(|node| call.gathered.name(*node)).collect();
    names.sort();
    json!(names)
}

/// A queue of a list, with its numbers.
fn numbers_view(call: &Call, vhost: &Vhost, spec: &QueueSpec) -> Value {
    let mut view = declared_view(call, vhost, spec);
    let subject = Subject::Queue(spec.queue_type);
    view["effective_policy_definition"] = vhost.definition_for(subject, &spec.name).into();
    let (_, operators) = policies(vhost, spec);
    if operators.is_some() {
        view["operator_policy"] = json!(operators);
    }
    if spec.queue_type == QueueType::Classic {
        view["storage_version"] = json!(2);
    }
    let report = live(call, vhost, spec).and_then(|queue| call.gathered.queue(&queue));
    let Some(report) = report else {
        return view;
    };
    if spec.queue_type == QueueType::Quorum {
        view["delivery_limit"] = report.delivery_limit.map_or(json!("unlimited"), |limit| json!(limit));
    }
    write_counts(&mut view, spec.queue_type, report.counts);
    view
}

/// The names of the policy and the operator policy that apply.
fn policies<'a>(vhost: &'a Vhost, spec: &QueueSpec) -> (Option<&'a str>, Option<&'a str>) {
    let subject = Subject::Queue(spec.queue_type);
    let own = policy::applying(vhost.policies.values(), subject, &spec.name);
    let operators = policy::applying(vhost.operator_policies.values(), subject, &spec.name);
    let name = |policy: &'a Policy| policy.spec.name.as_str();
    (own.map(name), operators.map(name))
}

fn write_counts(view: &mut Value, kind: QueueType, counts: Counts) {
    let total = counts.ready + counts.unacked + counts.discarded;
    let bytes = counts.ready_bytes + counts.unacked_bytes + counts.discarded_bytes;
    // The queue counts bodies that are on disk only, not their bytes.
    let paged_bytes = match counts.ready {
        0 => 0,
        ready => (u128::from(counts.ready_bytes) * u128::from(counts.paged_out) / u128::from(ready)) as u64,
    };
    let ready_in_memory = counts.ready.saturating_sub(counts.paged_out);
    let numbers = [
        ("consumers", counts.consumers),
        ("memory", counts.memory_bytes),
        ("message_bytes", bytes),
        ("message_bytes_persistent", counts.persistent_bytes),
        ("message_bytes_ram", bytes.saturating_sub(paged_bytes)),
        ("message_bytes_ready", counts.ready_bytes),
        ("message_bytes_unacknowledged", counts.unacked_bytes),
        ("messages", total),
        ("messages_persistent", counts.persistent),
        ("messages_ram", ready_in_memory + counts.unacked),
        ("messages_ready", counts.ready),
        ("messages_unacknowledged", counts.unacked),
    ];
    let of_classic = [
        ("message_bytes_paged_out", paged_bytes),
        ("messages_paged_out", counts.paged_out),
        ("messages_ready_ram", ready_in_memory),
        ("messages_unacknowledged_ram", counts.unacked),
    ];
    let of_quorum = [
        ("message_bytes_dlx", counts.discarded_bytes),
        ("messages_dlx", counts.discarded),
    ];
    let of_classic = of_classic.into_iter().filter(|_| kind == QueueType::Classic);
    let of_quorum = of_quorum.into_iter().filter(|_| kind == QueueType::Quorum);
    for (key, number) in numbers.into_iter().chain(of_classic).chain(of_quorum) {
        view[key] = json!(number);
    }
    for key in ["messages", "messages_ready", "messages_unacknowledged"] {
        view[format!("{key}_details")] = still();
    }
}

/// A queue with its numbers, its owner, and what it has not.
fn detailed_view(call: &Call, vhost: &Vhost, spec: &QueueSpec) -> Value {
    let mut view = numbers_view(call, vhost, spec);
    let (policy, operators) = policies(vhost, spec);
    view["policy"] = json!(policy);
    view["operator_policy"] = json!(operators);
    if spec.queue_type == QueueType::Classic {
        view["head_message_timestamp"] = Value::Null;
        view["exclusive_consumer_tag"] = Value::Null;
    }
    let owner = spec.exclusive_owner.and_then(|owner| call.connections().get(&owner));
    if let Some(owner) = owner {
        view["owner_pid_details"] = owner_view(owner.peer, owner.local);
    }
    let report = live(call, vhost, spec).and_then(|queue| call.gathered.queue(&queue));
    if let Some(report) = report {
        if let Some((peer, local)) = report.owner {
            view["owner_pid_details"] = owner_view(peer, local);
        }
        if report.exclusive_tag.is_some() {
            view["exclusive_consumer_tag"] = json!(report.exclusive_tag);
        }
        view["single_active_consumer_tag"] = json!(report.active_tag);
    }
    view
}

/// A queue by itself: with its consumers too.
fn one_view(call: &Call, vhost: &Vhost, spec: &QueueSpec) -> Value {
    let mut view = detailed_view(call, vhost, spec);
    view["incoming"] = json!([]);
    view["deliveries"] = json!([]);
    if let Some(queue) = live(call, vhost, spec) {
        view["consumer_details"] = consumers::of_queue(call, &queue).into();
    }
    view
}

fn owner_view(peer: SocketAddr, local: SocketAddr) -> Value {
    json!({
        "name": connection_name(peer, local),
        "peer_host": peer.ip().to_string(),
        "peer_port": peer.port(),
    })
}

async fn put(call: Call) -> Answered {
    let fields = call.fields()?;
    let home = match fields.text("node")? {
        None => NodeId::default(),
        Some(name) => {
            let mut nodes = call.broker.node_names().into_iter();
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
    let identity = call.identity()?;
    declare(&call, &identity, &method, home).await
}

/// Declares a queue as the user who asks: 201 when it is new, else 204.
///
/// # Errors
/// In the broker's words.
pub async fn declare(call: &Call, identity: &Identity, method: &QueueDeclare, home: NodeId) -> Answered {
    let rules = QueueRules::of(call.broker.config());
    let decided = call.broker.decide(|catalog| {
        let plan = declare::queue_declare(catalog, &identity.who(), rules, method, rand::random)?;
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
    let identity = call.identity()?;
    let plan = declare::queue_delete(&call.broker.catalog(), &identity.who(), None, &method).map_err(Failure::of)?;
    if let DeletePlan::Delete {
        queue,
        if_unused,
        if_empty,
    } = plan
    {
        call.broker
            .delete_queue(&identity.vhost, &queue, if_unused, if_empty)
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
    let identity = call.identity()?;
    let name = declare::queue_purge(&call.broker.catalog(), &identity.who(), None, &method).map_err(Failure::of)?;
    let queue = call.broker.vhost(&identity.vhost).and_then(|vhost| vhost.queue(&name));
    let purged = call.broker.purge(&queue.ok_or(Failure::NotFound)?).await;
    purged.map_err(|away| Failure::Broken(away.text.to_string()))?;
    Ok(Answer::Done)
}

async fn act(call: Call) -> Answered {
    with_queue(&call, |_, _| ())?;
    let fields = call.fields()?;
    fields.need(&["action"])?;
    if fields.0.get("action") != Some(&json!("recover")) {
        return Err(Failure::Bad(json!(["unknown", fields.0.get("action")])));
    }
    if !call.caller.is_administrator() {
        return Err(Failure::NotAuthorised("Not administrator user"));
    }
    let served = call.broker.serve_what_is_left(&its_queue(&call)?).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_add_up() {
        let mut view = json!({});
        let counts = Counts {
            ready: 4,
            ready_bytes: 400,
            unacked: 1,
            unacked_bytes: 50,
            paged_out: 3,
            ..Counts::default()
        };
        write_counts(&mut view, QueueType::Classic, counts);
        assert_eq!(view["messages"], 5);
        assert_eq!(view["messages_ram"], 2);
        assert_eq!(view["message_bytes"], 450);
        assert_eq!(view["message_bytes_paged_out"], 300);
        assert_eq!(view["message_bytes_ram"], 150);
    }

    #[test]
    fn dead_letters_that_are_kept_are_messages() {
        let mut view = json!({});
        let counts = Counts {
            ready: 4,
            ready_bytes: 400,
            discarded: 2,
            discarded_bytes: 30,
            ..Counts::default()
        };
        write_counts(&mut view, QueueType::Quorum, counts);
        assert_eq!((&view["messages"], &view["messages_dlx"]), (&json!(6), &json!(2)));
        assert_eq!(view["message_bytes"], 430);
        assert_eq!(view["message_bytes_dlx"], 30);
    }
}
