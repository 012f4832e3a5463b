//! One record of the write-ahead log as it lies on disk.
//!
//! ```text
//!  0  u32  checksum of bytes 4..24
//!  4  u8   format version         5  u8  kind        6  u16  zero
//!  8  u32  payload length        12  u32 checksum of the payload
//! 16  u64  owner
//! 24  payload, then zeros up to a multiple of 8
//! ```
//! Both checksums (CRC-32C) start from the segment's [`Seal`], made of the store's random id and
//! the segment's number. A record left over from an earlier use of a recycled file therefore
//! never passes for one of this segment. The header has a checksum of its own so that a damaged
//! payload still tells whose it was and where the next record begins. Numbers are little-endian.

use super::{Keep, OwnerId};

/// Bytes before the payload.
pub(super) const HEADER: usize = 24;
/// Bytes of a put's payload before the body: seq and meta.
pub(super) const PUT_HEAD: usize = 32;
/// Version of the data directory's layout and of what the records mean.
pub(super) const VERSION: u8 = 2;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// seq u64, meta, body: an entry that survives a restart.
    Put = 1,
    /// The same, dropped at a restart.
    Page = 2,
    /// Ranges (first u64, last u64) of entries that are no more.
    Remove = 3,
    /// count u32, zero u32, ranges: delivery count of entries.
    Touch = 4,
    /// The owner's state, opaque.
    Mark = 5,
    /// next seq u64, has-mark u64, mark: what a retiring segment knew, said again.
    State = 6,
    /// Everything of the owner before this is no more.
    Forget = 7,
    /// position u64: everything before it was synced when this was written.
    Synced = 8,
    /// Nothing follows in this segment.
    End = 9,
    /// The store was stopped in order here.
    Clean = 10,
    /// number u64 of the segment before, 0 for none: the first record of a segment.
    Begin = 11,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Put,
            2 => Self::Page,
            3 => Self::Remove,
            4 => Self::Touch,
            5 => Self::Mark,
            6 => Self::State,
            7 => Self::Forget,
            8 => Self::Synced,
            9 => Self::End,
            10 => Self::Clean,
            11 => Self::Begin,
            _ => return None,
        })
    }
}

impl From<Keep> for Kind {
    fn from(keep: Keep) -> Self {
        match keep {
            Keep::Durable => Self::Put,
            Keep::Page => Self::Page,
        }
    }
}

/// Where a segment's checksums start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal(u32);

impl Seal {
    pub fn of(store_id: u64, segment: u32) -> Self {
        let id = crc32c::crc32c(&store_id.to_le_bytes());
        Self(crc32c::crc32c_append(id, &segment.to_le_bytes()))
    }
}

/// A record's header, its checksum checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub kind: Kind,
    pub owner: OwnerId,
    /// Bytes of the payload.
    pub len: u32,
    payload_checksum: u32,
}

impl Header {
    /// Reads a header; `None` when these bytes are not one of this segment.
    pub fn decode(bytes: &[u8], seal: Seal) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEADER>()?;
        // Cheap tests first: looking for the next good record tries every eighth byte.
        if bytes[4] != VERSION || bytes[6] != 0 || bytes[7] != 0 {
            return None;
        }
        let kind = Kind::from_byte(bytes[5])?;
        if word(bytes, 0) != crc32c::crc32c_append(seal.0, &bytes[4..]) {
            return None;
        }
        let owner = u64::from_le_bytes([
            bytes[16], bytes[17], bytes[18], bytes[19], bytes[20], bytes[21], bytes[22], bytes[23],
        ]);
        Some(Self {
            kind,
            owner: OwnerId(owner),
            len: word(bytes, 8),
            payload_checksum: word(bytes, 12),
        })
    }

    /// Reads a header of which a single bit is wrong, which its checksum tells; with the bytes as they
    /// were written. Whether the record is whole the payload's own checksum says.
    pub fn mended(bytes: &[u8; HEADER], seal: Seal) -> Option<([u8; HEADER], Self)> {
        (0..HEADER * 8).find_map(|bit| {
            let mut mended = *bytes;
            mended[bit / 8] ^= 1 << (bit % 8);
            let header = Self::decode(&mended, seal)?;
            Some((mended, header))
        })
    }

    /// Whether this is the payload that was written.
    pub fn matches(&self, payload: &[u8], seal: Seal) -> bool {
        payload.len() == self.len as usize && crc32c::crc32c_append(seal.0, payload) == self.payload_checksum
    }

    /// Bytes of the whole record.
    pub fn record_len(&self) -> u64 {
        record_len(self.len as usize)
    }
}

