//! The machine of one connection of the stream protocol, server side.
//!
//! It knows no runtime, socket or clock, and no stream. A session owns the read buffer and pulls:
//! [`Connection::step`] looks at the front of the buffer and says what comes first; the session removes the
//! bytes it took, carries the step out and steps again. The machine's own answers go into the `out` that every
//! call is given.
//!
//! ```text
//! Properties ──► Mechanisms ──► Login ──► LoggingIn ──► Tuning ──► Opening ──► Open
//!     peer properties   handshake   authenticate   log_in   │  tune     opened   │
//!                                                           └── open ──►         │
//!      any of them ── deadline, silence, what does not belong ──► Ended          │
//!                                                                  ▲             │
//!                     Closing ── answer, deadline ─────────────────┘             │
//!                        ▲                                                       │
//!                        └───────────── unknown frame, the server closes ◄───────┘
//! ```
//! *Answers.* [`Step::Login`] and [`Step::Open`] want one before the next step; until then steps give
//! [`Step::More`] and leave the buffer alone.
//!
//! *Ends.* After [`Step::End`] and [`Tick::End`](crate::heartbeat::Tick::End) the session writes what is in `out` and closes the socket.

mod handshake;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use thiserror::Error;

use self::handshake::{Handshake, Stage};
use super::codec::request::Tune;
use super::codec::response::{self, DeliverVersion};
use super::codec::{Code, Command, FrameError, Key, Request, frame};
use crate::auth::Login;
use crate::heartbeat::{Heartbeat, Timed};
use crate::types::{Millis, Timestamp};

/// How long a client may take to answer a close.
const CLOSE_PATIENCE: Millis = Millis(10_000);
/// Room above the agreed size of a frame: clients count with and without its size field.
const FRAME_ROOM: u32 = 1024;

/// What all connections of a listener are offered.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who the server says it is.
    pub server_properties: Vec<(String, String)>,
    /// Mechanisms of authentication.
    pub mechanisms: Vec<String>,
    /// Largest frame in bytes.
    pub frame_max: u32,
    /// The same before a client has logged in.
    pub initial_frame_max: u32,
    /// Seconds; 0 offers none.
    pub heartbeat: u32,
    /// For each step until the connection is open.
    pub step_timeout: Millis,
}

/// One connection; see the module's docs for how it is driven.
#[derive(Debug)]
pub struct Connection {
    settings: Arc<Settings>,
    phase: Phase,
    properties: Vec<(String, String)>,
    /// The mechanism it has logged in with.
    mechanism: String,
    tuned: Tune,
    heartbeat: Heartbeat,
    deliver: DeliverVersion,
}

#[derive(Debug)]
enum Phase {
    Handshake(Handshake),
    Open,
    Closing(Closing),
    Ended(Ending),
}

/// The server has closed.
#[derive(Debug, Clone, Copy)]
struct Closing {
    /// How long the client's answer is waited for.
    until: Timestamp,
    hearing: Hearing,
}

/// What a connection that closes can still hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    Frames,
    /// It is not known any more where a frame begins: everything is thrown away, so that the close is not lost
    /// with a socket that has something unread.
    Nothing,
}

/// What comes first in the input. `consumed` bytes belong to it.
#[derive(Debug)]
pub enum Step<'a> {
    /// Nothing whole yet: read at least this many more bytes.
    More(usize),
    /// Handled here.
    Done { consumed: usize },
    /// Who it says it is; answer with [`Connection::log_in`] or [`Connection::refuse_login`].
    Login { consumed: usize, login: Login },
    /// The virtual host it wants; answer with [`Connection::opened`] or [`Connection::refuse_open`].
    Open { consumed: usize, vhost: String },
    /// A fresh secret of an open connection; answer with [`response::answer`] to the command
    /// [`Key::SaslAuthenticate`].
    LoginAgain {
        consumed: usize,
        correlation: u32,
        login: Login,
    },
    /// A command of an open connection.
    Command { consumed: usize, command: Command<'a> },
    /// The client closed the connection; clean up, then answer with [`Connection::closed`].
    Closing { consumed: usize, correlation: u32 },
    /// No more is spoken: write what is in `out`, then close the socket.
    End(Ending),
}

