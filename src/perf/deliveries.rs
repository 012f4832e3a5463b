//! Deliveries found in a consumer's input without copying or decoding more than is needed.
//!
//! A delivery is a deliver method, a content header and body frames, one after the other on a channel. The scanner
//! remembers where in that order it is, so that a message may arrive in any number of reads:
//!
//! ```text
//! Idle ── basic.deliver ──▶ Header ── size 0 ──▶ (delivery) Idle
//!                             └──── size n ──▶ Body ── all n bytes ──▶ (delivery) Idle
//! ```

use super::stamp::STAMP_BYTES;
use super::wire::{Frame, WireError, frame, id, kind};

/// One delivery, complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivery {
    pub tag: u64,
    pub redelivered: bool,
    /// The number that is the consumer's tag; 0 when it is no number.
    pub consumer: u32,
    pub body_bytes: u64,
    front: [u8; STAMP_BYTES],
    front_bytes: usize,
}

impl Delivery {
    /// A message that has that body, of a stream: such come once.
    #[inline]
    pub fn of_body(body: &[u8]) -> Self {
        let (mut front, front_bytes) = ([0; STAMP_BYTES], body.len().min(STAMP_BYTES));
        front[..front_bytes].copy_from_slice(&body[..front_bytes]);
        Self {
            body_bytes: body.len() as u64,
            front,
            front_bytes,
            ..Self::default()
        }
    }

    /// The first bytes of the body, as many as a stamp has.
    pub fn front(&self) -> &[u8] {
        &self.front[..self.front_bytes]
    }
}

/// What the scanner found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    Delivery(Delivery),
    /// Any other method frame.
    Method(Frame<'a>),
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Due {
    #[default]
    Idle,
    Header,
    Body(u64),
}

/// The place in the order of frames of one channel.
#[derive(Debug, Default)]
pub struct Scanner {
    due: Due,
    /// The delivery being put together.
    open: Delivery,
}

impl Scanner {
    /// The next thing in `input` from byte `at` on, which moves past what was read; `None` when more input is
    /// needed. Frames before `at` may be dropped between calls.
    #[inline]
    pub fn next<'a>(&mut self, input: &'a [u8], at: &mut usize) -> Result<Option<Found<'a>>, WireError> {
        while let Some(frame) = frame(&input[*at..])? {
            *at += frame.wire_bytes();
            match (frame.kind, self.due) {
                (kind::METHOD, Due::Idle) => {
                    if frame.payload.first_chunk() != Some(&id::BASIC_DELIVER.to_be_bytes()) {
                        return Ok(Some(Found::Method(frame)));
                    }
                    self.open = deliver(frame.payload).ok_or(WireError::MethodTruncated(id::BASIC_DELIVER))?;
                    self.due = Due::Header;
                }
                (kind::HEADER, Due::Header) => {
                    let size = frame.payload.get(4..12).and_then(|bytes| bytes.first_chunk::<8>());
                    self.open.body_bytes = u64::from_be_bytes(*size.ok_or(WireError::UnexpectedFrame(kind::HEADER))?);
                    self.due = Due::Body(self.open.body_bytes);
                    if self.open.body_bytes == 0 {
                        return Ok(Some(self.close()));
                    }
                }
                (kind::BODY, Due::Body(left)) => {
                    if left == self.open.body_bytes {
                        let bytes = frame.payload.len().min(STAMP_BYTES);
                        self.open.front[..bytes].copy_from_slice(&frame.payload[..bytes]);
                        self.open.front_bytes = bytes;
                    }
                    let left = left
                        .checked_sub(frame.payload.len() as u64)
                        .ok_or(WireError::UnexpectedFrame(kind::BODY))?;
                    self.due = Due::Body(left);
                    if left == 0 {
                        return Ok(Some(self.close()));
                    }
                }
                // Methods of the connection may come between the frames of a content.
                (kind::METHOD, _) if frame.channel == 0 => return Ok(Some(Found::Method(frame))),
                (kind::METHOD | kind::HEADER | kind::BODY, _) if frame.channel != 0 => {
                    // A broker that closes the channel may leave a content unfinished.
                    if frame.payload.first_chunk() == Some(&id::CHANNEL_CLOSE.to_be_bytes()) {
                        self.due = Due::Idle;
                        return Ok(Some(Found::Method(frame)));
                    }
                    return Err(WireError::UnexpectedFrame(frame.kind));
                }
                // Heartbeats.
                _ => {}
            }
        }
        Ok(None)
    }

    fn close(&mut self) -> Found<'static> {
        self.due = Due::Idle;
        Found::Delivery(self.open)
    }
}

