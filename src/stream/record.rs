//! What a stream's group replicates: outcomes, as its leader decided them.
//!
//! ```text
//! u8 format 0x81 │ u8 kind │ fields, big endian
//! 1 chunk   u8 0 or 1 producer: its key, u64 epoch, u64 first, u64 last number │ u8 length, filter │ chunk to the end
//! 2 cursor  u8 length, name │ u8 1 set: offset, epoch, expiry, u32 length, bytes; 0 removed
//! ```
//! The format byte is none that a queue's records begin with: what a group of one kind replicates
//! never passes for a record of the other.

use bytes::{Buf, BufMut, Bytes};

use super::chunk::{self, Chunk};
use super::cursors::Cursor;
use super::producers::{Key, name, put_name, short};
use crate::machine::{Span, Unreadable};

/// First byte of a record.
pub const FORMAT: u8 = 0x81;
const CHUNK: u8 = 1;
const CURSOR: u8 = 2;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Chunk {
        /// Who wrote it, if that counts its writes.
        by: Option<By>,
        filter: Bytes,
        chunk: Chunk,
    },
    /// A reader is there; `None` removes it.
    Cursor { name: Box<str>, cursor: Option<Cursor> },
}

/// A write of a producer, with its numbers from the first to the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    pub key: Key,
    pub epoch: u64,
    pub first: u64,
    pub last: u64,
}

impl By {
    /// The record of a chunk up to the chunk itself, which is to follow.
    pub fn begin(by: Option<&Self>, filter: &[u8], chunk_bytes: usize) -> Vec<u8> {
        let mut record = Vec::with_capacity(64 + filter.len() + chunk_bytes);
        record.extend_from_slice(&[FORMAT, CHUNK, u8::from(by.is_some())]);
        if let Some(by) = by {
            by.key.encode(&mut record);
            record.put_u64(by.epoch);
            record.put_u64(by.first);
            record.put_u64(by.last);
        }
        record.put_u8(filter.len() as u8);
        record.put_slice(filter);
        record
    }
}

/// The record that sets a cursor, or removes it.
pub fn cursor(name: &str, cursor: Option<&Cursor>) -> Bytes {
    let mut record = vec![FORMAT, CURSOR];
    put_name(&mut record, name);
    record.put_u8(u8::from(cursor.is_some()));
    if let Some(cursor) = cursor {
        cursor.encode(&mut record);
    }
    record.into()
}

impl Record {
    /// Reads a record. The chunk's checksum is not looked at.
    ///
    /// # Errors
    /// When this program does not know it, or it is damaged.
    pub fn decode(record: &Bytes) -> Result<Self, Unreadable> {
        Ok(match parse(record)? {
            Parsed::Chunk { by, filter, rest } => Self::Chunk {
                by,
                filter: record.slice(record.len() - rest - filter..record.len() - rest),
                chunk: Chunk::parse(record.slice(record.len() - rest..)).map_err(bad)?,
            },
            Parsed::Cursor { name, cursor } => Self::Cursor { name, cursor },
        })
    }
}

/// Whether this program can read the record.
///
/// # Errors
/// As of [`Record::decode`].
pub fn check(record: &[u8]) -> Result<(), Unreadable> {
    match parse(record)? {
        Parsed::Chunk { rest, .. } => chunk::header(&record[record.len() - rest..]).map(drop).map_err(bad),
        Parsed::Cursor { .. } => Ok(()),
    }
}

/// The offsets and the time of a chunk.
pub fn span(record: &[u8]) -> Option<Span> {
    let Ok(Parsed::Chunk { rest, .. }) = parse(record) else {
        return None;
    };
    let (place, count) = chunk::header(&record[record.len() - rest..]).ok()?;
    Some(Span {
        first: place.first,
        end: place.first + u64::from(count.records),
        at: place.at.0,
    })
}

/// A record where it lies.
enum Parsed {
    Chunk {
        by: Option<By>,
        /// Bytes of the filter,
        filter: usize,
        /// and of the chunk behind it, which ends the record.
        rest: usize,
    },
    Cursor {
        name: Box<str>,
        cursor: Option<Cursor>,
    },
}

fn parse(record: &[u8]) -> Result<Parsed, Unreadable> {
    let mut from = record;
    match from.try_get_u8() {
        Ok(FORMAT) => {}
        Ok(other) => return Err(Unreadable::new(format!("a record of format {other}, in a stream"))),
        Err(error) => return Err(short(error)),
    }
    match from.try_get_u8().map_err(short)? {
        CHUNK => {
            let by = match from.try_get_u8().map_err(short)? {
                0 => None,
                _ => Some(By {
                    key: Key::decode(&mut from)?,
                    epoch: from.try_get_u64().map_err(short)?,
                    first: from.try_get_u64().map_err(short)?,
                    last: from.try_get_u64().map_err(short)?,
                }),
            };
            let filter = usize::from(from.try_get_u8().map_err(short)?);
            let rest = from.len().checked_sub(filter).ok_or_else(|| short(()))?;
            Ok(Parsed::Chunk { by, filter, rest })
        }
        CURSOR => {
            let name = name(&mut from)?;
            let cursor = match from.try_get_u8().map_err(short)? {
                0 => None,
                _ => Some(Cursor::decode(&mut from)?),
            };
            Ok(Parsed::Cursor { name, cursor })
        }
        other => Err(Unreadable::new(format!("a stream's record of kind {other}"))),
    }
}

fn bad(error: chunk::BadChunk) -> Unreadable {
    Unreadable::new(error.to_string())
}
