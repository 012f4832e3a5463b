//! Publish frames encoded once and sent many times.
//!
//! A batch is one buffer of frames with so many messages each. Before it is sent only what differs is written over:
//! numbers and stamps, and the head of the last frame where that holds fewer. Holds: all messages have the same
//! bytes on the wire, so nothing moves.

use crate::perf::stamp;
use crate::stream_protocol::codec::Key;

/// Bytes of frames gathered for one write, about what a socket takes at once.
const BATCH_BYTES: usize = 256 * 1024;
/// Bytes of a frame before its first message: size, key, version, publisher, count.
const HEAD: usize = 13;
/// Bytes before a message: its number and its length.
const MESSAGE_HEAD: usize = 12;
/// The id of the only publisher of a connection.
pub const PUBLISHER: u8 = 1;

/// A buffer of frames ready to be stamped and written.
pub struct Batch {
    buffer: Vec<u8>,
    /// Messages of a frame, and of all frames at most.
    each: usize,
    slots: usize,
    slot_bytes: usize,
    /// Where the body begins in a message on the wire.
    body_at: usize,
    body_bytes: usize,
    /// The number of the first message of all.
    first_number: u64,
}

impl Batch {
    /// Frames of `each` messages, or fewer where `frame_max` bytes do not hold so many, at most `most` messages in
    /// all. Numbers begin with `first_number`.
    pub fn new(body_bytes: usize, each: usize, most: usize, frame_max: usize, first_number: u64) -> Self {
        let head = section_head(body_bytes);
        let body_at = MESSAGE_HEAD + head.len();
        let slot_bytes = body_at + body_bytes;
        let each = each.min((frame_max.saturating_sub(HEAD)) / slot_bytes).max(1);
        let frames = (BATCH_BYTES / (HEAD + each * slot_bytes)).clamp(1, most.div_ceil(each).max(1));
        let mut slot = vec![0; 8];
        slot.extend_from_slice(&((head.len() + body_bytes) as u32).to_be_bytes());
        slot.extend_from_slice(&head);
        slot.extend((0..body_bytes).map(|at| b'a' + (at % 26) as u8));
        let frame = [&[0; HEAD], slot.repeat(each).as_slice()].concat();
        Self {
            buffer: frame.repeat(frames),
            each,
            slots: (frames * each).min(most.max(1)),
            slot_bytes,
            body_at,
            body_bytes,
            first_number,
        }
    }

    /// Most messages one write holds.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Bytes of one message on the wire.
    pub fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }

    /// Stamps `count` messages, the first with sequence number `first`, and returns how many bytes they are.
    /// `count` is at most [`Batch::slots`].
    pub fn stamp(&mut self, count: usize, publisher: u16, first: u64, now_ns: u64) -> usize {
        let frame_bytes = HEAD + self.each * self.slot_bytes;
        let (mut left, mut seq, mut end) = (count, first, 0);
        for frame in self.buffer.chunks_exact_mut(frame_bytes) {
            let here = left.min(self.each);
            if here == 0 {
                break;
            }
            let (head, messages) = frame.split_at_mut(HEAD);
            let bytes = here * self.slot_bytes;
            write_head(head, here, bytes);
            for slot in messages[..bytes].chunks_exact_mut(self.slot_bytes) {
                slot[..8].copy_from_slice(&(self.first_number + seq).to_be_bytes());
                stamp::write(&mut slot[self.body_at..], self.body_bytes, publisher, seq, now_ns);
                seq += 1;
            }
            left -= here;
            end += HEAD + bytes;
        }
        end
    }

    /// What was stamped, from byte `start` up to `end`.
    pub fn bytes(&self, start: usize, end: usize) -> &[u8] {
        &self.buffer[start..end]
    }
}

