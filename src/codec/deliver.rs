//! Messages and confirms on their way to a client.
//!
//! A delivery is written straight from the [`Message`]: names, properties and small bodies are
//! copied into the output's buffer, a large body is chained. Bodies that do not fit in one frame
//! are split.

use super::content::{body_room, put_header};
use super::frame::{self, FrameKind, HEAD_BYTES};
use super::wire::put_short;
use crate::types::{Message, Output};

/// Parts of a body of this many bytes or more are chained; smaller ones are cheaper to copy.
pub const CHAIN_LEAST: usize = 8 * 1024;

/// Bytes around names, properties and body in the three frames of a delivery.
const DELIVER_OVERHEAD: usize = 3 * frame::OVERHEAD + 32;

/// The part of `basic.deliver` that is the same for every message of a consumer.
#[derive(Debug, Clone)]
pub struct DeliverTemplate {
    channel: u16,
    /// The frame's head, class and method id, consumer tag.
    head: Box<[u8]>,
}

impl DeliverTemplate {
    /// For the consumer of this tag, which is cut at 255 bytes.
    pub fn new(channel: u16, consumer_tag: &str) -> Self {
        let mut head = Vec::with_capacity(HEAD_BYTES + 5 + consumer_tag.len());
        frame::begin(&mut head, FrameKind::Method, channel);
        head.extend_from_slice(&[0, 60, 0, 60]);
        put_short(&mut head, consumer_tag.as_bytes());
        Self {
            channel,
            head: head.into_boxed_slice(),
        }
    }

    /// Writes `basic.deliver` with the message's content.
    #[inline]
    pub fn write(&self, out: &mut Output, delivery_tag: u64, redelivered: bool, message: &Message, frame_max: u32) {
        let buffer = out.bytes();
        let copied = if message.large_body().is_some() {
            0
        } else {
            message.body().len()
        };
        let names = message.exchange().len() + message.routing_key().len();
        buffer.reserve(self.head.len() + DELIVER_OVERHEAD + names + message.properties().len() + copied);
        let start = buffer.len();
        buffer.extend_from_slice(&self.head);
        put_tag(buffer, delivery_tag, redelivered);
        put_short(buffer, message.exchange());
        put_short(buffer, message.routing_key());
        frame::finish(buffer, start);
        write_content(out, self.channel, message, frame_max);
    }
}

/// Writes one `basic.deliver`; whoever writes many for a consumer keeps a [`DeliverTemplate`].
pub fn write_deliver(
    out: &mut Output,
    channel: u16,
    consumer_tag: &str,
    delivery_tag: u64,
    redelivered: bool,
    message: &Message,
    frame_max: u32,
) {
    DeliverTemplate::new(channel, consumer_tag).write(out, delivery_tag, redelivered, message, frame_max);
}

/// Writes `basic.get-ok` with the message's content. `remaining` is the count of ready messages
/// left in the queue.
pub fn write_get_ok(
    out: &mut Output,
    channel: u16,
    delivery_tag: u64,
    redelivered: bool,
    remaining: u32,
    message: &Message,
    frame_max: u32,
) {
    let buffer = out.bytes();
    let start = frame::begin(buffer, FrameKind::Method, channel);
    buffer.extend_from_slice(&[0, 60, 0, 71]);
    put_tag(buffer, delivery_tag, redelivered);
    put_short(buffer, message.exchange());
    put_short(buffer, message.routing_key());
    buffer.extend_from_slice(&remaining.to_be_bytes());
    frame::finish(buffer, start);
    write_content(out, channel, message, frame_max);
}

/// Writes `basic.return` with the message's content. The text is cut at 255 bytes.
pub fn write_return(
    out: &mut Output,
    channel: u16,
    reply_code: u16,
    reply_text: &str,
    message: &Message,
    frame_max: u32,
) {
    let buffer = out.bytes();
    let start = frame::begin(buffer, FrameKind::Method, channel);
    buffer.extend_from_slice(&[0, 60, 0, 50]);
    buffer.extend_from_slice(&reply_code.to_be_bytes());
    put_short(buffer, reply_text.as_bytes());
    put_short(buffer, message.exchange());
    put_short(buffer, message.routing_key());
    frame::finish(buffer, start);
    write_content(out, channel, message, frame_max);
}

/// Writes `basic.ack`: a confirm to a publisher, or a client's acknowledgement.
#[inline]
pub fn write_ack(out: &mut Output, channel: u16, delivery_tag: u64, multiple: bool) {
    put_settlement(out.bytes(), channel, 80, delivery_tag, u8::from(multiple));
}

/// Writes `basic.nack` to a publisher. The requeue bit, which has no meaning there, is set as
/// RabbitMQ sets it.
#[inline]
pub fn write_nack(out: &mut Output, channel: u16, delivery_tag: u64, multiple: bool) {
    put_settlement(out.bytes(), channel, 120, delivery_tag, u8::from(multiple) | REQUEUE);
}

const REQUEUE: u8 = 2;

/// Ids, tag and bits are 13 octets of payload; 21 with the frame around them.
fn put_settlement(buffer: &mut Vec<u8>, channel: u16, method: u8, delivery_tag: u64, bits: u8) {
    let [c1, c0] = channel.to_be_bytes();
    let [t7, t6, t5, t4, t3, t2, t1, t0] = delivery_tag.to_be_bytes();
    buffer.extend_from_slice(&[
        FrameKind::Method as u8,
        c1,
        c0,
        0,
        0,
        0,
        13,
        0,
        60,
        0,
        method,
        t7,
        t6,
        t5,
        t4,
        t3,
        t2,
        t1,
        t0,
        bits,
        frame::END,
    ]);
}

