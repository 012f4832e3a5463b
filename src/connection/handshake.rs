//! From the protocol header to `connection.open-ok`.
//!
//! A client that has not logged in is not trusted: frames are small, there are few bytes in all,
//! and what is wrong ends the connection without a word. RabbitMQ does the same, three seconds
//! later. From `connection.open` on, refusals are told. One deadline holds for all of it.

use super::error::ProtocolError;
use super::{Client, Connection, Ending, FRAME_MIN, Phase, Step};
use crate::auth::Login;
use crate::codec::method::{ConnectionOpenOk, ConnectionStart, ConnectionTune, ConnectionTuneOk};
use crate::codec::{Frame, FrameKind, Method, frame};
use crate::heartbeat::{AMQP_INTERVALS, Heartbeat};
use crate::types::{Refusal, Timestamp};

/// What every client begins with; the other one is from the time of 0-9 and means the same.
const HEADERS: [[u8; 8]; 2] = [*b"AMQP\x00\x00\x09\x01", *b"AMQP\x01\x01\x00\x09"];
/// Bytes of frames taken before the client has logged in.
const UNTRUSTED_BYTES: usize = 16 * 1024;

/// How far the handshake is.
#[derive(Debug)]
pub(super) struct Handshake {
    stage: Stage,
    /// When it must be over.
    pub until: Timestamp,
    /// Bytes that may still come before the login.
    untrusted_left: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The protocol header is to come.
    Header,
    /// start-ok is to come.
    Starting,
    /// The session looks at the login.
    LoggingIn,
    /// tune-ok is to come.
    Tuning,
    /// open is to come.
    Opening,
    /// The session looks for the vhost.
    Vhost,
}

impl Handshake {
    pub(super) fn new(until: Timestamp) -> Self {
        Self {
            stage: Stage::Header,
            until,
            untrusted_left: UNTRUSTED_BYTES,
        }
    }

    /// Whether both sides have begun to speak AMQP.
    pub(super) fn is_started(&self) -> bool {
        self.stage != Stage::Header
    }
}

impl Connection {
    /// The login is good: offers what may be tuned.
    pub fn log_in(&mut self, out: &mut Vec<u8>) {
        if self.advance(Stage::LoggingIn, Stage::Tuning) {
            Method::from(ConnectionTune {
                channel_max: self.settings.channel_max,
                frame_max: self.settings.frame_max,
                heartbeat: self.settings.heartbeat,
            })
            .encode_frame(0, out);
        }
    }

    /// The login is refused. True: the client wants to be told, a close is written, and the session
    /// goes on stepping until the end. False: the connection has ended without a word.
    pub fn refuse_login(&mut self, now: Timestamp, out: &mut Vec<u8>) -> bool {
        if !self.client.capabilities.authentication_failure_close {
            self.end(Ending::LoginRefused);
            return false;
        }
        let mechanism = self.client.mechanism.clone();
        let refusal = ProtocolError::Login { mechanism }.reply();
        self.close(now, (0, 0), &refusal, out);
        true
    }

    /// The response is not one of its mechanism: ends the connection without a word, whatever the
    /// client wants to be told.
    pub fn drop_login(&mut self) {
        self.end(Ending::LoginRefused);
    }

    /// The vhost is there and open to the user: the handshake is over.
    pub fn opened(&mut self, out: &mut Vec<u8>) {
        if matches!(&self.phase, Phase::Handshake(handshake) if handshake.stage == Stage::Vhost) {
            self.phase = Phase::Open;
            Method::from(ConnectionOpenOk::default()).encode_frame(0, out);
        }
    }

