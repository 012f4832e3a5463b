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

/// Where a machine finds again what it was given and does not keep in memory. Where nothing else is said it blocks.
pub trait Source: Send + Sync {
    /// The records that were applied with this log index, in order.
    ///
    /// # Errors
    /// When the entry is gone because a snapshot has it, or cannot be read.
    fn entry(&self, index: u64) -> io::Result<Vec<Bytes>>;

    /// The same where that needs no disk, which does not block.
    fn in_memory(&self, _index: u64) -> Option<Vec<Bytes>> {
        None
    }

    /// A piece of a snapshot, by the number that [`Machine::kept`] was told.
    ///
    /// # Errors
    /// When a later snapshot has taken its place, or it cannot be read.
    fn piece(&self, number: u64) -> io::Result<Bytes>;

    /// Up to which index entries are put away where [`Source::find`] finds them, if any are.
    fn put_away(&self) -> Option<u64> {
        None
    }

    /// An entry that is put away from which on what is asked for is found, by [`Machine::span`]; `None` where it is not
    /// there.
    ///
    /// # Errors
    /// When it cannot be read.
    fn find(&self, _seek: Seek) -> io::Result<Option<u64>> {
        Ok(None)
    }

    /// Entries from that one on, at least one and about as many bytes as are asked for.
    ///
    /// # Errors
    /// As of [`Source::entry`].
    fn run(&self, from: u64, _bytes: usize) -> io::Result<Vec<(u64, Vec<Bytes>)>> {
        Ok(vec![(from, self.entry(from)?)])
    }
}

/// What is looked for among entries, in the machine's own numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seek {
    /// The entry that has it, or what comes next.
    At(u64),
    /// The first entry of this time, in ms, or later.
    Since(u64),
}

/// What a record holds, in the machine's own numbers, which grow from record to record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub first: u64,
    /// The one behind the last.
    pub end: u64,
    /// Its time, in ms.
    pub at: u64,
}

/// Where a piece of a snapshot is kept, and what it covers, in the machine's own numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeptPiece {
    /// For [`Source::piece`].
    pub number: u64,
    pub first: u64,
    pub last: u64,
}

/// How much of the log a snapshot stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Covered {
    /// All that was applied.
    All,
    /// The entries up to this index, or none. What was applied after it is in the log still, and stays there.
    UpTo(Option<u64>),
}

/// A replicated state.
pub trait Machine: Send + Sync + 'static {
    /// What the proposer of a record hears once it is applied.
    type Output: Send + Sync + 'static;

    /// Whether this program can read the record; looks at nothing but its bytes.
    fn check(record: &[u8]) -> Result<(), Unreadable>;

    /// Applies a record that a majority has. Several records may have the same log index; each is
    /// applied once in a life of the machine's state. An error stops the group on this node.
    fn apply(&mut self, index: u64, record: Bytes) -> Result<Self::Output, Unreadable>;

    /// The whole state as of [`Machine::covered`]; what is applied later does not show in it.
    fn snapshot(&self) -> Parts;

    /// What a snapshot made now stands for. A machine whose log is what it keeps names an older index than
    /// the last: the log is cut there and no later.
    fn covered(&self) -> Covered {
        Covered::All
    }

    /// Takes over the state of a snapshot instead of its own. An error stops the group on this node.
    fn restore(&mut self, parts: Parts) -> Result<(), Unreadable>;

    /// The first and the last of what a piece of a snapshot covers, for machines that read their
    /// pieces again.
    fn covers(_piece: &[u8]) -> Option<(u64, u64)> {
        None
    }

    /// A snapshot that this state made, or was restored from, is safe; its pieces are kept here.
    /// The log that it covers and the pieces of the one before go after this.
    fn kept(&mut self, _pieces: &[KeptPiece]) {}

    /// What a record holds, for machines whose old records are found by that; `None` for one that holds nothing.
    fn span(_record: &[u8]) -> Option<Span> {
        None
    }

    /// The whole state as of the last record, for a machine that names older snapshots ([`Machine::covered`]): a start
    /// goes on from it. `None` for one that begins with its snapshot.
    fn point(&self) -> Option<Bytes> {
        None
    }

    /// Takes over the state of [`Machine::point`] instead of its own, which stays as it is after an error.
    fn resume(&mut self, _point: &[u8]) -> Result<(), Unreadable> {
        Err(Unreadable::new("this machine has no points"))
    }

    /// Whether a snapshot made now would give back more than it costs. Asked about once a second.
    fn worth_a_snapshot(&self) -> bool {
        false
    }
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
