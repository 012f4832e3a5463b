//! Clients of the stream protocol, as RabbitMQ's plug-in shows them: connections, publishers, subscriptions; and what is
//! tracked in a stream.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::route::{Access, Route};
use super::{connections, list, page};
use crate::broker::QueueHandle;
use crate::broker::connections::ConnectionReport;
use crate::broker::delivery::streaming::{PublisherReport, SubscriptionReport};
use crate::broker::report::About;
use crate::front::protocol::STREAM;
use crate::spec::QueueType;

/// What can be asked of clients of the stream protocol.
pub static ROUTES: &[Route] = &[
    Route::of_clients(
        "/stream/connections",
        Access::Management,
        "All connections of the stream protocol.",
        |call| list_connections(call, visible(call)),
    ),
    Route::of_clients(
        "/stream/connections/{vhost}",
        Access::VhostVisible,
        "Connections of the stream protocol in a vhost.",
        |call| list_connections(call, in_vhost(call)?),
    ),
    Route::of_clients(
        "/stream/connections/{vhost}/{name}",
        Access::VhostVisible,
        "A connection of the stream protocol.",
        |call| {
            let view = connections::view(call, named(call)?);
            page::single(call, connections::alone(view))
        },
    ),
    Route::delete(
        "/stream/connections/{vhost}/{name}",
        Access::Vhost,
        "Closes a connection of the stream protocol; the header X-Reason tells the client why.",
        |mut call| {
            Box::pin(async move {
                call.gather(About::Clients).await?;
                connections::close(&call, &[named(&call)?]).await
            })
        },
    ),
    Route::of_clients(
        "/stream/connections/{vhost}/{name}/publishers",
        Access::VhostVisible,
        "Publishers of a connection.",
        |call| list_publishers(call, &[named(call)?], None),
    ),
    Route::of_clients(
        "/stream/connections/{vhost}/{name}/consumers",
        Access::VhostVisible,
        "Subscriptions of a connection.",
        |call| list_subscriptions(call, &[named(call)?]),
    ),
    Route::of_clients(
        "/stream/publishers",
        Access::Management,
        "All publishers of the stream protocol.",
        |call| list_publishers(call, &visible(call), None),
    ),
    Route::of_clients(
        "/stream/publishers/{vhost}",
        Access::VhostVisible,
        "Publishers of the stream protocol in a vhost.",
        |call| list_publishers(call, &in_vhost(call)?, None),
    ),
    Route::of_clients(
        "/stream/publishers/{vhost}/{name}",
        Access::VhostVisible,
        "Publishers of a stream.",
        |call| {
            let name = call.name("name");
            let is_there = call.in_vhost(|vhost| vhost.queue(name).is_some())?;
            is_there.then_some(()).ok_or(Failure::NotFound)?;
            list_publishers(call, &in_vhost(call)?, Some(name))
        },
    ),
    Route::of_clients(
        "/stream/consumers",
        Access::Management,
        "All subscriptions of the stream protocol.",
        |call| list_subscriptions(call, &visible(call)),
    ),
    Route::of_clients(
        "/stream/consumers/{vhost}",
        Access::VhostVisible,
        "Subscriptions of the stream protocol in a vhost.",
        |call| list_subscriptions(call, &in_vhost(call)?),
    ),
    Route::later(
        "/stream/{vhost}/{name}/tracking",
        Access::VhostVisible,
        "Offsets that readers have stored in a stream, and publishers' numbers; type=offset or writer for one of them.",
        |call| Box::pin(tracking(call)),
    ),
];

/// The stream of the path.
///
/// # Errors
/// When there is none of that name.
pub fn stream(call: &Call) -> Result<Arc<QueueHandle>, Failure> {
    call.in_vhost(|_| ())?;
    let vhost = call.broker.vhost(call.name("vhost")).ok_or(Failure::NotFound)?;
    let queue = vhost.queue(call.name("name"));
    let queue = queue.filter(|queue| queue.spec.queue_type == QueueType::Stream);
    queue.ok_or(Failure::NotFound)
}

