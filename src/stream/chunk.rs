//! A chunk, byte by byte: the unit of writing, of delivery and of credit on port 5552.
//!
//! ```text
//! 0  u8   0x50: magic 5, version 0      24 u64 chunk id: offset of its first message
//! 1  u8   type: 0, messages             32 u32 CRC-32 of the data
//! 2  u16  entries                       36 u32 bytes of data
//! 4  u32  messages                      40 u32 trailer: 0
//! 8  i64  time, ms since 1970           44 u8  filter: 0, it lies beside the chunk
//! 16 u64  epoch: the leader's term      45     zeros; then the data, big endian as all of it
//! ```
//! Data is entries, one behind the other: a message (`u32` length with the top bit 0, bytes) or a batch that
//! its publisher may have compressed (`u8` 1ccc0000, `u16` messages, `u32` length of them unpacked, `u32`
//! length, bytes). Nothing in an entry is looked at but its frame: what a batch says of itself counts.

use bytes::{Buf, Bytes};
use thiserror::Error;

use crate::types::Timestamp;

/// Bytes before the data.
pub const HEADER: usize = 48;
/// Entries that fit into a chunk.
pub const MOST_ENTRIES: usize = u16::MAX as usize;
/// Bytes before a message in the data.
pub const MESSAGE_HEAD: usize = 4;
/// Bytes before the messages of a batch in the data.
pub const BATCH_HEAD: usize = 11;

const MAGIC: u8 = 0x50;
const MESSAGES: u8 = 0;
const IS_BATCH: u8 = 0x80;

/// Bytes that are no chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadChunk {
    #[error("a chunk ends early")]
    Short,
    #[error("no chunk of messages begins with {0:#04x}{1:02x}")]
    Unknown(u8, u8),
    #[error("the checksum of a chunk is wrong")]
    Checksum,
    #[error("an entry of a chunk reaches beyond it")]
    Entry,
}

/// What the leader decides of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Offset of its first message.
    pub first: u64,
    /// The leader's clock.
    pub at: Timestamp,
    /// The leader's term.
    pub epoch: u64,
}

/// How much is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub entries: u16,
    /// Messages.
    pub records: u32,
}

/// A chunk whose header is whole; clones share its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    bytes: Bytes,
    place: Place,
    count: Count,
}

/// An entry where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Message(Bytes),
    /// Messages as their publisher packed them.
    Batch {
        /// 0 none, 1 gzip, 2 snappy, 3 LZ4, 4 zstd.
        compression: u8,
        records: u16,
        data: Bytes,
    },
}

/// Writes a chunk behind what is in `into`.
pub fn write(into: &mut Vec<u8>, place: Place, count: Count, data: &[u8]) {
    into.reserve(HEADER + data.len());
    into.extend_from_slice(&[MAGIC, MESSAGES]);
    into.extend_from_slice(&count.entries.to_be_bytes());
    into.extend_from_slice(&count.records.to_be_bytes());
    into.extend_from_slice(&place.at.0.to_be_bytes());
    into.extend_from_slice(&place.epoch.to_be_bytes());
    into.extend_from_slice(&place.first.to_be_bytes());
    into.extend_from_slice(&crc32fast::hash(data).to_be_bytes());
    into.extend_from_slice(&(data.len() as u32).to_be_bytes());
    into.extend_from_slice(&[0; 8]);
    into.extend_from_slice(data);
}

/// Writes a message as an entry.
pub fn write_message(into: &mut Vec<u8>, message: &[u8]) {
    into.extend_from_slice(&(message.len() as u32).to_be_bytes());
    into.extend_from_slice(message);
}

/// Counts the entries of that data.
///
/// # Errors
/// When one reaches beyond it, or there are more than fit into a chunk.
pub fn count(data: &[u8]) -> Result<Count, BadChunk> {
    let mut count = Count::default();
    let mut rest = data;
    while !rest.is_empty() {
        let (head, records, len) = frame(rest)?;
        rest = rest.get(head + len..).ok_or(BadChunk::Entry)?;
        count.entries = count.entries.checked_add(1).ok_or(BadChunk::Entry)?;
        count.records += u32::from(records);
    }
    Ok(count)
}

