//! A publish that comes in pieces: method, then content header, then bodies until they add up.
//!
//! ```text
//! Header ── header, size 0 ───────────────► whole
//!   ├────── header ──► Body ── adds up ───► whole
//!   │                    └──── too much ──► Overrun (takes bodies for ever, like RabbitMQ)
//!   └─ over the limit ► TooLarge ─ adds up ─► refused
//! ```
//! A message over the limit is refused when all of it has come, as RabbitMQ does: clients write a
//! message in one go, and some take an answer in the middle of it for a broken connection. Nothing of
//! it is kept.
//! Small publishes never come here (see [`crate::codec::content`]). Memory follows what arrives:
//! a header that promises much reserves [`RESERVE_MOST`] and no more.

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use crate::codec::content::{PublishRef, parse_header};
use crate::codec::method::BASIC;
use crate::codec::{Frame, FrameKind};
use crate::types::message::LARGE_BODY;
use crate::types::{ByteSize, Refusal, Reply, ReplyCode};

/// Most bytes reserved for a body before they arrive.
pub const RESERVE_MOST: usize = 128 * 1024;

/// A publish with all of its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    exchange: Vec<u8>,
    routing_key: Vec<u8>,
    mandatory: bool,
    immediate: bool,
    /// Property flags and property list, not looked at.
    pub properties: Vec<u8>,
    pub body: Bytes,
}

impl Content {
    /// The fields of the method.
    pub fn publish(&self) -> PublishRef<'_> {
        PublishRef {
            exchange: &self.exchange,
            routing_key: &self.routing_key,
            mandatory: self.mandatory,
            immediate: self.immediate,
        }
    }
}

/// Why a frame does not continue a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ContentError {
    #[error("expected content header for class {BASIC}, got non content header frame instead")]
    NoHeader,
    #[error("expected content header for class {BASIC}, got one for class {0} instead")]
    OtherClass(u16),
    #[error("expected content body, got non content body frame instead")]
    NoBody,
    #[error("message size {size} is larger than configured max size {limit}")]
    TooLarge { size: u64, limit: ByteSize },
}

impl Refusal for ContentError {
    fn reply(&self) -> Reply {
        match self {
            Self::TooLarge { .. } => Reply::channel(ReplyCode::PreconditionFailed, self.to_string()),
            _ => Reply::connection(ReplyCode::UnexpectedFrame, self.to_string()),
        }
    }
}

/// A content under way on one channel.
#[derive(Debug)]
pub struct Assembly {
    content: Content,
    body: BytesMut,
    state: State,
}

#[derive(Debug)]
enum State {
    Header,
    /// Bytes of body still to come.
    Body {
        left: u64,
    },
    Overrun,
    /// The same of a message that is over the limit.
    TooLarge {
        left: u64,
        size: u64,
        limit: ByteSize,
    },
}

impl Assembly {
    /// Begins with the method.
    pub fn new(publish: PublishRef<'_>) -> Self {
        let content = Content {
            exchange: publish.exchange.to_vec(),
            routing_key: publish.routing_key.to_vec(),
            mandatory: publish.mandatory,
            immediate: publish.immediate,
            properties: Vec::new(),
            body: Bytes::new(),
        };
        Self {
            content,
            body: BytesMut::new(),
            state: State::Header,
        }
    }

    /// Takes the next frame of the channel in; true when the content is whole and can be taken.
    ///
    /// # Errors
    /// [`ContentError`]; the assembly is of no more use.
    pub fn on_frame(&mut self, frame: &Frame<'_>, limit: ByteSize) -> Result<bool, ContentError> {
        match (&self.state, frame.kind) {
            (State::Header, _) => self.on_header(frame, limit),
            (_, FrameKind::Body) => {
                self.on_body(frame.payload);
                match self.state {
                    State::TooLarge { left: 0, size, limit } => Err(ContentError::TooLarge { size, limit }),
                    _ => Ok(self.is_whole()),
                }
            }
            (_, _) => Err(ContentError::NoBody),
        }
    }