/// Why a connection ended, for the log; the client hears no more of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Ending {
    #[error("closed")]
    Closed,
    #[error("the client did not answer the close")]
    NoAnswer,
    #[error("nothing was heard for two heartbeats")]
    Silent,
    #[error("the handshake took too long")]
    HandshakeTimeout,
    #[error("{0}")]
    Frame(FrameError),
    #[error("a command that does not belong there in the handshake")]
    OutOfOrder,
    #[error("the mechanism is not on offer")]
    NoMechanism,
    #[error("login refused")]
    LoginRefused,
    #[error("virtual host refused")]
    VhostRefused,
}

impl Connection {
    /// A connection that was accepted at `now`.
    pub fn new(settings: Arc<Settings>, now: Timestamp) -> Self {
        Self {
            phase: Phase::Handshake(Handshake::new(now + settings.step_timeout)),
            properties: Vec::new(),
            mechanism: String::new(),
            tuned: Tune {
                frame_max: settings.frame_max,
                heartbeat: 0,
            },
            heartbeat: Heartbeat::default(),
            deliver: DeliverVersion::default(),
            settings,
        }
    }

    /// Looks at the front of `input` and says what comes first; the session then removes the bytes consumed.
    #[inline]
    pub fn step<'a>(&mut self, now: Timestamp, input: &'a [u8], out: &mut Vec<u8>) -> Step<'a> {
        let limit = match &self.phase {
            Phase::Ended(ending) => return Step::End(*ending),
            Phase::Closing(closing) if closing.hearing == Hearing::Nothing => {
                return match input.len() {
                    0 => Step::More(1),
                    consumed => Step::Done { consumed },
                };
            }
            Phase::Handshake(handshake) if handshake.awaits_answer() => return Step::More(1),
            Phase::Handshake(handshake) if !handshake.is_logged_in() => self.settings.initial_frame_max,
            _ => self.frame_limit(),
        };
        let (frame, consumed) = match frame::parse(input, limit) {
            Ok(Some(taken)) => taken,
            Ok(None) => return Step::More(frame::needed(input, limit).max(1)),
            Err(error) => return self.refuse_frame(now, input.len(), error, out),
        };
        let command = Command::parse(&frame);
        match &self.phase {
            Phase::Open => match command {
                Ok(command) => self.on_command(now, consumed, command, out),
                Err(_) => {
                    self.close(now, Code::UnknownFrame, "unknown frame", out);
                    Step::Done { consumed }
                }
            },
            Phase::Handshake(_) => match command {
                Ok(command) => self.on_handshake(now, consumed, command, out),
                Err(_) => Step::End(self.end(Ending::OutOfOrder)),
            },
            Phase::Closing(_) => match command {
                Ok(Command::Closed) => Step::End(self.end(Ending::Closed)),
                Ok(Command::Ask {
                    correlation,
                    request: Request::Close { .. },
                }) => {
                    response::answer(out, Key::Close, correlation, Code::Ok);
                    Step::End(self.end(Ending::Closed))
                }
                // What was on its way when the server closed.
                _ => Step::Done { consumed },
            },
            Phase::Ended(ending) => Step::End(*ending),
        }
    }

    /// A command of an open connection.
    #[inline]
    fn on_command<'a>(&mut self, now: Timestamp, consumed: usize, command: Command<'a>, out: &mut Vec<u8>) -> Step<'a> {
        let Command::Ask { correlation, request } = command else {
            return match command {
                Command::Heartbeat => Step::Done { consumed },
                Command::Tune(_) | Command::Closed => {
                    self.close(now, Code::UnknownFrame, "unknown frame", out);
                    Step::Done { consumed }
                }
                command => Step::Command { consumed, command },
            };
        };
        match request {
            Request::SaslAuthenticate { mechanism, data } => {
                if mechanism != self.mechanism.as_bytes() {
                    response::answer(out, Key::SaslAuthenticate, correlation, Code::MechanismChanged);
                    return Step::Done { consumed };
                }
                let login = Login {
                    mechanism: self.mechanism.clone(),
                    response: data.unwrap_or_default().to_vec(),
                };
                return Step::LoginAgain {
                    consumed,
                    correlation,
                    login,
                };
            }
            Request::Close { .. } => return Step::Closing { consumed, correlation },
            Request::CommandVersions { mut versions } => {
                if versions.any(|(key, _, highest)| key == Key::Deliver as u16 && highest >= 2) {
                    self.deliver = DeliverVersion::V2;
                }
                response::answer_versions(out, correlation);
            }
            Request::SubscribeNowhere => {
                response::answer(out, Key::Subscribe, correlation, Code::PreconditionFailed);
            }
            Request::PeerProperties { .. } | Request::SaslHandshake | Request::Open { .. } => {
                self.close(now, Code::UnknownFrame, "unknown frame", out);
            }
            _ => return Step::Command { consumed, command },
        }
        Step::Done { consumed }
    }

    /// A frame that is none, or too large: it is told where the client is known, and nothing behind it can be
    /// understood.
    fn refuse_frame<'a>(&mut self, now: Timestamp, consumed: usize, error: FrameError, out: &mut Vec<u8>) -> Step<'a> {
        let (code, reason) = match error {
            FrameError::TooLarge { .. } => (Code::FrameTooLarge, "frame too large"),
            FrameError::NoHead(_) => (Code::UnknownFrame, "unknown frame"),
        };
        self.close(now, code, reason, out);
        match &mut self.phase {
            Phase::Closing(closing) => {
                closing.hearing = Hearing::Nothing;
                Step::Done { consumed }
            }
            _ => Step::End(self.end(Ending::Frame(error))),
        }
    }

    /// Closes the connection with this. It lingers until the client has answered.
    pub fn close(&mut self, now: Timestamp, code: Code, reason: &str, out: &mut Vec<u8>) {
        if let Phase::Open = self.phase {
            response::close(out, code, reason);
            self.phase = Phase::Closing(Closing {
                until: now + CLOSE_PATIENCE,
                hearing: Hearing::Frames,
            });
            self.heartbeat = Heartbeat::default();
        }
    }

    /// The client has closed, and all it had is gone.
    pub fn closed(&mut self, correlation: u32, out: &mut Vec<u8>) {
        if let Phase::Open = self.phase {
            response::answer(out, Key::Close, correlation, Code::Ok);
            self.end(Ending::Closed);
        }
    }

    /// What the client says of itself.
    pub fn client_properties(&self) -> &[(String, String)] {
        &self.properties
    }

    /// The mechanism it has logged in with; empty before.
    pub fn mechanism(&self) -> &str {
        &self.mechanism
    }

    /// Limits as agreed.
    pub fn tuned(&self) -> Tune {
        self.tuned
    }

    /// In which form it takes deliveries.
    pub fn deliver_version(&self) -> DeliverVersion {
        self.deliver
    }

    /// Whether the handshake is over and nobody has closed.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether the connection is over: nothing is to be read or written any more.
    pub fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended(_))
    }

    /// RabbitMQ takes frames of any size, whatever was agreed on: so a client that asks for less than it was
    /// offered may send what was offered.
    fn frame_limit(&self) -> u32 {
        self.settings.frame_max.saturating_add(FRAME_ROOM)
    }

    fn end(&mut self, ending: Ending) -> Ending {
        self.phase = Phase::Ended(ending);
        self.heartbeat = Heartbeat::default();
        ending
    }

    /// Goes from one stage of the handshake to the next, with new patience; false when it is at another.
    fn advance(&mut self, from: Stage, to: Stage, now: Timestamp) -> bool {
        match &mut self.phase {
            Phase::Handshake(handshake) if handshake.stage == from => {
                handshake.stage = to;
                handshake.until = now + self.settings.step_timeout;
                true
            }
            _ => false,
        }
    }
}

impl Timed for Connection {
    type Ending = Ending;

    fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    fn heartbeat_mut(&mut self) -> &mut Heartbeat {
        &mut self.heartbeat
    }

    fn ended(&self) -> Option<Ending> {
        match &self.phase {
            Phase::Ended(ending) => Some(*ending),
            _ => None,
        }
    }

    fn owed(&self) -> Option<(Timestamp, Ending)> {
        match &self.phase {
            Phase::Handshake(handshake) => Some((handshake.until, Ending::HandshakeTimeout)),
            Phase::Closing(closing) => Some((closing.until, Ending::NoAnswer)),
            Phase::Open | Phase::Ended(_) => None,
        }
    }

    fn silent() -> Ending {
        Ending::Silent
    }

    fn give_up(&mut self, ending: Ending) -> Ending {
        self.end(ending)
    }

    fn write_heartbeat(out: &mut Vec<u8>) {
        response::heartbeat(out);
    }
}
