//! The protocol machine of one AMQP 0-9-1 connection, server side.
//!
//! It knows no runtime, socket or clock. A session owns the read buffer and pulls:
//! [`Connection::step`] looks at the front of the buffer and says what comes first; the session
//! removes the bytes it took, carries the step out and steps again. The machine's own replies
//! (start, tune, open-ok, close, heartbeats …) go into the `out` that every call is given.
//!
//! ```text
//! Header ──► Starting ──► LoggingIn ──► Tuning ──► Opening ──► Vhost ──► Open
//!      header     start-ok      log_in     tune-ok       open     opened  │
//!                                                                         │
//!            any of them ── close of either side, refusal ──► Closing ◄───┘
//!                 │                                              │ close-ok, deadline
//!                 └── deadline, silence, nonsense ──► Ended ◄────┘
//! ```
//! *Answers.* [`Step::Login`], [`Step::Open`], [`Step::OpenChannel`], [`Step::CloseChannel`],
//! [`Step::UpdateSecret`], [`Step::Closing`] and [`Step::Refused`] want an answer before the next
//! step; which one stands with each. Until a login or a vhost is answered, steps give
//! [`Step::More`] and leave the buffer alone.
//!
//! A step that gave [`Step::Publish`] changed nothing here: it may be left for later and taken again.
//!
//! *Refusals.* [`Step::Refused`] is a refusal found here and not yet written: the session cleans
//! up, then calls [`Connection::close_channel`] or [`Connection::close`], as it does for its own.
//!
//! *Ends.* After [`Step::End`] and [`Tick::End`](crate::heartbeat::Tick::End) the session writes what is in `out` and closes the
//! socket. A closing connection lingers until the client's close-ok, its end of file or a
//! deadline, so that a close is not lost with the socket.

mod channels;
mod closing;
mod content;
mod direct;
mod error;
mod handshake;
mod open;
mod settings;

use std::sync::Arc;

pub use content::{Content, ContentError};
pub use direct::Direct;
pub use error::ProtocolError;
pub use settings::{Capabilities, Client, FRAME_MIN, ServerNames, Settings, server_properties};
use thiserror::Error;

use self::channels::Channels;
use self::closing::Closing;
use self::direct::Partial;
use self::handshake::Handshake;
use crate::auth::Login;
use crate::codec::content::{Ack, Nack, Reject, WholePublish};
use crate::codec::method::ConnectionClose;
use crate::codec::{FrameError, Method, MethodError, frame};
use crate::heartbeat::{Heartbeat, Timed};
use crate::types::{Reply, Timestamp};

/// One connection; see the module's docs for how it is driven.
#[derive(Debug)]
pub struct Connection {
    settings: Arc<Settings>,
    phase: Phase,
    client: Client,
    channel_max: u16,
    frame_max: u32,
    heartbeat_seconds: u16,
    heartbeat: Heartbeat,
    channels: Channels,
    /// The body frame whose payload is being taken in pieces.
    partial: Option<Partial>,
}

#[derive(Debug)]
enum Phase {
    Handshake(Handshake),
    Open,
    Closing(Closing),
    Ended(Ending),
}

/// What comes first in the input. `consumed` bytes belong to it.
#[derive(Debug)]
pub enum Step<'a> {
    /// Nothing whole yet: read at least this many more bytes.
    More(usize),
    /// Handled here.
    Done {
        consumed: usize,
    },
    /// Who it says it is; answer with [`Connection::log_in`] or [`Connection::refuse_login`].
    Login {
        consumed: usize,
        login: Login,
    },
    /// The vhost it wants; answer with [`Connection::opened`] or [`Connection::close`].
    Open {
        consumed: usize,
        vhost: String,
    },
    /// A publish that lies whole in the input.
    Publish(WholePublish<'a>),
    /// A publish that came in pieces, whole now.
    Content {
        consumed: usize,
        channel: u16,
        content: Content,
    },
    Ack {
        consumed: usize,
        channel: u16,
        ack: Ack,
    },
    Nack {
        consumed: usize,
        channel: u16,
        nack: Nack,
    },
    Reject {
        consumed: usize,
        channel: u16,
        reject: Reject,
    },
    /// A channel was opened; answer with [`Connection::channel_opened`] or [`Connection::close`].
    OpenChannel {
        consumed: usize,
        channel: u16,
    },
    /// The client closed a channel; answer with [`Connection::channel_closed`].
    CloseChannel {
        consumed: usize,
        channel: u16,
    },
    /// Any other method a client may send on an open channel.
    Method {
        consumed: usize,
        channel: u16,
        method: Method,
    },
    /// A fresh secret for the same user; answer with [`Connection::secret_updated`] or
    /// [`Connection::close`].
    UpdateSecret {
        consumed: usize,
        secret: Vec<u8>,
    },
    /// The client closed the connection; clean up, then answer with [`Connection::close_ok`].
    Closing {
        consumed: usize,
    },
    /// A refusal of the channel, or of the connection when `channel` is `None`. Clean up, then pass
    /// `ids` and `reply` to [`Connection::close_channel`] or [`Connection::close`].
    Refused {
        consumed: usize,
        channel: Option<u16>,
        ids: Ids,
        reply: Reply,
    },
    /// No more is spoken: write what is in `out`, then close the socket.
    End(Ending),
}

