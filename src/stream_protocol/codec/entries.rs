//! What a publish holds: messages, and batches of messages that stay as they came.
//!
//! An entry lies in a chunk as it lies in a publish, without its publishing id and filter value. Nothing is
//! decompressed, and what a batch says of its inside is taken as said.

use super::wire::{Malformed, Reader, Write};

/// The bit of an entry's first byte that marks a batch.
const BATCH: u8 = 0x80;
/// The bits of it that name the compression.
const COMPRESSION: u8 = 0x70;

/// The entries of a publish, walked once already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entries<'a> {
    rest: &'a [u8],
    has_filters: bool,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The client's number of it.
    pub id: u64,
    pub filter: Option<&'a [u8]>,
    pub body: EntryBody<'a>,
    /// As it lies in a chunk.
    pub stored: &'a [u8],
}

/// What it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryBody<'a> {
    Message(&'a [u8]),
    Batch {
        /// 0 none, 1 gzip, 2 snappy, 3 LZ4, 4 zstd; nothing else has a meaning yet.
        compression: u8,
        messages: u16,
        uncompressed_bytes: u32,
        data: &'a [u8],
    },
}

impl EntryBody<'_> {
    /// Offsets it takes.
    pub fn messages(&self) -> u16 {
        match self {
            Self::Message(_) => 1,
            Self::Batch { messages, .. } => *messages,
        }
    }
}

impl<'a> Entries<'a> {
    /// Walks the entries to the end of the frame. RabbitMQ does not look at how many a client says there are.
    pub(super) fn read(reader: &mut Reader<'a>, has_filters: bool) -> Result<Self, Malformed> {
        let rest = reader.rest();
        while !reader.is_empty() {
            entry(reader, has_filters)?;
        }
        Ok(Self { rest, has_filters })
    }

    /// Whether each may have a filter value, which makes it version 2 of the publish.
    pub fn has_filters(&self) -> bool {
        self.has_filters
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        let mut reader = Reader::new(self.rest);
        let entry = entry(&mut reader, self.has_filters).ok()?;
        self.rest = reader.rest();
        Some(entry)
    }
}

#[inline]
fn entry<'a>(reader: &mut Reader<'a>, has_filters: bool) -> Result<Entry<'a>, Malformed> {
    let id = reader.u64()?;
    let filter = match has_filters {
        true => reader.nullable_string()?,
        false => None,
    };
    let start = reader.rest();
    let first = *start.first().ok_or(Malformed)?;
    let body = if first & BATCH == 0 {
        let length = reader.u32()?;
        EntryBody::Message(reader.take(length as usize)?)
    } else if has_filters {
        // A batch has many messages, and they would have one value.
        return Err(Malformed);
    } else {
        reader.u8()?;
        let (messages, uncompressed_bytes, length) = (reader.u16()?, reader.u32()?, reader.u32()?);
        EntryBody::Batch {
            compression: (first & COMPRESSION) >> 4,
            messages,
            uncompressed_bytes,
            data: reader.take(length as usize)?,
        }
    };
    let stored = &start[..start.len() - reader.rest().len()];
    Ok(Entry {
        id,
        filter,
        body,
        stored,
    })
}

/// Writes entries one after the other, behind their count.
pub(super) fn write(entries: Entries<'_>, out: &mut Vec<u8>) {
    out.u32(entries.count() as u32);
    for entry in entries {
        out.u64(entry.id);
        if entries.has_filters {
            out.nullable_string(entry.filter);
        }
        out.put(entry.stored);
    }
}
