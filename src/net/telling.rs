//! What a session tells those who observe the broker: logins, and connections, channels and consumers that come
//! and go. Nothing is made unless somebody listens.

use std::net::IpAddr;

use super::session::Session;
use crate::broker::Consumer;
use crate::broker::observers::{arguments, number, text};
use crate::types::FieldValue;

type Field = (&'static str, FieldValue);

impl Session {
    /// Tells of something that happened on this connection, made only if anybody wants to know.
    fn tell(&self, kind: &'static str, fields: impl FnOnce() -> Vec<Field>) {
        let observers = self.connection.broker.observers();
        if observers.wants_events() {
            observers.event(self.connection.broker.now(), kind, &fields());
        }
    }

    /// Somebody logged in, or was refused for that reason.
    pub(super) fn tell_of_login(&self, user: &str, mechanism: &str, refused: Option<&str>) {
        let kind = match refused {
            None => "user.authentication.success",
            Some(_) => "user.authentication.failure",
        };
        self.tell(kind, || {
            let mut fields = vec![
                ("name", text(user)),
                ("auth_mechanism", text(mechanism)),
                ("connection_name", text(&self.connection.info.name())),
                ("connection_type", text("network")),
            ];
            fields.extend(self.ends());
            fields.extend(refused.map(|reason| ("error", text(reason))));
            fields
        });
    }

    /// The connection is open.
    pub(super) fn tell_of_opening(&self) {
        self.tell("connection.created", || {
            let details = self.connection.info.details();
            let vhost = details.vhost.as_deref().unwrap_or_default();
            let mut fields = self.who();
            fields.extend(self.ends());
            fields.extend([
                ("vhost", text(vhost)),
                ("type", text("network")),
                ("auth_mechanism", text(&details.mechanism)),
                ("connected_at", number(self.connection.info.connected_at.0)),
                ("frame_max", number(details.frame_max)),
                ("channel_max", number(details.channel_max)),
                ("timeout", number(details.heartbeat)),
                ("client_properties", arguments(&details.client_properties)),
            ]);
            fields
        });
    }

    /// The connection is gone.
    pub(super) fn tell_of_closing(&self) {
        self.tell("connection.closed", || {
            let mut fields = self.who();
            let details = self.connection.info.details();
            fields.push(("client_properties", arguments(&details.client_properties)));
            fields
        });
    }

    /// A channel was opened or closed.
    pub(super) fn tell_of_channel(&self, kind: &'static str, channel: u16) {
        self.tell(kind, || {
            let name = self.connection.info.name();
            vec![
                ("pid", text(&format!("{name} ({channel})"))),
                ("name", text(&format!("{name} ({channel})"))),
                ("connection", text(&name)),
                ("number", number(channel)),
                ("user", text(self.connection.user.as_deref().unwrap_or_default())),
                (
                    "vhost",
                    text(self.connection.info.vhost().as_deref().unwrap_or_default()),
                ),
                (
                    "user_who_performed_action",
                    text(self.connection.user.as_deref().unwrap_or_default()),
                ),
            ]
        });
    }

    /// A consumer came or went.
    pub(super) fn tell_of_consumer(&self, kind: &'static str, consumer: &Consumer) {
        self.tell(kind, || {
            let queue = consumer.queue.upgrade();
            let spec = queue.as_ref().map(|queue| &queue.spec);
            vec![
                ("consumer_tag", text(&consumer.tag)),
                ("queue", text(spec.map_or("", |spec| spec.name.as_str()))),
                ("vhost", text(spec.map_or("", |spec| spec.vhost.as_str()))),
                (
                    "channel",
                    text(&format!("{} ({})", self.connection.info.name(), consumer.channel)),
                ),
                ("exclusive", FieldValue::Boolean(consumer.exclusive)),
                ("ack_required", FieldValue::Boolean(!consumer.no_ack)),
                ("prefetch_count", number(consumer.prefetch.unwrap_or(0))),
                ("arguments", arguments(&consumer.arguments)),
                ("user_who_performed_action", text(&consumer.user)),
            ]
        });
    }

    /// Which connection it is, and whose.
    fn who(&self) -> Vec<Field> {
        let (name, user) = (
            self.connection.info.name(),
            self.connection.user.as_deref().unwrap_or_default(),
        );
        vec![
            ("pid", text(&name)),
            ("name", text(&name)),
            ("node", text(&self.connection.broker.node().name)),
            ("user", text(user)),
            ("user_who_performed_action", text(user)),
        ]
    }

    /// Its two ends, in Erlang's notation.
    fn ends(&self) -> [Field; 6] {
        let (peer, local) = (self.connection.info.peer, self.connection.info.local);
        [
            ("host", text(&tuple(local.ip()))),
            ("port", number(local.port())),
            ("peer_host", text(&tuple(peer.ip()))),
            ("peer_port", number(peer.port())),
            ("protocol", text("{0,9,1}")),
            ("ssl", FieldValue::Boolean(self.connection.info.tls.is_some())),
        ]
    }
}

fn tuple(address: IpAddr) -> String {
    let parts: Vec<_> = match address {
        IpAddr::V4(address) => address.octets().iter().map(ToString::to_string).collect(),
        IpAddr::V6(address) => address.segments().iter().map(ToString::to_string).collect(),
    };
    format!("{{{}}}", parts.join(","))
}
