//! Members of replicated queues: what they are, added and removed by operators, leaders moved.

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::route::{Access, Route, Run, Verb};
use crate::broker::ReplicaState;
use crate::broker::members::{MemberChange, MemberError};
use crate::metadata::Catalogue;
use crate::pattern::Pattern;
use crate::spec::{QueueSpec, QueueType};
use crate::types::sorting::sort_by;
use crate::types::{NodeId, QueueId};

/// What can be asked of members.
pub static ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/queues/quorum/{vhost}/{name}/status",
        Access::Management,
        "The members of a quorum queue, as each of them says.",
        Run::Later(|call| Box::pin(status(call))),
    ),
    Route::post(
        "/queues/quorum/{vhost}/{name}/replicas/add",
        Access::Administrator,
        "Adds a member of a quorum queue: node.",
        |call| Box::pin(add(call)),
    )
    .plain(),
    Route::delete(
        "/queues/quorum/{vhost}/{name}/replicas/delete",
        Access::Administrator,
        "Removes a member of a quorum queue: node.",
        |call| Box::pin(remove(call)),
    )
    .plain(),
    Route::post(
        "/queues/quorum/{vhost}/{name}/replicas/transfer-leadership",
        Access::Administrator,
        "Makes a member of a quorum queue its leader: node.",
        |call| Box::pin(lead(call)),
    )
    .plain(),
    Route::post(
        "/queues/quorum/replicas/on/{node}/grow",
        Access::Administrator,
        "Adds members on a node: vhost_pattern, queue_pattern, strategy (all or even).",
        |call| Box::pin(grow(call)),
    )
    .plain(),
    Route::delete(
        "/queues/quorum/replicas/on/{node}/shrink",
        Access::Administrator,
        "Removes all members of quorum queues on a node.",
        |call| Box::pin(shrink(call)),
    )
    .plain(),
    Route::post(
        "/rebalance/queues",
        Access::Administrator,
        "Spreads leaders of quorum queues over the nodes; vhost_pattern and queue_pattern say of which.",
        |call| Box::pin(rebalance(call)),
    )
    .plain(),
];

/// Queues whose members are changed side by side.
const AT_ONCE: usize = 16;
/// RabbitMQ's number for what its queues know; this is the highest that 4.0 has.
const MACHINE_VERSION: u32 = 5;

/// The quorum queue of the path.
fn quorum_queue(call: &Call) -> Result<Result<QueueId, Answer>, Failure> {
    let spec = call.in_vhost(|vhost| {
        let spec = vhost.queue(call.name("name"))?;
        Some((spec.queue_type, spec.id))
    })?;
    match spec.ok_or(Failure::NotFound)? {
        (QueueType::Quorum, id) => Ok(Ok(id)),
        (QueueType::Classic, _) => Ok(Err(failed("classic_queue_not_supported"))),
        (QueueType::Stream, _) => Ok(Err(failed("stream_queue_not_supported"))),
    }
}

/// An answer that says why nothing was done.
pub fn failed(reason: &str) -> Answer {
    Answer::Unhealthy(json!({"status": "failed", "reason": reason}))
}

/// Whether members may be changed over the API.
///
/// # Errors
/// When the configuration says not.
pub fn may_change(call: &Call) -> Result<(), Failure> {
    match call.broker.config().management.forbid_replica_operations {
        true => Err(Failure::Disallowed(
            "Broker settings disallow quorum queue replica operations.",
        )),
        false => Ok(()),
    }
}

/// RabbitMQ's words for why a group is not changed.
pub fn reason(error: &MemberError) -> &'static str {
    match error {
        MemberError::NotFound => "not_found",
        MemberError::LastMember => "last_node",
        MemberError::NotRunning => "node_not_running",
        MemberError::NotAMember => "not_member",
        MemberError::Timeout => "timeout",
    }
}

async fn status(call: Call) -> Answered {
    if let Err(answer) = quorum_queue(&call)? {
        return Ok(answer);
    }
    let queue = call.broker.vhost(call.name("vhost"));
    let queue = queue.and_then(|vhost| vhost.queue(call.name("name")));
    let queue = queue.ok_or(Failure::NotFound)?;
    let states = call.broker.replicas().replicas_of(&queue).await;
    let names = call.broker.declarations().node_names();
    let mut views: Vec<_> = states
        .into_iter()
        .map(|(node, state)| {
            let name = names.get(&node).cloned().unwrap_or_else(|| node.to_string());
            (name.clone(), view(&name, state))
        })
        .collect();
    sort_by(&mut views, |(one, _), (other, _)| one.cmp(other));
    Ok(Answer::Json(views.into_iter().map(|(_, view)| view).collect()))
}

/// A member of a group, as RabbitMQ shows one.
pub fn view(name: &str, state: ReplicaState) -> Value {
    let unknown = |why: &str| {
        json!({
            "Node Name": name,
            "Raft State": why,
            "Membership": "",
            "Last Log Index": "",
            "Last Written": "",
            "Last Applied": "",
            "Commit Index": "",
            "Snapshot Index": "",
            "Term": "",
            "Machine Version": "",
        })
    };
    match state {
        ReplicaState::Unreachable => unknown("nodedown"),
        ReplicaState::Missing => unknown("noproc"),
        ReplicaState::Known { report, is_voter } => json!({
            "Node Name": name,
            "Raft State": report.role,
            "Membership": if is_voter { "voter" } else { "promotable" },
            "Last Log Index": report.last_index,
            "Last Written": report.last_index,
            "Last Applied": report.applied,
            "Commit Index": report.committed,
            "Snapshot Index": report.snapshot.map_or(json!(-1), |index| json!(index)),
            "Term": report.term,
            "Machine Version": MACHINE_VERSION,
        }),
    }
}