/// Class and method id of the method that a refusal is about; 0, 0 when it is none.
pub type Ids = (u16, u16);

/// Why a connection ended, for the log; the client hears no more of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Ending {
    #[error("closed")]
    Closed,
    #[error("the client did not answer the close")]
    NoCloseOk,
    #[error("nothing was heard for three heartbeats")]
    Silent,
    #[error("the handshake took too long")]
    HandshakeTimeout,
    #[error("bad protocol header '{}'", .0.escape_ascii())]
    BadHeader([u8; 8]),
    #[error("too many bytes before authentication")]
    TooMuch,
    #[error("unexpected frame in the handshake: {0}")]
    Frame(FrameError),
    #[error("unexpected method in the handshake: class {} method {}", .0.0, .0.1)]
    OutOfOrder(Ids),
    #[error("{0}")]
    Method(MethodError),
    #[error("mechanism '{0}' is not on offer")]
    NoMechanism(String),
    #[error("login refused")]
    LoginRefused,
    #[error("{field} of {wanted} was asked for where {offered} was offered")]
    Tuning {
        field: &'static str,
        wanted: u32,
        offered: u32,
    },
}

impl Connection {
    /// A connection that was accepted at `now`.
    pub fn new(settings: Arc<Settings>, now: Timestamp) -> Self {
        Self {
            phase: Phase::Handshake(Handshake::new(now + settings.handshake_timeout)),
            client: Client::default(),
            channel_max: settings.channel_max,
            frame_max: settings.initial_frame_max,
            heartbeat_seconds: 0,
            heartbeat: Heartbeat::default(),
            channels: Channels::default(),
            partial: None,
            settings,
        }
    }

    /// Looks at the front of `input` and says what comes first; the session then removes the bytes
    /// consumed. Never more than one frame, or one whole publish, at a time.
    #[inline]
    pub fn step<'a>(&mut self, now: Timestamp, input: &'a [u8], out: &mut Vec<u8>) -> Step<'a> {
        if self.partial.is_some() {
            return self.step_partial(now, input);
        }
        match &self.phase {
            Phase::Open => self.step_open(now, input, out),
            Phase::Handshake(_) => self.step_handshake(now, input, out),
            Phase::Closing(_) => self.step_closing(input, out),
            Phase::Ended(ending) => Step::End(ending.clone()),
        }
    }

    /// What the client says of itself; empty before its start-ok.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Largest frame in bytes, as agreed.
    #[inline]
    pub fn frame_max(&self) -> u32 {
        self.frame_max
    }

    /// Most channels open at once, as agreed.
    pub fn channel_max(&self) -> u16 {
        self.channel_max
    }

    /// Heartbeat interval in seconds as agreed; 0 is none.
    pub fn heartbeat(&self) -> u16 {
        self.heartbeat_seconds
    }

    /// How many channel numbers are in use.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Whether a content is under way on a channel.
    pub fn has_content(&self) -> bool {
        self.channels.has_content()
    }

    /// Whether the handshake is over and nobody has closed.
    #[inline]
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether the connection is over: nothing is to be read or written any more.
    pub fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended(_))
    }

    /// Ends the connection and lets go of what it held.
    fn end(&mut self, ending: Ending) -> Ending {
        self.phase = Phase::Ended(ending.clone());
        self.heartbeat = Heartbeat::default();
        self.partial = None;
        self.channels.clear();
        ending
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
            Phase::Ended(ending) => Some(ending.clone()),
            _ => None,
        }
    }

    fn owed(&self) -> Option<(Timestamp, Ending)> {
        match &self.phase {
            Phase::Handshake(handshake) => Some((handshake.until, Ending::HandshakeTimeout)),
            Phase::Closing(closing) => Some((closing.until, Ending::NoCloseOk)),
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
        out.extend_from_slice(&frame::HEARTBEAT);
    }
}

/// A close method about the method of these ids.
fn connection_close(ids: Ids, reply: &Reply) -> Method {
    Method::from(ConnectionClose {
        reply_code: reply.code.code(),
        reply_text: reply.wire_text(),
        class_id: ids.0,
        method_id: ids.1,
    })
}

#[cfg(test)]
mod tests;
