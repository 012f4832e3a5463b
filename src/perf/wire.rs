//! The little of AMQP 0-9-1 that a load generator speaks: frames, and the methods a client sends and hears.
//!
//! Written apart from the broker's codec on purpose: two implementations that agree check each other. Encoders
//! append to a `Vec<u8>`; decoders borrow from the input and never copy. Nothing here touches a socket.

use crate::types::FieldTable;

/// Sent before the first frame.
pub const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\x00\x00\x09\x01";
/// Bytes a frame has besides its payload: type, channel, size, frame end.
pub const FRAME_OVERHEAD: usize = 8;
/// Largest frame this client offers and takes, in bytes; what RabbitMQ offers too.
pub const MAX_FRAME: usize = 131_072;

const FRAME_END: u8 = 0xCE;

/// The kinds of frame (spec section 4.2.3).
pub mod kind {
    pub const METHOD: u8 = 1;
    pub const HEADER: u8 = 2;
    pub const BODY: u8 = 3;
}

/// Class and method numbers in one word, as they stand at the front of a method frame.
pub mod id {
    pub const CONNECTION_START: u32 = 10 << 16 | 10;
    pub const CONNECTION_START_OK: u32 = 10 << 16 | 11;
    pub const CONNECTION_TUNE: u32 = 10 << 16 | 30;
    pub const CONNECTION_TUNE_OK: u32 = 10 << 16 | 31;
    pub const CONNECTION_OPEN: u32 = 10 << 16 | 40;
    pub const CONNECTION_OPEN_OK: u32 = 10 << 16 | 41;
    pub const CONNECTION_CLOSE: u32 = 10 << 16 | 50;
    pub const CONNECTION_CLOSE_OK: u32 = 10 << 16 | 51;
    pub const CONNECTION_BLOCKED: u32 = 10 << 16 | 60;
    pub const CONNECTION_UNBLOCKED: u32 = 10 << 16 | 61;
    pub const CHANNEL_OPEN: u32 = 20 << 16 | 10;
    pub const CHANNEL_OPEN_OK: u32 = 20 << 16 | 11;
    pub const CHANNEL_FLOW: u32 = 20 << 16 | 20;
    pub const CHANNEL_FLOW_OK: u32 = 20 << 16 | 21;
    pub const CHANNEL_CLOSE: u32 = 20 << 16 | 40;
    pub const EXCHANGE_DECLARE: u32 = 40 << 16 | 10;
    pub const EXCHANGE_DECLARE_OK: u32 = 40 << 16 | 11;
    pub const EXCHANGE_DELETE: u32 = 40 << 16 | 20;
    pub const EXCHANGE_DELETE_OK: u32 = 40 << 16 | 21;
    pub const QUEUE_DECLARE: u32 = 50 << 16 | 10;
    pub const QUEUE_DECLARE_OK: u32 = 50 << 16 | 11;
    pub const QUEUE_BIND: u32 = 50 << 16 | 20;
    pub const QUEUE_BIND_OK: u32 = 50 << 16 | 21;
    pub const QUEUE_DELETE: u32 = 50 << 16 | 40;
    pub const QUEUE_DELETE_OK: u32 = 50 << 16 | 41;
    pub const BASIC_QOS: u32 = 60 << 16 | 10;
    pub const BASIC_QOS_OK: u32 = 60 << 16 | 11;
    pub const BASIC_CONSUME: u32 = 60 << 16 | 20;
    pub const BASIC_CONSUME_OK: u32 = 60 << 16 | 21;
    pub const BASIC_CANCEL: u32 = 60 << 16 | 30;
    pub const BASIC_CANCEL_OK: u32 = 60 << 16 | 31;
    pub const BASIC_PUBLISH: u32 = 60 << 16 | 40;
    pub const BASIC_RETURN: u32 = 60 << 16 | 50;
    pub const BASIC_DELIVER: u32 = 60 << 16 | 60;
    pub const BASIC_ACK: u32 = 60 << 16 | 80;
    pub const BASIC_NACK: u32 = 60 << 16 | 120;
    pub const CONFIRM_SELECT: u32 = 85 << 16 | 10;
    pub const CONFIRM_SELECT_OK: u32 = 85 << 16 | 11;
}

/// Why bytes from the broker make no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum WireError {
    #[error("it does not speak AMQP 0-9-1, but offers {0}-{1}-{2}-{3}")]
    OtherProtocol(u8, u8, u8, u8),
    #[error("a frame does not end with 0xCE")]
    FrameEnd,
    #[error("a frame of {0} bytes is larger than what was agreed")]
    FrameTooLarge(usize),
    #[error("method {}.{} ends early", .0 >> 16, .0 & 0xffff)]
    MethodTruncated(u32),
    #[error("a frame of type {0} came where another was due")]
    UnexpectedFrame(u8),
}