    /// Takes part of a body frame's payload in.
    pub fn on_body(&mut self, part: &[u8]) {
        if let State::Body { left } = self.state {
            self.reserve(left, part.len());
            match left.checked_sub(part.len() as u64) {
                Some(left) => {
                    self.body.extend_from_slice(part);
                    self.state = State::Body { left };
                }
                None => {
                    self.body = BytesMut::new();
                    self.state = State::Overrun;
                }
            }
        }
        if let State::TooLarge { left, .. } = &mut self.state {
            match left.checked_sub(part.len() as u64) {
                Some(less) => *left = less,
                None => self.state = State::Overrun,
            }
        }
    }

    /// Whether the whole body is there.
    pub fn is_whole(&self) -> bool {
        matches!(self.state, State::Body { left: 0 })
    }

    /// What is there of the body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether a body frame of `payload` bytes is better read straight into the body's buffer.
    pub fn wants_direct(&self, payload: usize) -> bool {
        matches!(self.state, State::Body { left } if payload >= LARGE_BODY && payload as u64 <= left)
    }

    /// The buffer to read up to `count` more bytes of a body frame into; what is put there is to be
    /// told with [`Assembly::on_direct`].
    pub fn buffer(&mut self, count: usize) -> &mut BytesMut {
        if let State::Body { left } = self.state {
            self.reserve(left, count);
        }
        &mut self.body
    }

    /// `count` bytes were read into the buffer.
    pub fn on_direct(&mut self, count: usize) {
        if let State::Body { left } = &mut self.state {
            *left = left.saturating_sub(count as u64);
        }
    }