#[inline]
fn put_tag(buffer: &mut Vec<u8>, delivery_tag: u64, redelivered: bool) {
    buffer.extend_from_slice(&delivery_tag.to_be_bytes());
    buffer.push(redelivered.into());
}

/// Writes the content header and the body frames.
#[inline]
fn write_content(out: &mut Output, channel: u16, message: &Message, frame_max: u32) {
    let body = message.body();
    put_header(out.bytes(), channel, body.len() as u64, message.properties());
    let room = body_room(frame_max);
    match message.large_body() {
        None => {
            for part in body.chunks(room) {
                put_body(out.bytes(), channel, part);
            }
        }
        Some(large) => {
            for at in (0..large.len()).step_by(room) {
                let end = large.len().min(at + room);
                if end - at < CHAIN_LEAST {
                    put_body(out.bytes(), channel, &large[at..end]);
                    continue;
                }
                put_head(out.bytes(), channel, end - at);
                out.chain(large.slice(at..end));
                out.bytes().push(frame::END);
            }
        }
    }
}

#[inline]
fn put_body(buffer: &mut Vec<u8>, channel: u16, part: &[u8]) {
    put_head(buffer, channel, part.len());
    buffer.extend_from_slice(part);
    buffer.push(frame::END);
}

#[inline]
fn put_head(buffer: &mut Vec<u8>, channel: u16, body_bytes: usize) {
    let [c1, c0] = channel.to_be_bytes();
    let [s3, s2, s1, s0] = (body_bytes as u32).to_be_bytes();
    buffer.extend_from_slice(&[FrameKind::Body as u8, c1, c0, s3, s2, s1, s0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::content::whole_deliver;
    use crate::codec::method::{BasicAck, BasicNack, Method};
    use crate::types::{MessageParts, Traits};

    fn message(body_bytes: usize) -> Message {
        let parts = MessageParts {
            exchange: b"ex",
            routing_key: b"key",
            properties: &[0x10, 0, 2],
            traits: Traits::default(),
        };
        let body: Vec<u8> = (0..body_bytes).map(|at| at as u8).collect();
        Message::new(parts, &body, &mut Vec::new())
    }

    fn written(out: &Output) -> Vec<u8> {
        out.pieces().collect::<Vec<_>>().concat()
    }

    #[test]
    fn a_small_delivery_is_one_contiguous_piece() {
        let mut out = Output::new();
        let message = message(10);
        write_deliver(&mut out, 5, "tag", 9, true, &message, 4096);
        assert_eq!(out.pieces().count(), 1);
        let bytes = written(&out);
        let whole = whole_deliver(&bytes, 4096).expect("whole");
        assert_eq!((whole.channel, whole.deliver.consumer_tag), (5, &b"tag"[..]));
        assert_eq!((whole.deliver.delivery_tag, whole.deliver.redelivered), (9, true));
        assert_eq!(
            (whole.deliver.exchange, whole.deliver.routing_key),
            (&b"ex"[..], &b"key"[..])
        );
        assert_eq!((whole.properties, whole.body), (message.properties(), message.body()));
        assert_eq!(whole.consumed, bytes.len());
    }

    #[test]
    fn a_large_body_is_chained_and_split() {
        let mut out = Output::new();
        let message = message(20_000);
        write_get_ok(&mut out, 5, 9, false, 3, &message, 8192);
        // Two full frames of 8,184 bytes are too small to chain at this frame size.
        assert_eq!(out.pieces().count(), 1);
        let frames = body_frames(&written(&out), 8192);
        assert_eq!(frames.iter().map(Vec::len).collect::<Vec<_>>(), [8184, 8184, 3632]);
        assert_eq!(frames.concat(), message.body());

        let mut out = Output::new();
        write_return(&mut out, 5, 312, "NO_ROUTE", &message, 16_384);
        assert_eq!(out.pieces().count(), 3);
        assert_eq!(body_frames(&written(&out), 16_384).concat(), message.body());
        let chained = out.pieces().nth(1).expect("the body");
        assert_eq!(chained.as_ptr(), message.body().as_ptr());
    }

    fn body_frames(bytes: &[u8], frame_max: u32) -> Vec<Vec<u8>> {
        let mut at = 0;
        let mut bodies = Vec::new();
        while let Some((frame, taken)) = frame::parse(&bytes[at..], frame_max).expect("good frames") {
            assert!(taken <= frame_max as usize);
            if frame.kind == FrameKind::Body {
                bodies.push(frame.payload.to_vec());
            }
            at += taken;
        }
        assert_eq!(at, bytes.len());
        bodies
    }

    #[test]
    fn confirms_are_the_methods_of_the_table() {
        let mut out = Output::new();
        write_ack(&mut out, 300, 1 << 50, true);
        write_nack(&mut out, 300, 7, false);
        let mut expected = Vec::new();
        let ack = BasicAck {
            delivery_tag: 1 << 50,
            multiple: true,
        };
        let nack = BasicNack {
            delivery_tag: 7,
            multiple: false,
            requeue: true,
        };
        Method::from(ack).encode_frame(300, &mut expected);
        Method::from(nack).encode_frame(300, &mut expected);
        assert_eq!(written(&out), expected);
    }
}
