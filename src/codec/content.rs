//! The short way for the frames that come by the million, over slices, without a copy.
//!
//! [`whole_content`] recognises a method with its header and its one body frame when all three lie
//! complete in the buffer, which is how small messages arrive; [`whole_publish`] and
//! [`whole_deliver`] (for clients) stand on it. Anything unusual gives `None` and goes the long
//! way: frame by frame, with the exact refusals.

use thiserror::Error;

use super::frame::{self, Frame, FrameKind, HEAD_BYTES, OVERHEAD};
use super::method::{BASIC, MethodError, method_ids};
use super::wire::put_short;

const PUBLISH_IDS: [u8; 4] = [0, 60, 0, 40];
const DELIVER_IDS: [u8; 4] = [0, 60, 0, 60];
/// Class id, weight, body size.
const HEADER_FIXED: usize = 12;

/// The fields of `basic.publish`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishRef<'a> {
    pub exchange: &'a [u8],
    pub routing_key: &'a [u8],
    pub mandatory: bool,
    pub immediate: bool,
}

/// The fields of `basic.deliver`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliverRef<'a> {
    pub consumer_tag: &'a [u8],
    pub delivery_tag: u64,
    pub redelivered: bool,
    pub exchange: &'a [u8],
    pub routing_key: &'a [u8],
}

/// The fields of `basic.ack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    pub delivery_tag: u64,
    pub multiple: bool,
}

/// The fields of `basic.nack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nack {
    pub delivery_tag: u64,
    pub multiple: bool,
    pub requeue: bool,
}

/// The fields of `basic.reject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reject {
    pub delivery_tag: u64,
    pub requeue: bool,
}

/// A content header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    pub class: u16,
    /// Must be 0; whoever expects the header refuses others.
    pub weight: u16,
    /// Bytes of all body frames together.
    pub body_size: u64,
    /// Property flags and property list.
    pub properties: &'a [u8],
}

/// The header frame is too short to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("content header is cut short")]
pub struct CutHeader;

/// A method with its content, all of it in the buffer.
#[derive(Debug, Clone, Copy)]
pub struct WholeContent<'a> {
    pub channel: u16,
    /// The method's payload: ids and fields.
    pub method: &'a [u8],
    pub properties: &'a [u8],
    pub body: &'a [u8],
    /// Bytes of the frames it came in.
    pub consumed: usize,
}

/// A publish with its content, all of it in the buffer.
#[derive(Debug, Clone, Copy)]
pub struct WholePublish<'a> {
    pub channel: u16,
    pub publish: PublishRef<'a>,
    pub properties: &'a [u8],
    pub body: &'a [u8],
    /// Bytes of the frames it came in.
    pub consumed: usize,
}

/// A delivery with its content, all of it in the buffer.
#[derive(Debug, Clone, Copy)]
pub struct WholeDeliver<'a> {
    pub channel: u16,
    pub deliver: DeliverRef<'a>,
    pub properties: &'a [u8],
    pub body: &'a [u8],
    /// Bytes of the frames it came in.
    pub consumed: usize,
}

/// A complete `basic.publish` at the front of `input` with at most one body frame.
#[inline]
pub fn whole_publish(input: &[u8], frame_max: u32) -> Option<WholePublish<'_>> {
    let content = whole_content(input, PUBLISH_IDS, frame_max)?;
    Some(WholePublish {
        channel: content.channel,
        publish: parse_publish(content.method).ok()?,
        properties: content.properties,
        body: content.body,
        consumed: content.consumed,
    })
}

/// A complete `basic.deliver` at the front of `input` with at most one body frame.
#[inline]
pub fn whole_deliver(input: &[u8], frame_max: u32) -> Option<WholeDeliver<'_>> {
    let content = whole_content(input, DELIVER_IDS, frame_max)?;
    Some(WholeDeliver {
        channel: content.channel,
        deliver: parse_deliver(content.method).ok()?,
        properties: content.properties,
        body: content.body,
        consumed: content.consumed,
    })
}

