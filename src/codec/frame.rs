//! The frame layout: type, channel, size, payload, end octet (AMQP 0-9-1 section 4.2.3).
//!
//! [`parse`] takes the first frame off unchecked input. It checks in RabbitMQ's order: size
//! against frame-max as soon as the head is there, then the end octet, then type and least
//! payload. So every frame it gives has a known type, a method payload of at least 4 bytes (class
//! and method id), a content header payload of at least 12, and a heartbeat payload of none.

use thiserror::Error;

use super::erlang;
use crate::types::{Refusal, Reply, ReplyCode};

/// Bytes before the payload: type, channel, size.
pub const HEAD_BYTES: usize = 7;
/// Bytes of a frame around its payload.
pub const OVERHEAD: usize = HEAD_BYTES + 1;
/// The octet that ends every frame.
pub const END: u8 = 0xCE;
/// A heartbeat, whole.
pub const HEARTBEAT: [u8; OVERHEAD] = [8, 0, 0, 0, 0, 0, 0, END];

/// Least payload of a method frame: class id, method id.
const METHOD_LEAST: usize = 4;
/// Least payload of a content header: class id, weight, body size.
const HEADER_LEAST: usize = 12;
/// Octets of a bad frame's payload that the reply quotes.
const SNIPPET_BYTES: usize = 16;

/// The frame types there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    Method = 1,
    Header = 2,
    Body = 3,
    Heartbeat = 8,
}

/// A frame within the buffer it was read into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    pub kind: FrameKind,
    pub channel: u16,
    pub payload: &'a [u8],
}

/// Why bytes are not an acceptable frame. All of them end the connection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    #[error("frame of type {kind} with {size} bytes is larger than {limit}")]
    TooLarge { kind: u8, size: u32, limit: u32 },
    #[error("frame of type {kind} ends with {end:#04x}")]
    BadEnd { kind: u8, snippet: Snippet, end: u8 },
    /// Unknown type, or a payload too short or too long for its type.
    #[error("type {kind} is not a frame")]
    Unknown { kind: u8, snippet: Snippet },
    /// A good frame where it does not belong, found by whoever knows the place.
    #[error("frame of type {kind} was not expected")]
    Unexpected { kind: u8, snippet: Snippet },
}

/// The first octets of a payload, for the reply text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snippet {
    octets: [u8; SNIPPET_BYTES],
    payload_bytes: usize,
}

impl Frame<'_> {
    /// The refusal of this frame where it does not belong.
    pub fn unexpected(&self) -> FrameError {
        FrameError::Unexpected {
            kind: self.kind as u8,
            snippet: Snippet::of(self.payload),
        }
    }

    /// The refusal of this frame for the octet after it, found by whoever reads payloads in pieces.
    pub fn bad_end(&self, end: u8) -> FrameError {
        FrameError::BadEnd {
            kind: self.kind as u8,
            snippet: Snippet::of(self.payload),
            end,
        }
    }
}

/// Takes the first frame off `input`: the frame and the bytes it took, or `None` when more bytes
/// are needed ([`needed`] says how many).
///
/// A payload may be as large as `frame_max` although the rule says eight bytes less: RabbitMQ
/// tolerates this.
///
/// # Errors
/// [`FrameError`] when no bytes to come can make this a frame; the connection is to be closed.
#[inline]
pub fn parse(input: &[u8], frame_max: u32) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some((&[kind, c1, c0, s3, s2, s1, s0], rest)) = input.split_first_chunk::<HEAD_BYTES>() else {
        return Ok(None);
    };
    let size = u32::from_be_bytes([s3, s2, s1, s0]);
    if size > frame_max {
        let limit = frame_max.saturating_sub(OVERHEAD as u32);
        return Err(FrameError::TooLarge { kind, size, limit });
    }
    let Some((payload, &[end, ..])) = rest.split_at_checked(size as usize) else {
        return Ok(None);
    };
    if end != END {
        let snippet = Snippet::of(payload);
        return Err(FrameError::BadEnd { kind, snippet, end });
    }
    let kind = match kind {
        1 if payload.len() >= METHOD_LEAST => FrameKind::Method,
        2 if payload.len() >= HEADER_LEAST => FrameKind::Header,
        3 => FrameKind::Body,
        8 if payload.is_empty() => FrameKind::Heartbeat,
        _ => {
            let snippet = Snippet::of(payload);
            return Err(FrameError::Unknown { kind, snippet });
        }
    };
    let channel = u16::from_be_bytes([c1, c0]);
    Ok(Some((Frame { kind, channel, payload }, payload.len() + OVERHEAD)))
}

