//! The frame layout: size, key, version, body. The top bit of the key marks an answer.

use thiserror::Error;

use super::wire::Write;

/// Bytes of the size field.
const SIZE_BYTES: usize = 4;
/// Bytes of key and version, which the size counts.
const HEAD_BYTES: usize = 4;
/// The bit of a key that marks an answer.
const ANSWER: u16 = 0x8000;

/// A frame within the buffer it was read into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Without the bit that marks an answer.
    pub key: u16,
    pub is_answer: bool,
    pub version: u16,
    pub body: &'a [u8],
}

/// Why bytes are not an acceptable frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    #[error("a frame of {size} bytes where at most {limit} are taken")]
    TooLarge { size: u32, limit: u32 },
    #[error("a frame of {0} bytes has no key and version")]
    NoHead(u32),
}

/// Takes the first frame off `input`: the frame and the bytes it took, or `None` when more bytes are needed
/// ([`needed`] says how many). The size is looked at before there is anything else.
///
/// # Errors
/// [`FrameError`] when no bytes to come can make this a frame.
#[inline]
pub fn parse(input: &[u8], limit: u32) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some((&size, rest)) = input.split_first_chunk::<SIZE_BYTES>() else {
        return Ok(None);
    };
    let size = u32::from_be_bytes(size);
    if size > limit {
        return Err(FrameError::TooLarge { size, limit });
    }
    if (size as usize) < HEAD_BYTES {
        return Err(FrameError::NoHead(size));
    }
    let Some((whole, _)) = rest.split_at_checked(size as usize) else {
        return Ok(None);
    };
    let Some((&[k1, k0, v1, v0], body)) = whole.split_first_chunk::<HEAD_BYTES>() else {
        return Ok(None);
    };
    let key = u16::from_be_bytes([k1, k0]);
    let frame = Frame {
        key: key & !ANSWER,
        is_answer: key & ANSWER != 0,
        version: u16::from_be_bytes([v1, v0]),
        body,
    };
    Ok(Some((frame, SIZE_BYTES + whole.len())))
}

/// How many bytes must still arrive before [`parse`] can say more about the first frame of `input`.
pub fn needed(input: &[u8], limit: u32) -> usize {
    let Some((&size, rest)) = input.split_first_chunk::<SIZE_BYTES>() else {
        return SIZE_BYTES - input.len();
    };
    let size = u32::from_be_bytes(size).min(limit) as usize;
    size.saturating_sub(rest.len())
}

/// Writes a frame whose body `write` writes.
pub(super) fn put(out: &mut Vec<u8>, key: u16, version: u16, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.u32(0);
    out.u16(key);
    out.u16(version);
    write(out);
    let size = (out.len() - start - SIZE_BYTES) as u32;
    out[start..start + SIZE_BYTES].copy_from_slice(&size.to_be_bytes());
}

/// The key of an answer.
pub(super) fn answer_key(key: u16) -> u16 {
    key | ANSWER
}