    /// Bytes of buffer held.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.body.capacity() + self.content.properties.capacity()
    }

    /// The content, which must be whole.
    pub fn finish(mut self) -> Content {
        self.content.body = self.body.freeze();
        self.content
    }

    fn on_header(&mut self, frame: &Frame<'_>, limit: ByteSize) -> Result<bool, ContentError> {
        if frame.kind != FrameKind::Header {
            return Err(ContentError::NoHeader);
        }
        let header = parse_header(frame.payload).map_err(|_| ContentError::NoHeader)?;
        if header.weight != 0 {
            return Err(ContentError::NoHeader);
        }
        if header.class != BASIC {
            return Err(ContentError::OtherClass(header.class));
        }
        let size = header.body_size;
        if size > limit.0 {
            self.state = State::TooLarge {
                left: size,
                size,
                limit,
            };
            return Ok(false);
        }
        self.content.properties = header.properties.to_vec();
        self.state = State::Body { left: size };
        Ok(size == 0)
    }

    /// Makes room for `count` bytes: all of what is left when that is little, so that the buffer
    /// need not grow again.
    fn reserve(&mut self, left: u64, count: usize) {
        if self.body.capacity() - self.body.len() < count {
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            self.body.reserve(left.min(RESERVE_MOST).max(count.min(left)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: ByteSize = ByteSize(1 << 40);

    fn assembly() -> Assembly {
        Assembly::new(PublishRef {
            exchange: b"ex",
            routing_key: b"key",
            mandatory: false,
            immediate: false,
        })
    }

    fn frame(kind: FrameKind, payload: &[u8]) -> Frame<'_> {
        Frame {
            kind,
            channel: 1,
            payload,
        }
    }

    fn header(class: u8, weight: u8, size: u64) -> Vec<u8> {
        let mut payload = vec![0, class, 0, weight];
        payload.extend_from_slice(&size.to_be_bytes());
        payload.extend_from_slice(&[0, 0]);
        payload
    }

    fn begun(size: u64) -> Assembly {
        let mut assembly = assembly();
        let whole = assembly.on_frame(&frame(FrameKind::Header, &header(60, 0, size)), LIMIT);
        assert_eq!(whole, Ok(size == 0));
        assembly
    }

    #[test]
    fn bodies_add_up_and_empty_ones_are_fine() {
        let mut assembly = begun(3);
        for (part, whole) in [(&b"a"[..], false), (b"", false), (b"bc", true)] {
            assert_eq!(assembly.on_frame(&frame(FrameKind::Body, part), LIMIT), Ok(whole));
        }
        let content = assembly.finish();
        assert_eq!(
            (&content.body[..], content.publish().routing_key),
            (&b"abc"[..], &b"key"[..])
        );
        assert_eq!(begun(0).finish().body.len(), 0);
    }

    #[test]
    fn a_body_that_is_too_long_swallows_bodies_and_trips_over_the_next_method() {
        let mut assembly = begun(2);
        for part in [&b"abcdef"[..], b"more"] {
            assert_eq!(assembly.on_frame(&frame(FrameKind::Body, part), LIMIT), Ok(false));
        }
        let error = assembly.on_frame(&frame(FrameKind::Method, &[0; 4]), LIMIT);
        assert_eq!(error, Err(ContentError::NoBody));
    }

    #[test]
    fn misplaced_frames_get_the_texts_of_rabbitmq() {
        let refused = |kind, payload: &[u8]| {
            let error = assembly().on_frame(&frame(kind, payload), LIMIT).expect_err("refused");
            error.reply().wire_text()
        };
        let no_header = "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead";
        assert_eq!(refused(FrameKind::Body, b"abc"), no_header);
        assert_eq!(refused(FrameKind::Method, &[0; 4]), no_header);
        assert_eq!(refused(FrameKind::Header, &header(60, 7, 0)), no_header);
        assert_eq!(
            refused(FrameKind::Header, &header(50, 0, 3)),
            "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead"
        );
    }

    #[test]
    fn a_message_over_the_limit_is_refused_when_all_of_it_has_come_and_nothing_is_kept() {
        let limit = ByteSize(5);
        let begun = || {
            let mut assembly = assembly();
            let header = header(60, 0, 6);
            assert_eq!(assembly.on_frame(&frame(FrameKind::Header, &header), limit), Ok(false));
            assert_eq!(assembly.on_frame(&frame(FrameKind::Body, b"abc"), limit), Ok(false));
            assert!(!assembly.wants_direct(LARGE_BODY));
            assembly
        };
        let mut whole = begun();
        let error = whole.on_frame(&frame(FrameKind::Body, b"def"), limit);
        assert_eq!(
            error.expect_err("refused").reply().wire_text(),
            "PRECONDITION_FAILED - message size 6 is larger than configured max size 5"
        );
        assert_eq!((whole.is_whole(), whole.capacity()), (false, 0));
        let mut overrun = begun();
        assert_eq!(overrun.on_frame(&frame(FrameKind::Body, b"defg"), limit), Ok(false));
        assert_eq!(overrun.on_frame(&frame(FrameKind::Body, b""), limit), Ok(false));
        let interrupted = begun().on_frame(&frame(FrameKind::Method, &[0; 4]), limit);
        assert_eq!(interrupted, Err(ContentError::NoBody));
    }

    #[test]
    fn a_great_promise_reserves_little() {
        let mut assembly = begun(1 << 39);
        assert_eq!(assembly.body.capacity(), 0);
        assembly.on_body(&[1]);
        assert!(assembly.body.capacity() <= 2 * RESERVE_MOST);
    }

    #[test]
    fn bytes_read_straight_into_the_buffer_count() {
        let mut assembly = begun(100_000);
        assert!(assembly.wants_direct(100_000));
        assert!(!assembly.wants_direct(100_001));
        let place = assembly.buffer(100_000).as_ptr();
        assembly.on_body(&[1; 10]);
        assembly.buffer(99_990).extend_from_slice(&[2; 99_990]);
        assembly.on_direct(99_990);
        assert!(assembly.is_whole());
        let content = assembly.finish();
        assert_eq!((content.body.len(), content.body[9], content.body[10]), (100_000, 1, 2));
        assert_eq!(content.body.as_ptr(), place);
    }
}
