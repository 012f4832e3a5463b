//! Large body frames read straight into the body's own buffer.
//!
//! When a step gives [`Step::More`], the session asks [`Connection::direct`]. If the input is the
//! beginning of a large body frame, the connection takes it over, all of it, and gives the buffer
//! for the rest:
//!
//! ```text
//! if let Some(direct) = connection.direct(&input) {
//!     input.advance(direct.consumed);              // all of it
//!     let count = socket.read(direct.buffer, at most direct.left bytes, at its end);
//!     connection.on_direct(count);
//! } else {
//!     socket.read(input);
//! }
//! ```
//! and steps again, which gives More (and so on with `direct`) until the payload is there. The
//! frame's end octet is not part of it: it comes at the front of the ordinary input, and the next
//! step looks at it. The session may read into both with one call. It need not read straight at
//! all at any time: payload bytes that come in the ordinary input are taken by steps.

use bytes::BytesMut;

use super::channels::Channel;
use super::content::Assembly;
use super::{Connection, Phase, Step};
use crate::codec::{Frame, FrameKind, frame};
use crate::types::Timestamp;

/// Where the rest of a body frame goes.
#[derive(Debug)]
pub struct Direct<'a> {
    /// Bytes of the input that were taken over: all of it.
    pub consumed: usize,
    /// Payload bytes still to come, at least 1; no more may be put into the buffer.
    pub left: usize,
    /// Has room for them at its end.
    pub buffer: &'a mut BytesMut,
}

/// A body frame that is taken in pieces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Partial {
    channel: u16,
    /// Payload bytes still to come; then comes the end octet.
    left: usize,
    /// Where in the body this frame's payload begins.
    start: usize,
}

impl Connection {
    /// Takes over the beginning of a large body frame, if that is what `input` is, and gives the
    /// buffer for its rest. See the module's docs.
    pub fn direct(&mut self, input: &[u8]) -> Option<Direct<'_>> {
        if !matches!(self.phase, Phase::Open) {
            return None;
        }
        if self.partial.is_none() {
            self.begin_direct(input)?;
        } else if !input.is_empty() {
            return None;
        }
        let Partial { channel, left, .. } = self.partial.filter(|partial| partial.left > 0)?;
        Some(Direct {
            consumed: input.len(),
            left,
            buffer: self.assembly(channel)?.buffer(left),
        })
    }

    /// `count` payload bytes were read into the buffer that [`Connection::direct`] gave.
    pub fn on_direct(&mut self, count: usize) {
        let Some(partial) = &mut self.partial else { return };
        partial.left = partial.left.saturating_sub(count);
        let channel = partial.channel;
        if let Some(assembly) = self.assembly(channel) {
            assembly.on_direct(count);
        }
    }

    fn begin_direct(&mut self, input: &[u8]) -> Option<()> {
        let (channel, payload, part) = frame::partial_body(input, self.frame_max)?;
        let left = payload - part.len();
        if left == 0 {
            return None;
        }
        let assembly = self.assembly(channel)?;
        if !assembly.wants_direct(payload) {
            return None;
        }
        let start = assembly.body().len();
        assembly.buffer(payload);
        assembly.on_body(part);
        self.partial = Some(Partial { channel, left, start });
        Some(())
    }

    /// Goes on with a body frame that is taken in pieces. Its channel or the connection may have
    /// been closed from our side meanwhile; then the rest is skipped.
    #[cold]
    pub(super) fn step_partial<'a>(&mut self, now: Timestamp, input: &'a [u8]) -> Step<'a> {
        let Some(Partial { channel, left, start }) = self.partial else {
            return Step::More(1);
        };
        if left > 0 {
            let part = &input[..input.len().min(left)];
            if part.is_empty() {
                return Step::More(left + 1);
            }
            if let Some(assembly) = self.assembly(channel) {
                assembly.on_body(part);
            }
            let left = left - part.len();
            self.partial = Some(Partial { channel, left, start });
            return Step::Done { consumed: part.len() };
        }
        match input.first() {
            None => Step::More(1),
            Some(&frame::END) => {
                self.partial = None;
                match self.finish_content(channel) {
                    Some(content) => Step::Content {
                        consumed: 1,
                        channel,
                        content,
                    },
                    None => Step::Done { consumed: 1 },
                }
            }
            Some(&end) => {
                self.partial = None;
                let payload = match self.assembly(channel) {
                    Some(assembly) => assembly.body().get(start..).unwrap_or_default(),
                    None => &[],
                };
                let kind = FrameKind::Body;
                let error = Frame { kind, channel, payload }.bad_end(end);
                self.lose_frames(now, input, &error)
            }
        }
    }

    /// The content under way on a channel.
    pub(super) fn assembly(&mut self, channel: u16) -> Option<&mut Assembly> {
        match self.channels.get_mut(channel) {
            Some(Channel::Open(Some(assembly))) => Some(assembly),
            _ => None,
        }
    }
}
