//! The end of a connection: closes of either side, and what is dropped meanwhile.
//!
//! Once a side has closed, everything is dropped but a close-ok, which ends the connection, and
//! the client's own close, which is answered: both may have closed at once. RabbitMQ waits 30
//! seconds, or one heartbeat interval if that is shorter; the handshake's deadline still holds.

use super::{Connection, Ending, Ids, Phase, Step, connection_close};
use crate::codec::{FrameError, FrameKind, Method, frame, method};
use crate::heartbeat::Heartbeat;
use crate::types::{Millis, Refusal, Reply, Timestamp};

/// Longest wait for a close-ok.
const CLOSE_TIMEOUT: Millis = Millis(30_000);

/// A connection that one side has closed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closing {
    /// When to stop waiting.
    pub until: Timestamp,
    /// How long the client may take to answer.
    wait: Millis,
    /// Whether our close, or our answer to the client's, is written.
    is_written: bool,
    /// Whether frames can no longer be told apart, so that nothing is looked at any more.
    is_deaf: bool,
}

impl Connection {
    /// Writes our `connection.close`. Everything but the client's answer is dropped from now on.
    /// Does nothing if a close was written before.
    pub fn close(&mut self, now: Timestamp, ids: Ids, reply: &Reply, out: &mut Vec<u8>) {
        if self.write_once(now) {
            connection_close(ids, reply).encode_frame(0, out);
        }
    }

    /// Answers the client's close. The client is the one to close the socket; the session goes on
    /// stepping until it does or [`Tick::End`](crate::heartbeat::Tick::End) comes.
    pub fn close_ok(&mut self, now: Timestamp, out: &mut Vec<u8>) {
        if self.write_once(now) {
            Method::ConnectionCloseOk.encode_frame(0, out);
        }
    }

    /// Whether a close may still be written; then it counts as written.
    fn write_once(&mut self, now: Timestamp) -> bool {
        match &self.phase {
            Phase::Handshake(handshake) if !handshake.is_started() => {
                self.end(Ending::Closed);
                return false;
            }
            Phase::Ended(_) => return false,
            Phase::Open | Phase::Handshake(_) | Phase::Closing(_) => self.begin_closing(now),
        }
        match &mut self.phase {
            Phase::Closing(closing) if !closing.is_written => {
                // The client's time begins when it is told, however long the cleaning up took.
                closing.until = now + closing.wait;
                closing.is_written = true;
                true
            }
            _ => false,
        }
    }

    /// Stops listening to anything but answers, if that has not happened yet.
    fn begin_closing(&mut self, now: Timestamp) {
        let wait = match Millis(u64::from(self.heartbeat_seconds) * 1000) {
            Millis(0) => CLOSE_TIMEOUT,
            interval => interval.min(CLOSE_TIMEOUT),
        };
        let wait = match &self.phase {
            Phase::Open => wait,
            Phase::Handshake(handshake) => handshake.until.since(now).min(wait),
            Phase::Closing(_) | Phase::Ended(_) => return,
        };
        self.phase = Phase::Closing(Closing {
            until: now + wait,
            wait,
            is_written: false,
            is_deaf: false,
        });
        self.heartbeat = Heartbeat::default();
        self.channels.clear();
    }

    /// The client's close has come.
    pub(super) fn on_close<'a>(&mut self, now: Timestamp, consumed: usize) -> Step<'a> {
        self.begin_closing(now);
        Step::Closing { consumed }
    }

    /// A refusal of the whole connection, for the session to clean up and write.
    pub(super) fn refuse<'a>(
        &mut self,
        now: Timestamp,
        consumed: usize,
        ids: Ids,
        error: impl Into<Reply>,
    ) -> Step<'a> {
        self.begin_closing(now);
        Step::Refused {
            consumed,
            channel: None,
            ids,
            reply: error.into(),
        }
    }

    /// The input is not a frame. Where the next one begins is known only after an unknown one; like
    /// RabbitMQ, nothing is looked at any more after the others.
    pub(super) fn refuse_frame<'a>(&mut self, now: Timestamp, input: &[u8], error: &FrameError) -> Step<'a> {
        let consumed = match error {
            FrameError::Unknown { .. } => whole_frame(input),
            _ => None,
        };
        let step = self.refuse(now, consumed.unwrap_or(input.len()), (0, 0), error.reply());
        if let Phase::Closing(closing) = &mut self.phase {
            closing.is_deaf = consumed.is_none();
        }
        step
    }

    /// A body frame that was taken in pieces does not end like one.
    pub(super) fn lose_frames<'a>(&mut self, now: Timestamp, input: &[u8], error: &FrameError) -> Step<'a> {
        if let Phase::Closing(closing) = &mut self.phase {
            closing.is_deaf = true;
            return Step::Done { consumed: input.len() };
        }
        self.refuse_frame(now, input, error)
    }

    pub(super) fn step_closing<'a>(&mut self, input: &'a [u8], out: &mut Vec<u8>) -> Step<'a> {
        let Phase::Closing(closing) = &mut self.phase else {
            return Step::More(1);
        };
        if input.is_empty() {
            return Step::More(1);
        }
        if closing.is_deaf {
            return Step::Done { consumed: input.len() };
        }
        match frame::parse(input, self.frame_max) {
            Ok(None) => Step::More(frame::needed(input, self.frame_max)),
            Ok(Some((frame, consumed))) => {
                if frame.channel == 0 && frame.kind == FrameKind::Method {
                    match method::method_ids(frame.payload) {
                        Some(CLOSE_OK) => return Step::End(self.end(Ending::Closed)),
                        Some(CLOSE) if closing.is_written => Method::ConnectionCloseOk.encode_frame(0, out),
                        _ => {}
                    }
                }
                Step::Done { consumed }
            }
            Err(FrameError::Unknown { .. }) => Step::Done {
                consumed: whole_frame(input).unwrap_or(input.len()),
            },
            Err(_) => {
                closing.is_deaf = true;
                Step::Done { consumed: input.len() }
            }
        }
    }
}

const CLOSE: Ids = (10, 50);
const CLOSE_OK: Ids = (10, 51);

/// Bytes of the frame at the front, whatever its type; `None` when it is not all there.
fn whole_frame(input: &[u8]) -> Option<usize> {
    let head = input.first_chunk::<{ frame::HEAD_BYTES }>()?;
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    size.checked_add(frame::OVERHEAD).filter(|&whole| whole <= input.len())
}
