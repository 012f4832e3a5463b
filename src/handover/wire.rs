//! What nodes say to each other about queues: frames, many in one message of a link.
//!
//! A link message is a format byte and frames one after the other: a kind, the queue, and fields;
//! numbers are variable in length, as in [`crate::queue::record`]. Bodies are read as slices of the
//! message they came in. Here are the kinds and the bits of fields; how each kind is written is in `write`,
//! how it is read in `read`.

mod read;
mod write;

pub use read::frames;
pub use write::*;

/// First byte of a link message.
pub const FORMAT: u8 = 4;

const ATTACH: u8 = 1;
const CONSUME: u8 = 2;
const CANCEL: u8 = 3;
const TAKEN: u8 = 4;
const PUBLISH: u8 = 5;
const SETTLE: u8 = 6;
const GET: u8 = 7;
const PURGE: u8 = 8;
const COUNT: u8 = 9;
const WHO: u8 = 10;
const NOTHING: u8 = 11;
const LEAVE: u8 = 12;
const LEAD: u8 = 20;
const NOT_LEADER: u8 = 21;
const ANSWERED: u8 = 22;
const SETTLED: u8 = 23;
const DELIVER: u8 = 24;
const GOT: u8 = 25;
const EMPTY: u8 = 26;
const DONE: u8 = 27;
const COUNTS: u8 = 28;
const REFUSED: u8 = 29;
const CANCELLED: u8 = 30;
const ATTACHED: u8 = 31;
const LEADERLESS: u8 = 32;
const RANKED: u8 = 33;
const OVERDUE: u8 = 34;
const REPLY: u8 = 40;

/// Beside the outcome of a settled batch.
const AWAITED: u8 = 4;

const NO_ACK: u8 = 1;
const EXCLUSIVE: u8 = 2;
const LIMITED: u8 = 4;
const REDELIVERED: u8 = 1;

/// A link message that cannot be read: of another version, or damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a message between nodes is of another version, or damaged")]
pub struct Garbled;

#[cfg(test)]
mod tests;
