//! Client connections and their channels, of all nodes.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::route::{Access, Route, Run, Verb};
use super::{consumers, erlang, figures, list, page, views};
use crate::broker::connections::{ChannelReport, ConnectionReport};
use crate::broker::report::About;
use crate::front::protocol::Protocol;
use crate::metadata::json;
use crate::statistics::Measure;
use crate::types::sorting::sort_by_key;
use crate::types::{FieldValue, Timestamp};

/// What can be asked of connections and channels.
pub static ROUTES: &[Route] = &[
    Route::of_clients("/connections", Access::Management, "All connections.", |call| {
        let views = visible(call).into_iter().map(|connection| view(call, connection));
        list::listing(call, views.collect(), &["vhost", "name"])
    }),
    Route::of_clients("/connections/{name}", Access::Management, "A connection.", |call| {
        page::single(call, alone(view(call, named(call)?)))
    }),
    Route::delete(
        "/connections/{name}",
        Access::Management,
        "Closes a connection; the header X-Reason tells the client why.",
        |mut call| {
            Box::pin(async move {
                call.gather(About::Clients).await?;
                close(&call, &[named(&call)?]).await
            })
        },
    ),
    Route::of_clients(
        "/connections/{name}/channels",
        Access::Management,
        "Channels of a connection.",
        |call| list::listing(call, channels(call, &[named(call)?]), &["number"]),
    ),
    Route::of_clients(
        "/connections/username/{user}",
        Access::Management,
        "Connections of a user: one's own, or anybody's for those who monitor.",
        |call| {
            if !call.caller.is_monitor() && call.caller.name.as_str() != call.name("user") {
                return Err(Failure::NotAuthorised("User not authorised to access object"));
            }
            let views = of_user(call).into_iter().map(|connection| {
                json!({
                    "name": connection.name(),
                    "vhost": connection.details.vhost,
                    "user": connection.details.user,
                    "node": call.gathered.name(connection.node),
                })
            });
            list::listing(call, views.collect(), &["name"])
        },
    ),
    Route::delete(
        "/connections/username/{user}",
        Access::Administrator,
        "Closes all connections of a user.",
        |mut call| {
            Box::pin(async move {
                call.gather(About::Clients).await?;
                close(&call, &of_user(&call)).await
            })
        },
    ),
    Route::of_clients(
        "/vhosts/{vhost}/connections",
        Access::Vhost,
        "Connections in a vhost.",
        |call| {
            let views = in_vhost(call)?.into_iter().map(|connection| view(call, connection));
            list::listing(call, views.collect(), &["name"])
        },
    ),
    Route::of_clients(
        "/vhosts/{vhost}/channels",
        Access::Vhost,
        "Channels in a vhost.",
        |call| list::listing(call, channels(call, &in_vhost(call)?), &["name"]),
    ),
    Route::of_clients("/channels", Access::Management, "All channels.", |call| {
        list::listing(call, channels(call, &visible(call)), &["vhost", "name"])
    }),
    Route::new(
        Verb::Get,
        "/channels/{name}",
        Access::Management,
        "A channel.",
        Run::Gathered(About::All, |call| {
            let all = visible(call).into_iter();
            let mut channels = all.flat_map(|connection| connection.channels.iter().map(move |one| (connection, one)));
            let found = channels.find(|(connection, channel)| channel_name(connection, channel) == call.name("name"));
            let (connection, channel) = found.ok_or_else(|| missing(call))?;
            let mut view = channel_view(call, connection, channel);
            view["consumer_details"] = consumers_of(call, connection, channel).into();
            view["deliveries"] = deliveries(call, connection, channel);
            view["publishes"] = publishes(call, connection, channel);
            page::single(call, view)
        }),
    ),
];

/// The queues that a channel consumes from.
fn deliveries(call: &Call, connection: &ConnectionReport, channel: &ChannelReport) -> Value {
    let vhost = connection.details.vhost.as_ref();
    let queues = vhost
        .and_then(|name| call.broker.vhost(name))
        .map(|vhost| vhost.queues());
    let queues = queues.unwrap_or_default();
    let pairs = channel.deliveries.iter();
    pairs
        .filter_map(|(id, figures)| {
            let queue = queues.iter().find(|queue| queue.spec.id == *id)?;
            let stats = figures::message_stats(call, figures, &[figures::DELIVERIES])?;
            Some(json!({"stats": stats, "queue": {"name": queue.spec.name, "vhost": vhost}}))
        })
        .collect()
}