/// A method with class and method id `ids` at the front of `input`, its header, and no body frame
/// when the body is empty, else exactly one; all on one channel.
#[inline]
pub fn whole_content(input: &[u8], ids: [u8; 4], frame_max: u32) -> Option<WholeContent<'_>> {
    // Most other frames are told apart here, before anything is measured.
    if input.first() != Some(&(FrameKind::Method as u8)) || input.get(HEAD_BYTES..HEAD_BYTES + 4)? != ids {
        return None;
    }
    let (method, after) = frame_of(input, FrameKind::Method, frame_max)?;
    let (header, after) = frame_of(after, FrameKind::Header, frame_max)?;
    let head = parse_header(header.payload).ok()?;
    if header.channel != method.channel || head.class != BASIC || head.weight != 0 {
        return None;
    }
    let (body, after) = if head.body_size == 0 {
        (&[][..], after)
    } else {
        let (body, after) = frame_of(after, FrameKind::Body, frame_max)?;
        if body.channel != method.channel || body.payload.len() as u64 != head.body_size {
            return None;
        }
        (body.payload, after)
    };
    Some(WholeContent {
        channel: method.channel,
        method: method.payload,
        properties: head.properties,
        body,
        consumed: input.len() - after.len(),
    })
}

#[inline]
fn frame_of(input: &[u8], kind: FrameKind, frame_max: u32) -> Option<(Frame<'_>, &[u8])> {
    let (&[octet, c1, c0, s3, s2, s1, s0], rest) = input.split_first_chunk::<HEAD_BYTES>()?;
    let size = u32::from_be_bytes([s3, s2, s1, s0]);
    if octet != kind as u8 || size > frame_max {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(size as usize)?;
    let (&end, rest) = rest.split_first()?;
    let channel = u16::from_be_bytes([c1, c0]);
    (end == frame::END).then_some((Frame { kind, channel, payload }, rest))
}

/// Reads the payload of a `basic.publish` frame.
///
/// # Errors
/// [`MethodError::Undecodable`] when it is not exactly that method's fields.
#[inline]
pub fn parse_publish(payload: &[u8]) -> Result<PublishRef<'_>, MethodError> {
    let read = || -> Option<PublishRef<'_>> {
        // Ids and the reserved ticket come before the names.
        let (exchange, rest) = short(payload.get(6..)?)?;
        let (routing_key, rest) = short(rest)?;
        let &[bits] = rest else { return None };
        Some(PublishRef {
            exchange,
            routing_key,
            mandatory: bits & 1 != 0,
            immediate: bits & 2 != 0,
        })
    };
    read().ok_or_else(|| undecodable(payload))
}

/// Reads the payload of a `basic.deliver` frame.
///
/// # Errors
/// [`MethodError::Undecodable`] when it is not exactly that method's fields.
#[inline]
pub fn parse_deliver(payload: &[u8]) -> Result<DeliverRef<'_>, MethodError> {
    let read = || -> Option<DeliverRef<'_>> {
        let (consumer_tag, rest) = short(payload.get(4..)?)?;
        let (tag, rest) = rest.split_first_chunk::<8>()?;
        let (bits, rest) = rest.split_first()?;
        let (exchange, rest) = short(rest)?;
        let (routing_key, rest) = short(rest)?;
        rest.is_empty().then_some(DeliverRef {
            consumer_tag,
            delivery_tag: u64::from_be_bytes(*tag),
            redelivered: bits & 1 != 0,
            exchange,
            routing_key,
        })
    };
    read().ok_or_else(|| undecodable(payload))
}

/// Reads the payload of a `basic.ack` frame.
///
/// # Errors
/// [`MethodError::Undecodable`] when it is not exactly that method's fields.
#[inline]
pub fn parse_ack(payload: &[u8]) -> Result<Ack, MethodError> {
    let (delivery_tag, bits) = tag_and_bits(payload)?;
    Ok(Ack {
        delivery_tag,
        multiple: bits & 1 != 0,
    })
}

