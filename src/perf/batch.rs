//! Publish frames encoded once and sent many times.
//!
//! A batch is one buffer of equal slots, each a whole message (method, header, body frames). Before it is sent only
//! the bytes that differ are written over: sequence stamp, time, and the routing key where it rotates. Holds: every
//! routing key of a publisher has the same length, so slots never move.

use super::stamp;
use super::wire::Publish;

/// Bytes of frames gathered for one write, about what a socket takes at once.
const BATCH_BYTES: usize = 256 * 1024;

/// A buffer of messages ready to be stamped and written.
pub struct Batch {
    buffer: Vec<u8>,
    slot_bytes: usize,
    slots: usize,
    key_at: usize,
    body_at: usize,
    body_bytes: usize,
    keys: Vec<String>,
}

impl Batch {
    /// Encodes as many copies of the message as go into one write, at most `most`. `keys` are taken in turn by
    /// sequence number; they must not be empty and must have one length.
    pub fn new(publish: Publish<'_>, keys: Vec<String>, body_bytes: usize, most: usize) -> Self {
        debug_assert!(keys.iter().all(|key| key.len() == keys[0].len()));
        let body: Vec<u8> = (0..body_bytes).map(|at| b'a' + (at % 26) as u8).collect();
        let mut slot = Vec::new();
        let publish = Publish {
            routing_key: &keys[0],
            ..publish
        };
        let (key_at, body_at) = publish.encode(&body, &mut slot);
        let slots = (BATCH_BYTES / slot.len()).clamp(1, most.max(1));
        Self {
            buffer: slot.repeat(slots),
            slot_bytes: slot.len(),
            slots,
            key_at,
            body_at,
            body_bytes,
            keys,
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
        let bytes = count * self.slot_bytes;
        let mut key = (first % self.keys.len() as u64) as usize;
        for (slot, seq) in self.buffer[..bytes].chunks_exact_mut(self.slot_bytes).zip(first..) {
            if self.keys.len() > 1 {
                let text = self.keys[key].as_bytes();
                slot[self.key_at..self.key_at + text.len()].copy_from_slice(text);
                key = if key + 1 == self.keys.len() { 0 } else { key + 1 };
            }
            if self.body_bytes > 0 {
                stamp::write(&mut slot[self.body_at..], self.body_bytes, publisher, seq, now_ns);
            }
        }
        bytes
    }

    /// What was stamped, from byte `start` up to `end`.
    pub fn bytes(&self, start: usize, end: usize) -> &[u8] {
        &self.buffer[start..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::wire::{Method, frame, id, kind};

    const PUBLISH: Publish<'static> = Publish {
        exchange: "",
        routing_key: "",
        mandatory: false,
        persistent: false,
        frame_max: 4096,
    };

    fn messages(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut rest = bytes;
        while let Some(frame) = frame(rest).expect("own frames") {
            match frame.kind {
                kind::METHOD => {
                    assert_eq!(Method::decode(frame.payload).expect("publish").0, id::BASIC_PUBLISH);
                    let key = &frame.payload[8..frame.payload.len() - 1];
                    found.push((key.to_vec(), Vec::new()));
                }
                kind::BODY => found
                    .last_mut()
                    .expect("a method first")
                    .1
                    .extend_from_slice(frame.payload),
                _ => {}
            }
            rest = &rest[frame.wire_bytes()..];
        }
        assert!(rest.is_empty());
        found
    }

    #[test]
    fn every_message_has_its_own_stamp_and_the_keys_go_round() {
        let keys = vec!["k0".to_owned(), "k1".to_owned(), "k2".to_owned()];
        let mut batch = Batch::new(PUBLISH, keys, 16, usize::MAX);
        let bytes = batch.stamp(4, 9, 5, 77);
        let sent = messages(batch.bytes(0, bytes));
        let keys: Vec<_> = sent
            .iter()
            .map(|(key, _)| String::from_utf8_lossy(key).into_owned())
            .collect();
        assert_eq!(keys, ["k2", "k0", "k1", "k2"]);
        for (at, (_, body)) in sent.iter().enumerate() {
            let stamp = stamp::read(body).expect("16 bytes hold a stamp");
            assert_eq!(
                (stamp.publisher, stamp.seq, stamp.sent_ns),
                (9, 5 + at as u64, Some(77))
            );
        }
    }

    #[test]
    fn a_body_too_small_for_a_stamp_is_sent_as_it_is() {
        for size in [0, 1, 7] {
            let mut batch = Batch::new(PUBLISH, vec!["k".to_owned()], size, 10);
            let bytes = batch.stamp(10, 1, 0, 1);
            let sent = messages(batch.bytes(0, bytes));
            assert_eq!(sent.len(), 10);
            assert!(sent.iter().all(|(_, body)| body.len() == size));
        }
    }

    #[test]
    fn a_write_holds_thousands_of_small_messages_and_at_least_one_large_one() {
        assert!(Batch::new(PUBLISH, vec!["k".to_owned()], 16, usize::MAX).slots() > 3000);
        assert_eq!(
            Batch::new(PUBLISH, vec!["k".to_owned()], 1 << 20, usize::MAX).slots(),
            1
        );
        assert_eq!(Batch::new(PUBLISH, vec!["k".to_owned()], 16, 5).slots(), 5);
    }
}
