//! Client connections and their channels.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::route::{Access, Route};
use super::{consumers, page};
use crate::broker::connections::{ConnectionInfo, Details};
use crate::broker::leaving;
use crate::metadata::json;
use crate::types::{FieldValue, Reply, ReplyCode};

/// What can be asked of connections and channels.
pub static ROUTES: &[Route] = &[
    Route::get("/connections", Access::Management, "All connections.", |call| {
        let views = visible(call).iter().map(|connection| view(call, connection)).collect();
        page::listing(call, views, &["vhost", "name"])
    }),
    Route::get("/connections/{name}", Access::Management, "A connection.", |call| {
        let connection = named(call)?;
        page::single(call, view(call, &connection))
    }),
    Route::delete(
        "/connections/{name}",
        Access::Management,
        "Closes a connection; the header X-Reason tells the client why.",
        |call| Box::pin(async move { close(&call, &[named(&call)?]).await }),
    ),
    Route::get(
        "/connections/{name}/channels",
        Access::Management,
        "Channels of a connection.",
        |call| page::listing(call, channels(call, &[named(call)?]), &["number"]),
    ),
    Route::get(
        "/connections/username/{user}",
        Access::Management,
        "Connections of a user.",
        |call| {
            let own = of_user(call);
            let views = own.iter().map(|(connection, details)| {
                json!({
                    "name": connection.name(),
                    "vhost": details.vhost,
                    "user": details.user,
                    "node": call.broker.node().name,
                })
            });
            page::listing(call, views.collect(), &["name"])
        },
    ),
    Route::delete(
        "/connections/username/{user}",
        Access::Administrator,
        "Closes all connections of a user.",
        |call| {
            Box::pin(async move {
                let own: Vec<_> = of_user(&call).into_iter().map(|(connection, _)| connection).collect();
                close(&call, &own).await
            })
        },
    ),
    Route::get(
        "/vhosts/{vhost}/connections",
        Access::Vhost,
        "Connections in a vhost.",
        |call| {
            let own = in_vhost(call)?;
            let views = own.iter().map(|connection| view(call, connection)).collect();
            page::listing(call, views, &["name"])
        },
    ),
    Route::get(
        "/vhosts/{vhost}/channels",
        Access::Vhost,
        "Channels in a vhost.",
        |call| page::listing(call, channels(call, &in_vhost(call)?), &["name"]),
    ),
    Route::get("/channels", Access::Management, "All channels.", |call| {
        page::listing(call, channels(call, &visible(call)), &["vhost", "name"])
    }),
    Route::gathered("/channels/{name}", Access::Management, "A channel.", |call| {
        let all = visible(call);
        let views = all.iter().flat_map(|connection| {
            channels_of(call, connection)
                .into_iter()
                .map(move |view| (connection, view))
        });
        let mut found = views.filter(|(_, view)| view["name"] == call.name("name"));
        let (connection, mut view) = found.next().ok_or(Failure::NotFound)?;
        view["consumer_details"] = consumers_of(call, connection).into();
        view["deliveries"] = json!([]);
        view["publishes"] = json!([]);
        page::single(call, view)
    }),
];

/// The open connections that the user may see: its own, or all for those who monitor.
fn visible(call: &Call) -> Vec<Arc<ConnectionInfo>> {
    let mut all = call.broker.connections().all();
    all.retain(|connection| {
        let details = connection.details();
        details.vhost.is_some() && (call.caller.is_monitor() || details.user.as_ref() == Some(&call.caller.name))
    });
    all
}

fn in_vhost(call: &Call) -> Result<Vec<Arc<ConnectionInfo>>, Failure> {
    call.in_vhost(|_| ())?;
    let vhost = call.vhost();
    let mut own = visible(call);
    own.retain(|connection| connection.vhost().as_ref() == Some(&vhost));
    Ok(own)
}

fn of_user(call: &Call) -> Vec<(Arc<ConnectionInfo>, Details)> {
    let all = visible(call).into_iter().map(|connection| {
        let details = connection.details();
        (connection, details)
    });
    all.filter(|(_, details)| {
        details
            .user
            .as_ref()
            .is_some_and(|user| user.as_str() == call.name("user"))
    })
    .collect()
}

/// The connection of the path.
fn named(call: &Call) -> Result<Arc<ConnectionInfo>, Failure> {
    let mut all = call.broker.connections().all().into_iter();
    let found = all.find(|connection| connection.name() == call.name("name"));
    let connection = found.ok_or(Failure::NotFound)?;
    if call.caller.is_monitor() || connection.user().as_ref() == Some(&call.caller.name) {
        Ok(connection)
    } else {
        Err(Failure::NotAuthorised("User not authorised to access object"))
    }
}

