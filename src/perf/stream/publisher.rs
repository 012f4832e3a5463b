//! A publisher: one thread, one connection, one stream; messages out and confirms in.
//!
//! As over AMQP 0-9-1 it never blocks on writing alone, and one pass prepares a batch if there is room for one, writes
//! what the socket takes, and reads what is there.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::batch::{Batch, PUBLISHER};
use super::link::{Link, closing, next};
use crate::perf::args::PerfArgs;
use crate::perf::confirms::Confirms;
use crate::perf::counters::{Counters, Gate};
use crate::perf::link::LinkError;
use crate::perf::pace::Pace;
use crate::perf::pipe::Filled;
use crate::perf::publisher::{GIVE_UP, NAP, Published, share};
use crate::perf::stats::histogram;
use crate::perf::topology::{Lanes, Target, Topology};
use crate::perf::verify::Sent;
use crate::stream_protocol::codec::{Code, Frame, Key, Request};

/// A publisher ready to run.
pub struct Publisher {
    index: u16,
    link: Link,
    batch: Batch,
    /// The part of the batch that is not written yet, as byte positions.
    pending: std::ops::Range<usize>,
    /// Sequence number of the message after those in the batch.
    next_seq: u64,
    /// The number of the message with sequence number 0, for the broker.
    first_number: u64,
    limit: Option<u64>,
    pace: Option<Pace>,
    confirms: Confirms,
    /// Free places in the window worth a write.
    refill: usize,
    sent: Sent,
    latency: Histogram<u64>,
    counters: Arc<Counters>,
    gate: Arc<Gate>,
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
        let (publishers, place) = (args.publishers as u64, index as u64);
        Ok(Self {
            index: index as u16,
            link,
            pending: 0..0,
            next_seq: 0,
            first_number,
            limit: args.messages.map(|all| share(all, place, publishers)),
            pace: args
                .rate
                .map(|rate| Pace::in_turn(rate, gate.clock.now_ns(), place, publishers)),
            confirms: Confirms::new(args.confirm),
            refill: (args.confirm / 10).clamp(1, batch.slots()),
            batch,
            sent: Sent {
                count: 0,
                excused: Vec::new(),
                lanes: Lanes::new(vec![Target::Queue(queue)]),
            },
            latency: histogram(),
            counters: Arc::default(),
            gate,
        })
    }

    /// The counts this publisher keeps.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Publishes until its share is sent or the gate says stop, then waits for the confirms.
    pub fn run(mut self) -> Result<Published, LinkError> {
        let mut last_progress_ns = self.gate.clock.now_ns();
        loop {
            let now_ns = self.gate.clock.now_ns();
            let over = self.gate.publishers_stop() || self.limit.is_some_and(|limit| self.next_seq >= limit);
            if !over {
                self.prepare(now_ns);
            }
            let wrote = self.write()?;
            let heard = self.hear()?;
            if over && self.pending.is_empty() && self.confirms.outstanding() == 0 {
                break;
            }
            if wrote || heard {
                last_progress_ns = now_ns;
            } else if over && Duration::from_nanos(now_ns - last_progress_ns) > GIVE_UP {
                break;
            } else {
                self.rest(now_ns)?;
            }
        }
        Ok(self.finish())
    }

    /// Stamps the next batch if the last one is written and window, rate and limit leave room.
    fn prepare(&mut self, now_ns: u64) {
        let room = self.confirms.room();
        if !self.pending.is_empty() || room < self.refill {
            return;
        }
        let mut count = self.batch.slots().min(room) as u64;
        if let Some(limit) = self.limit {
            count = count.min(limit - self.next_seq);
        }
        if let Some(pace) = &mut self.pace {
            count = count.min(pace.due(now_ns));
            pace.take(count);
        }
        if count > 0 {
            self.pending = 0..self.batch.stamp(count as usize, self.index, self.next_seq, now_ns);
            self.next_seq += count;
            self.confirms.sent(count as usize, now_ns);
        }
    }

    fn write(&mut self) -> Result<bool, LinkError> {
        if self.pending.is_empty() || !self.link.flush()? {
            return Ok(false);
        }
        let bytes = self.batch.bytes(self.pending.start, self.pending.end);
        let written = self.link.write(bytes)?;
        self.pending.start += written;
        // With the heads of frames, a few too many while a batch is half written.
        let left = self.pending.len().div_ceil(self.batch.slot_bytes()) as u64;
        self.sent.count = self.sent.count.max(self.next_seq.saturating_sub(left));
        self.counters.published.set(self.sent.count);
        self.counters.published_at_ns.set(self.gate.clock.now_ns());
        Ok(written > 0)
    }

    /// Reads once and acts on what came.
    fn hear(&mut self) -> Result<bool, LinkError> {
        if self.link.pipe.fill()? == Filled::Nothing {
            return Ok(false);
        }
        let (now_ns, is_measured) = (self.gate.clock.now_ns(), self.gate.measuring());
        let mut used = 0;
        while let Some((frame, bytes)) = next(&self.link.pipe.ready()[used..])? {
            used += bytes;
            match Key::of(frame.key) {
                Some(Key::PublishConfirm) => {
                    let mut count = 0;
                    for number in numbers::<8>(&frame) {
                        let latency = &mut self.latency;
                        self.confirms
                            .confirm(tag(number, self.first_number), false, |_, sent_ns| {
                                count += 1;
                                if is_measured {
                                    latency.saturating_record(now_ns.saturating_sub(sent_ns));
                                }
                            })?;
                    }
                    self.counters.confirmed.add(count);
                    self.counters.confirmed_at_ns.set(now_ns);
                }
                Some(Key::PublishError) => {
                    for number in numbers::<10>(&frame) {
                        let tag = tag(number, self.first_number);
                        self.confirms.confirm(tag, false, |_, _| {})?;
                        self.sent.excused.push(tag - 1);
                        self.counters.nacked.add(1);
                    }
                }
                _ => closing(&frame)?,
            }
        }
        self.link.pipe.drop_front(used);
        Ok(true)
    }

    /// Waits until something can be done.
    fn rest(&mut self, now_ns: u64) -> Result<(), LinkError> {
        let mut nap = NAP;
        // A window that is full would be asked about over and over.
        if let Some(pace) = self.pace.as_ref().filter(|_| self.confirms.room() >= self.refill) {
            nap = nap.min(Duration::from_nanos(pace.next_ns().saturating_sub(now_ns)));
        }
        self.link.pipe.wait(!self.pending.is_empty(), nap)
    }

    fn finish(mut self) -> Published {
        let unconfirmed: Vec<u64> = self.confirms.unconfirmed().collect();
        self.sent.excused.extend(unconfirmed.iter().map(|number| number - 1));
        self.sent.excused.sort_unstable();
        // A half-written message cannot be followed by anything.
        if self.pending.is_empty() {
            self.link.close(GIVE_UP);
        }
        Published {
            sent: self.sent,
            unconfirmed: unconfirmed.len() as u64,
            latency: self.latency,
        }
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
