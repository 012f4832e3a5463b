//! Consumers.

use serde_json::{Value, json};

use super::answer::Answered;
use super::call::Call;
use super::page;
use super::route::{Access, Route};
use crate::broker::QueueHandle;
use crate::broker::connections::ConnectionInfo;
use crate::metadata::json;
use crate::types::VhostName;

/// What can be asked of consumers.
pub static ROUTES: &[Route] = &[
    Route::get("/consumers", Access::Management, "All consumers.", |call| {
        let visible = call.caller.vhosts(&call.broker.catalog());
        list(call, &visible)
    }),
    Route::get("/consumers/{vhost}", Access::Vhost, "Consumers of a vhost.", |call| {
        call.in_vhost(|_| ())?;
        list(call, &[call.vhost()])
    }),
];

fn list(call: &Call, vhosts: &[VhostName]) -> Answered {
    let vhosts = vhosts.iter().filter_map(|name| call.broker.vhost(name));
    let queues = vhosts.flat_map(|vhost| vhost.queues());
    let views = queues.flat_map(|queue| of_queue(call, &queue));
    page::listing(call, views.collect(), &["consumer_tag"])
}

/// The consumers of a queue.
pub fn of_queue(call: &Call, queue: &QueueHandle) -> Vec<Value> {
    let node = &call.broker.node().name;
    let default_timeout = call.broker.config().queues.consumer_timeout;
    // Asked for before the queue is locked.
    let connections = call.connections();
    queue
        .read(|machine| {
            let timeout = machine.settings().consumer_timeout.or(default_timeout);
            let consumers = machine.consumers().filter_map(|consumer| {
                // Those of other nodes are theirs to show.
                let handle = consumer.handle.client()?;
                let connection = connections.get(&handle.outbox.id);
                Some(json!({
                    "arguments": json::from_table(&handle.arguments),
                    "ack_required": !consumer.no_ack,
                    "active": consumer.status.is_active(),
                    "activity_status": consumer.status.name(),
                    "channel_details": connection.map_or_else(
                        || json!([]),
                        |connection| channel_view(connection, handle.channel, handle.user.as_str(), node),
                    ),
                    "consumer_tag": handle.tag,
                    "consumer_timeout": timeout,
                    "exclusive": consumer.exclusive,
                    "prefetch_count": consumer.prefetch.unwrap_or(0),
                    "queue": {"name": queue.spec.name, "vhost": queue.spec.vhost},
                }))
            });
            consumers.collect()
        })
        .unwrap_or_default()
}

fn channel_view(connection: &ConnectionInfo, number: u16, user: &str, node: &str) -> Value {
    let name = connection.name();
    json!({
        "name": format!("{name} ({number})"),
        "connection_name": name,
        "node": node,
        "number": number,
        "peer_host": connection.peer.ip().to_string(),
        "peer_port": connection.peer.port(),
        "user": user,
    })
}