/// How many bytes must still arrive before [`parse`] can say more about the first frame of
/// `input`: up to the end of its head, or up to its end. Zero when it can say something now.
pub fn needed(input: &[u8], frame_max: u32) -> usize {
    let Some((&[.., s3, s2, s1, s0], rest)) = input.split_first_chunk::<HEAD_BYTES>() else {
        return HEAD_BYTES - input.len();
    };
    let size = u32::from_be_bytes([s3, s2, s1, s0]);
    if size > frame_max {
        return 0;
    }
    (size as usize + 1).saturating_sub(rest.len())
}

/// A body frame of which only the beginning has arrived: its channel, its payload size in bytes,
/// and what is there of the payload. Lets the reader send the rest straight into the body's buffer.
pub fn partial_body(input: &[u8], frame_max: u32) -> Option<(u16, usize, &[u8])> {
    let (&[kind, c1, c0, s3, s2, s1, s0], rest) = input.split_first_chunk::<HEAD_BYTES>()?;
    let size = u32::from_be_bytes([s3, s2, s1, s0]);
    if kind != FrameKind::Body as u8 || size > frame_max || rest.len() > size as usize {
        return None;
    }
    Some((u16::from_be_bytes([c1, c0]), size as usize, rest))
}

/// Writes a frame's head with a size of zero and gives the place to pass to [`finish`].
pub(super) fn begin(out: &mut Vec<u8>, kind: FrameKind, channel: u16) -> usize {
    let start = out.len();
    let [c1, c0] = channel.to_be_bytes();
    out.extend_from_slice(&[kind as u8, c1, c0, 0, 0, 0, 0]);
    start
}

/// Ends the frame that began at `start`: sets its size and writes the end octet.
pub(super) fn finish(out: &mut Vec<u8>, start: usize) {
    let size = (out.len() - start - HEAD_BYTES) as u32;
    out[start + 3..start + HEAD_BYTES].copy_from_slice(&size.to_be_bytes());
    out.push(END);
}

impl Snippet {
    fn of(payload: &[u8]) -> Self {
        let mut octets = [0; SNIPPET_BYTES];
        let length = payload.len().min(SNIPPET_BYTES);
        octets[..length].copy_from_slice(&payload[..length]);
        Self {
            octets,
            payload_bytes: payload.len(),
        }
    }
}

impl std::fmt::Display for Snippet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (which, length) = match self.payload_bytes {
            length @ 0..=SNIPPET_BYTES => ("all", length),
            _ => ("first 16", SNIPPET_BYTES),
        };
        write!(f, "{which} octets = {}", erlang::pretty_binary(&self.octets[..length]))
    }
}