/// Reads the payload of a `basic.nack` frame.
///
/// # Errors
/// [`MethodError::Undecodable`] when it is not exactly that method's fields.
#[inline]
pub fn parse_nack(payload: &[u8]) -> Result<Nack, MethodError> {
    let (delivery_tag, bits) = tag_and_bits(payload)?;
    Ok(Nack {
        delivery_tag,
        multiple: bits & 1 != 0,
        requeue: bits & 2 != 0,
    })
}

/// Reads the payload of a `basic.reject` frame.
///
/// # Errors
/// [`MethodError::Undecodable`] when it is not exactly that method's fields.
#[inline]
pub fn parse_reject(payload: &[u8]) -> Result<Reject, MethodError> {
    let (delivery_tag, bits) = tag_and_bits(payload)?;
    Ok(Reject {
        delivery_tag,
        requeue: bits & 1 != 0,
    })
}

/// Reads the payload of a content header frame; the properties are not looked at.
///
/// # Errors
/// [`CutHeader`]; [`frame::parse`] gives no header frame for which this happens.
#[inline]
pub fn parse_header(payload: &[u8]) -> Result<ContentHeader<'_>, CutHeader> {
    let (&[c1, c0, w1, w0, ref size @ ..], properties) =
        payload.split_first_chunk::<HEADER_FIXED>().ok_or(CutHeader)?;
    Ok(ContentHeader {
        class: u16::from_be_bytes([c1, c0]),
        weight: u16::from_be_bytes([w1, w0]),
        body_size: u64::from_be_bytes(*size),
        properties,
    })
}

/// Writes a whole `basic.publish` as a client sends it. Names are cut at 255 bytes, bodies split
/// at `frame_max`.
pub fn write_publish(
    out: &mut Vec<u8>,
    channel: u16,
    publish: PublishRef<'_>,
    properties: &[u8],
    body: &[u8],
    frame_max: u32,
) {
    let start = frame::begin(out, FrameKind::Method, channel);
    out.extend_from_slice(&PUBLISH_IDS);
    out.extend_from_slice(&[0, 0]);
    put_short(out, publish.exchange);
    put_short(out, publish.routing_key);
    out.push(u8::from(publish.mandatory) | u8::from(publish.immediate) << 1);
    frame::finish(out, start);
    put_header(out, channel, body.len() as u64, properties);
    for part in body.chunks(body_room(frame_max)) {
        let start = frame::begin(out, FrameKind::Body, channel);
        out.extend_from_slice(part);
        frame::finish(out, start);
    }
}

/// Body bytes that fit in one frame of a whole size of `frame_max`.
#[inline]
pub fn body_room(frame_max: u32) -> usize {
    (frame_max as usize).saturating_sub(OVERHEAD).max(1)
}

#[inline]
pub(super) fn put_header(out: &mut Vec<u8>, channel: u16, body_size: u64, properties: &[u8]) {
    let start = frame::begin(out, FrameKind::Header, channel);
    out.extend_from_slice(&[0, 60, 0, 0]);
    out.extend_from_slice(&body_size.to_be_bytes());
    out.extend_from_slice(properties);
    frame::finish(out, start);
}

#[inline]
fn short(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = input.split_first()?;
    rest.split_at_checked(length.into())
}

#[inline]
fn tag_and_bits(payload: &[u8]) -> Result<(u64, u8), MethodError> {
    match payload.split_first_chunk::<12>() {
        Some((&[_, _, _, _, ref tag @ ..], &[bits])) => Ok((u64::from_be_bytes(*tag), bits)),
        _ => Err(undecodable(payload)),
    }
}

