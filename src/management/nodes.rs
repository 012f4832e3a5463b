//! The nodes of the cluster. Each describes itself, whoever is asked; one that does not answer at once is
//! shown without figures.

mod memory;
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
                let members = call.broker.declarations().node_names();
                let views = members.iter().map(|(node, name)| view_of(&call, *node, name));
                let views = futures_util::future::join_all(views);
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
                let view = view_of(&call, call.node()?, call.name("node")).await;
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
        Run::Later(|call| Box::pin(memory::absolute(call))),
    ),
    Route::new(
        Verb::Get,
        "/nodes/{node}/memory/relative",
        Access::Monitoring,
        "The memory of a node, in hundredths.",
        Run::Later(|call| Box::pin(memory::relative(call))),
    ),
];

async fn forget(call: Call) -> Answered {
    let (node, name) = (call.node()?, call.name("node"));
    // One that was ended a moment ago may not be missed yet.
    let is_us = node == call.broker.nodes().us();
    if is_us || call.broker.reports().description_of(node, call.windows).await.is_some() {
        return Err(Failure::bad(format!(
            "RabbitMQ on node {name} must be stopped with 'rabbitmqctl -n {name} stop_app' before it can be removed"
        )));
    }
    call.broker.membership().forget(node).await?;
    Ok(Answer::Done)
}

async fn view_of(call: &Call, node: NodeId, name: &str) -> Value {
    let broker = &call.broker;
    let windows = call.windows;
    let described = match node {
        us if us == broker.nodes().us() => Some(own::view(broker, &call.endpoints, windows)),
        other if broker.nodes().is_alive(other) => broker.reports().description_of(other, windows).await.flatten(),
        _ => None,
    };
    let Some(mut described) = described else {
        return json!({
            "partitions": [],
            "name": name,
            "running": false,
            "type": "disc",
            "being_drained": false,
            "cluster_links": [],
        });
    };
    // One that wants another's name keeps the one that the cluster knows.
    described["name"] = json!(name);
    described
}