impl Refusal for FrameError {
    fn reply(&self) -> Reply {
        match self {
            Self::TooLarge { kind, size, limit } => Reply::connection(
                ReplyCode::FrameError,
                format!("type {kind}, all octets = <<>>: {{frame_too_large,{size},{limit}}}"),
            ),
            Self::BadEnd { kind, snippet, end } => {
                let mut text = format!("type {kind}, {snippet}: ");
                text += &erlang::pair(text.len(), "invalid_frame_end_marker", end);
                Reply::connection(ReplyCode::FrameError, text)
            }
            Self::Unknown { kind, snippet } => {
                Reply::connection(ReplyCode::FrameError, format!("type {kind}, {snippet}: unknown_frame"))
            }
            Self::Unexpected { kind, snippet } => {
                Reply::connection(ReplyCode::UnexpectedFrame, format!("type {kind}, {snippet}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u32 = 131_072;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal"))
            .collect()
    }

    fn refused(text: &str) -> String {
        parse(&hex(text), MAX).expect_err("refused").reply().wire_text()
    }

    #[test]
    fn bad_frames_get_the_texts_of_rabbitmq() {
        let bad_end = "FRAME_ERROR - type 1, all octets = <<0,60,0,10,0,0,0,0,0,1,0>>: \
             {invalid_frame_end_marker,\n                                                   170}";
        for (bytes, text) in [
            ("0100010000000b003c000a00000000000100aa", bad_end),
            (
                "01000100000000ce",
                "FRAME_ERROR - type 1, all octets = <<>>: unknown_frame",
            ),
            (
                "02000100000004003c0000ce",
                "FRAME_ERROR - type 2, all octets = <<0,60,0,0>>: unknown_frame",
            ),
            (
                "00000100000000ce",
                "FRAME_ERROR - type 0, all octets = <<>>: unknown_frame",
            ),
            (
                "07000100000003616263ce",
                "FRAME_ERROR - type 7, all octets = <<\"abc\">>: unknown_frame",
            ),
            (
                "0800000000000378797ace",
                "FRAME_ERROR - type 8, all octets = <<\"xyz\">>: unknown_frame",
            ),
            (
                "03000100040000",
                "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,262144,131064}",
            ),
            (
                "0300010002000100",
                "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,131073,131064}",
            ),
        ] {
            assert_eq!(refused(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn a_misplaced_frame_is_quoted() {
        let bytes = hex("0100010000000500140 00a00ce".replace(' ', "").as_str());
        let (frame, taken) = parse(&bytes, MAX).expect("good").expect("whole");
        assert_eq!((frame.kind, frame.channel, taken), (FrameKind::Method, 1, 13));
        assert_eq!(
            frame.unexpected().reply().wire_text(),
            "UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>>"
        );
        let long = [65; 20];
        let frame = Frame {
            payload: &long,
            ..frame
        };
        assert!(
            frame
                .unexpected()
                .reply()
                .text
                .ends_with("first 16 octets = <<\"AAAAAAAAAAAAAAAA\">>")
        );
    }

    #[test]
    fn a_payload_of_frame_max_is_tolerated() {
        let mut bytes = Vec::new();
        let start = begin(&mut bytes, FrameKind::Body, 3);
        bytes.resize(bytes.len() + MAX as usize, 7);
        finish(&mut bytes, start);
        let (frame, taken) = parse(&bytes, MAX).expect("tolerated").expect("whole");
        assert_eq!(frame.payload.len(), MAX as usize);
        assert_eq!(taken, bytes.len());
        assert!(parse(&bytes, MAX - 1).is_err());
    }

    #[test]
    fn a_cut_frame_says_how_much_is_missing() {
        let mut bytes = Vec::new();
        let start = begin(&mut bytes, FrameKind::Body, 3);
        bytes.extend_from_slice(b"hello");
        finish(&mut bytes, start);
        for cut in 0..bytes.len() {
            let part = &bytes[..cut];
            assert_eq!(parse(part, MAX), Ok(None));
            let whole = if cut < HEAD_BYTES { HEAD_BYTES } else { bytes.len() };
            assert_eq!(needed(part, MAX), whole - cut);
            if cut >= HEAD_BYTES {
                let there = &b"hello"[..cut - HEAD_BYTES];
                assert_eq!(partial_body(part, MAX), Some((3, 5, there)));
            }
        }
        assert_eq!(needed(&bytes, MAX), 0);
        assert_eq!(partial_body(&bytes, MAX), None);
    }
}
