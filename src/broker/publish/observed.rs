//! Publishes what observers are told: events to `amq.rabbitmq.event`, copies of messages to `amq.rabbitmq.trace`.
//!
//! It goes past permissions and confirms, for nobody published it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::route::RouteRequest;
use super::vhosts::Vhost;
use super::vhosts::Vhosts;
use crate::broker::observers::{Direction, EVENTS, Event, Observed, TRACE, Traced};
use crate::codec::Properties;
use crate::codec::properties::scan;
use crate::queue::Publish;
use crate::router::Routed;
use crate::types::names::MAX_NAME_BYTES;
use crate::types::{FieldTable, FieldValue, Message, MessageParts};

/// How often the log says that something was lost.
const REMIND: Duration = Duration::from_secs(10);

impl Vhosts {
    /// Publishes what observers are told until the task is dropped.
    pub async fn run_observers(self: Arc<Self>) {
        let Some(mut outlet) = self.observers.outlet() else {
            return;
        };
        let (mut told, mut since) = (0, None::<Instant>);
        while let Some(observed) = outlet.recv().await {
            match observed {
                Observed::Event(event) => self.publish_event(event),
                Observed::Message(traced) => {
                    self.observers.taken(&traced);
                    self.publish_traced(&traced);
                }
            }
            let lost = self.observers.lost();
            if lost > told && since.is_none_or(|at| at.elapsed() > REMIND) {
                tracing::warn!(
                    lost = lost - told,
                    "events or copies of traced messages came faster than they are published"
                );
                (told, since) = (lost, Some(Instant::now()));
            }
            // A stream of them must not keep this thread from others.
            tokio::task::consume_budget().await;
        }
    }

    fn publish_event(self: &Arc<Self>, mut event: Event) {
        let at = FieldValue::I64(event.at.0.try_into().unwrap_or(i64::MAX));
        event.fields.set("timestamp_in_ms", at);
        self.observers.keep(&event);
        let Some(vhost) = self.get(&self.config.auth.default_vhost) else {
            return;
        };
        let properties = Properties {
            headers: Some(event.fields),
            delivery_mode: Some(2),
            timestamp: Some(event.at.seconds()),
            ..Properties::default()
        };
        self.publish_observed(&vhost, EVENTS, event.kind, &properties, b"");
    }

    fn publish_traced(self: &Arc<Self>, traced: &Traced) {
        let Some(vhost) = self.get(&traced.vhost) else {
            return;
        };
        let (message, client) = (&traced.message, &traced.client);
        let text = FieldValue::text;
        let connection = self.connections.get(client.connection);
        let mut headers = FieldTable::of(&[
            ("exchange_name", text(message.exchange_str())),
            ("routing_keys", routing_keys(message)),
            ("properties", FieldValue::Table(properties_of(message))),
            ("node", text(&self.node)),
            ("vhost", text(&traced.vhost)),
            (
                "connection",
                text(&connection.map(|connection| connection.name()).unwrap_or_default()),
            ),
            ("channel", FieldValue::I32(client.channel.into())),
            ("user", text(&client.user)),
        ]);
        let key = match &traced.direction {
            Direction::In { routed } => {
                let routed = routed.iter().map(|queue| text(queue)).collect();
                headers.set("routed_queues", FieldValue::Array(routed));
                format!("publish.{}", message.exchange_str())
            }
            Direction::Out { queue, redelivered } => {
                headers.set("redelivered", FieldValue::I32((*redelivered).into()));
                format!("deliver.{queue}")
            }
        };
        let properties = Properties {
            headers: Some(headers),
            ..Properties::default()
        };
        self.publish_observed(&vhost, TRACE, &key, &properties, message.body());
    }

    fn publish_observed(
        self: &Arc<Self>,
        vhost: &Vhost,
        exchange: &str,
        key: &str,
        properties: &Properties,
        body: &[u8],
    ) {
        let encoded = properties.encode();
        let Ok(scanned) = scan(&encoded) else {
            return;
        };
        let key = &key.as_bytes()[..key.len().min(MAX_NAME_BYTES)];
        let route = RouteRequest {
            exchange,
            keys: &[key],
            properties: &scanned,
            delayed: false,
        };
        let mut routed = Routed::default();
        if !vhost.route(&route, &mut routed) || routed.queues.is_empty() {
            return;
        }
        let parts = MessageParts {
            exchange: exchange.as_bytes(),
            routing_key: key,
            properties: &encoded,
            traits: scanned.traits,
        };
        let message = Message::new(parts, body, &mut Vec::new());
        for queue in &routed.queues {
            let message = message.clone();
            queue.0.publish(&self.queues, [Publish { message, publish: None }]);
        }
    }
}

/// The routing key and those of the header `CC`.
fn routing_keys(message: &Message) -> FieldValue {
    let mut keys = vec![FieldValue::LongString(message.routing_key().to_vec())];
    let properties = Properties::decode(message.properties()).unwrap_or_default();
    if let Some(FieldValue::Array(copies)) = properties.headers.as_ref().and_then(|headers| headers.get("CC")) {
        keys.extend(copies.iter().cloned());
    }
    FieldValue::Array(keys)
}

/// The properties that are set, by their names.
fn properties_of(message: &Message) -> FieldTable {
    let Properties {
        content_type,
        content_encoding,
        headers,
        delivery_mode,
        priority,
        correlation_id,
        reply_to,
        expiration,
        message_id,
        timestamp,
        kind,
        user_id,
        app_id,
        cluster_id,
    } = Properties::decode(message.properties()).unwrap_or_default();
    let text = |value: Option<String>| value.map(|value| FieldValue::text(&value));
    let octet = |value: Option<u8>| value.map(|value| FieldValue::I32(value.into()));
    let all = [
        ("content_type", text(content_type)),
        ("content_encoding", text(content_encoding)),
        ("headers", headers.map(FieldValue::Table)),
        ("delivery_mode", octet(delivery_mode)),
        ("priority", octet(priority)),
        ("correlation_id", text(correlation_id)),
        ("reply_to", text(reply_to)),
        ("expiration", text(expiration)),
        ("message_id", text(message_id)),
        (
            "timestamp",
            timestamp.map(|seconds| FieldValue::I64(seconds.try_into().unwrap_or(i64::MAX))),
        ),
        ("type", text(kind)),
        ("user_id", text(user_id)),
        ("app_id", text(app_id)),
        ("cluster_id", text(cluster_id)),
    ];
    let mut table = FieldTable::new();
    for (name, value) in all {
        if let Some(value) = value {
            table.set(name, value);
        }
    }
    table
}
