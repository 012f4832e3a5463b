//! A publisher over the stream protocol: one thread, one connection, one stream; messages out and confirms in.

use std::sync::Arc;

use super::batch::{Batch, PUBLISHER};
use super::link::{Link, closing, next};
use crate::perf::args::PerfArgs;
use crate::perf::confirms::Verdict;
use crate::perf::counters::{Counters, Gate};
use crate::perf::link_error::LinkError;
use crate::perf::pipe::Filled;
use crate::perf::sending::{self, GIVE_UP, Published, Publishes, Sending};
use crate::perf::topology::{Lanes, Target, Topology};
use crate::stream_protocol::codec::{Code, Frame, Key, Request};

/// A publisher ready to run.
pub struct Publisher {
    link: Link,
    batch: Batch,
    sending: Sending,
    /// The number of the message with sequence number 0, for the broker.
    first_number: u64,
}

impl Publisher {
    /// Connects publisher `index` to the node that takes its messages, and declares it, with a name if the options
    /// want that.
    pub fn open(args: &PerfArgs, topology: &Topology, index: usize, gate: Arc<Gate>) -> Result<Self, LinkError> {
        let queue = index % topology.queues.len();
        let stream = topology.queues[queue].as_bytes();
        let reference = match args.named {
            true => format!("warren-perf-{index}"),
            false => String::new(),
        };
        let mut link = declared(args, index, stream, reference.as_bytes())?;
        let first_number = match args.named {
            // Those of a run before are known to the broker, which would drop them.
            true => last_number(&mut link, stream, reference.as_bytes())? + 1,
            false => 1,
        };
        let batch = Batch::new(args.size, args.per_frame, args.confirm, link.frame_max(), first_number);
        let lanes = Lanes::new(vec![Target::Queue(queue)]);
        Ok(Self {
            link,
            sending: Sending::new(args, index, batch.slots(), lanes, gate),
            batch,
            first_number,
        })
    }

    /// The counts this publisher keeps.
    pub fn counters(&self) -> Arc<Counters> {
        self.sending.counters.clone()
    }

    /// Publishes until its share is sent or the gate says stop, then waits for the confirms.
    pub fn run(mut self) -> Result<Published, LinkError> {
        sending::run(&mut self)?;
        // A half-written message cannot be followed by anything.
        if self.sending.pending.is_empty() {
            self.link.close(GIVE_UP);
        }
        Ok(self.sending.finish())
    }
}

impl Publishes for Publisher {
    fn sending(&self) -> &Sending {
        &self.sending
    }

    fn prepare(&mut self, now_ns: u64) {
        let count = self.sending.due(self.batch.slots(), now_ns);
        if count > 0 {
            let Sending { index, next_seq, .. } = self.sending;
            let bytes = self.batch.stamp(count, index, next_seq, now_ns);
            self.sending.stamped(count, bytes, now_ns);
        }
    }

    fn write(&mut self) -> Result<bool, LinkError> {
        let pending = self.sending.pending.clone();
        if pending.is_empty() || !self.link.flush()? {
            return Ok(false);
        }
        let written = self.link.write(self.batch.bytes(pending.start, pending.end))?;
        self.sending.wrote(written, self.batch.slot_bytes());
        Ok(written > 0)
    }

    fn hear(&mut self) -> Result<bool, LinkError> {
        if self.link.pipe.fill()? == Filled::Nothing {
            return Ok(false);
        }
        let now_ns = self.sending.gate.clock.now_ns();
        let first_number = self.first_number;
        let tag = |number| tag(number, first_number);
        let mut used = 0;
        while let Some((frame, bytes)) = next(&self.link.pipe.ready()[used..])? {
            used += bytes;
            match Key::of(frame.key) {
                Some(Key::PublishConfirm) => {
                    let tags = numbers::<8>(&frame).map(tag);
                    self.sending.settle(tags, false, Verdict::Acked, now_ns)?;
                }
                Some(Key::PublishError) => {
                    let tags = numbers::<10>(&frame).map(tag);
                    self.sending.settle(tags, false, Verdict::Nacked, now_ns)?;
                }
                _ => closing(&frame)?,
            }
        }
        self.link.pipe.drop_front(used);
        Ok(true)
    }

    fn rest(&mut self, now_ns: u64) -> Result<(), LinkError> {
        let nap = self.sending.nap(now_ns);
        self.link.pipe.wait(!self.sending.pending.is_empty(), nap)
    }
}

/// A connection to the first address, from the one whose turn it is, where the stream may be written.
fn declared(args: &PerfArgs, index: usize, stream: &[u8], reference: &[u8]) -> Result<Link, LinkError> {
    let what = "declare publisher";
    let mut last = Code::NotAvailable as u16;
    for uri in args.uris_for(index) {
        let opened = Link::open(
            std::slice::from_ref(&uri),
            &format!("warren perf publisher {index}"),
            64 * 1024,
        );
        let mut link = match opened {
            Err(LinkError::Connect { .. }) if args.uri.len() > 1 => continue,
            opened => opened?,
        };
        let request = Request::DeclarePublisher {
            publisher: PUBLISHER,
            reference,
            stream,
        };
        match link.ask_code(what, request)? {
            (code, _) if code == Code::Ok as u16 => return Ok(link),
            // It is led elsewhere.
            (code, _) if code == Code::NotAvailable as u16 => last = code,
            (code, _) => return Err(LinkError::Refused { what, code }),
        }
    }
    Err(LinkError::Refused { what, code: last })
}

/// The highest number that the broker has of that name.
fn last_number(link: &mut Link, stream: &[u8], reference: &[u8]) -> Result<u64, LinkError> {
    let sequence = link.ask(
        "query publisher sequence",
        Request::QueryPublisherSequence { reference, stream },
    )?;
    let number = sequence
        .first_chunk::<8>()
        .ok_or(LinkError::Strange("a sequence ends early"))?;
    Ok(u64::from_be_bytes(*number))
}

/// The number of a message among those of this run, from 1.
fn tag(number: u64, first_number: u64) -> u64 {
    number.wrapping_sub(first_number).wrapping_add(1)
}

/// The numbers of a confirm, or of an error, of which each has so many bytes.
#[inline]
fn numbers<'a, const EACH: usize>(frame: &Frame<'a>) -> impl Iterator<Item = u64> + use<'a, EACH> {
    let rest = frame.body.get(5..).unwrap_or_default();
    let number = |each: &[u8]| each.first_chunk::<8>().map(|number| u64::from_be_bytes(*number));
    rest.chunks_exact(EACH).filter_map(number)
}
