//! Consumers.

use serde_json::{Value, json};

use super::answer::Answered;
use super::call::Call;
use super::list;
use super::route::{Access, Route};
use crate::broker::QueueHandle;
use crate::broker::connections::connection_name;
use crate::broker::report::{ChannelPlace, ConsumerReport};
use crate::metadata::json;
use crate::types::VhostName;

/// What can be asked of consumers.
pub static ROUTES: &[Route] = &[
    Route::gathered("/consumers", Access::Management, "All consumers.", |call| {
        let visible = call.caller.vhosts(&call.broker.catalogue());
        list(call, &visible)
    }),
    Route::gathered(
        "/consumers/{vhost}",
        Access::Management,
        "Consumers of a vhost; none where the user may see none.",
        |call| {
            call.in_vhost(|_| ())?;
            let mut visible = call.caller.vhosts(&call.broker.catalogue());
            visible.retain(|vhost| *vhost == call.vhost());
            list(call, &visible)
        },
    ),
];

fn list(call: &Call, vhosts: &[VhostName]) -> Answered {
    let vhosts = vhosts.iter().filter_map(|name| call.broker.vhost(name));
    let queues = vhosts.flat_map(|vhost| vhost.queues());
    let views = queues.flat_map(|queue| of_queue(call, &queue));
    list::listing(call, views.collect(), &["consumer_tag"])
}

/// The consumers of a queue, on all nodes.
pub fn of_queue(call: &Call, queue: &QueueHandle) -> Vec<Value> {
    let default_timeout = call.broker.config().queues.consumer_timeout;
    let report = call.gathered.queue(queue);
    let timeout = report.and_then(|report| report.consumer_timeout).or(default_timeout);
    // Asked for before the queue is locked.
    let consumers = call.gathered.consumers(call.broker.queues(), queue, call.connections());
    let views = consumers.into_iter().map(|(consumer, status)| {
        json!({
            "arguments": json::from_table(&consumer.arguments),
            "ack_required": !consumer.no_ack,
            "active": status.is_active(),
            "activity_status": status.name(),
            "channel_details": channel_view(call, &consumer),
            "consumer_tag": consumer.tag,
            "consumer_timeout": timeout,
            "exclusive": consumer.exclusive,
            "prefetch_count": consumer.prefetch.unwrap_or(0),
            "queue": {"name": queue.spec.name, "vhost": queue.spec.vhost},
        })
    });
    views.collect()
}

fn channel_view(call: &Call, consumer: &ConsumerReport) -> Value {
    let Some((peer, local)) = consumer.connection else {
        return json!([]);
    };
    place_view(
        call,
        &ChannelPlace {
            node: consumer.node,
            peer,
            local,
            number: consumer.channel,
            user: consumer.user.clone(),
        },
    )
}

/// A channel where it is not the subject.
pub fn place_view(call: &Call, channel: &ChannelPlace) -> Value {
    let name = connection_name(channel.peer, channel.local);
    json!({
        "name": match channel.number {
            // A subscription of the stream protocol, which knows no channels.
            0 => String::new(),
            number => format!("{name} ({number})"),
        },
        "connection_name": name,
        "node": call.gathered.name(channel.node),
        "number": channel.number,
        "peer_host": channel.peer.ip().to_string(),
        "peer_port": channel.peer.port(),
        "user": channel.user,
    })
}
