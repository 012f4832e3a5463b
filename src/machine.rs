//! What is replicated: a state that records change, the same on every member of a group.
//!
//! A record is an outcome, stamped by whoever decided it: applying it asks for no clock, no random
//! number and no order of a map, so that all members come to the same state. Records and snapshots
//! begin with a format version of the machine's own; [`Machine::check`] is asked before a record
//! enters any log, so that what this program cannot read is refused before it is committed.

use std::io;

use bytes::Bytes;

/// The pieces of a snapshot in order, made or read as they are asked for. A piece is a unit of
/// the machine's choice, best between 64 KiB and 1 MiB: it is stored, sent and held in memory whole.
pub type Parts = Box<dyn Iterator<Item = io::Result<Bytes>> + Send>;

/// A replicated state.
pub trait Machine: Send + Sync + 'static {
    /// What the proposer of a record hears once it is applied.
    type Output: Send + Sync + 'static;

    /// Whether this program can read the record; looks at nothing but its bytes.
    fn check(record: &[u8]) -> Result<(), Unreadable>;

    /// Applies a record that a majority has. Several records may have the same log index; each is
    /// applied once in a life of the machine's state. An error stops the group on this node.
    fn apply(&mut self, index: u64, record: Bytes) -> Result<Self::Output, Unreadable>;

    /// The whole state as of now; what is applied later does not show in it.
    fn snapshot(&self) -> Parts;

    /// Takes over the state of a snapshot instead of its own. An error stops the group on this node.
    fn restore(&mut self, parts: Parts) -> Result<(), Unreadable>;
}

/// A record or snapshot of a version that this program does not know, or a damaged one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

impl Unreadable {
    /// With this text.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}
