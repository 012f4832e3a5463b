//! The bytes of segment files and of their indices.

use super::Span;
use crate::store::{Meta, OwnerId};

/// What precedes a body, without its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub seq: u64,
    pub meta: Meta,
    pub span: Span,
    pub len: u32,
    pub checksum: u32,
}

impl Head {
    pub fn number(&self) -> u64 {
        number(&self.meta)
    }

    pub fn encode(&self, seed: u32) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seq.to_le_bytes());
        bytes[16..40].copy_from_slice(&self.meta);
        bytes[40..48].copy_from_slice(&self.span.first.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.span.end.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.span.newest.to_le_bytes());
        bytes[64..68].copy_from_slice(&self.checksum.to_le_bytes());
        let checksum = crc32c::crc32c_append(seed, &bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8], seed: u32) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEAD>()?;
        if u32_at(bytes, 0) != crc32c::crc32c_append(seed, &bytes[4..]) {
            return None;
        }
        Some(Self {
            seq: u64_at(bytes, 8),
            meta: *bytes[16..].first_chunk()?,
            span: Span {
                first: u64_at(bytes, 40),
                end: u64_at(bytes, 48),
                newest: u64_at(bytes, 56),
            },
            len: u32_at(bytes, 4),
            checksum: u32_at(bytes, 64),
        })
    }

    pub fn record_len(&self) -> u64 {
        HEAD as u64 + u64::from(self.len)
    }
}

/// The number that the owner gives an entry in its meta.
pub(super) fn number(meta: &Meta) -> u64 {
    u64_at(meta, 0)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |word| u32::from_le_bytes(*word))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

/// An entry of an index: the head of a record, and where it is.
pub(super) fn mark(head: &Head, at: u64, seed: u32) -> [u8; MARK] {
    let mut bytes = [0; MARK];
    bytes[..HEAD].copy_from_slice(&head.encode(seed));
    bytes[HEAD..HEAD + 8].copy_from_slice(&at.to_le_bytes());
    let checksum = crc32c::crc32c_append(seed, &bytes[..HEAD + 8]);
    bytes[HEAD + 8..HEAD + 12].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

pub(super) fn file_head(owner: OwnerId, number: u32, seed: u32) -> [u8; FILE_HEAD] {
    let mut bytes = [0; FILE_HEAD];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&owner.0.to_le_bytes());
    bytes[16..20].copy_from_slice(&number.to_le_bytes());
    let checksum = crc32c::crc32c_append(seed, &bytes[..20]);
    bytes[20..24].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

pub(super) fn segment_name(owner: OwnerId, number: u32) -> String {
    format!("{:016x}-{number:010}.segment", owner.0)
}

pub(super) fn index_name(owner: OwnerId, number: u32) -> String {
    format!("{:016x}-{number:010}.index", owner.0)
}

pub(super) fn point_name(owner: OwnerId) -> String {
    format!("{:016x}.point", owner.0)
}

/// Of a segment.
pub(super) fn parse_name(name: &str) -> Option<(OwnerId, u32)> {
    let (owner, number) = name.strip_suffix(".segment")?.split_once('-')?;
    Some((OwnerId(u64::from_str_radix(owner, 16).ok()?), number.parse().ok()?))
}

pub(super) const MAGIC: &[u8; 8] = b"warren\0\x01";
/// Bytes before the first record of a segment,
pub(super) const FILE_HEAD: usize = 24;
/// before the body of each,
pub(super) const HEAD: usize = 72;
/// and of an entry of an index.
pub(super) const MARK: usize = HEAD + 16;
/// Bytes of records between two entries of an index.
pub(super) const STRIDE: u64 = 64 * 1024;