#[cold]
fn undecodable(payload: &[u8]) -> MethodError {
    let (class, method) = method_ids(payload).unwrap_or_default();
    MethodError::undecodable(class, method, payload.get(4..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::method::{BasicAck, BasicNack, BasicPublish, BasicReject, Method};

    const MAX: u32 = 4096;
    const PUBLISH: PublishRef<'static> = PublishRef {
        exchange: b"ex",
        routing_key: b"key",
        mandatory: true,
        immediate: false,
    };

    fn published(body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_publish(&mut out, 7, PUBLISH, &[0x10, 0, 2], body, MAX);
        out
    }

    fn payload(method: impl Into<Method>) -> Vec<u8> {
        let mut out = Vec::new();
        method.into().encode_frame(1, &mut out);
        out[HEAD_BYTES..out.len() - 1].to_vec()
    }

    #[test]
    fn a_publish_is_seen_whole_and_only_when_whole() {
        for body in [&b""[..], b"hello"] {
            let mut bytes = published(body);
            for cut in 0..bytes.len() {
                assert!(whole_publish(&bytes[..cut], MAX).is_none(), "cut at {cut}");
            }
            let length = bytes.len();
            bytes.extend_from_slice(b"next");
            let whole = whole_publish(&bytes, MAX).expect("whole");
            assert_eq!(whole.publish, PUBLISH);
            assert_eq!((whole.channel, whole.consumed), (7, length));
            assert_eq!((whole.properties, whole.body), (&[0x10, 0, 2][..], body));
        }
    }

    #[test]
    fn a_body_in_several_frames_goes_the_long_way() {
        assert!(whole_publish(&published(&[1; MAX as usize - 8]), MAX).is_some());
        let bytes = published(&[1; MAX as usize - 7]);
        assert!(whole_publish(&bytes, MAX).is_none());
        let mut at = 0;
        let mut body = 0;
        while let Some((frame, taken)) = frame::parse(&bytes[at..], MAX).expect("good frames") {
            assert!(taken <= MAX as usize);
            body += usize::from(frame.kind == FrameKind::Body) * frame.payload.len();
            at += taken;
        }
        assert_eq!((at, body), (bytes.len(), MAX as usize - 7));
    }

    #[test]
    fn frames_of_another_channel_or_class_or_weight_go_the_long_way() {
        let good = published(b"hello");
        let header_at = frame::parse(&good, MAX).expect("good").expect("whole").1;
        for (at, octet) in [
            (header_at + 2, 8),
            (header_at + HEAD_BYTES + 1, 50),
            (header_at + HEAD_BYTES + 3, 1),
        ] {
            let mut bad = good.clone();
            bad[at] = octet;
            assert!(whole_publish(&bad, MAX).is_none());
        }
    }

    #[test]
    fn the_short_way_reads_what_the_table_of_methods_writes() {
        let ack = BasicAck {
            delivery_tag: 1 << 40,
            multiple: true,
        };
        let read = parse_ack(&payload(ack)).expect("an ack");
        assert_eq!((read.delivery_tag, read.multiple), (1 << 40, true));
        let nack = BasicNack {
            delivery_tag: 5,
            multiple: false,
            requeue: true,
        };
        let read = parse_nack(&payload(nack)).expect("a nack");
        assert_eq!((read.delivery_tag, read.multiple, read.requeue), (5, false, true));
        let reject = BasicReject {
            delivery_tag: 5,
            requeue: true,
        };
        let read = parse_reject(&payload(reject)).expect("a reject");
        assert_eq!((read.delivery_tag, read.requeue), (5, true));
        let publish = BasicPublish {
            exchange: "ex".into(),
            routing_key: "key".into(),
            mandatory: true,
            immediate: false,
        };
        assert_eq!(parse_publish(&payload(publish)), Ok(PUBLISH));
    }

    #[test]
    fn cut_and_long_methods_are_undecodable() {
        let publish = payload(BasicPublish::default());
        let mut long = publish.clone();
        long.push(0);
        for bad in [&publish[..publish.len() - 1], &long] {
            let error = parse_publish(bad).expect_err("refused");
            assert_eq!(Method::parse(bad), Err(error));
        }
        let ack = [0, 60, 0, 80, 1];
        assert_eq!(parse_ack(&ack).err(), Method::parse(&ack).err());
    }
}
