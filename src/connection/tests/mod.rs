//! A session around the machine as the real one is, without a socket, and what clients send.

mod any_input;
mod frames;
mod setup;
mod timers;

use std::sync::Arc;

use super::*;
use crate::codec::content::{PublishRef, write_publish};
use crate::codec::method::{ChannelClose, ChannelOpen, ConnectionOpen, ConnectionStartOk, ConnectionTuneOk};
use crate::types::{ByteSize, FieldTable, FieldValue, Millis};

const HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
const FRAME_MAX: u32 = 131_072;

/// What a session saw, the same however the bytes came.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Login(String),
    Open(String),
    Publish {
        channel: u16,
        exchange: Vec<u8>,
        routing_key: Vec<u8>,
        properties: Vec<u8>,
        body: Vec<u8>,
    },
    Ack(u16, Ack),
    Nack(u16, Nack),
    Reject(u16, Reject),
    OpenChannel(u16),
    CloseChannel(u16),
    Method(u16, Method),
    UpdateSecret(Vec<u8>),
    Closing,
    Refused(Option<u16>, Ids, String),
    End(Ending),
}

struct Session {
    connection: Connection,
    input: Vec<u8>,
    out: Vec<u8>,
    seen: Vec<Seen>,
    now: Timestamp,
    /// Whether large bodies are read straight into their buffers.
    is_direct: bool,
}

fn settings() -> Settings {
    let mut server_properties = FieldTable::new();
    server_properties.set("product", FieldValue::text("Warren"));
    Settings {
        server_properties,
        mechanisms: ["AMQPLAIN", "PLAIN", "ANONYMOUS"].map(String::from).to_vec(),
        channel_max: 2047,
        frame_max: FRAME_MAX,
        initial_frame_max: 4096,
        heartbeat: 60,
        max_message_size: ByteSize(1_000_000),
        handshake_timeout: Millis(10_000),
    }
}

impl Session {
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: Settings) -> Self {
        let now = Timestamp(0);
        Self {
            connection: Connection::new(Arc::new(settings), now),
            input: Vec::new(),
            out: Vec::new(),
            seen: Vec::new(),
            now,
            is_direct: false,
        }
    }

    /// A session whose handshake is over, with channel 1 open.
    fn opened() -> Self {
        Self::tuned(2047, FRAME_MAX, 0)
    }

    fn tuned(channel_max: u16, frame_max: u32, heartbeat: u16) -> Self {
        let mut session = Self::new();
        session.feed(HEADER);
        session.feed(&start_ok("PLAIN", b"\0guest\0guest", true));
        session.feed(&tune_ok(channel_max, frame_max, heartbeat));
        session.feed(&open("golden"));
        session.feed(&open_channel(1));
        assert!(session.connection.is_open());
        session.out.clear();
        session.seen.clear();
        session
    }

    fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        loop {
            self.run();
            if rest.is_empty() {
                return;
            }
            if self.is_direct
                && let Some(direct) = self.connection.direct(&self.input)
            {
                assert_eq!(direct.consumed, self.input.len());
                assert!(direct.left > 0);
                let (part, later) = rest.split_at(rest.len().min(direct.left));
                direct.buffer.extend_from_slice(part);
                self.connection.on_direct(part.len());
                self.input.clear();
                rest = later;
            } else {
                self.input.extend_from_slice(rest);
                rest = &[];
            }
        }
    }

    /// Steps as far as the input goes, answering as a session would.
    fn run(&mut self) {
        loop {
            let step = self.connection.step(self.now, &self.input, &mut self.out);
            let (consumed, seen) = match step {
                Step::More(count) => {
                    assert!(count > 0, "a step that wants nothing never goes on");
                    return;
                }
                Step::End(ending) => {
                    if self.seen.last() != Some(&Seen::End(ending.clone())) {
                        self.seen.push(Seen::End(ending));
                    }
                    return;
                }
                Step::Done { consumed } => (consumed, None),
                Step::Login { consumed, login } => (consumed, Some(self.log_in(login))),
                Step::Open { consumed, vhost } => {
                    self.connection.opened(&mut self.out);
                    (consumed, Some(Seen::Open(vhost)))
                }
                Step::Publish(whole) => {
                    let seen = published(whole.channel, whole.publish, whole.properties, whole.body);
                    (whole.consumed, Some(seen))
                }
                Step::Content {
                    consumed,
                    channel,
                    content,
                } => {
                    let seen = published(channel, content.publish(), &content.properties, &content.body);
                    (consumed, Some(seen))
                }
                Step::Ack { consumed, channel, ack } => (consumed, Some(Seen::Ack(channel, ack))),
                Step::Nack {
                    consumed,
                    channel,
                    nack,
                } => (consumed, Some(Seen::Nack(channel, nack))),
                Step::Reject {
                    consumed,
                    channel,
                    reject,
                } => (consumed, Some(Seen::Reject(channel, reject))),
                Step::OpenChannel { consumed, channel } => {
                    self.connection.channel_opened(channel, &mut self.out);
                    (consumed, Some(Seen::OpenChannel(channel)))
                }
                Step::CloseChannel { consumed, channel } => {
                    self.connection.channel_closed(channel, &mut self.out);
                    (consumed, Some(Seen::CloseChannel(channel)))
                }
                Step::Method {
                    consumed,
                    channel,
                    method,
                } => (consumed, Some(Seen::Method(channel, method))),
                Step::UpdateSecret { consumed, secret } => {
                    self.connection.secret_updated(&mut self.out);
                    (consumed, Some(Seen::UpdateSecret(secret)))
                }
                Step::Closing { consumed } => {
                    self.connection.close_ok(self.now, &mut self.out);
                    (consumed, Some(Seen::Closing))
                }
                Step::Refused {
                    consumed,
                    channel,
                    ids,
                    reply,
                } => {
                    match channel {
                        Some(channel) => self.connection.close_channel(channel, ids, &reply, &mut self.out),
                        None => self.connection.close(self.now, ids, &reply, &mut self.out),
                    }
                    (consumed, Some(Seen::Refused(channel, ids, reply.wire_text())))
                }
            };
            assert!(consumed > 0, "a step that takes nothing never ends");
            self.input.drain(..consumed);
            self.seen.extend(seen);
        }
    }

    fn log_in(&mut self, login: Login) -> Seen {
        match login.response.as_slice() {
            b"\0guest\0guest" => self.connection.log_in(&mut self.out),
            [0, ..] => {
                self.connection.refuse_login(self.now, &mut self.out);
            }
            _ => self.connection.drop_login(),
        }
        Seen::Login(login.mechanism)
    }

    /// Methods and heartbeats written since the last call.
    fn written(&mut self) -> Vec<(u16, String)> {
        let out = std::mem::take(&mut self.out);
        let mut rest = &out[..];
        let mut written = Vec::new();
        while let Some((frame, taken)) = frame::parse(rest, FRAME_MAX).expect("good frames are written") {
            let text = match frame.payload {
                [] => "heartbeat".to_owned(),
                payload => describe(Method::parse(payload).expect("good methods are written")),
            };
            written.push((frame.channel, text));
            rest = &rest[taken..];
        }
        assert_eq!(rest, [0; 0]);
        written
    }

    /// The one method that was written for `bytes`.
    fn answer(&mut self, bytes: &[u8]) -> (u16, String) {
        self.feed(bytes);
        let mut written = self.written();
        assert_eq!(written.len(), 1, "{written:?}");
        written.remove(0)
    }
}

