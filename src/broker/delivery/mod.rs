//! What clients get: the output of each connection, and the consumers on its channels.
//!
//! ```text
//! a queue decides → Consumer → Outbox (its channel's delivery tag, prefetch, unacked) → its form → writer → socket
//! ```
//! [`outbox`] is what waits to be written to one client, with the [`channel_out`] of each of its channels; [`consumer`] is one `basic.consume`, as its queue
//! and its channel see it; [`form`] how its client gets what is for it, which its front end says;
//! [`leaving`] what a client leaves behind; [`connections`] is the list of who is there, and how many may be.
//! [`streaming`] is what clients have of streams that they use without channels.

pub mod channel_out;
pub mod connections;
pub mod consumer;
pub mod control;
pub mod form;
pub mod leaving;
pub mod outbox;
pub mod pairs;
pub mod streaming;

use crate::types::QueueId;

/// A queue as clients' channels keep it: named by its id, and handed back to whoever knows queues.
pub trait QueueIdentity {
    /// Which queue it is.
    fn id(&self) -> QueueId;

    /// Whether it is deleted, so that a channel may forget it.
    fn is_deleted(&self) -> bool;
}