/// One frame of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    pub kind: u8,
    pub channel: u16,
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes the frame takes on the wire.
    #[inline]
    pub fn wire_bytes(&self) -> usize {
        self.payload.len() + FRAME_OVERHEAD
    }
}

/// The frame at the front of `input`, or `None` when not all of it is there.
#[inline]
pub fn frame(input: &[u8]) -> Result<Option<Frame<'_>>, WireError> {
    let Some((head, rest)) = input.split_first_chunk::<7>() else {
        return Ok(None);
    };
    let [kind, c0, c1, s0, s1, s2, s3] = *head;
    let size = u32::from_be_bytes([s0, s1, s2, s3]) as usize;
    if size > MAX_FRAME - FRAME_OVERHEAD {
        return Err(match input {
            [b'A', b'M', b'Q', b'P', a, b, c, d, ..] => WireError::OtherProtocol(*a, *b, *c, *d),
            [b'A', b'M', b'Q', b'P', ..] => return Ok(None),
            _ => WireError::FrameTooLarge(size),
        });
    }
    let Some(end) = rest.get(size) else { return Ok(None) };
    if *end != FRAME_END {
        return Err(WireError::FrameEnd);
    }
    Ok(Some(Frame {
        kind,
        channel: u16::from_be_bytes([c0, c1]),
        payload: &rest[..size],
    }))
}

/// A method from the broker, as far as the generator reads it.
#[derive(Debug, PartialEq, Eq)]
pub enum Method<'a> {
    Tune {
        channel_max: u16,
        frame_max: u32,
    },
    Close {
        code: u16,
        text: &'a [u8],
    },
    ChannelClose {
        code: u16,
        text: &'a [u8],
    },
    Blocked {
        reason: &'a [u8],
    },
    Unblocked,
    Flow {
        active: bool,
    },
    QueueDeclareOk {
        messages: u32,
    },
    Cancel {
        consumer_tag: &'a [u8],
    },
    Return {
        code: u16,
        text: &'a [u8],
    },
    Ack {
        tag: u64,
        multiple: bool,
    },
    Nack {
        tag: u64,
        multiple: bool,
    },
    /// Any other, of which only the number counts.
    Other(u32),
}

impl<'a> Method<'a> {
    /// Reads the payload of a method frame; also gives the method's number, see [`id`].
    pub fn decode(payload: &'a [u8]) -> Result<(u32, Self), WireError> {
        let mut fields = Fields { rest: payload, id: 0 };
        fields.id = fields.u32()?;
        let method = match fields.id {
            id::CONNECTION_TUNE => Self::Tune {
                channel_max: fields.u16()?,
                frame_max: fields.u32()?,
            },
            id::CONNECTION_CLOSE => Self::Close {
                code: fields.u16()?,
                text: fields.short()?,
            },
            id::CHANNEL_CLOSE => Self::ChannelClose {
                code: fields.u16()?,
                text: fields.short()?,
            },
            id::CONNECTION_BLOCKED => Self::Blocked {
                reason: fields.short()?,
            },
            id::CONNECTION_UNBLOCKED => Self::Unblocked,
            id::CHANNEL_FLOW => Self::Flow {
                active: fields.u8()? & 1 != 0,
            },
            id::QUEUE_DECLARE_OK => {
                fields.short()?;
                Self::QueueDeclareOk {
                    messages: fields.u32()?,
                }
            }
            id::BASIC_CANCEL => Self::Cancel {
                consumer_tag: fields.short()?,
            },
            id::BASIC_RETURN => Self::Return {
                code: fields.u16()?,
                text: fields.short()?,
            },
            id::BASIC_ACK => Self::Ack {
                tag: fields.u64()?,
                multiple: fields.u8()? & 1 != 0,
            },
            id::BASIC_NACK => Self::Nack {
                tag: fields.u64()?,
                multiple: fields.u8()? & 1 != 0,
            },
            other => Self::Other(other),
        };
        Ok((fields.id, method))
    }
}

/// The fields of a method, read one after the other.
struct Fields<'a> {
    rest: &'a [u8],
    id: u32,
}

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(WireError::MethodTruncated(self.id))?;
        self.rest = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.take::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, WireError> {
        Ok(u16::from_be_bytes(self.take()?))
    }

    fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_be_bytes(self.take()?))
    }

    fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_be_bytes(self.take()?))
    }

    fn short(&mut self) -> Result<&'a [u8], WireError> {
        let len = usize::from(self.u8()?);
        let (text, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(WireError::MethodTruncated(self.id))?;
        self.rest = rest;
        Ok(text)
    }
}