async fn add(call: Call) -> Answered {
    change(&call, MemberChange::Add, Err(MemberError::NotRunning), Answer::Done).await
}

async fn lead(call: Call) -> Answered {
    change(&call, MemberChange::LeadOn, Err(MemberError::NotAMember), Answer::Done).await
}

async fn remove(call: Call) -> Answered {
    // A node that nobody knows is a member of nothing.
    change(&call, MemberChange::Remove, Ok(()), Answer::Accepted).await
}

/// Changes the group of the queue of the path, by the node of the body.
async fn change(
    call: &Call,
    change: fn(NodeId) -> MemberChange,
    unknown_node: Result<(), MemberError>,
    done: Answer,
) -> Answered {
    may_change(call)?;
    let queue = match quorum_queue(call)? {
        Ok(queue) => queue,
        Err(answer) => return Ok(answer),
    };
    change_by_body(call, queue, change, unknown_node, done).await
}

/// Changes the group of a queue by the node of the body.
///
/// # Errors
/// When the body names none.
pub async fn change_by_body(
    call: &Call,
    queue: QueueId,
    change: fn(NodeId) -> MemberChange,
    unknown_node: Result<(), MemberError>,
    done: Answer,
) -> Answered {
    let fields = call.fields()?;
    fields.need(&["node"])?;
    let node = fields.text("node")?.unwrap_or_default();
    let changed = match call.broker.declarations().node_named(node) {
        Some(node) => call.broker.replicas().change_member(queue, change(node)).await,
        None => unknown_node,
    };
    Ok(match changed {
        Ok(()) => done,
        Err(error) => failed(reason(&error)),
    })
}

/// A pattern of the body, as RabbitMQ's: anywhere in the name.
fn pattern(text: Option<&str>) -> Result<Pattern, Failure> {
    let text = text.unwrap_or(".*");
    Pattern::new(text).map_err(|error| Failure::bad_pattern(text.as_bytes(), &error))
}

fn quorum_queues(catalogue: &Catalogue) -> impl Iterator<Item = &QueueSpec> {
    let all = catalogue.vhosts().flat_map(|vhost| vhost.queues());
    all.filter(|spec| spec.queue_type == QueueType::Quorum)
}

fn has_member(spec: &QueueSpec, node: NodeId) -> bool {
    spec.members.iter().any(|member| member.node == node)
}

async fn grow(call: Call) -> Answered {
    may_change(&call)?;
    let node = call
        .broker
        .declarations()
        .node_named(call.name("node"))
        .filter(|node| call.broker.nodes().running().contains(node));
    let node = node.ok_or(Failure::NotFound)?;
    let fields = call.fields()?;
    fields.need(&["vhost_pattern", "queue_pattern", "strategy"])?;
    let vhosts = pattern(fields.text("vhost_pattern")?)?;
    let names = pattern(fields.text("queue_pattern")?)?;
    let only_even = fields.text("strategy")? == Some("even");
    let queues: Vec<_> = quorum_queues(&call.broker.catalogue())
        .filter(|spec| vhosts.matches(&spec.vhost) && names.matches(&spec.name))
        .filter(|spec| !has_member(spec, node) && (!only_even || spec.members.len().is_multiple_of(2)))
        .map(|spec| spec.id)
        .collect();
    change_all(&call, queues, MemberChange::Add(node)).await;
    Ok(Answer::Done)
}

async fn shrink(call: Call) -> Answered {
    may_change(&call)?;
    let Some(node) = call.broker.declarations().node_named(call.name("node")) else {
        return Ok(Answer::Accepted);
    };
    let queues: Vec<_> = quorum_queues(&call.broker.catalogue())
        .filter(|spec| has_member(spec, node))
        .map(|spec| spec.id)
        .collect();
    change_all(&call, queues, MemberChange::Remove(node)).await;
    Ok(Answer::Accepted)
}

/// Side by side; one that cannot be changed keeps no other from it.
async fn change_all(call: &Call, queues: Vec<QueueId>, change: MemberChange) {
    let changes = futures_util::stream::iter(queues);
    let each = |queue: QueueId| async move {
        if let Err(error) = call.broker.replicas().change_member(queue, change).await {
            tracing::warn!(queue = queue.0, ?change, %error, "the members of a queue are not changed");
        }
    };
    changes.for_each_concurrent(AT_ONCE, each).await;
}

async fn rebalance(call: Call) -> Answered {
    let fields = call.fields()?;
    let vhosts = pattern(fields.text("vhost_pattern")?)?;
    let names = pattern(fields.text("queue_pattern")?)?;
    let is_meant = |spec: &QueueSpec| vhosts.matches(&spec.vhost) && names.matches(&spec.name);
    if call.query.is_true("dry_run") {
        let known = call.broker.declarations().node_names();
        let name = |node: &NodeId| known.get(node).cloned().unwrap_or_else(|| node.to_string());
        let moves = call.broker.replicas().planned_moves(is_meant);
        let moves = moves.iter().map(
            |(spec, from, to)| json!({"vhost": spec.vhost, "queue": spec.name, "from": name(from), "to": name(to)}),
        );
        return Ok(Answer::Json(json!({"moves": moves.collect::<Value>()})));
    }
    call.broker.replicas().rebalance(is_meant).await;
    Ok(Answer::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_does_not_answer_is_shown_without_numbers() {
        let view = view("rabbit@a", ReplicaState::Unreachable);
        assert_eq!(view["Raft State"], "nodedown");
        assert_eq!(view["Term"], "");
    }
}