fn write_head(head: &mut [u8], messages: usize, bytes: usize) {
    head[..4].copy_from_slice(&((HEAD - 4 + bytes) as u32).to_be_bytes());
    head[4..6].copy_from_slice(&(Key::Publish as u16).to_be_bytes());
    head[6..8].copy_from_slice(&1_u16.to_be_bytes());
    head[8] = PUBLISHER;
    head[9..13].copy_from_slice(&(messages as u32).to_be_bytes());
}

/// What stands before a body of so many bytes: a message is one data section of AMQP 1.0, as by convention.
fn section_head(body_bytes: usize) -> Vec<u8> {
    match u8::try_from(body_bytes) {
        Ok(bytes) => vec![0x00, 0x53, 0x75, 0xa0, bytes],
        Err(_) => [&[0x00, 0x53, 0x75, 0xb0], &(body_bytes as u32).to_be_bytes()[..]].concat(),
    }
}

/// The body of a message that is one data section.
#[inline]
pub fn body(message: &[u8]) -> Option<&[u8]> {
    match message {
        [0x00, 0x53, 0x75, 0xa0, len, body @ ..] if usize::from(*len) == body.len() => Some(body),
        [0x00, 0x53, 0x75, 0xb0, a, b, c, d, body @ ..]
            if u32::from_be_bytes([*a, *b, *c, *d]) as usize == body.len() =>
        {
            Some(body)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream_protocol::codec::{Command, EntryBody, frame};

    /// How many messages each frame holds, and number and body of each.
    fn read(mut bytes: &[u8]) -> (Vec<usize>, Vec<(u64, Vec<u8>)>) {
        let (mut frames, mut messages) = (Vec::new(), Vec::new());
        while let Some((frame, used)) = frame::parse(bytes, u32::MAX).expect("own frames") {
            let Ok(Command::Publish { publisher, entries }) = Command::parse(&frame) else {
                panic!("{frame:?}")
            };
            assert_eq!(publisher, PUBLISHER);
            frames.push(entries.count());
            for entry in entries {
                let EntryBody::Message(message) = entry.body else {
                    panic!("{entry:?}")
                };
                messages.push((entry.id, body(message).expect("a body").to_vec()));
            }
            bytes = &bytes[used..];
        }
        assert!(bytes.is_empty());
        (frames, messages)
    }

    #[test]
    fn messages_have_numbers_and_stamps_and_the_last_frame_holds_the_rest() {
        for size in [16, 255, 256, 1024] {
            let mut batch = Batch::new(size, 3, 100, 1 << 20, 10);
            // What a shorter batch leaves behind must not show in the next.
            for count in [7, 2, 6] {
                let end = batch.stamp(count, 4, 5, 77);
                let (frames, messages) = read(batch.bytes(0, end));
                assert_eq!(frames.iter().sum::<usize>(), count);
                assert!(frames.iter().rev().skip(1).all(|frame| *frame == 3));
                for (at, (number, body)) in messages.iter().enumerate() {
                    let stamp = stamp::read(body).expect("a stamp");
                    assert_eq!((*number, body.len()), (15 + at as u64, size));
                    assert_eq!(
                        (stamp.publisher, stamp.seq, stamp.sent_ns),
                        (4, 5 + at as u64, Some(77))
                    );
                }
            }
        }
    }

    #[test]
    fn a_frame_is_no_larger_than_what_was_agreed_and_holds_one_message_at_least() {
        let mut batch = Batch::new(1024, 100, 1000, 4096, 0);
        let end = batch.stamp(10, 0, 0, 1);
        assert_eq!(read(batch.bytes(0, end)).0, [3, 3, 3, 1]);
        assert_eq!(Batch::new(1 << 20, 100, 1, 4096, 0).slots(), 1);
    }

    #[test]
    fn no_more_messages_are_gathered_than_may_be_unconfirmed() {
        assert_eq!(Batch::new(16, 100, 7, 1 << 20, 0).slots(), 7);
        assert!(Batch::new(16, 100, usize::MAX / 2, 1 << 20, 0).slots() > 3000);
    }
}
