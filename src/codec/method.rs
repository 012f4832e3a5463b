//! Every method of AMQP 0-9-1 with RabbitMQ's extensions, as one table.
//!
//! A row gives class and method id, name, and the fields in wire order; from it come the struct,
//! its place in [`Method`], reading and writing. The rows are ours rather than amq-protocol's
//! because three things differ that clients can see: tables keep their order and duplicates,
//! short strings outside of names need not be UTF-8, and the reply to an undecodable method
//! depends on what exactly is wrong with it. Tests hold every row against amq-protocol.
//!
//! `(ticket)` marks methods that begin with the two reserved octets of the old access tickets.

use thiserror::Error;

use super::erlang;
use super::frame::{self, FrameKind};
pub use super::wire::ShortBytes;
use super::wire::{Field, Reader, WireError, Writer};
use crate::types::table::TableError;
use crate::types::{FieldTable, Refusal, Reply, ReplyCode};

/// Class of exchange, routing key, properties and body.
pub const BASIC: u16 = 60;

/// Why a payload is not a method. All of them end the connection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MethodError {
    #[error("unknown method {class}.{method}")]
    UnknownMethod { class: u16, method: u16 },
    #[error("method {class}.{method} carries a bad table: {error}")]
    BadTable { class: u16, method: u16, error: TableError },
    #[error("malformed UTF-8 in a short string")]
    NotUtf8,
    /// Too short, too long, or too short to have ids at all (then they are 0). `octets` are those
    /// after the ids, no more than the reply text has room for.
    #[error("cannot decode method {class}.{method}")]
    Undecodable { class: u16, method: u16, octets: Vec<u8> },
}

impl MethodError {
    /// Class and method id for the close method; 0.0 where RabbitMQ names none.
    pub fn ids(&self) -> (u16, u16) {
        match *self {
            Self::UnknownMethod { class, method }
            | Self::BadTable { class, method, .. }
            | Self::Undecodable { class, method, .. } => (class, method),
            Self::NotUtf8 => (0, 0),
        }
    }

    /// Whether RabbitMQ closes the socket without a word.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::UnknownMethod { .. } | Self::BadTable { .. })
    }

    pub(super) fn undecodable(class: u16, method: u16, fields: &[u8]) -> Self {
        let octets = fields[..fields.len().min(255)].to_vec();
        Self::Undecodable { class, method, octets }
    }

    fn of(class: u16, method: u16, fields: &[u8], error: WireError) -> Self {
        match error {
            WireError::Truncated => Self::undecodable(class, method, fields),
            WireError::NotUtf8 => Self::NotUtf8,
            WireError::Table(error) => Self::BadTable { class, method, error },
        }
    }
}

impl Refusal for MethodError {
    fn reply(&self) -> Reply {
        let text = match self {
            Self::NotUtf8 => "Malformed UTF-8 in shortstr".to_owned(),
            Self::Undecodable { octets, .. } => format!("cannot decode {}", erlang::plain_binary(octets)),
            Self::UnknownMethod { .. } | Self::BadTable { .. } => self.to_string(),
        };
        Reply::connection(ReplyCode::FrameError, text)
    }
}

/// Class and method id of a method frame's payload, before anything else of it is read: replies
/// need them even when the rest is rubbish.
#[inline]
pub fn method_ids(payload: &[u8]) -> Option<(u16, u16)> {
    let &[c1, c0, m1, m0] = payload.first_chunk::<4>()?;
    Some((u16::from_be_bytes([c1, c0]), u16::from_be_bytes([m1, m0])))
}

