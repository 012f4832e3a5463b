//! A consumer: one thread, one connection, a subscription for each of its streams; chunks in and credit out.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::batch;
use super::chunk::Chunk;
use super::link::{CORRELATION, Link, closing, code_at, next};
use crate::perf::args::PerfArgs;
use crate::perf::counters::{Counters, Gate};
use crate::perf::deliveries::Delivery;
use crate::perf::link_error::LinkError;
use crate::perf::pipe::{Filled, NAP};
use crate::perf::stamp;
use crate::perf::stats::histogram;
use crate::perf::topology::Topology;
use crate::perf::verify::{Arrivals, Order};
use crate::stream_protocol::codec::request::Subscribe;
use crate::stream_protocol::codec::{Code, Command, Frame, Key, Map, Request};

/// Bytes taken in one read at most.
const READ_BYTES: usize = 1024 * 1024;

/// A consumer ready to run.
pub struct Consumer {
    link: Link,
    /// The streams it reads; the subscription ids are places in here.
    subscriptions: Vec<Subscription>,
    consumed: u64,
    replies_due: usize,
    /// Where messages are noted, by stream, when they are checked.
    arrivals: Option<Arc<Vec<Mutex<Arrivals>>>>,
    measures_latency: bool,
    latency: Histogram<u64>,
    counters: Arc<Counters>,
    gate: Arc<Gate>,
}

struct Subscription {
    /// The number of the stream.
    stream: usize,
    /// The offset behind the last chunk.
    next: u64,
    /// Chunks that were read, for which no credit is given yet.
    read: i16,
    order: Order,
}

impl Consumer {
    /// Connects consumer `index`; it subscribes when it runs.
    pub fn open(
        args: &PerfArgs,
        topology: &Topology,
        index: usize,
        arrivals: Option<Arc<Vec<Mutex<Arrivals>>>>,
        gate: Arc<Gate>,
    ) -> Result<Self, LinkError> {
        let name = format!("warren perf consumer {index}");
        let mut link = Link::open(&args.uris_for(index), &name, READ_BYTES)?;
        let streams = topology.queues_of(index, args.consumers);
        for (subscription, stream) in streams.iter().enumerate() {
            link.put(Request::Subscribe(Subscribe {
                subscription: subscription as u8,
                stream: topology.queues[*stream].as_bytes(),
                start: args.start().into(),
                credit: args.credit,
                properties: Map::default(),
            }));
        }
        let subscription = |stream| Subscription {
            stream,
            next: 0,
            read: 0,
            order: Order::default(),
        };
        Ok(Self {
            link,
            replies_due: streams.len(),
            subscriptions: streams.into_iter().map(subscription).collect(),
            consumed: 0,
            arrivals,
            measures_latency: args.latency,
            latency: histogram(),
            counters: Arc::default(),
            gate,
        })
    }

    /// The counts this consumer keeps.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Consumes until the gate says stop; calls `ready` once when the broker has accepted it on all its streams.
    /// Gives the times from publish to delivery, in nanoseconds.
    pub fn run(mut self, ready: impl FnOnce()) -> Result<Histogram<u64>, LinkError> {
        let mut ready = Some(ready);
        while !self.gate.consumers_stop() {
            let flushed = self.link.flush()?;
            if self.link.pipe.fill()? == Filled::Nothing {
                self.link.pipe.wait(!flushed, NAP)?;
                continue;
            }
            self.take()?;
            if self.replies_due == 0
                && let Some(ready) = ready.take()
            {
                ready();
            }
        }
        self.link.close(Duration::from_secs(5));
        Ok(self.latency)
    }

    /// Counts every message in the input and gives credit for the chunks.
    fn take(&mut self) -> Result<(), LinkError> {
        let now_ns = self.gate.clock.now_ns();
        let is_measured = self.measures_latency && self.gate.measuring();
        let before = self.consumed;
        let mut used = 0;
        while let Some((frame, bytes)) = next(&self.link.pipe.ready()[used..])? {
            used += bytes;
            match Key::of(frame.key) {
                Some(Key::Deliver) if !frame.is_answer => {
                    let (id, chunk) = delivered(&frame)?;
                    let strange = LinkError::Strange("a chunk of a subscription that nobody asked for");
                    let subscription = self.subscriptions.get_mut(usize::from(id)).ok_or(strange)?;
                    subscription.goes_on(&chunk)?;
                    self.consumed += chunk.records;
                    if is_measured {
                        measure(&chunk, now_ns, &mut self.latency);
                    }
                    if let Some(arrivals) = &self.arrivals {
                        check(&chunk, &arrivals[subscription.stream], &mut subscription.order)?;
                    }
                }
                Some(Key::Subscribe) if frame.is_answer => {
                    let code = code_at(&frame, CORRELATION);
                    if code != Code::Ok as u16 {
                        return Err(LinkError::Refused {
                            what: "subscribe",
                            code,
                        });
                    }
                    self.replies_due = self.replies_due.saturating_sub(1);
                }
                _ => closing(&frame)?,
            }
        }
        self.link.pipe.drop_front(used);
        for (id, subscription) in self.subscriptions.iter_mut().enumerate() {
            let credit = std::mem::take(&mut subscription.read);
            if credit > 0 {
                let subscription = id as u8;
                Command::Credit { subscription, credit }.encode(&mut self.link.pipe.output);
            }
        }
        if self.consumed > before {
            self.counters.consumed.set(self.consumed);
            self.counters.consumed_at_ns.set(now_ns);
        }
        Ok(())
    }
}

impl Subscription {
    /// A chunk must follow those before it. Offsets may be left out: RabbitMQ gives some to what it keeps for itself.
    fn goes_on(&mut self, chunk: &Chunk<'_>) -> Result<(), LinkError> {
        if chunk.first < self.next {
            return Err(LinkError::Strange("offsets go back"));
        }
        self.next = chunk.first + chunk.records;
        self.read += 1;
        Ok(())
    }
}

/// The subscription and the chunk of a delivery.
#[inline]
fn delivered<'a>(frame: &Frame<'a>) -> Result<(u8, Chunk<'a>), LinkError> {
    let (id, chunk) = frame
        .body
        .split_first()
        .ok_or(LinkError::Strange("a delivery ends early"))?;
    Ok((*id, Chunk::read(chunk)?))
}

fn measure(chunk: &Chunk<'_>, now_ns: u64, latency: &mut Histogram<u64>) {
    let bodies = chunk.messages().flatten().filter_map(batch::body);
    for sent_ns in bodies.filter_map(|body| stamp::read(body)?.sent_ns) {
        latency.saturating_record(now_ns.saturating_sub(sent_ns));
    }
}

fn check(chunk: &Chunk<'_>, arrivals: &Mutex<Arrivals>, order: &mut Order) -> Result<(), LinkError> {
    if !chunk.is_whole() {
        return Err(LinkError::Strange("the checksum of a chunk is wrong"));
    }
    let mut arrivals = arrivals.lock();
    for message in chunk.messages() {
        // What has no body that can be read counts as damaged.
        let body = message.and_then(batch::body).unwrap_or_default();
        arrivals.see(&Delivery::of_body(body), order);
    }
    Ok(())
}