/// The exchanges that a channel publishes to.
fn publishes(call: &Call, connection: &ConnectionReport, channel: &ChannelReport) -> Value {
    let vhost = &connection.details.vhost;
    let pairs = channel.publishes.iter();
    pairs
        .filter_map(|(exchange, figures)| {
            let stats = figures::message_stats(call, figures, &[figures::PUBLISHES])?;
            Some(json!({"stats": stats, "exchange": {"name": exchange, "vhost": vhost}}))
        })
        .collect()
}

/// The open connections that the user may see: its own, or all for those who monitor.
pub fn visible(call: &Call) -> Vec<&ConnectionReport> {
    let all = call.gathered.connections().iter();
    all.filter(|connection| call.caller.is_monitor() || is_own(call, connection))
        .collect()
}

fn is_own(call: &Call, connection: &ConnectionReport) -> bool {
    connection.details.user.as_ref() == Some(&call.caller.name)
}

fn in_vhost(call: &Call) -> Result<Vec<&ConnectionReport>, Failure> {
    call.in_vhost(|_| ())?;
    let vhost = call.vhost();
    let mut own = visible(call);
    own.retain(|connection| connection.details.vhost.as_ref() == Some(&vhost));
    Ok(own)
}

fn of_user(call: &Call) -> Vec<&ConnectionReport> {
    let mut own = visible(call);
    own.retain(|connection| {
        let user = connection.details.user.as_ref();
        user.is_some_and(|user| user.as_str() == call.name("user"))
    });
    own
}

/// The connection of the path.
fn named(call: &Call) -> Result<&ConnectionReport, Failure> {
    let mut all = call.gathered.connections().iter();
    let found = all.find(|connection| connection.name() == call.name("name"));
    let connection = found.ok_or_else(|| missing(call))?;
    if call.caller.is_monitor() || is_own(call, connection) {
        Ok(connection)
    } else {
        Err(Failure::NotAuthorised("User not authorised to access object"))
    }
}

/// Nothing of that name was found. Where a node did not answer, it may be there.
fn missing(call: &Call) -> Failure {
    match call.gathered.silent() {
        silent if silent.is_empty() => Failure::NotFound,
        silent => Failure::Missing(format!("not found, but {} did not answer", silent.join(", "))),
    }
}

/// Closes connections, one's own or as an administrator.
///
/// # Errors
/// When that is not allowed, or their nodes do not answer.
pub async fn close(call: &Call, connections: &[&ConnectionReport]) -> Answered {
    if !call.caller.is_administrator() && !connections.iter().all(|connection| is_own(call, connection)) {
        return Err(Failure::Status(StatusCode::UNAUTHORIZED));
    }
    let reason = call.reason.as_deref().unwrap_or("Closed via management plugin");
    let connections = connections.iter().map(|connection| (connection.node, connection.id));
    match call.broker.membership().close_connections(connections, reason).await {
        Ok(()) => Ok(Answer::Done),
        Err(silent) => {
            let names: Vec<_> = silent.into_iter().map(|node| call.gathered.name(node)).collect();
            Err(Failure::Broken(format!("{} did not answer", names.join(", "))))
        }
    }
}

/// Under an alarm a connection is `blocking`, and `blocked` once it tried to publish.
fn state(call: &Call, connection: &ConnectionReport) -> &'static str {
    if connection.is_blocked {
        "blocked"
    } else if call.broker.alarms().shortage().any() {
        "blocking"
    } else {
        "running"
    }
}