/// Bytes a record with this payload takes.
pub(super) fn record_len(payload: usize) -> u64 {
    ((HEADER + payload).next_multiple_of(8)) as u64
}

/// Appends a record whose payload is the parts one after the other.
pub(super) fn encode(buffer: &mut Vec<u8>, seal: Seal, kind: Kind, owner: OwnerId, parts: &[&[u8]]) {
    let start = buffer.len();
    let len: usize = parts.iter().map(|part| part.len()).sum();
    buffer.reserve(record_len(len) as usize);
    buffer.extend_from_slice(&[0; HEADER]);
    for part in parts {
        buffer.extend_from_slice(part);
    }
    let payload = crc32c::crc32c_append(seal.0, &buffer[start + HEADER..]);
    let header = &mut buffer[start..start + HEADER];
    header[4] = VERSION;
    header[5] = kind as u8;
    header[8..12].copy_from_slice(&(len as u32).to_le_bytes());
    header[12..16].copy_from_slice(&payload.to_le_bytes());
    header[16..24].copy_from_slice(&owner.0.to_le_bytes());
    let checksum = crc32c::crc32c_append(seal.0, &header[4..]);
    header[..4].copy_from_slice(&checksum.to_le_bytes());
    let padded = start + record_len(len) as usize;
    buffer.resize(padded, 0);
}

/// The seq at the front of a put's payload.
pub(super) fn seq_of(payload: &[u8]) -> Option<u64> {
    payload.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Ranges as remove and touch records carry them.
pub(super) fn ranges(payload: &[u8]) -> impl Iterator<Item = (u64, u64)> + '_ {
    payload.chunks_exact(16).filter_map(|pair| {
        let (first, rest) = pair.split_first_chunk::<8>()?;
        let last = rest.first_chunk::<8>()?;
        Some((u64::from_le_bytes(*first), u64::from_le_bytes(*last)))
    })
}

fn word(bytes: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seal: Seal) -> Vec<u8> {
        let mut buffer = Vec::new();
        encode(&mut buffer, seal, Kind::Put, OwnerId(7), &[b"head", b"body!"]);
        buffer
    }

    #[test]
    fn a_record_comes_back_and_is_padded() {
        let seal = Seal::of(1, 2);
        let bytes = record(seal);
        assert_eq!(bytes.len(), 40);
        let header = Header::decode(&bytes, seal).unwrap();
        assert_eq!((header.kind, header.owner, header.len), (Kind::Put, OwnerId(7), 9));
        assert_eq!(header.record_len(), 40);
        assert!(header.matches(b"headbody!", seal));
        assert!(!header.matches(b"headbody?", seal));
    }

    #[test]
    fn a_record_of_another_segment_or_store_is_none() {
        let bytes = record(Seal::of(1, 2));
        assert!(Header::decode(&bytes, Seal::of(1, 3)).is_none());
        assert!(Header::decode(&bytes, Seal::of(2, 2)).is_none());
    }

    #[test]
    fn a_single_wrong_bit_of_a_header_is_found() {
        let seal = Seal::of(9, 9);
        let good = record(seal);
        let header = good.first_chunk::<HEADER>().unwrap();
        for bit in 0..HEADER * 8 {
            let mut bytes = *header;
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (mended, found) = Header::mended(&bytes, seal).expect("one bit");
            assert_eq!((&mended, found.owner), (header, OwnerId(7)), "bit {bit}");
            bytes[(bit / 8 + 1) % HEADER] ^= 2;
            assert!(Header::mended(&bytes, seal).is_none(), "two bits from {bit}");
        }
        assert!(Header::mended(&[0; HEADER], seal).is_none());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let seal = Seal::of(9, 9);
        let good = record(seal);
        for bit in 0..(HEADER + 9) * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let intact = Header::decode(&bytes, seal).is_some_and(|h| h.matches(&bytes[HEADER..HEADER + 9], seal));
            assert!(!intact, "bit {bit}");
        }
    }
}
