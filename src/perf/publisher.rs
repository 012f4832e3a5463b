//! A publisher over AMQP 0-9-1: one thread, one connection, messages out and confirms in.

use std::sync::Arc;

use super::args::PerfArgs;
use super::batch::Batch;
use super::confirms::Verdict;
use super::counters::{Counters, Gate};
use super::limits::MAX_PUBLISHERS;
use super::link::{Link, closing};
use super::link_error::LinkError;
use super::pipe::{Filled, NAP};
use super::sending::{self, GIVE_UP, Published, Publishes, Sending};
use super::stamp;
use super::topology::Topology;
use super::wire::{self, Method, MethodFrame, Publish, id, kind};

/// A publisher ready to run.
pub struct Publisher {
    link: Link,
    batch: Batch,
    sending: Sending,
    blocked_since_ns: Option<u64>,
    /// A returned message's body is next.
    returning: bool,
}

impl Publisher {
    /// Connects publisher `index` and selects confirms where the options want them.
    pub fn open(args: &PerfArgs, topology: &Topology, index: usize, gate: Arc<Gate>) -> Result<Self, LinkError> {
        debug_assert!(index < usize::from(MAX_PUBLISHERS));
        let mut link = Link::open(
            &args.uris_for(index),
            &format!("warren perf publisher {index}"),
            64 * 1024,
        )?;
        link.open_channel()?;
        if args.confirm > 0 {
            MethodFrame::begin(&mut link.pipe.output, 1, id::CONFIRM_SELECT)
                .u8(0)
                .end();
            link.call("confirm.select", id::CONFIRM_SELECT_OK)?;
        }
        let (keys, lanes) = topology.lanes(index, args.publishers);
        let publish = Publish {
            exchange: topology.exchange(),
            routing_key: "",
            mandatory: args.mandatory,
            persistent: !args.transient,
            frame_max: link.frame_max(),
        };
        let most = if args.confirm > 0 { args.confirm } else { usize::MAX };
        let batch = Batch::new(publish, keys, args.size, most);
        Ok(Self {
            link,
            sending: Sending::new(args, index, batch.slots(), lanes, gate),
            batch,
            blocked_since_ns: None,
            returning: false,
        })
    }

    /// The counts this publisher keeps.
    pub fn counters(&self) -> Arc<Counters> {
        self.sending.counters.clone()
    }

    /// Publishes until its share is sent or the gate says stop, then waits for the confirms.
    pub fn run(mut self) -> Result<Published, LinkError> {
        sending::run(&mut self)?;
        self.resume(self.sending.gate.clock.now_ns());
        // Closing in order also makes sure that the broker has taken what was sent. A half-written message cannot be
        // followed by anything.
        if self.sending.pending.is_empty() {
            self.link.close(GIVE_UP);
        }
        Ok(self.sending.finish())
    }

    fn pause(&mut self, now_ns: u64) {
        self.blocked_since_ns.get_or_insert(now_ns);
    }

    fn resume(&mut self, now_ns: u64) {
        if let Some(since_ns) = self.blocked_since_ns.take() {
            let blocked_ns = now_ns.saturating_sub(since_ns);
            self.sending.counters.blocked_ns.add(blocked_ns);
        }
    }
}

impl Publishes for Publisher {
    fn sending(&self) -> &Sending {
        &self.sending
    }

    fn prepare(&mut self, now_ns: u64) {
        if self.blocked_since_ns.is_some() {
            return;
        }
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
        let mut used = 0;
        loop {
            let (input, output) = self.link.pipe.halves();
            let Some(frame) = wire::frame(&input[used..])? else {
                break;
            };
            used += frame.wire_bytes();
            if frame.kind == kind::BODY && std::mem::take(&mut self.returning) {
                self.sending
                    .sent
                    .excused
                    .extend(stamp::read(frame.payload).map(|stamp| stamp.seq));
            }
            if frame.kind != kind::METHOD {
                continue;
            }
            let (_, method) = Method::decode(frame.payload)?;
            if let Some(error) = closing(&method) {
                return Err(error);
            }
            match method {
                Method::Ack { tag, multiple } => self.sending.settle([tag], multiple, Verdict::Acked, now_ns)?,
                Method::Nack { tag, multiple } => self.sending.settle([tag], multiple, Verdict::Nacked, now_ns)?,
                Method::Return { .. } => {
                    self.returning = true;
                    self.sending.counters.returned.add(1);
                }
                Method::Blocked { .. } => self.pause(now_ns),
                Method::Unblocked => self.resume(now_ns),
                Method::Flow { active } => {
                    MethodFrame::begin(output, 1, id::CHANNEL_FLOW_OK)
                        .u8(u8::from(active))
                        .end();
                    match active {
                        true => self.resume(now_ns),
                        false => self.pause(now_ns),
                    }
                }
                _ => {}
            }
        }
        self.link.pipe.drop_front(used);
        Ok(true)
    }

    fn rest(&mut self, now_ns: u64) -> Result<(), LinkError> {
        let nap = match self.blocked_since_ns {
            Some(_) => NAP,
            None => self.sending.nap(now_ns),
        };
        self.link.pipe.wait(!self.sending.pending.is_empty(), nap)
    }
}
