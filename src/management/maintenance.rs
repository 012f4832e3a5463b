//! A node taken out of service by its operator, and put back: see `broker/cluster/maintenance.rs`. It is this node, or
//! the one that the query names.

use serde_json::json;

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::route::{Access, Route, Run, Verb};
use crate::broker::maintenance::Order;
use crate::types::NodeId;

/// What can be asked of maintenance.
pub static ROUTES: &[Route] = &[
    Route::later(
        "/maintenance",
        Access::Monitoring,
        "Whether this node, or that of the query (node), is drained, and whether it takes new clients.",
        |call| Box::pin(service(call)),
    ),
    Route::new(
        Verb::Put,
        "/maintenance/{action}",
        Access::Administrator,
        "drain sends clients and leaders away from this node, or that of the query (node); revive puts it back into \
         service; suspend-listeners and resume-listeners are about new clients only. ignore-disk and watch-disk: \
         whether free disk under the limit is an alarm.",
        Run::Later(|call| Box::pin(act(call))),
    ),
];

async fn service(call: Call) -> Answered {
    let service = call.broker.membership().service_of(meant(&call)?).await;
    Ok(match service {
        Some(service) => Answer::Json(json!({
            "drained": service.is_drained,
            "takes_clients": service.takes_clients,
        })),
        None => away(),
    })
}

async fn act(call: Call) -> Answered {
    let order = match call.name("action") {
        "drain" => Order::Drain,
        "revive" => Order::Revive,
        "suspend-listeners" => Order::SuspendListeners,
        "resume-listeners" => Order::ResumeListeners,
        "watch-disk" => Order::WatchDisk(true),
        "ignore-disk" => Order::WatchDisk(false),
        _ => return Err(Failure::NotFound),
    };
    let leads = call.broker.membership().order(meant(&call)?, order).await;
    Ok(match (order, leads) {
        (_, None) => away(),
        (Order::Drain, Some(leads)) => Answer::Json(json!({"leaders": leads})),
        (_, Some(_)) => Answer::Done,
    })
}

/// The node that the query names, or this one.
fn meant(call: &Call) -> Result<NodeId, Failure> {
    match call.query.get("node") {
        None | Some("") => Ok(call.broker.nodes().us()),
        Some(name) => call.broker.declarations().node_named(name).ok_or(Failure::NotFound),
    }
}

fn away() -> Answer {
    Answer::Unhealthy(json!({"error": "unavailable", "reason": "the node does not answer"}))
}
