//! Frames to clients that come by the million: deliveries, returns, confirms.

use super::content::{body_room, put_header, put_short};
use super::frame::{self, FrameKind};
use super::output::{CHAINED_BODY, Output};
use crate::types::Message;

/// The beginning of every `basic.deliver` to one consumer: frame head, ids and consumer tag.
#[derive(Debug, Clone)]
pub struct DeliverTemplate {
    start: Box<[u8]>,
    channel: u16,
}

impl DeliverTemplate {
    /// For a consumer's channel and tag, which is cut at 255 bytes.
    pub fn new(channel: u16, consumer_tag: &str) -> Self {
        let mut start = Vec::with_capacity(consumer_tag.len() + 12);
        frame::begin(&mut start, FrameKind::Method, channel);
        start.extend_from_slice(&[0, 60, 0, 60]);
        put_short(&mut start, consumer_tag.as_bytes());
        Self {
            start: start.into(),
            channel,
        }
    }

    /// Writes a delivery: method, content header and body.
    #[inline]
    pub fn write(&self, out: &mut Output, delivery_tag: u64, redelivered: bool, message: &Message, frame_max: u32) {
        let bytes = out.bytes();
        let start = bytes.len();
        bytes.extend_from_slice(&self.start);
        bytes.extend_from_slice(&delivery_tag.to_be_bytes());
        bytes.push(redelivered.into());
        put_short(bytes, message.exchange());
        put_short(bytes, message.routing_key());
        frame::finish(bytes, start);
        write_content(out, self.channel, message, frame_max);
    }
}

/// Writes `basic.get-ok` with its message; `remaining` is what is left in the queue.
pub fn write_get_ok(
    out: &mut Output,
    channel: u16,
    delivery_tag: u64,
    redelivered: bool,
    message: &Message,
    remaining: u32,
    frame_max: u32,
) {
    let bytes = out.bytes();
    let start = frame::begin(bytes, FrameKind::Method, channel);
    bytes.extend_from_slice(&[0, 60, 0, 71]);
    bytes.extend_from_slice(&delivery_tag.to_be_bytes());
    bytes.push(redelivered.into());
    put_short(bytes, message.exchange());
    put_short(bytes, message.routing_key());
    bytes.extend_from_slice(&remaining.to_be_bytes());
    frame::finish(bytes, start);
    write_content(out, channel, message, frame_max);
}

/// Writes `basic.return` with its message.
pub fn write_return(out: &mut Output, channel: u16, code: u16, text: &str, message: &Message, frame_max: u32) {
    let bytes = out.bytes();
    let start = frame::begin(bytes, FrameKind::Method, channel);
    bytes.extend_from_slice(&[0, 60, 0, 50]);
    bytes.extend_from_slice(&code.to_be_bytes());
    put_short(bytes, text.as_bytes());
    put_short(bytes, message.exchange());
    put_short(bytes, message.routing_key());
    frame::finish(bytes, start);
    write_content(out, channel, message, frame_max);
}

/// Writes `basic.ack` to a publisher.
pub fn write_ack(out: &mut Output, channel: u16, seq: u64, multiple: bool) {
    let bytes = out.bytes();
    let start = frame::begin(bytes, FrameKind::Method, channel);
    bytes.extend_from_slice(&[0, 60, 0, 80]);
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.push(multiple.into());
    frame::finish(bytes, start);
}

/// Writes `basic.nack` to a publisher.
pub fn write_nack(out: &mut Output, channel: u16, seq: u64, multiple: bool) {
    let bytes = out.bytes();
    let start = frame::begin(bytes, FrameKind::Method, channel);
    bytes.extend_from_slice(&[0, 60, 0, 120]);
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.push(multiple.into());
    frame::finish(bytes, start);
}

