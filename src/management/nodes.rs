//! The nodes of the cluster. Each describes itself, whoever is asked; one that does not answer at once is
//! shown without figures.

mod own;

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::list;
use super::page;
use super::route::{Access, Route, Run, Verb};
use crate::types::NodeId;

pub use own::describe;

/// What can be asked of nodes.
pub static ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/nodes",
        Access::Monitoring,
        "All nodes.",
        Run::Later(|mut call| {
            Box::pin(async move {
                call.look_back()?;
                let members = members(&call);
                let views = futures_util::future::join_all(members.iter().map(|member| view_of(&call, member)));
                let views = views.await;
                list::listing(&call, views, &["name"])
            })
        }),
    ),
    Route::new(
        Verb::Get,
        "/nodes/{node}",
        Access::Monitoring,
        "A node.",
        Run::Later(|mut call| {
            Box::pin(async move {
                call.look_back()?;
                let member = member(&call)?;
                let view = view_of(&call, &member).await;
                page::single(&call, view)
            })
        }),
    ),
    Route::delete(
        "/nodes/{node}",
        Access::Administrator,
        "Removes a node that is stopped from the cluster.",
        |call| Box::pin(forget(call)),
    ),
    Route::new(
        Verb::Get,
        "/nodes/{node}/memory",
        Access::Monitoring,
        "The memory of a node.",
        Run::Later(|call| Box::pin(memory(call))),
    ),
];

/// A member of the cluster.
struct Member {
    id: NodeId,
    name: String,
}

fn members(call: &Call) -> Vec<Member> {
    let catalogue = call.broker.catalogue();
    let nodes = catalogue.nodes().iter();
    nodes
        .map(|(id, node)| Member {
            id: *id,
            name: node.name.clone(),
        })
        .collect()
}

/// The node of the path.
fn member(call: &Call) -> Result<Member, Failure> {
    let mut members = members(call).into_iter();
    members
        .find(|member| member.name == call.name("node"))
        .ok_or(Failure::NotFound)
}

async fn memory(call: Call) -> Answered {
    let member = member(&call)?;
    let view = view_of(&call, &member).await;
    Ok(Answer::Json(match view.get("mem_used") {
        Some(used) => json!({
            "memory": {"strategy": "rss", "total": {"rss": used, "allocated": used}},
        }),
        None => json!({"memory": "not_available"}),
    }))
}

async fn forget(call: Call) -> Answered {
    let member = member(&call)?;
    // One that was ended a moment ago may not be missed yet.
    let is_us = member.id == call.broker.nodes().us();
    if is_us || call.broker.description_of(member.id, call.windows).await.is_some() {
        let name = member.name;
        return Err(Failure::bad(format!(
            "RabbitMQ on node {name} must be stopped with 'rabbitmqctl -n {name} stop_app' before it can be removed"
        )));
    }
    call.broker.forget(member.id).await?;
    Ok(Answer::Done)
}

async fn view_of(call: &Call, member: &Member) -> Value {
    let broker = &call.broker;
    let windows = call.windows;
    let described = match member.id {
        us if us == broker.nodes().us() => Some(own::view(broker, &call.endpoints, windows)),
        other if broker.nodes().is_alive(other) => broker.description_of(other, windows).await.flatten(),
        _ => None,
    };
    let Some(mut described) = described else {
        return json!({
            "partitions": [],
            "name": member.name,
            "running": false,
            "type": "disc",
            "being_drained": false,
            "cluster_links": [],
        });
    };
    // One that wants another's name keeps the one that the cluster knows.
    described["name"] = json!(member.name);
    described
}
