//! The messages of one queue, from one connection to another.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::args::MigrateArgs;
use super::content::{body_size, for_target};
use crate::perf::link::{Link, closing};
use crate::perf::link_error::LinkError;
use crate::perf::pipe::Filled;
use crate::perf::wire::{self, Frame, Method, MethodFrame, WireError, id, kind};
use crate::types::FieldTable;

/// Between two looks whether a quiet queue is empty.
const LOOK: Duration = Duration::from_millis(500);
/// How long one side is waited for before the other is looked at.
const TURN: Duration = Duration::from_millis(2);
const READ_BYTES: usize = 256 * 1024;
/// The largest body that is moved, in bytes: more than any broker takes.
const LARGEST: u64 = 1024 * 1024 * 1024;

/// Two connections, and what is on its way between them.
pub struct Mover<'a> {
    queue: &'a str,
    follow: bool,
    source: Link,
    target: Link,
    /// To the source too, for questions: on the other one messages come in between.
    control: Link,
    incoming: Incoming,
    /// The number of the next publish.
    next: u64,
    /// What is not confirmed: by its number, the source's delivery tag.
    unconfirmed: BTreeMap<u64, u64>,
}

/// Why a queue is not moved to its end.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error("the source: {0}")]
    Source(LinkError),
    #[error("the target: {0}")]
    Target(LinkError),
    #[error("the target has no such queue: it gave a message back ({0})")]
    Returned(String),
    #[error("the target refused a message; the queue there may be full")]
    Refused,
    #[error("the source sent what makes no sense")]
    Nonsense,
}

/// The message that is being read.
#[derive(Default)]
enum Incoming {
    #[default]
    Nothing,
    Delivered(u64),
    Headed {
        tag: u64,
        header: Vec<u8>,
        left: u64,
        body: Vec<u8>,
    },
}

/// A message that is read.
struct Whole {
    tag: u64,
    header: Vec<u8>,
    body: Vec<u8>,
}

impl MoveError {
    /// Whether it may be otherwise in a while: a broker is started again.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Source(error) | Self::Target(error) => match error {
                LinkError::Connect { .. } | LinkError::Lost(_) | LinkError::Eof | LinkError::NoAnswer(_) => true,
                // Orderly stops.
                LinkError::ConnectionClosed { code, .. } => *code == 320,
                _ => false,
            },
            Self::Returned(_) | Self::Refused | Self::Nonsense => false,
        }
    }
}

impl<'a> Mover<'a> {
    /// Connects to both, and begins to consume.
    ///
    /// # Errors
    /// When one of both does not let it, or has no such queue.
    pub fn open(args: &MigrateArgs, queue: &'a str) -> Result<Self, MoveError> {
        let link = |uri| {
            let mut link = Link::open(std::slice::from_ref(uri), "warren migrate", READ_BYTES)?;
            link.open_channel()?;
            Ok::<_, LinkError>(link)
        };
        let mut target = link(&args.to).map_err(MoveError::Target)?;
        count(&mut target, queue).map_err(MoveError::Target)?;
        MethodFrame::begin(&mut target.pipe.output, 1, id::CONFIRM_SELECT)
            .u8(0)
            .end();
        let confirms = target.call("confirm.select", id::CONFIRM_SELECT_OK);
        confirms.map_err(MoveError::Target)?;
        let mut source = link(&args.from).map_err(MoveError::Source)?;
        MethodFrame::begin(&mut source.pipe.output, 1, id::BASIC_QOS)
            .u32(0)
            .u16(args.window)
            .u8(0)
            .end();
        source.call("basic.qos", id::BASIC_QOS_OK).map_err(MoveError::Source)?;
        let control = link(&args.from).map_err(MoveError::Source)?;
        // The answer is read with the deliveries, which may come with it.
        MethodFrame::begin(&mut source.pipe.output, 1, id::BASIC_CONSUME)
            .u16(0)
            .short(queue)
            .short("warren migrate")
            .u8(0)
            .table(&FieldTable::new())
            .end();
        Ok(Self {
            queue,
            follow: args.follow,
            source,
            target,
            control,
            incoming: Incoming::Nothing,
            next: 1,
            unconfirmed: BTreeMap::new(),
        })
    }