fn write_content(out: &mut Output, channel: u16, message: &Message, frame_max: u32) {
    let body = message.body();
    put_header(out.bytes(), channel, body.len() as u64, message.properties());
    let room = body_room(frame_max);
    let large = message.large_body().filter(|_| room >= CHAINED_BODY);
    for (at, part) in body.chunks(room).enumerate() {
        let bytes = out.bytes();
        match large {
            Some(whole) => {
                frame::body_head(bytes, channel, part.len() as u32);
                out.chain(whole.slice(at * room..at * room + part.len()));
                out.bytes().push(frame::END);
            }
            None => {
                let start = frame::begin(bytes, FrameKind::Body, channel);
                bytes.extend_from_slice(part);
                frame::finish(bytes, start);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::content::parse_deliver;
    use crate::codec::{Frame, Method};
    use crate::types::{MessageParts, Traits};

    fn message(body: &[u8]) -> Message {
        let parts = MessageParts {
            exchange: b"ex",
            routing_key: b"\xffkey",
            properties: &[0, 0],
            traits: Traits::default(),
        };
        Message::new(parts, body, &mut Vec::new())
    }

    fn bytes(output: &Output) -> Vec<u8> {
        let mut slices = vec![std::io::IoSlice::new(&[]); 64];
        let filled = output.fill(&mut slices);
        slices[..filled]
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect()
    }

    fn frames(mut input: &[u8]) -> Vec<Frame<'_>> {
        let mut frames = Vec::new();
        while let Some((frame, consumed)) = frame::parse(input, 131_072).expect("well-formed") {
            frames.push(frame);
            input = &input[consumed..];
        }
        assert!(input.is_empty());
        frames
    }

    #[test]
    fn a_delivery_is_a_method_a_header_and_bodies_within_the_frame_size() {
        for (size, frame_max, bodies) in [(0, 4096, 0), (10, 4096, 1), (9000, 4096, 3), (40_000, 16_384, 3)] {
            let message = message(&vec![7; size]);
            let mut out = Output::default();
            DeliverTemplate::new(5, "tag").write(&mut out, 9, true, &message, frame_max);
            let all = bytes(&out);
            let frames = frames(&all);
            assert_eq!(frames.len(), 2 + bodies, "body of {size}");
            assert!(
                frames
                    .iter()
                    .all(|frame| frame.channel == 5 && frame.payload.len() + 8 <= frame_max as usize)
            );
            let deliver = parse_deliver(frames[0].payload).expect("a deliver");
            assert_eq!(
                (deliver.consumer_tag, deliver.delivery_tag, deliver.redelivered),
                (&b"tag"[..], 9, true)
            );
            assert_eq!((deliver.exchange, deliver.routing_key), (&b"ex"[..], &b"\xffkey"[..]));
            let body: Vec<u8> = frames[2..]
                .iter()
                .flat_map(|frame| frame.payload.iter().copied())
                .collect();
            assert_eq!(body, vec![7; size]);
        }
    }

    #[test]
    fn answers_read_back_as_the_methods_they_are() {
        let mut out = Output::default();
        write_get_ok(&mut out, 1, 2, false, &message(b"x"), 3, 4096);
        write_return(&mut out, 1, 312, "NO_ROUTE", &message(b"x"), 4096);
        write_ack(&mut out, 1, 7, true);
        write_nack(&mut out, 1, 8, false);
        let all = bytes(&out);
        let methods: Vec<Method> = frames(&all)
            .iter()
            .filter(|frame| frame.kind == FrameKind::Method)
            .map(|frame| Method::parse(frame.payload).expect("a method"))
            .collect();
        assert!(matches!(&methods[0], Method::BasicGetOk(ok) if ok.delivery_tag == 2 && ok.message_count == 3));
        assert!(matches!(&methods[1], Method::BasicReturn(back) if back.reply_code == 312));
        assert!(matches!(&methods[2], Method::BasicAck(ack) if ack.delivery_tag == 7 && ack.multiple));
        assert!(
            matches!(&methods[3], Method::BasicNack(nack) if nack.delivery_tag == 8 && !nack.multiple && !nack.requeue)
        );
    }
}