/// The connections that the user may see: its own, or all for those who monitor.
pub fn visible(call: &Call) -> Vec<&ConnectionReport> {
    let mut all = connections::visible(call);
    all.retain(|connection| connection.details.protocol == STREAM.key);
    all
}

fn in_vhost(call: &Call) -> Result<Vec<&ConnectionReport>, Failure> {
    call.in_vhost(|_| ())?;
    let vhost = call.vhost();
    let mut own = visible(call);
    own.retain(|connection| connection.details.vhost.as_ref() == Some(&vhost));
    Ok(own)
}

/// The connection of the path.
fn named(call: &Call) -> Result<&ConnectionReport, Failure> {
    let own = in_vhost(call)?.into_iter();
    let mut named = own.filter(|connection| connection.name() == call.name("name"));
    named.next().ok_or(Failure::NotFound)
}

fn list_connections(call: &Call, connections: Vec<&ConnectionReport>) -> Answered {
    let views = connections.into_iter().map(|one| connections::view(call, one));
    list::listing(call, views.collect(), &["vhost", "name"])
}

fn list_publishers(call: &Call, connections: &[&ConnectionReport], stream: Option<&str>) -> Answered {
    let views = connections.iter().flat_map(|connection| {
        let publishers = connection.streaming.iter().flat_map(|client| &client.publishers);
        let meant = publishers.filter(|one| stream.is_none_or(|stream| one.stream == stream));
        meant.map(|one| publisher_view(call, connection, one))
    });
    list::listing(call, views.collect(), &["publisher_id"])
}

fn list_subscriptions(call: &Call, connections: &[&ConnectionReport]) -> Answered {
    let views = connections.iter().flat_map(|connection| {
        let subscriptions = connection.streaming.iter().flat_map(|client| &client.subscriptions);
        subscriptions.map(|one| subscription_view(call, connection, one))
    });
    list::listing(call, views.collect(), &["subscription_id"])
}

/// A connection where it is not the subject.
pub fn connection_view(call: &Call, connection: &ConnectionReport) -> Value {
    json!({
        "name": connection.name(),
        "node": call.gathered.name(connection.node),
        "peer_host": connection.peer.ip().to_string(),
        "peer_port": connection.peer.port(),
        "user": connection.details.user,
    })
}

fn publisher_view(call: &Call, connection: &ConnectionReport, publisher: &PublisherReport) -> Value {
    json!({
        "confirmed": publisher.confirmed,
        "connection_details": connection_view(call, connection),
        "errored": publisher.errored,
        "published": publisher.published,
        "publisher_id": publisher.id,
        "queue": {"name": publisher.stream, "vhost": connection.details.vhost},
        "reference": publisher.reference.as_deref().unwrap_or_default(),
    })
}

fn subscription_view(call: &Call, connection: &ConnectionReport, subscription: &SubscriptionReport) -> Value {
    let properties = subscription.properties.iter();
    let properties: Map<_, _> = properties.map(|(key, value)| (key.clone(), json!(value))).collect();
    json!({
        "active": subscription.status.is_active(),
        "activity_status": subscription.status.name(),
        "connection_details": connection_view(call, connection),
        "consumed": subscription.consumed,
        "credits": subscription.credits,
        "offset": subscription.offset,
        "offset_lag": subscription.lag,
        "properties": properties,
        "queue": {"name": subscription.stream, "vhost": connection.details.vhost},
        "subscription_id": subscription.id,
    })
}

async fn tracking(call: Call) -> Answered {
    let queue = stream(&call)?;
    let tracked = call.broker.reports().tracked(&queue).await;
    let tracked = tracked.ok_or_else(|| Failure::Broken("no member of the stream can be asked".to_owned()))?;
    let offsets: Map<_, _> = tracked
        .cursors
        .into_iter()
        .map(|(name, offset)| (name, json!(offset)))
        .collect();
    let writers: Map<_, _> = tracked
        .producers
        .into_iter()
        .map(|producer| (producer.name, json!(producer.sequence)))
        .collect();
    Ok(Answer::Json(match call.query.get("type") {
        Some("offset") => json!({"offsets": offsets}),
        Some("writer") => json!({"writers": writers}),
        _ => json!({"offsets": offsets, "writers": writers}),
    }))
}