    /// Moves until the queue is empty and everything is confirmed and acknowledged. Counts what was acknowledged.
    ///
    /// # Errors
    /// Why it goes on no more; what is not acknowledged by then stays at the source.
    pub fn run(&mut self, moved: &mut u64) -> Result<(), MoveError> {
        let mut quiet_since = Instant::now();
        loop {
            let read = self.read_source()? | self.read_target(moved)?;
            let flushed =
                self.source.flush().map_err(MoveError::Source)? & self.target.flush().map_err(MoveError::Target)?;
            if read {
                quiet_since = Instant::now();
                continue;
            }
            let is_done = flushed && self.unconfirmed.is_empty() && matches!(self.incoming, Incoming::Nothing);
            if is_done && !self.follow && quiet_since.elapsed() >= LOOK {
                if count(&mut self.control, self.queue).map_err(MoveError::Source)? == 0 {
                    return Ok(());
                }
                quiet_since = Instant::now();
            }
            self.source.pipe.wait(!flushed, TURN).map_err(MoveError::Source)?;
            if !self.unconfirmed.is_empty() {
                self.target.pipe.wait(!flushed, TURN).map_err(MoveError::Target)?;
            }
        }
    }

    /// Says goodbye to both.
    pub fn close(self) {
        for link in [self.source, self.target, self.control] {
            link.close(Duration::from_secs(2));
        }
    }

    /// Reads what has come from the source and hands whole messages on. Whether anything came.
    fn read_source(&mut self) -> Result<bool, MoveError> {
        let came = self.source.pipe.fill().map_err(MoveError::Source)? == Filled::Some;
        let mut read = 0;
        let input = self.source.pipe.ready();
        while let Some(frame) = wire::frame(&input[read..]).map_err(in_source)? {
            read += frame.wire_bytes();
            if let Some(whole) = self.incoming.take(&frame)? {
                let limit = self.target.frame_max();
                let header = for_target(&whole.header).ok_or(MoveError::Nonsense)?;
                publish(&mut self.target.pipe.output, self.queue, &header, &whole.body, limit);
                self.unconfirmed.insert(self.next, whole.tag);
                self.next += 1;
            }
        }
        self.source.pipe.drop_front(read);
        Ok(came)
    }

    /// Reads what the target says and acknowledges what it has confirmed. Whether anything came.
    fn read_target(&mut self, moved: &mut u64) -> Result<bool, MoveError> {
        let came = self.target.pipe.fill().map_err(MoveError::Target)? == Filled::Some;
        let mut read = 0;
        let input = self.target.pipe.ready();
        while let Some(frame) = wire::frame(&input[read..]).map_err(in_target)? {
            read += frame.wire_bytes();
            if frame.kind != kind::METHOD {
                continue;
            }
            let (_, method) = Method::decode(frame.payload).map_err(in_target)?;
            if let Some(error) = closing(&method) {
                return Err(MoveError::Target(error));
            }
            match method {
                Method::Ack { tag, multiple } => {
                    let first = if multiple { 0 } else { tag };
                    let confirmed: Vec<_> = self.unconfirmed.range(first..=tag).map(|(seq, _)| *seq).collect();
                    for seq in confirmed {
                        if let Some(tag) = self.unconfirmed.remove(&seq) {
                            MethodFrame::begin(&mut self.source.pipe.output, 1, id::BASIC_ACK)
                                .u64(tag)
                                .u8(0)
                                .end();
                            *moved += 1;
                        }
                    }
                }
                Method::Nack { .. } => return Err(MoveError::Refused),
                Method::Return { text, .. } => {
                    return Err(MoveError::Returned(String::from_utf8_lossy(text).into_owned()));
                }
                _ => {}
            }
        }
        self.target.pipe.drop_front(read);
        Ok(came)
    }
}

