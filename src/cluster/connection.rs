//! One authenticated connection: calls and messages are handed to it, and [`super::traffic`] reads and writes
//! while it lasts.
//!
//! It ends once, for one reason: then every call that waits has its error, every call that is
//! served is dropped, and senders are told. [`super::link`] decides which connections there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::calls::{Made, Served};
use super::frame::{FrameError, Kind};
use super::handshake::Peer;
use super::outbox::{NotQueued, Outbox, Outgoing};
use super::rpc::{CallError, Failure, Origin, SendError};
use super::{Settings, Timing};
use crate::types::NodeId;

/// Why a connection ended.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Ending {
    #[error("the peer closed it")]
    Closed,
    #[error("{0}")]
    Io(String),
    #[error("nothing came for {} ms", .0.as_millis())]
    Silent(Duration),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("the peer broke the protocol: {0}")]
    Protocol(&'static str),
    #[error("another connection takes its place")]
    Replaced,
    #[error("the peer was restarted")]
    Restarted,
    #[error("the peer is not of the cluster any more")]
    Forgotten,
    #[error("this node stops")]
    Stopped,
}

pub(super) struct Connection {
    pub origin: Origin,
    pub peer: Peer,
    pub dialled_by: NodeId,
    pub(super) outbox: Outbox,
    pub(super) made: Made,
    pub(super) served: Arc<Served>,
    /// Milliseconds after `began` at which something came.
    pub(super) heard: AtomicU64,
    pub(super) began: Instant,
    pub(super) most_payload: u32,
    ended: watch::Sender<Option<Ending>>,
}

impl Connection {
    pub fn new(peer: Peer, number: u64, dialled_by: NodeId, settings: &Settings) -> Arc<Self> {
        Arc::new(Self {
            origin: Origin {
                node: peer.who.id,
                incarnation: peer.who.incarnation,
                connection: number,
            },
            peer,
            dialled_by,
            outbox: Outbox::with_room(settings.outbox_bytes),
            made: Made::new(),
            served: Arc::default(),
            heard: AtomicU64::new(0),
            began: Instant::now(),
            most_payload: settings.most_payload,
            ended: watch::Sender::new(None),
        })
    }

    /// Whether nothing came for longer than a peer that lives leaves it.
    pub fn is_stale(&self, timing: &Timing) -> bool {
        let heard = self.began + Duration::from_millis(self.heard.load(Ordering::Relaxed));
        heard.elapsed() > timing.beat * 4
    }

    /// Bytes that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.outbox.waiting()
    }

    /// Asks the peer; ends when the connection does. The caller keeps the deadline.
    pub async fn call(&self, service: u16, payload: Bytes, wait: Duration) -> Result<Bytes, CallError> {
        self.must_fit(payload.len()).map_err(CallError::TooLarge)?;
        let waiting = self.made.begin(payload.len()).await?;
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let mut call = Cancelling {
            outbox: &self.outbox,
            waiting,
        };
        let frame = Outgoing {
            kind: Kind::Call,
            service,
            request: call.waiting.request,
            head: &wait_ms.to_be_bytes(),
            payload,
        };
        self.outbox.push(frame).await.map_err(|_| CallError::Broken)?;
        (&mut call.waiting.answer).await.unwrap_or(Err(CallError::Broken))
    }

    /// Sends a message, of which the head is small, once there is room for it.
    pub async fn send(&self, service: u16, head: &[u8], payload: Bytes) -> Result<(), SendError> {
        self.must_fit(head.len() + payload.len()).map_err(SendError::TooLarge)?;
        let sent = self.outbox.push(message(service, head, payload)).await;
        sent.map_err(|_| SendError::Unreachable(self.origin.node))
    }

    /// Sends a message if there is room for it now.
    pub fn try_send(&self, service: u16, payload: Bytes) -> Result<(), SendError> {
        self.must_fit(payload.len()).map_err(SendError::TooLarge)?;
        self.outbox
            .try_push(message(service, &[], payload))
            .map_err(|error| match error {
                NotQueued::Full => SendError::Full,
                NotQueued::Closed => SendError::Unreachable(self.origin.node),
            })
    }

    /// Asks whether the peer lives. Not sent when too much waits: then there is no answer, which
    /// is the truth about this connection.
    pub fn ping(&self, number: u64) {
        self.signal(Kind::Ping, number);
    }

    /// Says goodbye and ends once everything is written.
    pub fn finish(&self) {
        self.signal(Kind::Goodbye, 0);
        self.outbox.finish();
    }

    /// Ends it now.
    pub fn end(&self, ending: Ending) {
        let first = self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            ended.get_or_insert(ending);
            first
        });
        if first {
            self.outbox.close();
            self.made.close();
            self.served.close();
        }
    }

    /// Waits for the end.
    pub async fn ended(&self) -> Ending {
        let mut ended = self.ended.subscribe();
        let ended = ended.wait_for(Option::is_some).await;
        ended.ok().and_then(|ended| ended.clone()).unwrap_or(Ending::Closed)
    }

    pub fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    fn must_fit(&self, bytes: usize) -> Result<(), usize> {
        // The milliseconds before a call's request count too.
        let most = self.most_payload as usize - 4;
        if bytes > most { Err(bytes) } else { Ok(()) }
    }

    pub(super) fn signal(&self, kind: Kind, request: u64) {
        let frame = Outgoing {
            kind,
            service: 0,
            request,
            head: &[],
            payload: Bytes::new(),
        };
        // A full outbox has better things to say; a closed one nothing.
        let _ = self.outbox.try_push(frame);
    }

    /// If there is no room for the refusal, the caller finds out at its deadline.
    pub(super) fn refuse(&self, service: u16, request: u64, failure: Failure) {
        let _ = self.outbox.try_push(Outgoing {
            kind: Kind::Failed,
            service,
            request,
            head: &[failure as u8],
            payload: Bytes::new(),
        });
    }
}

fn message(service: u16, head: &[u8], payload: Bytes) -> Outgoing<'_> {
    Outgoing {
        kind: Kind::Message,
        service,
        request: 0,
        head,
        payload,
    }
}

/// A call whose future may be dropped at any time: then the other side need not go on.
struct Cancelling<'a> {
    outbox: &'a Outbox,
    waiting: super::calls::Waiting<'a>,
}

impl Drop for Cancelling<'_> {
    fn drop(&mut self) {
        if self.waiting.is_unanswered() {
            // If there is no room for it, the other side stops at the deadline it was told.
            let _ = self.outbox.try_push(Outgoing {
                kind: Kind::Cancel,
                service: 0,
                request: self.waiting.request,
                head: &[],
                payload: Bytes::new(),
            });
        }
    }
}