    #[cold]
    pub(super) fn step_handshake<'a>(&mut self, now: Timestamp, input: &'a [u8], out: &mut Vec<u8>) -> Step<'a> {
        let Phase::Handshake(handshake) = &mut self.phase else {
            return Step::More(1);
        };
        let stage = handshake.stage;
        match stage {
            Stage::Header => return self.on_header(input, out),
            Stage::LoggingIn | Stage::Vhost => return Step::More(1),
            Stage::Starting | Stage::Tuning | Stage::Opening => {}
        }
        let (frame, consumed) = match frame::parse(input, self.settings.initial_frame_max) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return Step::More(frame::needed(input, self.settings.initial_frame_max)),
            Err(error) if stage == Stage::Opening => return self.refuse_frame(now, input, &error),
            Err(error) => return Step::End(self.end(Ending::Frame(error))),
        };
        if stage == Stage::Starting {
            let Some(left) = handshake.untrusted_left.checked_sub(consumed) else {
                return Step::End(self.end(Ending::TooMuch));
            };
            handshake.untrusted_left = left;
        }
        match frame.kind {
            FrameKind::Heartbeat if frame.channel == 0 => Step::Done { consumed },
            FrameKind::Method if frame.channel == 0 => self.on_setup(now, stage, &frame, consumed),
            _ if stage == Stage::Opening => self.refuse(now, consumed, (0, 0), frame.unexpected()),
            _ => Step::End(self.end(Ending::Frame(frame.unexpected()))),
        }
    }

    /// Takes the protocol header, answers with `connection.start`, or with the header it should
    /// have been.
    fn on_header<'a>(&mut self, input: &[u8], out: &mut Vec<u8>) -> Step<'a> {
        let Some(header) = input.first_chunk::<8>() else {
            return Step::More(8 - input.len());
        };
        if !HEADERS.contains(header) {
            out.extend_from_slice(&HEADERS[0]);
            return Step::End(self.end(Ending::BadHeader(*header)));
        }
        self.advance(Stage::Header, Stage::Starting);
        Method::from(ConnectionStart {
            version_major: 0,
            version_minor: 9,
            server_properties: self.settings.server_properties.clone(),
            mechanisms: self.settings.mechanisms.join(" ").into_bytes(),
            locales: b"en_US".to_vec(),
        })
        .encode_frame(0, out);
        Step::Done { consumed: 8 }
    }

    /// A method on channel 0.
    fn on_setup<'a>(&mut self, now: Timestamp, stage: Stage, frame: &Frame<'_>, consumed: usize) -> Step<'a> {
        let method = match Method::parse(frame.payload) {
            Ok(method) => method,
            Err(error) if stage == Stage::Opening => return self.refuse_method(now, consumed, error),
            Err(error) => return Step::End(self.end(Ending::Method(error))),
        };
        match (stage, method) {
            (_, Method::ConnectionClose(_)) => self.on_close(now, consumed),
            (Stage::Starting, Method::ConnectionStartOk(start_ok)) => {
                self.client = Client::new(start_ok.client_properties, start_ok.mechanism);
                let mechanism = self.client.mechanism.clone();
                if !self.settings.mechanisms.contains(&mechanism) {
                    return Step::End(self.end(Ending::NoMechanism(mechanism)));
                }
                self.advance(Stage::Starting, Stage::LoggingIn);
                let response = start_ok.response;
                let login = Login { mechanism, response };
                Step::Login { consumed, login }
            }
            (Stage::Tuning, Method::ConnectionTuneOk(tune_ok)) => match self.tune(&tune_ok, now) {
                Ok(()) => Step::Done { consumed },
                Err(ending) => Step::End(self.end(ending)),
            },
            (Stage::Opening, Method::ConnectionOpen(open)) => {
                self.advance(Stage::Opening, Stage::Vhost);
                let vhost = open.virtual_host;
                Step::Open { consumed, vhost }
            }
            (Stage::Opening, method) => {
                let error = ProtocolError::UnexpectedMethod("opening");
                self.refuse(now, consumed, method.ids(), error)
            }
            (_, method) => Step::End(self.end(Ending::OutOfOrder(method.ids()))),
        }
    }

    /// Compares what the client wants with what was offered: less, but not nothing. Any heartbeat
    /// is fine.
    fn tune(&mut self, wanted: &ConnectionTuneOk, now: Timestamp) -> Result<(), Ending> {
        let ConnectionTuneOk {
            channel_max,
            frame_max,
            heartbeat,
        } = *wanted;
        if channel_max == 0 || channel_max > self.settings.channel_max {
            return Err(Ending::Tuning {
                field: "channel_max",
                wanted: channel_max.into(),
                offered: self.settings.channel_max.into(),
            });
        }
        if frame_max < FRAME_MIN || frame_max > self.settings.frame_max {
            return Err(Ending::Tuning {
                field: "frame_max",
                wanted: frame_max,
                offered: self.settings.frame_max,
            });
        }
        self.channel_max = channel_max;
        self.frame_max = frame_max;
        self.heartbeat_seconds = heartbeat;
        self.heartbeat = Heartbeat::new(heartbeat.into(), AMQP_INTERVALS, now);
        self.advance(Stage::Tuning, Stage::Opening);
        Ok(())
    }

    /// Goes from one stage to the next; false when the handshake is not at the first.
    fn advance(&mut self, from: Stage, to: Stage) -> bool {
        match &mut self.phase {
            Phase::Handshake(handshake) if handshake.stage == from => {
                handshake.stage = to;
                true
            }
            _ => false,
        }
    }
}
