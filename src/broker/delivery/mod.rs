//! What clients get: the output of each connection, and the consumers on its channels.
//!
//! ```text
//! a queue decides → Consumer → Outbox (its channel's delivery tag, prefetch, unacked) → writer → socket
//! ```
//! [`outbox`] is what waits to be written to one client; [`consumer`] is one `basic.consume`, as its queue
//! and its channel see it; [`connections`] is the list of who is there, and how many may be.

pub mod connections;
pub mod consumer;
pub mod outbox;