impl Incoming {
    /// Takes a frame; gives the message that it makes whole.
    fn take(&mut self, frame: &Frame<'_>) -> Result<Option<Whole>, MoveError> {
        match (frame.kind, std::mem::take(self)) {
            (kind::METHOD, before) => {
                if frame.payload.first_chunk() == Some(&id::BASIC_DELIVER.to_be_bytes()) {
                    *self = Self::Delivered(delivery_tag(frame.payload).ok_or(MoveError::Nonsense)?);
                    return Ok(None);
                }
                let (_, method) = Method::decode(frame.payload).map_err(in_source)?;
                if let Method::Cancel { consumer_tag } = method {
                    let tag = String::from_utf8_lossy(consumer_tag).into_owned();
                    return Err(MoveError::Source(LinkError::Cancelled(tag)));
                }
                match closing(&method) {
                    Some(error) => Err(MoveError::Source(error)),
                    None => {
                        *self = before;
                        Ok(None)
                    }
                }
            }
            (kind::HEADER, Self::Delivered(tag)) => {
                let left = body_size(frame.payload).filter(|size| *size <= LARGEST);
                let left = left.ok_or(MoveError::Nonsense)?;
                let (header, body) = (frame.payload.to_vec(), Vec::new());
                if left == 0 {
                    return Ok(Some(Whole { tag, header, body }));
                }
                *self = Self::Headed {
                    tag,
                    header,
                    left,
                    body,
                };
                Ok(None)
            }
            (
                kind::BODY,
                Self::Headed {
                    tag,
                    header,
                    left,
                    mut body,
                },
            ) => {
                body.extend_from_slice(frame.payload);
                match left.checked_sub(frame.payload.len() as u64) {
                    Some(0) => Ok(Some(Whole { tag, header, body })),
                    Some(left) => {
                        *self = Self::Headed {
                            tag,
                            header,
                            left,
                            body,
                        };
                        Ok(None)
                    }
                    None => Err(MoveError::Nonsense),
                }
            }
            (kind::HEADER | kind::BODY, _) => Err(MoveError::Nonsense),
            // Heartbeats.
            (_, before) => {
                *self = before;
                Ok(None)
            }
        }
    }
}

/// The delivery tag of a deliver method.
fn delivery_tag(payload: &[u8]) -> Option<u64> {
    let tag_bytes = usize::from(*payload.get(4)?);
    Some(u64::from_be_bytes(*payload.get(5 + tag_bytes..)?.first_chunk()?))
}

/// Writes a message to a queue by its name.
fn publish(out: &mut Vec<u8>, queue: &str, header: &[u8], body: &[u8], frame_max: usize) {
    MethodFrame::begin(out, 1, id::BASIC_PUBLISH)
        .u16(0)
        .short("")
        .short(queue)
        .u8(1)
        .end();
    wire::raw_frame(out, kind::HEADER, header);
    for part in body.chunks(frame_max - wire::FRAME_OVERHEAD) {
        wire::raw_frame(out, kind::BODY, part);
    }
}

/// How many messages are ready in a queue that is there.
fn count(link: &mut Link, queue: &str) -> Result<u32, LinkError> {
    MethodFrame::begin(&mut link.pipe.output, 1, id::QUEUE_DECLARE)
        .u16(0)
        .short(queue)
        .u8(1)
        .table(&FieldTable::new())
        .end();
    link.call("queue.declare", id::QUEUE_DECLARE_OK)
}

fn in_source(error: WireError) -> MoveError {
    MoveError::Source(error.into())
}

fn in_target(error: WireError) -> MoveError {
    MoveError::Target(error.into())
}