/// A connection as lists show it.
pub fn view(call: &Call, connection: &ConnectionReport) -> Value {
    let details = &connection.details;
    let properties = &details.client_properties;
    let protocol = Protocol::of(&details.protocol);
    let tls = connection.tls.as_deref();
    let peer = tls.and_then(|tls| tls.peer.as_ref());
    let mut view = json!({
        "auth_mechanism": details.mechanism,
        "channel_max": details.channel_max,
        "channels": connection.channels.len(),
        "client_properties": json::from_table(properties),
        "connected_at": connection.connected_at,
        "frame_max": details.frame_max,
        "host": connection.local.ip().to_string(),
        "name": connection.name(),
        "node": call.gathered.name(connection.node),
        "peer_cert_issuer": peer.map(|peer| &peer.issuer),
        "peer_cert_subject": peer.map(|peer| &peer.subject),
        "peer_cert_validity": peer.map(|peer| &peer.validity),
        "peer_host": connection.peer.ip().to_string(),
        "peer_port": connection.peer.port(),
        "port": connection.local.port(),
        "protocol": protocol.map_or(&*details.protocol, |protocol| protocol.name),
        "ssl": tls.is_some(),
        "ssl_cipher": tls.map(|tls| &tls.cipher),
        "ssl_hash": tls.map(|tls| &tls.hash),
        "ssl_key_exchange": tls.map(|tls| &tls.key_exchange),
        "ssl_protocol": tls.map(|tls| &tls.protocol),
        "state": state(call, connection),
        "timeout": details.heartbeat,
        "user": details.user,
        "user_who_performed_action": details.user,
        "vhost": details.vhost,
        "send_pend": connection.send_pending,
    });
    for counter in [Measure::RecvCnt, Measure::SendCnt] {
        view[counter.name()] = json!(connection.figures.get(counter).now as u64);
    }
    figures::write_counters(
        call.windows,
        &mut view,
        &connection.figures,
        &[Measure::RecvOct, Measure::SendOct],
    );
    erlang::write_process(&mut view, call.windows.data);
    if let Some(kind) = protocol.and_then(|protocol| protocol.kind) {
        view["type"] = json!(kind);
    }
    if let Some(name) = properties.get("connection_name").and_then(FieldValue::as_str) {
        view["user_provided_name"] = json!(name);
    }
    view
}

/// A connection by itself: what is not known of TLS is empty there, as RabbitMQ has it.
pub fn alone(mut view: Value) -> Value {
    let of_tls = ["peer_cert_issuer", "peer_cert_subject", "peer_cert_validity"];
    let of_tls = of_tls
        .iter()
        .chain(&["ssl_cipher", "ssl_hash", "ssl_key_exchange", "ssl_protocol"]);
    for key in of_tls.filter(|key| view[**key].is_null()).copied().collect::<Vec<_>>() {
        view[key] = json!("");
    }
    view
}

fn channels(call: &Call, connections: &[&ConnectionReport]) -> Vec<Value> {
    let views = connections.iter().flat_map(|connection| {
        let channels = connection.channels.iter();
        channels.map(|channel| channel_view(call, connection, channel))
    });
    views.collect()
}

fn channel_view(call: &Call, connection: &ConnectionReport, channel: &ChannelReport) -> Value {
    let details = &connection.details;
    let mut view = json!({
        "acks_uncommitted": channel.uncommitted_acks,
        "confirm": channel.confirms,
        "connection_details": {
            "name": connection.name(),
            "peer_host": connection.peer.ip().to_string(),
            "peer_port": connection.peer.port(),
        },
        "consumer_count": channel.consumers,
        "messages_unacknowledged": channel.unacked,
        "messages_uncommitted": channel.uncommitted,
        "messages_unconfirmed": channel.unconfirmed,
        "name": channel_name(connection, channel),
        "node": call.gathered.name(connection.node),
        "number": channel.number,
        "pending_raft_commands": 0,
        "prefetch_count": channel.prefetch,
        "state": "running",
        "transactional": channel.is_transactional,
        "user": details.user,
        "user_who_performed_action": details.user,
        "vhost": details.vhost,
    });
    if channel.channel_prefetch > 0 {
        view["global_prefetch_count"] = json!(channel.channel_prefetch);
    }
    if let Some(second) = channel.idle_since {
        view["idle_since"] = json!(views::time(Timestamp(second * 1000)));
    }
    erlang::write_process(&mut view, call.windows.data);
    let groups = [figures::PUBLISHES, figures::DELIVERIES];
    figures::write_message_stats(call, &mut view, &channel.figures, &groups);
    view
}

/// `peer -> local (number)`, as RabbitMQ names a channel.
pub fn channel_name(connection: &ConnectionReport, channel: &ChannelReport) -> String {
    format!("{} ({})", connection.name(), channel.number)
}

fn consumers_of(call: &Call, connection: &ConnectionReport, channel: &ChannelReport) -> Vec<Value> {
    let vhost = connection.details.vhost.as_ref();
    let vhost = vhost.and_then(|name| call.broker.vhost(name));
    let mut queues = vhost.map(|vhost| vhost.queues()).unwrap_or_default();
    queues.retain(|queue| channel.queues.contains(&queue.spec.id));
    sort_by_key(&mut queues, |queue| queue.spec.id);
    let name = channel_name(connection, channel);
    let all = queues.iter().flat_map(|queue| consumers::of_queue(call, queue));
    all.filter(|view| view["channel_details"]["name"] == name.as_str())
        .collect()
}
