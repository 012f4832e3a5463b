//! A stream: a log of messages that stay when they are read, pure.
//!
//! ```text
//! a batch of entries → Leader: offset, time, epoch → record → group's log → Log applies it on each member
//!                                                                              │ index, producers, cursors
//! an offset, a time → Log::resolve → Log::read_from → Reader → chunks as they lie in the group's log
//! ```
//! The unit is the [`chunk`]: what was published together, in the bytes that a reader of port 5552 gets. It
//! is written once, by the leader, and kept as it is by every member. An offset counts messages and
//! nothing else, so there are no holes. [`log::Log`] is the replicated machine, [`leader::Leader`] decides on
//! top of it what is appended, [`record`] is what goes from one to the other.
//!
//! Chunks stay in the group's log, which is kept from the head of the oldest segment on. A segment is the unit of retention: at its
//! head lies what the machine knew there, which is the group's snapshot once that segment is the oldest.

pub mod chunk;
pub mod cursors;
pub mod filter;
pub mod leader;
pub mod log;
pub mod offset;
pub mod producers;
pub mod record;

#[cfg(test)]
mod tests;

pub use chunk::{BadChunk, Chunk};
pub use filter::Matcher;
pub use leader::{Appended, Batch, Leader, Writer};
pub use log::{Applied, Bounds, Log, Piece, Retention};
pub use offset::OffsetSpec;