fn published(channel: u16, publish: PublishRef<'_>, properties: &[u8], body: &[u8]) -> Seen {
    Seen::Publish {
        channel,
        exchange: publish.exchange.to_vec(),
        routing_key: publish.routing_key.to_vec(),
        properties: properties.to_vec(),
        body: body.to_vec(),
    }
}

/// A method in one line: closes with what they say, others by name.
fn describe(method: Method) -> String {
    let (code, text, class, id) = match &method {
        Method::ConnectionClose(close) => (close.reply_code, &close.reply_text, close.class_id, close.method_id),
        Method::ChannelClose(close) => (close.reply_code, &close.reply_text, close.class_id, close.method_id),
        method => return method.name().to_owned(),
    };
    format!("{} {code} {class}.{id} {text}", method.name())
}

fn on(channel: u16, method: impl Into<Method>) -> Vec<u8> {
    let mut bytes = Vec::new();
    method.into().encode_frame(channel, &mut bytes);
    bytes
}

fn start_ok(mechanism: &str, response: &[u8], wants_close: bool) -> Vec<u8> {
    let capability = ("authentication_failure_close".into(), FieldValue::Boolean(wants_close));
    let capabilities = FieldValue::Table(FieldTable(vec![capability]));
    let start_ok = ConnectionStartOk {
        client_properties: FieldTable(vec![("capabilities".into(), capabilities)]),
        mechanism: mechanism.into(),
        response: response.to_vec(),
        locale: "en_US".into(),
    };
    on(0, start_ok)
}

fn tune_ok(channel_max: u16, frame_max: u32, heartbeat: u16) -> Vec<u8> {
    let tune_ok = ConnectionTuneOk {
        channel_max,
        frame_max,
        heartbeat,
    };
    on(0, tune_ok)
}

fn open(vhost: &str) -> Vec<u8> {
    let open = ConnectionOpen {
        virtual_host: vhost.into(),
        ..ConnectionOpen::default()
    };
    on(0, open)
}

fn open_channel(channel: u16) -> Vec<u8> {
    on(channel, ChannelOpen::default())
}

fn close_channel(channel: u16) -> Vec<u8> {
    on(channel, ChannelClose::default())
}

fn close() -> Vec<u8> {
    on(0, ConnectionClose::default())
}

fn publish(channel: u16, body: &[u8], frame_max: u32) -> Vec<u8> {
    let publish = PublishRef {
        exchange: b"ex",
        routing_key: b"key",
        mandatory: false,
        immediate: false,
    };
    let mut bytes = Vec::new();
    write_publish(&mut bytes, channel, publish, &[0x10, 0, 2], body, frame_max);
    bytes
}

/// A frame with any type and payload.
fn raw(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let [c1, c0] = channel.to_be_bytes();
    let mut bytes = vec![kind, c1, c0];
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes.push(frame::END);
    bytes
}
