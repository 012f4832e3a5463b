//! What the store speaks of: owners and their entries, where those are, and what it says back.

/// Whose entries they are. Never used again after [`super::Store::forget`], and not 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct OwnerId(pub u64);

impl OwnerId {
    /// Nobody: what the log says of itself.
    pub(super) const LOG: Self = Self(0);
}

/// Where an entry was put: needed to read it, to be kept with it, opaque.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Loc(pub(super) u64);

impl Loc {
    /// The place as a number, for whoever keeps it beside others.
    pub fn to_raw(self) -> u64 {
        self.0
    }

    /// The place of that number, which [`Loc::to_raw`] gave.
    pub fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Not in the log.
    pub(super) const REST: Self = Self(u64::MAX);

    pub(super) fn at(segment: u32, offset: u64) -> Self {
        Self(u64::from(segment) << 32 | offset)
    }

    pub(super) fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(super) fn offset(self) -> u64 {
        self.0 & u64::from(u32::MAX)
    }
}

/// A position in the log; everything before it was appended before what comes after it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Lsn(pub(super) u64);

impl Lsn {
    pub(super) fn at(segment: u32, offset: u64) -> Self {
        Self(u64::from(segment) << 32 | offset)
    }

    pub(super) fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(super) fn offset(self) -> u64 {
        self.0 & u64::from(u32::MAX)
    }
}

/// What the owner wants to know of an entry at recovery without reading its body.
pub type Meta = [u8; 24];

/// Why an entry is put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// It survives a restart, and its owner hears when it does.
    Durable,
    /// It only makes room in memory: a restart drops it.
    Page,
}

/// Sizes.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Bytes of one segment of the log, allocated in advance.
    pub segment_bytes: u64,
    /// Bytes of log kept before what lives in the oldest segment moves to rest.
    pub window_bytes: u64,
    /// Bytes of bodies at rest that are dropped together.
    pub epoch_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * 1024 * 1024,
            window_bytes: 512 * 1024 * 1024,
            epoch_bytes: 256 * 1024 * 1024,
        }
    }
}

/// What survived of one owner.
#[derive(Debug, Default)]
pub struct OwnerLedger {
    /// Ascending by seq.
    pub entries: Vec<LedgerEntry>,
    /// The last mark.
    pub mark: Option<Vec<u8>>,
    /// Some of its records are lost.
    pub damaged: bool,
    /// Some were, and that was accepted ([`super::Store::accept_damage`]).
    pub accepted: bool,
    /// One more than the highest seq of a durable entry, also of those that are gone.
    pub next_seq: u64,
}

/// An entry that survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    pub seq: u64,
    pub loc: Loc,
    pub meta: Meta,
    /// Times delivered, as last touched.
    pub count: u32,
    /// Bytes of the body.
    pub len: u32,
}

/// Figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Bytes written to the log since the start.
    pub log_bytes_written: u64,
    /// Writes to the log since the start.
    pub writes: u64,
    /// Syncs of the log since the start.
    pub syncs: u64,
    /// What they took together, in microseconds.
    pub sync_micros: u64,
    /// Segments in use, and the bytes they have on disk.
    pub segments: u64,
    pub segment_bytes: u64,
    /// Bytes at rest.
    pub rest_bytes: u64,
    /// Bytes that wait to be written.
    pub pending_bytes: u64,
}
