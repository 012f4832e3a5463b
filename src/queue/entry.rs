//! One message as the queue keeps it: 48 bytes, with or without its body in memory.
//!
//! An entry is in exactly one place: uncommitted, ready, outstanding or discarded. It moves between them by
//! value. What the journal must keep beside the body to rebuild it is [`Entry::meta`].

use crate::types::{Message, Timestamp};

use super::sink::{Loc, META_LEN, Slot};

/// One message in the queue.
#[derive(Clone)]
pub(super) struct Entry {
    /// Position in the order of arrival; never used twice.
    pub seq: u64,
    /// The message itself, while it is in memory.
    pub message: Option<Message>,
    /// Where the store keeps it; meaningful with [`STORED`] or [`PAGED`].
    pub loc: Loc,
    /// When it expires; [`NEVER`] without a time to live.
    pub expires: Timestamp,
    /// Bytes of its body.
    pub len: u32,
    /// How often it was delivered and came back.
    pub count: u32,
    /// The lane of the ready line it belongs to.
    pub lane: u8,
    /// [`STORED`], [`PAGED`] and the others below.
    marks: u8,
}

/// The time of messages without a time to live.
pub(super) const NEVER: Timestamp = Timestamp(u64::MAX);

/// In the journal: it survives a restart, and its end must be recorded.
pub(super) const STORED: u8 = 1;
/// Written out only to save memory; nobody looks for it after a restart.
pub(super) const PAGED: u8 = 2;
/// Was, or may have been, delivered before.
pub(super) const REDELIVERED: u8 = 4;
/// Its body was asked back from the store and has not arrived.
pub(super) const FETCHING: u8 = 8;
/// Its body was read back and counts as read ahead.
pub(super) const FETCHED: u8 = 16;
/// Its body cannot be read any more: it is dropped when it reaches the head of the line.
pub(super) const LOST: u8 = 32;
/// Dead-lettered by a queue that keeps it until its targets have confirmed it.
pub(super) const DISCARDED: u8 = 64;
/// Its dead letter was refused, or had no target.
pub(super) const REFUSED: u8 = 128;

/// Layout of [`Entry::meta`]: version, lane, six unused bytes, expiry, count, four unused bytes; numbers in
/// little-endian.
const META_VERSION: u8 = 1;

/// What is kept beside a message was written by a version that this one does not know.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is kept beside a message has format version {found}, and this version reads only {ours}")]
pub struct UnknownMeta {
    pub(super) found: u8,
    pub(super) ours: u8,
}

/// Whether this version can read what a queue kept beside a message. To be asked of whatever comes from a
/// disk or another node before a queue recovers it.
///
/// # Errors
/// [`UnknownMeta`].
pub fn check_meta(meta: &[u8; META_LEN]) -> Result<(), UnknownMeta> {
    let [found, ours] = [meta[0], META_VERSION];
    (found == ours).then_some(()).ok_or(UnknownMeta { found, ours })
}

impl Entry {
    /// Its slot when it is out at that index.
    pub fn slot(&self, index: u32) -> Slot {
        Slot {
            index,
            turn: self.count,
            seq: self.seq,
        }
    }

    /// Whether a client may still have it by that slot: it has not come back since.
    pub fn is_out_as(&self, slot: Slot) -> bool {
        self.seq == slot.seq && self.count <= slot.turn
    }

    /// A message that has just been published.
    pub fn new(seq: u64, message: Message, lane: u8, expires: Timestamp) -> Self {
        Self {
            seq,
            len: message.body().len() as u32,
            message: Some(message),
            loc: 0,
            expires,
            count: 0,
            lane,
            marks: 0,
        }
    }

    /// A message of the ledger, its body in the store. That its meta is known was seen to before, see
    /// [`check_meta`].
    pub fn recovered(seq: u64, loc: Loc, meta: &[u8; META_LEN], len: u32, count: u32) -> Self {
        let mut expires = [0; 8];
        expires.copy_from_slice(&meta[8..16]);
        let expires = Timestamp(u64::from_le_bytes(expires));
        let before = u32::from_le_bytes([meta[16], meta[17], meta[18], meta[19]]);
        let count = count.max(before);
        Self::packed(seq, loc, expires, len, count, u16::from_le_bytes([meta[1], STORED]))
    }

    /// A message without its body; its lane and marks as [`Entry::kind`] gives them.
    pub fn packed(seq: u64, loc: Loc, expires: Timestamp, len: u32, count: u32, kind: u16) -> Self {
        let [lane, marks] = kind.to_le_bytes();
        Self {
            seq,
            message: None,
            loc,
            expires,
            len,
            count,
            lane,
            marks,
        }
    }

    /// Its lane and marks, for [`Entry::packed`].
    pub fn kind(&self) -> u16 {
        u16::from_le_bytes([self.lane, self.marks])
    }

    /// What the journal keeps beside the body.
    pub fn meta(&self) -> [u8; META_LEN] {
        let mut meta = [0; META_LEN];
        meta[0] = META_VERSION;
        meta[1] = self.lane;
        meta[8..16].copy_from_slice(&self.expires.0.to_le_bytes());
        meta[16..20].copy_from_slice(&self.count.to_le_bytes());
        meta
    }

    pub fn is(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    pub fn mark(&mut self, mark: u8) {
        self.marks |= mark;
    }

    pub fn unmark(&mut self, mark: u8) {
        self.marks &= !mark;
    }

    /// Whether its time to live is over.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expires <= now
    }

    /// Bytes its body takes in memory now.
    pub fn memory(&self) -> u64 {
        self.message.as_ref().map_or(0, |message| message.memory() as u64)
    }
}
