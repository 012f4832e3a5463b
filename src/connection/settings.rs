//! What the server offers every connection, and what a client says of itself.

use crate::types::{ByteSize, FieldTable, FieldValue, Millis};

/// The same for all connections of a listener.
#[derive(Debug, Clone)]
pub struct Settings {
    /// See [`server_properties`].
    pub server_properties: FieldTable,
    /// Authentication mechanisms on offer, in this order. RabbitMQ: `AMQPLAIN`, `PLAIN`.
    pub mechanisms: Vec<String>,
    /// Most channels open at once; at least 1.
    pub channel_max: u16,
    /// Largest frame in bytes; at least [`FRAME_MIN`].
    pub frame_max: u32,
    /// Largest frame in bytes before a client has asked for another; at least [`FRAME_MIN`].
    pub initial_frame_max: u32,
    /// Seconds; 0 offers none.
    pub heartbeat: u16,
    /// Largest body of a message.
    pub max_message_size: ByteSize,
    /// From the first byte to `connection.open-ok`.
    pub handshake_timeout: Millis,
}

/// Smallest frame-max a client may ask for, in bytes.
pub const FRAME_MIN: u32 = 4096;

/// Who the server says it is.
#[derive(Debug, Clone)]
pub struct ServerNames<'a> {
    pub product: &'a str,
    pub version: &'a str,
    pub platform: &'a str,
    pub information: &'a str,
    pub copyright: &'a str,
    pub cluster_name: &'a str,
}

/// The capabilities of RabbitMQ 4.0, all of which clients may rely on here.
const CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

/// The table sent in `connection.start`.
pub fn server_properties(names: &ServerNames<'_>) -> FieldTable {
    let capabilities = CAPABILITIES.map(|name| (name.to_owned(), FieldValue::Boolean(true)));
    let texts = [
        ("cluster_name", names.cluster_name),
        ("copyright", names.copyright),
        ("information", names.information),
        ("platform", names.platform),
        ("product", names.product),
        ("version", names.version),
    ];
    let mut table = FieldTable::new();
    table.set("capabilities", FieldValue::Table(FieldTable(capabilities.to_vec())));
    for (name, text) in texts {
        table.set(name, FieldValue::text(text));
    }
    table
}

/// What a client announced in `connection.start-ok`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Client {
    /// As sent.
    pub properties: FieldTable,
    pub capabilities: Capabilities,
    /// The mechanism it authenticates with.
    pub mechanism: String,
}

/// The client capabilities that change what the server sends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// It wants `connection.close` when it is refused.
    pub authentication_failure_close: bool,
    /// It wants `connection.blocked` and `unblocked`.
    pub connection_blocked: bool,
    /// It wants `basic.cancel` when its consumer is ended.
    pub consumer_cancel_notify: bool,
}

impl Client {
    pub(super) fn new(properties: FieldTable, mechanism: String) -> Self {
        let has = |name| match properties.get("capabilities") {
            Some(FieldValue::Table(table)) => table.get(name).and_then(FieldValue::as_bool) == Some(true),
            _ => false,
        };
        let capabilities = Capabilities {
            authentication_failure_close: has("authentication_failure_close"),
            connection_blocked: has("connection.blocked"),
            consumer_cancel_notify: has("consumer_cancel_notify"),
        };
        Self {
            properties,
            capabilities,
            mechanism,
        }
    }

    /// The name the application gave its connection.
    pub fn connection_name(&self) -> Option<&str> {
        self.properties.get("connection_name").and_then(FieldValue::as_str)
    }
}