/// The answer comes when what goes with the connections is gone.
async fn close(call: &Call, connections: &[Arc<ConnectionInfo>]) -> Answered {
    let own = |connection: &Arc<ConnectionInfo>| connection.user().as_ref() == Some(&call.caller.name);
    if !call.caller.is_administrator() && !connections.iter().all(own) {
        return Err(Failure::Status(StatusCode::UNAUTHORIZED));
    }
    let reason = call.reason.as_deref().unwrap_or("Closed via management plugin");
    leaving::close(connections, &Reply::connection(ReplyCode::ConnectionForced, reason)).await;
    Ok(Answer::Done)
}

/// Under an alarm a connection is `blocking`, and `blocked` once it tried to publish.
fn state(call: &Call, connection: &ConnectionInfo) -> &'static str {
    if connection.blocked.load(Ordering::Relaxed) {
        "blocked"
    } else if call.broker.alarms().shortage().any() {
        "blocking"
    } else {
        "running"
    }
}

fn view(call: &Call, connection: &ConnectionInfo) -> Value {
    let details = connection.details();
    let properties = &details.client_properties;
    let mut view = json!({
        "auth_mechanism": details.mechanism,
        "channel_max": details.channel_max,
        "channels": connection.channels.load(Ordering::Relaxed),
        "client_properties": json::from_table(properties),
        "connected_at": connection.connected_at,
        "frame_max": details.frame_max,
        "host": connection.local.ip().to_string(),
        "name": connection.name(),
        "node": call.broker.node().name,
        "peer_cert_issuer": null,
        "peer_cert_subject": null,
        "peer_cert_validity": null,
        "peer_host": connection.peer.ip().to_string(),
        "peer_port": connection.peer.port(),
        "port": connection.local.port(),
        "protocol": "AMQP 0-9-1",
        "ssl": false,
        "ssl_cipher": null,
        "ssl_hash": null,
        "ssl_key_exchange": null,
        "ssl_protocol": null,
        "state": state(call, connection),
        "timeout": details.heartbeat,
        "type": "network",
        "user": details.user,
        "user_who_performed_action": details.user,
        "vhost": details.vhost,
    });
    if let Some(name) = properties.get("connection_name").and_then(FieldValue::as_str) {
        view["user_provided_name"] = json!(name);
    }
    view
}

fn channels(call: &Call, connections: &[Arc<ConnectionInfo>]) -> Vec<Value> {
    connections
        .iter()
        .flat_map(|connection| channels_of(call, connection))
        .collect()
}

fn channels_of(call: &Call, connection: &ConnectionInfo) -> Vec<Value> {
    let details = connection.details();
    let name = connection.name();
    let mut out = connection.outbox.lock();
    let numbers = out.channel_numbers();
    let views = numbers.into_iter().filter_map(|number| {
        let channel = out.channel(number)?;
        let confirms = channel.confirms.as_ref();
        Some(json!({
            "acks_uncommitted": 0,
            "confirm": confirms.is_some(),
            "connection_details": {
                "name": name,
                "peer_host": connection.peer.ip().to_string(),
                "peer_port": connection.peer.port(),
            },
            "consumer_count": channel.consumers.len(),
            "messages_unacknowledged": channel.unacked(),
            "messages_uncommitted": 0,
            "messages_unconfirmed": confirms.map_or(0, |confirms| confirms.waiting()),
            "name": format!("{name} ({number})"),
            "node": call.broker.node().name,
            "number": number,
            "state": "running",
            "user": details.user,
            "user_who_performed_action": details.user,
            "vhost": details.vhost,
        }))
    });
    let views = views.collect();
    out.finish();
    views
}

/// The consumers of the channel of the path.
fn consumers_of(call: &Call, connection: &ConnectionInfo) -> Vec<Value> {
    let mut out = connection.outbox.lock();
    let numbers = out.channel_numbers();
    let mut queues: Vec<_> = numbers
        .into_iter()
        .filter_map(|number| {
            out.channel(number)
                .map(|channel| channel.consumers.values().cloned().collect())
        })
        .flat_map(|consumers: Vec<_>| consumers)
        .filter_map(|consumer| consumer.queue.upgrade())
        .collect();
    // Queues are locked before outboxes, never after.
    out.finish();
    queues.sort_by_key(|queue| queue.spec.id);
    queues.dedup_by_key(|queue| queue.spec.id);
    let all = queues.iter().flat_map(|queue| consumers::of_queue(call, queue));
    all.filter(|view| view["channel_details"]["name"] == call.name("name"))
        .collect()
}
