//! Members of a stream: how each is, added, removed, and led by another.

use serde_json::json;

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::replicas;
use super::route::{Access, Route};
use super::streams::stream;
use crate::broker::members::{MemberChange, MemberError};
use crate::types::NodeId;
use crate::types::sorting::sort_by_key;

/// What can be asked of members.
pub static ROUTES: &[Route] = &[
    Route::later(
        "/stream/{vhost}/{name}/status",
        Access::Vhost,
        "The members of a stream, as each of them says.",
        |call| Box::pin(status(call)),
    ),
    Route::post(
        "/stream/{vhost}/{name}/replicas/add",
        Access::Administrator,
        "Adds a member of a stream: node.",
        |call| Box::pin(change(call, MemberChange::Add, Err(MemberError::NotRunning))),
    )
    .plain(),
    Route::delete(
        "/stream/{vhost}/{name}/replicas/delete",
        Access::Administrator,
        "Removes a member of a stream: node.",
        // A node that nobody knows is a member of nothing.
        |call| Box::pin(change(call, MemberChange::Remove, Ok(()))),
    )
    .plain(),
    Route::post(
        "/stream/{vhost}/{name}/restart",
        Access::Administrator,
        "Has another member of a stream lead it, on that node where the body names one; answers with the node.",
        |call| Box::pin(restart(call)),
    ),
];

async fn status(call: Call) -> Answered {
    let queue = stream(&call)?;
    let names = call.broker.declarations().node_names();
    let members = call.broker.reports().stream_members(&queue).await;
    let views = members.into_iter().map(|(node, member)| {
        let name = names.get(&node).cloned().unwrap_or_else(|| node.to_string());
        match member {
            None => json!({"role": "down", "node": name}),
            Some(member) => json!({
                "role": if member.is_leader { "writer" } else { "replica" },
                "node": name,
                "epoch": member.epoch,
                "offset": member.end as i64 - 1,
                "committed_offset": member.last_chunk.map_or(-1, |last| last as i64),
                "first_offset": member.first,
                "readers": member.readers,
                "segments": member.segments,
                "bytes": member.bytes,
            }),
        }
    });
    let mut views: Vec<_> = views.collect();
    sort_by_key(&mut views, |view| view["node"].as_str().map(str::to_owned));
    Ok(Answer::Json(views.into()))
}

async fn change(call: Call, change: fn(NodeId) -> MemberChange, unknown_node: Result<(), MemberError>) -> Answered {
    replicas::may_change(&call)?;
    let queue = stream(&call)?;
    replicas::change_by_body(&call, queue.spec.id, change, unknown_node, Answer::Done).await
}

async fn restart(call: Call) -> Answered {
    replicas::may_change(&call)?;
    let queue = stream(&call)?;
    let fields = call.fields()?;
    let leader = queue.leader();
    let wished = match fields.text("node")? {
        Some(name) => Some(call.broker.declarations().node_named(name).ok_or(Failure::NotFound)?),
        None => {
            let running = call.broker.nodes().running();
            let mut others = queue.member_nodes();
            others.retain(|node| *node != leader && running.contains(node));
            others.first().copied()
        }
    };
    if let Some(node) = wished.filter(|node| *node != leader) {
        let led = call
            .broker
            .replicas()
            .change_member(queue.spec.id, MemberChange::LeadOn(node))
            .await;
        if let Err(error) = led {
            return Ok(replicas::failed(replicas::reason(&error)));
        }
    }
    let names = call.broker.declarations().node_names();
    let node = wished.unwrap_or(leader);
    Ok(Answer::Json(json!({"node": names.get(&node)})))
}
