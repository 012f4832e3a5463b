//! A frame between two nodes.
//!
//! ```text
//! length u32 │ kind u8 │ 0 u8 │ service u16 │ request u64 │ crc32c u32 │ payload: length bytes
//! ```
//! The checksum covers the rest of the header and the payload. What a payload means is its
//! service's matter.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes before the payload.
pub(super) const HEADER: usize = 20;
/// Where the checksum stands.
const CHECKED: usize = 16;
/// The most that is taken ahead of what has come, for a payload that is still coming.
const AHEAD: usize = 1024 * 1024;

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Wants an answer. The payload begins with the milliseconds its sender waits, as u32.
    Call = 1,
    Answer = 2,
    /// Instead of an answer; the payload is a [`super::rpc::Failure`] and a text.
    Failed = 3,
    /// Whoever called does not wait any more.
    Cancel = 4,
    /// Wants no answer.
    Message = 5,
    Ping = 6,
    Pong = 7,
    /// Nothing else was to be sent for a while.
    Beat = 8,
    /// The node stops in order.
    Goodbye = 9,
}

/// One frame that came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    pub kind: Kind,
    pub service: u16,
    pub request: u64,
    pub payload: Bytes,
}

/// What cannot be a frame. The connection ends: nothing after it can be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {length} bytes is larger than the limit of {limit}")]
    TooLarge { length: u32, limit: u32 },
    #[error("a frame's checksum is wrong")]
    Checksum,
    #[error("a frame is of the unknown kind {0}")]
    Kind(u8),
}

/// The header of a frame. The payload is shorter than 4 GiB: it was checked against the limit.
pub(super) fn header(kind: Kind, service: u16, request: u64, payload: &[&[u8]]) -> [u8; HEADER] {
    let length: usize = payload.iter().map(|part| part.len()).sum();
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&(length as u32).to_be_bytes());
    header[4] = kind as u8;
    header[6..8].copy_from_slice(&service.to_be_bytes());
    header[8..16].copy_from_slice(&request.to_be_bytes());
    let checksum = payload.iter().fold(crc32c::crc32c(&header[..CHECKED]), |sum, part| {
        crc32c::crc32c_append(sum, part)
    });
    header[CHECKED..].copy_from_slice(&checksum.to_be_bytes());
    header
}

/// Takes a whole frame from the front of what came. `None` when it is not all there; then there
/// is room in `input` for more of it.
///
/// # Errors
/// When it is no frame, or larger than `limit`.
pub(super) fn read(input: &mut BytesMut, limit: u32) -> Result<Option<Frame>, FrameError> {
    if input.len() < HEADER {
        return Ok(None);
    }
    let mut fields = &input[..HEADER];
    let length = fields.get_u32();
    let kind = fields.get_u8();
    fields.advance(1);
    let (service, request, checksum) = (fields.get_u16(), fields.get_u64(), fields.get_u32());
    if length > limit {
        return Err(FrameError::TooLarge { length, limit });
    }
    let kind = kind_of(kind)?;
    let whole = HEADER + length as usize;
    if input.len() < whole {
        // Memory grows with what has come, not with what was claimed.
        let missing = whole - input.len();
        input.reserve(missing.min(input.len().max(AHEAD)));
        return Ok(None);
    }
    let mut frame = input.split_to(whole);
    let sum = crc32c::crc32c_append(crc32c::crc32c(&frame[..CHECKED]), &frame[HEADER..]);
    if sum != checksum {
        return Err(FrameError::Checksum);
    }
    frame.advance(HEADER);
    Ok(Some(Frame {
        kind,
        service,
        request,
        payload: frame.freeze(),
    }))
}

fn kind_of(kind: u8) -> Result<Kind, FrameError> {
    Ok(match kind {
        1 => Kind::Call,
        2 => Kind::Answer,
        3 => Kind::Failed,
        4 => Kind::Cancel,
        5 => Kind::Message,
        6 => Kind::Ping,
        7 => Kind::Pong,
        8 => Kind::Beat,
        9 => Kind::Goodbye,
        other => return Err(FrameError::Kind(other)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(frames: &[(u16, u64, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (service, request, payload) in frames {
            bytes.extend_from_slice(&header(Kind::Message, *service, *request, &[payload]));
            bytes.extend_from_slice(payload);
        }
        bytes
    }

    #[test]
    fn a_large_claim_takes_no_memory() {
        let mut input = BytesMut::from(&header(Kind::Message, 1, 1, &[])[..]);
        input[..4].copy_from_slice(&(500u32 << 20).to_be_bytes());
        assert_eq!(read(&mut input, 1000 << 20).expect("may come"), None);
        assert!(input.capacity() <= 2 * AHEAD);
        let error = read(&mut input, 100 << 20).expect_err("too large");
        assert_eq!(
            error.to_string(),
            "a frame of 524288000 bytes is larger than the limit of 104857600"
        );
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            frames in prop::collection::vec((any::<u16>(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..90)), 0..20),
            cut in 1usize..200,
        ) {
            let mut input = BytesMut::new();
            let mut came = Vec::new();
            for piece in encoded(&frames).chunks(cut) {
                input.extend_from_slice(piece);
                while let Some(frame) = read(&mut input, 1000).expect("a frame") {
                    came.push((frame.service, frame.request, frame.payload.to_vec()));
                }
            }
            prop_assert_eq!(came, frames);
            prop_assert!(input.is_empty());
        }

        #[test]
        fn any_bytes_end_or_wait(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut input = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = read(&mut input, 1000) {}
            prop_assert!(input.capacity() <= 2 * AHEAD);
        }

        #[test]
        fn a_changed_byte_is_noticed(payload in prop::collection::vec(any::<u8>(), 0..50), at in 0usize..70, with in 1u8..) {
            let mut bytes = encoded(&[(5, 6, payload)]);
            let at = at % bytes.len();
            bytes[at] ^= with;
            // A longer length waits for more; nothing wrong comes out.
            let read = read(&mut BytesMut::from(&bytes[..]), 1000);
            prop_assert!(!matches!(read, Ok(Some(_))), "{at}");
        }
    }
}