/// A method frame while it is written; [`MethodFrame::end`] completes it.
pub struct MethodFrame<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
}

impl<'o> MethodFrame<'o> {
    /// Begins a method frame at the end of `out`; `id` as in [`id`].
    pub fn begin(out: &'o mut Vec<u8>, channel: u16, id: u32) -> Self {
        let start = begin_frame(out, kind::METHOD, channel);
        out.extend_from_slice(&id.to_be_bytes());
        Self { out, start }
    }

    pub fn u8(self, value: u8) -> Self {
        self.out.push(value);
        self
    }

    pub fn u16(self, value: u16) -> Self {
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub fn u32(self, value: u32) -> Self {
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub fn u64(self, value: u64) -> Self {
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// A short string; what is over 255 bytes is cut.
    pub fn short(self, text: &str) -> Self {
        let text = &text.as_bytes()[..text.len().min(255)];
        self.out.push(text.len() as u8);
        self.out.extend_from_slice(text);
        self
    }

    pub fn long(self, bytes: &[u8]) -> Self {
        self.out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        self.out.extend_from_slice(bytes);
        self
    }

    pub fn table(self, table: &FieldTable) -> Self {
        table.encode(self.out);
        self
    }

    pub fn end(self) {
        end_frame(self.out, self.start);
    }
}

/// What a publish frame says besides its body.
#[derive(Debug, Clone, Copy)]
pub struct Publish<'a> {
    pub exchange: &'a str,
    pub routing_key: &'a str,
    pub mandatory: bool,
    pub persistent: bool,
    /// The agreed frame size in bytes; larger bodies are split.
    pub frame_max: usize,
}

impl Publish<'_> {
    /// Writes publish, content header and body frames on channel 1. Returns where the routing key and the first
    /// body frame's payload begin, from the front of what was written.
    pub fn encode(&self, body: &[u8], out: &mut Vec<u8>) -> (usize, usize) {
        let begin = out.len();
        MethodFrame::begin(out, 1, id::BASIC_PUBLISH)
            .u16(0)
            .short(self.exchange)
            .short(self.routing_key)
            .u8(u8::from(self.mandatory))
            .end();
        // The key ends two bytes before the frame does: the bits and the frame end.
        let key_at = out.len() - begin - 2 - self.routing_key.len().min(255);
        let header = begin_frame(out, kind::HEADER, 1);
        out.extend_from_slice(&[0, 60, 0, 0]);
        out.extend_from_slice(&(body.len() as u64).to_be_bytes());
        // Only delivery-mode, bit 12 of the property flags.
        out.extend_from_slice(&[0x10, 0x00, if self.persistent { 2 } else { 1 }]);
        end_frame(out, header);
        let body_at = out.len() - begin + FRAME_OVERHEAD - 1;
        for part in body.chunks(self.frame_max - FRAME_OVERHEAD) {
            let start = begin_frame(out, kind::BODY, 1);
            out.extend_from_slice(part);
            end_frame(out, start);
        }
        (key_at, body_at)
    }
}

/// Writes an ack of everything up to `tag` on channel 1.
#[inline]
pub fn ack_up_to(out: &mut Vec<u8>, tag: u64) {
    let mut frame = [1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 1, FRAME_END];
    frame[11..19].copy_from_slice(&tag.to_be_bytes());
    out.extend_from_slice(&frame);
}

fn begin_frame(out: &mut Vec<u8>, kind: u8, channel: u16) -> usize {
    let start = out.len();
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    start
}

fn end_frame(out: &mut Vec<u8>, start: usize) {
    let size = (out.len() - start - 7) as u32;
    out[start + 3..start + 7].copy_from_slice(&size.to_be_bytes());
    out.push(FRAME_END);
}

/// Writes a frame on channel 1.
pub fn raw_frame(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let start = begin_frame(out, kind, 1);
    out.extend_from_slice(payload);
    end_frame(out, start);
}

/// Writes a content header and body as a broker does, for the stand-in broker of the tests.
#[cfg(test)]
pub fn content(out: &mut Vec<u8>, body: &[u8], frame_max: usize) {
    let header = begin_frame(out, kind::HEADER, 1);
    out.extend_from_slice(&[0, 60, 0, 0]);
    out.extend_from_slice(&(body.len() as u64).to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    end_frame(out, header);
    for part in body.chunks(frame_max - FRAME_OVERHEAD) {
        let start = begin_frame(out, kind::BODY, 1);
        out.extend_from_slice(part);
        end_frame(out, start);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PUBLISH: Publish<'static> = Publish {
        exchange: "ex",
        routing_key: "key",
        mandatory: false,
        persistent: true,
        frame_max: 4096,
    };

    #[test]
    fn a_publish_is_written_byte_for_byte_as_the_specification_says() {
        let mut out = Vec::new();
        let (key_at, body_at) = PUBLISH.encode(b"hi", &mut out);
        let expected = [
            &[1, 0, 1, 0, 0, 0, 14, 0, 60, 0, 40, 0, 0, 2][..],
            b"ex",
            &[3],
            b"key",
            &[0, 0xCE],
            &[
                2, 0, 1, 0, 0, 0, 15, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x10, 0, 2, 0xCE,
            ],
            &[3, 0, 1, 0, 0, 0, 2],
            b"hi",
            &[0xCE],
        ]
        .concat();
        assert_eq!(out, expected);
        assert_eq!(&out[key_at..key_at + 3], b"key");
        assert_eq!(&out[body_at..body_at + 2], b"hi");
    }

    #[test]
    fn a_large_body_is_split_at_the_agreed_frame_size() {
        let mut out = Vec::new();
        PUBLISH.encode(&vec![7; 10_000], &mut out);
        let mut rest = &out[..];
        let mut sizes = Vec::new();
        while let Some(frame) = frame(rest).expect("own frames") {
            assert!(frame.wire_bytes() <= 4096);
            sizes.push((frame.kind, frame.payload.len()));
            rest = &rest[frame.wire_bytes()..];
        }
        assert!(rest.is_empty());
        assert_eq!(sizes[2..], [(3, 4088), (3, 4088), (3, 1824)]);
    }

    #[test]
    fn an_empty_body_has_no_body_frame() {
        let mut out = Vec::new();
        PUBLISH.encode(b"", &mut out);
        assert_eq!(out.len(), 22 + 23);
    }

    #[test]
    fn an_ack_reads_back() {
        let mut out = Vec::new();
        ack_up_to(&mut out, 0x0102_0304_0506_0708);
        let frame = frame(&out).expect("own frame").expect("complete");
        assert_eq!(frame.wire_bytes(), out.len());
        assert_eq!(
            Method::decode(frame.payload),
            Ok((
                id::BASIC_ACK,
                Method::Ack {
                    tag: 0x0102_0304_0506_0708,
                    multiple: true
                }
            ))
        );
    }

    #[test]
    fn a_close_carries_its_code_and_text() {
        let mut out = Vec::new();
        MethodFrame::begin(&mut out, 0, id::CONNECTION_CLOSE)
            .u16(320)
            .short("CONNECTION_FORCED - bye")
            .u32(0)
            .end();
        let frame = frame(&out).expect("own frame").expect("complete");
        let (_, method) = Method::decode(frame.payload).expect("own method");
        assert_eq!(
            method,
            Method::Close {
                code: 320,
                text: b"CONNECTION_FORCED - bye"
            }
        );
    }

    #[test]
    fn another_protocol_header_is_recognized() {
        assert_eq!(
            frame(b"AMQP\x03\x01\x00\x00"),
            Err(WireError::OtherProtocol(3, 1, 0, 0))
        );
        assert_eq!(frame(b"AMQP\x03\x01\x00"), Ok(None));
    }

    #[test]
    fn a_wrong_frame_end_and_a_size_over_the_limit_are_errors() {
        assert_eq!(frame(&[8, 0, 0, 0, 0, 0, 0, 0]), Err(WireError::FrameEnd));
        assert_eq!(
            frame(&[1, 0, 0, 0xff, 0, 0, 0]),
            Err(WireError::FrameTooLarge(0xff00_0000))
        );
    }

    proptest! {
        #[test]
        fn no_input_makes_the_decoders_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = frame(&bytes);
            let _ = Method::decode(&bytes);
        }

        #[test]
        fn a_part_of_a_frame_is_incomplete_and_never_an_error(body in prop::collection::vec(any::<u8>(), 0..100), cut in 0.0..1.0f64) {
            let mut out = Vec::new();
            MethodFrame::begin(&mut out, 1, id::BASIC_ACK).long(&body).end();
            let cut = (out.len() as f64 * cut) as usize;
            prop_assert_eq!(frame(&out[..cut]), Ok(None));
        }
    }
}
