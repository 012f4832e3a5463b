//! A chunk as it is delivered, byte by byte: 48 bytes of header, then entries one behind the other.

use crate::perf::link_error::LinkError;

const HEADER: usize = 48;
/// First byte of a chunk: magic 5, version 0.
const MAGIC: u8 = 0x50;
/// The bit of an entry's first byte that marks a batch.
const BATCH: u8 = 0x80;

/// See the head of this file.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// Messages.
    pub records: u64,
    /// Offset of its first message.
    pub first: u64,
    crc: u32,
    data: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Reads the header; the rest of `bytes` must be the data.
    #[inline]
    pub fn read(bytes: &'a [u8]) -> Result<Self, LinkError> {
        let (head, data) = bytes
            .split_first_chunk::<HEADER>()
            .ok_or(LinkError::Strange("a chunk ends early"))?;
        let u32_at = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if head[0] != MAGIC || u32_at(36) as usize != data.len() {
            return Err(LinkError::Strange("a delivery is no chunk"));
        }
        Ok(Self {
            records: u32_at(4).into(),
            first: u64::from(u32_at(24)) << 32 | u64::from(u32_at(28)),
            crc: u32_at(32),
            data,
        })
    }

    /// Whether the data is what its checksum says.
    pub fn is_whole(&self) -> bool {
        crc32fast::hash(self.data) == self.crc
    }

    /// Its messages; `None` in place of one that cannot be read, which is the last, or of a batch of messages.
    pub fn messages(&self) -> Messages<'a> {
        Messages(self.data)
    }
}

/// Goes through the messages of a chunk.
pub struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Option<&'a [u8]>;

    #[inline]
    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        let first = *self.0.first()?;
        let head = if first & BATCH == 0 { 4 } else { 11 };
        let Some((head, rest)) = self.0.split_at_checked(head) else {
            self.0 = &[];
            return Some(None);
        };
        let len = head.last_chunk::<4>().map_or(0, |len| u32::from_be_bytes(*len));
        let Some((message, rest)) = rest.split_at_checked(len as usize) else {
            self.0 = &[];
            return Some(None);
        };
        self.0 = rest;
        Some((first & BATCH == 0).then_some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(data: &[u8], records: u32) -> Vec<u8> {
        let mut bytes = vec![MAGIC, 0, 0, 0];
        bytes.extend(records.to_be_bytes());
        bytes.extend([0; 16]);
        bytes.extend(77_u64.to_be_bytes());
        bytes.extend(crc32fast::hash(data).to_be_bytes());
        bytes.extend((data.len() as u32).to_be_bytes());
        bytes.extend([0; 8]);
        bytes.extend(data);
        bytes
    }

    #[test]
    fn messages_are_found_where_they_lie() {
        let bytes = chunk(b"\0\0\0\x02hi\0\0\0\0\x80\0\x05\0\0\0\x09\0\0\0\x01z\0\0\0\x01x", 8);
        let chunk = Chunk::read(&bytes).expect("a chunk");
        assert_eq!((chunk.first, chunk.records, chunk.is_whole()), (77, 8, true));
        let messages: Vec<_> = chunk.messages().collect();
        assert_eq!(messages, [Some(&b"hi"[..]), Some(b""), None, Some(b"x")]);
    }

    #[test]
    fn what_is_damaged_is_told() {
        let mut bytes = chunk(b"\0\0\0\x02hi", 1);
        bytes[50] ^= 1;
        assert!(!Chunk::read(&bytes).expect("a header").is_whole());
        assert!(Chunk::read(&bytes[..53]).is_err());
        assert!(Chunk::read(&bytes[..20]).is_err());
        let torn = chunk(b"\0\0\0\x09hi", 1);
        assert_eq!(
            Chunk::read(&torn).expect("a header").messages().collect::<Vec<_>>(),
            [None]
        );
    }
}