/// Consumer tag, delivery tag and redelivered of a deliver method; exchange and routing key are left alone.
#[inline]
fn deliver(payload: &[u8]) -> Option<Delivery> {
    let tag_len = usize::from(*payload.get(4)?);
    let consumer = payload.get(5..5 + tag_len)?;
    let rest = payload.get(5 + tag_len..)?;
    let (tag, rest) = rest.split_first_chunk::<8>()?;
    Some(Delivery {
        tag: u64::from_be_bytes(*tag),
        redelivered: rest.first()? & 1 != 0,
        consumer: number(consumer),
        ..Delivery::default()
    })
}

fn number(text: &[u8]) -> u32 {
    text.iter().fold(0u32, |number, digit| {
        number
            .wrapping_mul(10)
            .wrapping_add(u32::from(digit.wrapping_sub(b'0')))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::perf::wire::{MethodFrame, content};

    fn delivery(out: &mut Vec<u8>, consumer: &str, tag: u64, body: &[u8]) {
        MethodFrame::begin(out, 1, id::BASIC_DELIVER)
            .short(consumer)
            .u64(tag)
            .u8(u8::from(tag.is_multiple_of(2)))
            .short("exchange")
            .short("key")
            .end();
        content(out, body, 4096);
    }

    fn scan_in_pieces(bytes: &[u8], mut ends: Vec<usize>) -> Vec<(u32, u64, bool, u64, Vec<u8>)> {
        ends.push(bytes.len());
        ends.sort_unstable();
        let mut scanner = Scanner::default();
        let (mut at, mut found) = (0, Vec::new());
        for end in ends {
            while let Some(Found::Delivery(d)) = scanner.next(&bytes[..end], &mut at).expect("own frames") {
                found.push((d.consumer, d.tag, d.redelivered, d.body_bytes, d.front().to_vec()));
            }
        }
        assert_eq!(at, bytes.len());
        found
    }

    proptest! {
        #[test]
        fn deliveries_are_found_however_the_input_is_cut(
            sizes in prop::collection::vec(prop_oneof![Just(0), 1..40usize, 4000..9000usize], 1..8),
            cuts in prop::collection::vec(0.0..1.0f64, 0..10),
        ) {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for (at, size) in sizes.iter().enumerate() {
                let (tag, body) = (at as u64 + 1, vec![at as u8; *size]);
                delivery(&mut bytes, "17", tag, &body);
                expected.push((17, tag, tag % 2 == 0, *size as u64, body[..body.len().min(STAMP_BYTES)].to_vec()));
            }
            let ends = cuts.iter().map(|cut| (bytes.len() as f64 * cut) as usize).collect();
            prop_assert_eq!(scan_in_pieces(&bytes, ends), expected);
        }

        #[test]
        fn no_input_makes_the_scanner_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut at = 0;
            let mut scanner = Scanner::default();
            while let Ok(Some(_)) = scanner.next(&bytes, &mut at) {}
        }
    }

    #[test]
    fn a_channel_close_is_reported_also_within_a_content() {
        let mut bytes = Vec::new();
        delivery(&mut bytes, "0", 1, b"body");
        bytes.truncate(bytes.len() - 12);
        MethodFrame::begin(&mut bytes, 1, id::CHANNEL_CLOSE)
            .u16(404)
            .short("gone")
            .u32(0)
            .end();
        let (mut scanner, mut at) = (Scanner::default(), 0);
        let Ok(Some(Found::Method(frame))) = scanner.next(&bytes, &mut at) else {
            panic!("the close was not seen");
        };
        assert_eq!(frame.payload[..4], id::CHANNEL_CLOSE.to_be_bytes());
    }

    #[test]
    fn a_body_without_a_delivery_is_an_error() {
        let mut bytes = Vec::new();
        content(&mut bytes, b"x", 4096);
        assert_eq!(
            Scanner::default().next(&bytes, &mut 0),
            Err(WireError::UnexpectedFrame(kind::HEADER))
        );
    }
}