/// The frame of the entry that the data begins with: bytes of its head, messages, bytes behind the head.
fn frame(mut data: &[u8]) -> Result<(usize, u16, usize), BadChunk> {
    let first = *data.first().ok_or(BadChunk::Entry)?;
    if first & IS_BATCH == 0 {
        let len = data.try_get_u32().map_err(|_| BadChunk::Entry)?;
        return Ok((MESSAGE_HEAD, 1, len as usize));
    }
    if data.len() < BATCH_HEAD {
        return Err(BadChunk::Entry);
    }
    data.advance(1);
    let records = data.get_u16();
    data.advance(4);
    Ok((BATCH_HEAD, records, data.get_u32() as usize))
}

/// Reads the header of a chunk, which is all of `bytes`.
pub(super) fn header(bytes: &[u8]) -> Result<(Place, Count), BadChunk> {
    let mut head = bytes.get(..HEADER).ok_or(BadChunk::Short)?;
    let (magic, kind) = (head.get_u8(), head.get_u8());
    if (magic, kind) != (MAGIC, MESSAGES) {
        return Err(BadChunk::Unknown(magic, kind));
    }
    let count = Count {
        entries: head.get_u16(),
        records: head.get_u32(),
    };
    let (at, epoch, first) = (Timestamp(head.get_u64()), head.get_u64(), head.get_u64());
    head.advance(4);
    if head.get_u32() as usize != bytes.len() - HEADER {
        return Err(BadChunk::Short);
    }
    first.checked_add(count.records.into()).ok_or(BadChunk::Short)?;
    Ok((Place { first, at, epoch }, count))
}

impl Chunk {
    /// Reads the header; the rest of `bytes` is the data.
    ///
    /// # Errors
    /// When it is no chunk of messages, or not as long as it says.
    pub fn parse(bytes: Bytes) -> Result<Self, BadChunk> {
        let (place, count) = header(&bytes)?;
        Ok(Self { bytes, place, count })
    }

    /// The same, and the data must be what its checksum says.
    ///
    /// # Errors
    /// As of [`Chunk::parse`], and [`BadChunk::Checksum`].
    pub fn check(bytes: Bytes) -> Result<Self, BadChunk> {
        let chunk = Self::parse(bytes)?;
        let told = chunk.bytes.get(32..36).map(|mut crc| crc.get_u32());
        match told == Some(crc32fast::hash(chunk.data())) {
            true => Ok(chunk),
            false => Err(BadChunk::Checksum),
        }
    }

    /// Header and data, as a reader on port 5552 gets them.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn place(&self) -> Place {
        self.place
    }

    pub fn count(&self) -> Count {
        self.count
    }

    /// Offset of its first message.
    pub fn first(&self) -> u64 {
        self.place.first
    }

    /// Offset behind its last message.
    pub fn end(&self) -> u64 {
        self.place.first + u64::from(self.count.records)
    }

    fn data(&self) -> &[u8] {
        &self.bytes[HEADER..]
    }

    /// Its entries, each with the offset of its first message; ends behind one that cannot be read.
    pub fn entries(&self) -> Entries {
        Entries {
            rest: self.bytes.slice(HEADER..),
            offset: self.place.first,
        }
    }
}

/// Goes through the entries of a chunk, or the messages of a batch that is not compressed.
pub struct Entries {
    rest: Bytes,
    offset: u64,
}

impl Entries {
    /// The messages of a batch without compression, of which the first has that offset.
    pub fn of_batch(data: Bytes, offset: u64) -> Self {
        Self { rest: data, offset }
    }
}

impl Iterator for Entries {
    type Item = Result<(u64, Entry), BadChunk>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let first = self.rest[0];
        let framed = frame(&self.rest).and_then(|(head, records, len)| match self.rest.len() - head >= len {
            true => Ok((head, records, len)),
            false => Err(BadChunk::Entry),
        });
        let (head, records, len) = match framed {
            Ok(framed) => framed,
            Err(error) => {
                self.rest.clear();
                return Some(Err(error));
            }
        };
        self.rest.advance(head);
        let data = self.rest.split_to(len);
        let offset = self.offset;
        self.offset += u64::from(records);
        let entry = match first & IS_BATCH {
            0 => Entry::Message(data),
            _ => Entry::Batch {
                compression: first >> 4 & 7,
                records,
                data,
            },
        };
        Some(Ok((offset, entry)))
    }
}
