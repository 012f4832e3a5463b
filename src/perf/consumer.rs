//! A consumer: one thread, one connection, one channel; deliveries in and acks out.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::args::PerfArgs;
use super::counters::{Counters, Gate};
use super::deliveries::{Delivery, Found, Scanner};
use super::link::{Link, closing};
use super::link_error::LinkError;
use super::pipe::{Filled, NAP};
use super::stamp;
use super::stats::histogram;
use super::topology::Topology;
use super::verify::{Arrivals, Order};
use super::wire::{self, Frame, Method, MethodFrame, id};
use crate::types::FieldTable;

/// Bytes taken in one read at most.
const READ_BYTES: usize = 256 * 1024;

/// A consumer ready to run.
pub struct Consumer {
    link: Link,
    /// Numbers of the queues it reads; the consumer tags are these numbers.
    queues: Vec<usize>,
    ack_every: u64,
    consumed: u64,
    last_tag: u64,
    acked_tag: u64,
    replies_due: usize,
    /// Where deliveries are noted, by queue, when they are checked.
    arrivals: Option<Arc<Vec<Mutex<Arrivals>>>>,
    orders: Vec<Order>,
    measures_latency: bool,
    latency: Histogram<u64>,
    counters: Arc<Counters>,
    gate: Arc<Gate>,
}

impl Consumer {
    /// Connects consumer `index` and asks for its deliveries' limits; it consumes when it runs.
    pub fn open(
        args: &PerfArgs,
        topology: &Topology,
        index: usize,
        arrivals: Option<Arc<Vec<Mutex<Arrivals>>>>,
        gate: Arc<Gate>,
    ) -> Result<Self, LinkError> {
        let name = format!("warren perf consumer {index}");
        let mut link = Link::open(&args.uris_for(index), &name, READ_BYTES)?;
        link.open_channel()?;
        if args.ack_every > 0 && args.prefetch > 0 {
            MethodFrame::begin(&mut link.pipe.output, 1, id::BASIC_QOS)
                .u32(0)
                .u16(args.prefetch)
                .u8(0)
                .end();
            link.call("basic.qos", id::BASIC_QOS_OK)?;
        }
        let queues = topology.queues_of(index, args.consumers);
        // Sent when it runs, all at once: deliveries of the first may come before the reply to the second.
        for queue in &queues {
            MethodFrame::begin(&mut link.pipe.output, 1, id::BASIC_CONSUME)
                .u16(0)
                .short(&topology.queues[*queue])
                .short(&queue.to_string())
                .u8(u8::from(args.ack_every == 0) << 1)
                .table(&consume_arguments(args))
                .end();
        }
        Ok(Self {
            link,
            replies_due: queues.len(),
            queues,
            ack_every: args.ack_every,
            consumed: 0,
            last_tag: 0,
            acked_tag: 0,
            orders: match &arrivals {
                Some(arrivals) => (0..arrivals.len()).map(|_| Order::default()).collect(),
                None => Vec::new(),
            },
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

    /// Consumes until the gate says stop; calls `ready` once when the broker has accepted it on all its queues.
    /// Gives the times from publish to delivery, in nanoseconds.
    pub fn run(mut self, ready: impl FnOnce()) -> Result<Histogram<u64>, LinkError> {
        let mut scanner = Scanner::default();
        let mut ready = Some(ready);
        while !self.gate.consumers_stop() {
            let flushed = self.link.flush()?;
            if self.link.pipe.fill()? == Filled::Nothing {
                // A rest of messages waits as long for its ack.
                let tag = self.last_tag;
                self.link.pipe.wait(!flushed, NAP)?;
                if self.link.pipe.fill()? == Filled::Nothing {
                    if self.last_tag == tag {
                        self.ack_rest();
                    }
                    continue;
                }
            }
            self.take(&mut scanner)?;
            if self.replies_due == 0
                && let Some(ready) = ready.take()
            {
                ready();
            }
        }
        self.ack_rest();
        self.link.close(Duration::from_secs(5));
        Ok(self.latency)
    }

    /// Counts every delivery in the input and writes the acks that are due.
    fn take(&mut self, scanner: &mut Scanner) -> Result<(), LinkError> {
        let now_ns = self.gate.clock.now_ns();
        let measures_latency = self.measures_latency && self.gate.measuring();
        let before = self.consumed;
        let mut used = 0;
        loop {
            let (input, output) = self.link.pipe.halves();
            match scanner.next(input, &mut used)? {
                Some(Found::Delivery(delivery)) => {
                    self.consumed += 1;
                    self.last_tag = delivery.tag;
                    if self.ack_every > 0 && self.consumed.is_multiple_of(self.ack_every) {
                        wire::ack_up_to(output, delivery.tag);
                        self.acked_tag = delivery.tag;
                    }
                    if measures_latency && let Some(sent_ns) = stamp::read(delivery.front()).and_then(|s| s.sent_ns) {
                        self.latency.saturating_record(now_ns.saturating_sub(sent_ns));
                    }
                    if self.arrivals.is_some() {
                        self.check(&delivery);
                    }
                }
                Some(Found::Method(frame)) => {
                    self.replies_due -= usize::from(heard(&frame, output)? && self.replies_due > 0);
                }
                None => break,
            }
        }
        self.link.pipe.drop_front(used);
        if self.consumed > before {
            self.counters.consumed.set(self.consumed);
            self.counters.consumed_at_ns.set(now_ns);
        }
        Ok(())
    }

    fn check(&mut self, delivery: &Delivery) {
        let queue = delivery.consumer as usize;
        if let Some(arrivals) = &self.arrivals
            && let (Some(arrivals), Some(order)) = (arrivals.get(queue), self.orders.get_mut(queue))
        {
            debug_assert!(self.queues.contains(&queue));
            arrivals.lock().see(delivery, order);
        }
    }

    /// Acknowledges what the last full batch left over, so that a queue is empty in the end.
    fn ack_rest(&mut self) {
        if self.ack_every > 0 && self.last_tag > self.acked_tag {
            wire::ack_up_to(&mut self.link.pipe.output, self.last_tag);
            self.acked_tag = self.last_tag;
        }
    }
}

/// Acts on a method that is no delivery; true for a consume-ok.
fn heard(frame: &Frame<'_>, output: &mut Vec<u8>) -> Result<bool, LinkError> {
    let (id, method) = Method::decode(frame.payload)?;
    if let Some(error) = closing(&method) {
        return Err(error);
    }
    if let Method::Flow { active } = method {
        MethodFrame::begin(output, 1, id::CHANNEL_FLOW_OK)
            .u8(u8::from(active))
            .end();
    }
    Ok(id == id::BASIC_CONSUME_OK)
}

/// Where a stream is read from.
fn consume_arguments(args: &PerfArgs) -> FieldTable {
    match args.is_of_streams() {
        true => FieldTable(vec![("x-stream-offset".to_owned(), args.start().into())]),
        false => FieldTable::new(),
    }
}
