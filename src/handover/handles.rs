//! What the caller of the machine calls its consumers, publishes and so on.

use super::message::{ConsumerKey, ConsumerSpec};
use super::remote_nodes::RemoteConsumer;
use super::waiting::Waiting;
use crate::queue::Queue;
use crate::types::NodeId;

/// What the caller calls things. The machine keeps them and hands them back.
pub trait Handles: Sized {
    /// A consumer of this node's clients.
    type Consumer: LocalConsumer;
    /// A publish of this node's clients that waits for its confirm.
    type Publish;
    /// Who waits until settled messages are committed. One that is dropped was not.
    type Settlement;
    /// Somebody here who asked something. One that is dropped asks again.
    type Call;
    /// What leads to another node, whatever link there is.
    type Line: Clone;
    /// The log of the queue's group.
    type Journal: Clone;

    /// The most bytes that the log takes at a time.
    const RECORD_BYTES: usize;
}

/// A consumer of this node's clients.
pub trait LocalConsumer: Clone {
    /// Its name among all of the node.
    fn key(&self) -> ConsumerKey;
    /// How it wants to be served. It has no rank yet.
    fn spec(&self) -> ConsumerSpec<&str>;
}

/// Whoever takes messages from the live queue.
pub enum ConsumerHandle<H: Handles> {
    /// A client of this node.
    Local(H::Consumer),
    /// One of another node.
    Remote(std::sync::Arc<RemoteConsumer<H::Line>>),
}

impl<H: Handles> Clone for ConsumerHandle<H> {
    fn clone(&self) -> Self {
        match self {
            Self::Local(consumer) => Self::Local(consumer.clone()),
            Self::Remote(consumer) => Self::Remote(consumer.clone()),
        }
    }
}

impl<H: Handles> ConsumerHandle<H> {
    /// The node of its client, which may be `us`, and its name there.
    pub fn whose(&self, us: NodeId) -> (NodeId, ConsumerKey) {
        match self {
            Self::Local(consumer) => (us, consumer.key()),
            Self::Remote(consumer) => (consumer.node, consumer.key),
        }
    }
}

/// The live queue with everybody who consumes from it and publishes to it.
pub type LiveQueue<H> = Queue<ConsumerHandle<H>, Waiting<<H as Handles>::Publish>>;

impl<H: Handles> ConsumerHandle<H> {
    /// The client of this node.
    pub fn local(&self) -> Option<&H::Consumer> {
        match self {
            Self::Local(consumer) => Some(consumer),
            Self::Remote(_) => None,
        }
    }

    /// Its consumer tag.
    pub fn tag(&self) -> &str {
        match self {
            Self::Local(consumer) => consumer.spec().tag,
            Self::Remote(consumer) => &consumer.tag,
        }
    }
}
