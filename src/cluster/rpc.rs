//! What nodes ask of each other: calls that are answered, and messages that are not.
//!
//! A service is a number that both sides know, with a class that says which connection carries
//! it. Incoming calls run side by side, each in a task of its own, up to a bound; messages of one
//! connection reach their service in the order in which they were sent, in batches.
//!
//! A call ends in an answer, in the error that its connection broke, or at its deadline; never in
//! a hang. An error says nothing about whether the other side has done what was asked, except
//! where [`CallError`] says so.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::hello::Class;
use super::identity::Incarnation;
use crate::types::NodeId;

/// What a handler gives for a call; dropped when the caller does not wait any more.
pub type CallFuture = Pin<Box<dyn Future<Output = Result<Bytes, Failed>> + Send>>;

/// Who sent something, and over which connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Origin {
    pub node: NodeId,
    /// Differs when the node was restarted in between.
    pub incarnation: Incarnation,
    /// Of this process's connections, which: messages with different numbers may have lost others
    /// between them.
    pub connection: u64,
}

/// One service of this node.
pub trait Handler: Send + Sync {
    /// Answers a call.
    fn call(&self, from: Origin, request: Bytes) -> CallFuture;

    /// Takes messages, in order. Runs on the task that reads the connection, so it must not take
    /// long; nothing of this connection is read before [`Flow::Wait`] ends, which is how a
    /// service that is behind holds its senders up. It must not wait for an answer that comes
    /// over the same connection.
    ///
    /// The payloads share the buffer they were read into: what is kept for long is better copied.
    fn messages(&self, from: &Origin, messages: &mut Vec<Bytes>) -> Flow;

    /// The connection is gone: no more messages come from it.
    fn ended(&self, _from: &Origin) {}
}

/// Whether a service can take more.
pub enum Flow {
    Ready,
    /// Nothing more before this ends.
    Wait(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// A handler could not do what was asked; the text is for people.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failed(pub String);

/// Why a call has no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CallError {
    /// Nothing was sent.
    #[error("there is no connection to node {0}")]
    Unreachable(NodeId),
    #[error("the connection broke while an answer was awaited")]
    Broken,
    #[error("no answer came in time")]
    TimedOut,
    /// The other side did not begin with it.
    #[error("the node has too many calls to answer")]
    Busy,
    /// The other side did not begin with it.
    #[error("the node does not know service {0}")]
    NotServed(u16),
    #[error("{0}")]
    Failed(String),
    /// Nothing was sent.
    #[error("{0} bytes are more than a message may have")]
    TooLarge(usize),
}

/// Why a message was not sent. One that was sent may still be lost when its connection breaks.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    #[error("there is no connection to node {0}")]
    Unreachable(NodeId),
    #[error("there is no service {0}")]
    NotServed(u16),
    #[error("more waits to be sent than may")]
    Full,
    #[error("{0} bytes are more than a message may have")]
    TooLarge(usize),
}

/// Why there is no answer, as it goes over the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    Busy = 1,
    NotServed = 2,
    Failed = 3,
}

impl Failure {
    /// What a caller hears.
    pub fn read(payload: &[u8], service: u16) -> CallError {
        match payload.split_first() {
            Some((1, _)) => CallError::Busy,
            Some((2, _)) => CallError::NotServed(service),
            Some((_, text)) => CallError::Failed(String::from_utf8_lossy(text).into_owned()),
            None => CallError::Failed(String::new()),
        }
    }
}

/// The services of a node, the same on every node. Fixed before it starts.
#[derive(Default)]
pub struct Services(FxHashMap<u16, (Class, Arc<dyn Handler>)>);

impl Services {
    /// Adds a service.
    #[must_use]
    pub fn serve(mut self, service: u16, class: Class, handler: Arc<dyn Handler>) -> Self {
        self.0.insert(service, (class, handler));
        self
    }

    /// Which connection carries a service.
    pub(super) fn class(&self, service: u16) -> Option<Class> {
        self.0.get(&service).map(|(class, _)| *class)
    }

    /// Who answers for a service on a connection of this class.
    pub(super) fn handler(&self, service: u16, class: Class) -> Option<&Arc<dyn Handler>> {
        self.0
            .get(&service)
            .filter(|(own, _)| *own == class)
            .map(|(_, handler)| handler)
    }

    /// All whose messages a connection of this class carries.
    pub(super) fn of_class(&self, class: Class) -> impl Iterator<Item = &Arc<dyn Handler>> {
        self.0
            .values()
            .filter(move |(own, _)| *own == class)
            .map(|(_, handler)| handler)
    }
}
