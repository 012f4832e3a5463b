//! The load on streams over the stream protocol.
//!
//! ```text
//! streams (made, deleted, how much is in them)
//! publisher: batch (frames ready to be stamped) ┐
//! consumer: chunk (messages where they lie)     ├─ link (one connection; codec of `stream_protocol`)
//! ```
//! A publisher writes to one stream, a consumer reads one or several from their ends, or from where it is told. What
//! is counted and checked is the same as over AMQP 0-9-1.

mod batch;
mod chunk;
mod consumer;
mod link;
mod publisher;
mod streams;

pub use consumer::Consumer;
pub use publisher::Publisher;
pub use streams::Streams;