macro_rules! methods {
    (
        with_fields { $(
            $class:literal $id:literal $name:literal $method:ident $(($ticket:ident))?
            { $( $(#[$doc:meta])* $field:ident: $type:ty ),* $(,)? }
        )* }
        without_fields { $( $bare_class:literal $bare_id:literal $bare_name:literal $bare:ident )* }
    ) => {
        $(
            #[doc = concat!("`", $name, "`")]
            #[derive(Debug, Clone, Default, PartialEq)]
            pub struct $method { $( $(#[$doc])* pub $field: $type, )* }

            impl From<$method> for Method {
                fn from(method: $method) -> Self {
                    Self::$method(method)
                }
            }
        )*

        /// A decoded method of any class, in either direction.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Method {
            $( #[doc = concat!("`", $name, "`")] $method($method), )*
            $( #[doc = concat!("`", $bare_name, "`")] $bare, )*
        }

        impl Method {
            /// Class and method id.
            pub fn ids(&self) -> (u16, u16) {
                match self {
                    $( Self::$method(_) => ($class, $id), )*
                    $( Self::$bare => ($bare_class, $bare_id), )*
                }
            }

            /// The name in the specification, as in `queue.declare`.
            pub fn name(&self) -> &'static str {
                match self {
                    $( Self::$method(_) => $name, )*
                    $( Self::$bare => $bare_name, )*
                }
            }

            fn read(class: u16, method: u16, from: &mut Reader<'_>) -> Option<Result<Self, WireError>> {
                Some(match (class, method) {
                    $( ($class, $id) => $method::read(from).map(Self::$method), )*
                    $( ($bare_class, $bare_id) => Ok(Self::$bare), )*
                    _ => return None,
                })
            }

            /// One of each, with drawn values.
            #[cfg(test)]
            pub fn every(draw: &mut super::compared::Draw) -> Vec<Self> {
                use super::compared::Drawn;
                vec![
                    $( Self::$method($method { $( $field: Drawn::drawn(draw), )* }), )*
                    $( Self::$bare, )*
                ]
            }

            fn write(&self, to: &mut Writer<'_>) {
                match self {
                    $( Self::$method(method) => method.write(to), )*
                    $( Self::$bare => {} )*
                }
            }
        }

        $( impl $method {
            fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
                $( from.$ticket()?; )?
                Ok(Self { $( $field: Field::read(from)?, )* })
            }

            fn write(&self, to: &mut Writer<'_>) {
                $( to.$ticket(); )?
                $( self.$field.write(to); )*
            }
        } )*
    };
}

methods! {
    with_fields {
        10 10 "connection.start" ConnectionStart {
            version_major: u8, version_minor: u8, server_properties: FieldTable,
            /// Separated by spaces.
            mechanisms: Vec<u8>,
            /// Separated by spaces.
            locales: Vec<u8>,
        }
        10 11 "connection.start-ok" ConnectionStartOk {
            client_properties: FieldTable, mechanism: String, response: Vec<u8>, locale: String,
        }
        10 20 "connection.secure" ConnectionSecure { challenge: Vec<u8> }
        10 21 "connection.secure-ok" ConnectionSecureOk { response: Vec<u8> }
        10 30 "connection.tune" ConnectionTune {
            channel_max: u16,
            /// Bytes of a whole frame.
            frame_max: u32,
            /// Seconds; 0 is none.
            heartbeat: u16,
        }
        10 31 "connection.tune-ok" ConnectionTuneOk {
            channel_max: u16,
            /// Bytes of a whole frame.
            frame_max: u32,
            /// Seconds; 0 is none.
            heartbeat: u16,
        }
        10 40 "connection.open" ConnectionOpen {
            virtual_host: String,
            /// Reserved.
            capabilities: String,
            /// Reserved.
            insist: bool,
        }
        10 41 "connection.open-ok" ConnectionOpenOk {
            /// Reserved.
            known_hosts: String,
        }
        10 50 "connection.close" ConnectionClose {
            reply_code: u16, reply_text: String, class_id: u16, method_id: u16,
        }
        10 60 "connection.blocked" ConnectionBlocked { reason: String }
        10 70 "connection.update-secret" ConnectionUpdateSecret { new_secret: Vec<u8>, reason: String }

        20 10 "channel.open" ChannelOpen {
            /// Reserved.
            out_of_band: String,
        }
        20 11 "channel.open-ok" ChannelOpenOk {
            /// Reserved.
            channel_id: Vec<u8>,
        }
        20 20 "channel.flow" ChannelFlow { active: bool }
        20 21 "channel.flow-ok" ChannelFlowOk { active: bool }
        20 40 "channel.close" ChannelClose {
            reply_code: u16, reply_text: String, class_id: u16, method_id: u16,
        }

        30 10 "access.request" AccessRequest {
            realm: String, exclusive: bool, passive: bool, active: bool, write: bool, read: bool,
        }
        30 11 "access.request-ok" AccessRequestOk { ticket: u16 }

        40 10 "exchange.declare" ExchangeDeclare (ticket) {
            exchange: String, kind: String, passive: bool, durable: bool, auto_delete: bool,
            internal: bool, nowait: bool, arguments: FieldTable,
        }
        40 20 "exchange.delete" ExchangeDelete (ticket) { exchange: String, if_unused: bool, nowait: bool }
        40 30 "exchange.bind" ExchangeBind (ticket) {
            destination: String, source: String, routing_key: String, nowait: bool, arguments: FieldTable,
        }
        40 40 "exchange.unbind" ExchangeUnbind (ticket) {
            destination: String, source: String, routing_key: String, nowait: bool, arguments: FieldTable,
        }

        50 10 "queue.declare" QueueDeclare (ticket) {
            queue: String, passive: bool, durable: bool, exclusive: bool, auto_delete: bool,
            nowait: bool, arguments: FieldTable,
        }
        50 11 "queue.declare-ok" QueueDeclareOk { queue: String, message_count: u32, consumer_count: u32 }
        50 20 "queue.bind" QueueBind (ticket) {
            queue: String, exchange: String, routing_key: String, nowait: bool, arguments: FieldTable,
        }
        50 30 "queue.purge" QueuePurge (ticket) { queue: String, nowait: bool }
        50 31 "queue.purge-ok" QueuePurgeOk { message_count: u32 }
        50 40 "queue.delete" QueueDelete (ticket) {
            queue: String, if_unused: bool, if_empty: bool, nowait: bool,
        }
        50 41 "queue.delete-ok" QueueDeleteOk { message_count: u32 }
        50 50 "queue.unbind" QueueUnbind (ticket) {
            queue: String, exchange: String, routing_key: String, arguments: FieldTable,
        }

        60 10 "basic.qos" BasicQos {
            /// Bytes; 0 is unlimited.
            prefetch_size: u32,
            /// Messages; 0 is unlimited.
            prefetch_count: u16,
            global: bool,
        }
        60 20 "basic.consume" BasicConsume (ticket) {
            queue: String, consumer_tag: String, no_local: bool, no_ack: bool, exclusive: bool,
            nowait: bool, arguments: FieldTable,
        }
        60 21 "basic.consume-ok" BasicConsumeOk { consumer_tag: String }
        60 30 "basic.cancel" BasicCancel { consumer_tag: String, nowait: bool }
        60 31 "basic.cancel-ok" BasicCancelOk { consumer_tag: String }
        60 40 "basic.publish" BasicPublish (ticket) {
            exchange: ShortBytes, routing_key: ShortBytes, mandatory: bool, immediate: bool,
        }
        60 50 "basic.return" BasicReturn {
            reply_code: u16, reply_text: String, exchange: ShortBytes, routing_key: ShortBytes,
        }
        60 60 "basic.deliver" BasicDeliver {
            consumer_tag: String, delivery_tag: u64, redelivered: bool,
            exchange: ShortBytes, routing_key: ShortBytes,
        }
        60 70 "basic.get" BasicGet (ticket) { queue: String, no_ack: bool }
        60 71 "basic.get-ok" BasicGetOk {
            delivery_tag: u64, redelivered: bool, exchange: ShortBytes, routing_key: ShortBytes,
            message_count: u32,
        }
        60 72 "basic.get-empty" BasicGetEmpty {
            /// Reserved.
            cluster_id: String,
        }
        60 80 "basic.ack" BasicAck { delivery_tag: u64, multiple: bool }
        60 90 "basic.reject" BasicReject { delivery_tag: u64, requeue: bool }
        60 100 "basic.recover-async" BasicRecoverAsync { requeue: bool }
        60 110 "basic.recover" BasicRecover { requeue: bool }
        60 120 "basic.nack" BasicNack { delivery_tag: u64, multiple: bool, requeue: bool }

        85 10 "confirm.select" ConfirmSelect { nowait: bool }
    }
    without_fields {
        10 51 "connection.close-ok" ConnectionCloseOk
        10 61 "connection.unblocked" ConnectionUnblocked
        10 71 "connection.update-secret-ok" ConnectionUpdateSecretOk
        20 41 "channel.close-ok" ChannelCloseOk
        40 11 "exchange.declare-ok" ExchangeDeclareOk
        40 21 "exchange.delete-ok" ExchangeDeleteOk
        40 31 "exchange.bind-ok" ExchangeBindOk
        40 51 "exchange.unbind-ok" ExchangeUnbindOk
        50 21 "queue.bind-ok" QueueBindOk
        50 51 "queue.unbind-ok" QueueUnbindOk
        60 11 "basic.qos-ok" BasicQosOk
        60 111 "basic.recover-ok" BasicRecoverOk
        85 11 "confirm.select-ok" ConfirmSelectOk
        90 10 "tx.select" TxSelect
        90 11 "tx.select-ok" TxSelectOk
        90 20 "tx.commit" TxCommit
        90 21 "tx.commit-ok" TxCommitOk
        90 30 "tx.rollback" TxRollback
        90 31 "tx.rollback-ok" TxRollbackOk
    }
}

impl Method {
    /// Reads the payload of a method frame, which must hold the method and nothing else.
    ///
    /// # Errors
    /// [`MethodError`]; the connection is to be closed.
    pub fn parse(payload: &[u8]) -> Result<Self, MethodError> {
        let Some((class, method)) = method_ids(payload) else {
            return Err(MethodError::undecodable(0, 0, payload));
        };
        let fields = &payload[4..];
        let mut from = Reader::new(fields);
        let read = Self::read(class, method, &mut from).ok_or(MethodError::UnknownMethod { class, method })?;
        let decoded = read.map_err(|error| MethodError::of(class, method, fields, error))?;
        if !from.is_empty() {
            return Err(MethodError::undecodable(class, method, fields));
        }
        Ok(decoded)
    }

    /// Writes the method as a frame on `channel`. Short strings are cut at 255 bytes.
    pub fn encode_frame(&self, channel: u16, out: &mut Vec<u8>) {
        let start = frame::begin(out, FrameKind::Method, channel);
        let (class, method) = self.ids();
        let mut to = Writer::new(out);
        to.u16(class);
        to.u16(method);
        self.write(&mut to);
        frame::finish(out, start);
    }

    /// Whether a content header and bodies follow.
    pub fn has_content(&self) -> bool {
        matches!(
            self,
            Self::BasicPublish(_) | Self::BasicReturn(_) | Self::BasicDeliver(_) | Self::BasicGetOk(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FieldValue;

    fn payload(method: &Method) -> Vec<u8> {
        let mut out = Vec::new();
        method.encode_frame(1, &mut out);
        out[frame::HEAD_BYTES..out.len() - 1].to_vec()
    }

    fn refusal(payload: &[u8]) -> (String, (u16, u16), bool) {
        let error = Method::parse(payload).expect_err("refused");
        (error.reply().wire_text(), error.ids(), error.is_silent())
    }

    #[test]
    fn a_method_comes_back_as_it_was_written() {
        let mut arguments = FieldTable::new();
        arguments.0.push(("b".into(), FieldValue::I32(1)));
        arguments.0.push(("a".into(), FieldValue::Boolean(true)));
        arguments.0.push(("b".into(), FieldValue::text("twice")));
        let declare = QueueDeclare {
            queue: "q".into(),
            durable: true,
            nowait: true,
            arguments,
            ..QueueDeclare::default()
        };
        let method = Method::from(declare);
        assert_eq!(Method::parse(&payload(&method)), Ok(method));
        assert_eq!(Method::parse(&payload(&Method::TxSelect)), Ok(Method::TxSelect));
    }

    #[test]
    fn undecodable_methods_get_the_texts_of_rabbitmq() {
        let text = "FRAME_ERROR - cannot decode <<0,0,5,97,98>>";
        assert_eq!(
            refusal(&[0, 50, 0, 10, 0, 0, 5, 97, 98]),
            (text.into(), (50, 10), false)
        );
        let trailing = [0, 60, 0, 10, 0, 0, 0, 0, 0, 1, 0, 122, 122, 122, 122];
        let text = "FRAME_ERROR - cannot decode <<0,0,0,0,0,1,0,122,122,122,122>>";
        assert_eq!(refusal(&trailing), (text.into(), (60, 10), false));
        let table = [0, 50, 0, 10, 0, 0, 1, 120, 0, 0, 0, 1, 44, 1, 97, 86];
        let text = "FRAME_ERROR - cannot decode <<0,0,1,120,0,0,0,1,44,1,97,86>>";
        assert_eq!(refusal(&table), (text.into(), (50, 10), false));
        let name = [0, 50, 0, 10, 0, 0, 2, 0xff, 0xfe, 0, 0, 0, 0, 0];
        let text = "FRAME_ERROR - Malformed UTF-8 in shortstr";
        assert_eq!(refusal(&name), (text.into(), (0, 0), false));
    }

    #[test]
    fn unknown_methods_and_bad_tables_are_silent() {
        assert!(refusal(&[0, 50, 0, 0xde]).2);
        assert!(refusal(&[0, 0xde, 0, 10]).2);
        let bad_table = [0, 50, 0, 10, 0, 0, 1, 120, 0, 0, 0, 0, 3, 1, 97, 0x5a];
        assert!(refusal(&bad_table).2);
    }

    #[test]
    fn a_routing_key_of_a_publish_need_not_be_text() {
        let publish = BasicPublish {
            routing_key: ShortBytes(vec![0xff, 0xfe]),
            ..BasicPublish::default()
        };
        let method = Method::from(publish);
        assert_eq!(Method::parse(&payload(&method)), Ok(method));
    }
}
