//! A publisher: one thread, one connection, messages out and confirms in.
//!
//! The loop never blocks on writing alone, because a broker that waits for its confirms to be read would then wait
//! for ever. One pass: prepare a batch if there is room for one, write what the socket takes, read what is there.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::batch::Batch;
use super::confirms::{Confirms, Verdict};
use super::counters::{Counters, Gate};
use super::link::{Filled, Link, LinkError, closing};
use super::pace::Pace;
use super::stamp;
use super::stats::histogram;
use super::verify::{MAX_PUBLISHERS, Sent};
use super::wire::{self, Method, MethodFrame, Publish, id, kind};
use super::{args::PerfArgs, topology::Topology};

/// How long a publisher that has nothing more to send waits without progress for its last confirms.
pub(super) const GIVE_UP: Duration = Duration::from_secs(15);
/// Longest sleep, so that a stop is noticed.
pub(super) const NAP: Duration = Duration::from_millis(50);

/// A publisher ready to run.
pub struct Publisher {
    index: u16,
    link: Link,
    batch: Batch,
    /// The part of the batch that is not written yet, as byte positions.
    pending: std::ops::Range<usize>,
    /// Sequence number of the message after those in the batch.
    next_seq: u64,
    limit: Option<u64>,
    pace: Option<Pace>,
    confirms: Option<Confirms>,
    /// Free places in the window worth a write.
    refill: usize,
    blocked_since_ns: Option<u64>,
    /// A returned message's body is next.
    returning: bool,
    sent: Sent,
    latency: Histogram<u64>,
    counters: Arc<Counters>,
    gate: Arc<Gate>,
}

/// What a publisher leaves behind.
pub struct Published {
    pub sent: Sent,
    /// Messages neither confirmed nor refused when it gave up.
    pub unconfirmed: u64,
    /// From publish to confirm, in nanoseconds.
    pub latency: Histogram<u64>,
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
        let limit = args
            .messages
            .map(|all| share(all, index as u64, args.publishers as u64));
        let batch = Batch::new(publish, keys, args.size, most);
        Ok(Self {
            index: index as u16,
            link,
            pending: 0..0,
            next_seq: 0,
            limit,
            pace: args
                .rate
                .map(|rate| Pace::in_turn(rate, gate.clock.now_ns(), index as u64, args.publishers as u64)),
            confirms: (args.confirm > 0).then(|| Confirms::new(args.confirm)),
            // A write per freed place would cost more in system calls than it gains: a tenth of the window at once.
            refill: (args.confirm / 10).clamp(1, batch.slots()),
            batch,
            blocked_since_ns: None,
            returning: false,
            sent: Sent {
                count: 0,
                excused: Vec::new(),
                lanes,
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
            if over && self.pending.is_empty() && self.outstanding() == 0 {
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
        if !self.pending.is_empty() || self.blocked_since_ns.is_some() {
            return;
        }
        let mut count = self.batch.slots() as u64;
        if let Some(limit) = self.limit {
            count = count.min(limit - self.next_seq);
        }
        if let Some(confirms) = &self.confirms {
            let room = confirms.room();
            count = if room < self.refill { 0 } else { count.min(room as u64) };
        }
        if let Some(pace) = &mut self.pace {
            count = count.min(pace.due(now_ns));
            pace.take(count);
        }
        if count == 0 {
            return;
        }
        self.pending = 0..self.batch.stamp(count as usize, self.index, self.next_seq, now_ns);
        self.next_seq += count;
        if let Some(confirms) = &mut self.confirms {
            confirms.sent(count as usize, now_ns);
        }
    }

    fn write(&mut self) -> Result<bool, LinkError> {
        if self.pending.is_empty() || !self.link.flush()? {
            return Ok(false);
        }
        let bytes = self.batch.bytes(self.pending.start, self.pending.end);
        let written = self.link.write(bytes)?;
        self.pending.start += written;
        let left = self.pending.len().div_ceil(self.batch.slot_bytes()) as u64;
        self.sent.count = self.next_seq - left;
        self.counters.published.set(self.sent.count);
        self.counters.published_at_ns.set(self.gate.clock.now_ns());
        Ok(written > 0)
    }

    /// Reads once and acts on what came.
    fn hear(&mut self) -> Result<bool, LinkError> {
        if self.link.fill()? == Filled::Nothing {
            return Ok(false);
        }
        let now_ns = self.gate.clock.now_ns();
        let mut used = 0;
        loop {
            let (input, output) = self.link.halves();
            let Some(frame) = wire::frame(&input[used..])? else {
                break;
            };
            used += frame.wire_bytes();
            if frame.kind == kind::BODY && std::mem::take(&mut self.returning) {
                self.sent
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
                Method::Ack { tag, multiple } => self.settle(tag, multiple, Verdict::Acked, now_ns)?,
                Method::Nack { tag, multiple } => self.settle(tag, multiple, Verdict::Nacked, now_ns)?,
                Method::Return { .. } => {
                    self.returning = true;
                    self.counters.returned.add(1);
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
        self.link.drop_front(used);
        Ok(true)
    }

    fn settle(&mut self, tag: u64, multiple: bool, verdict: Verdict, now_ns: u64) -> Result<(), LinkError> {
        let Some(confirms) = &mut self.confirms else {
            return Ok(());
        };
        let measuring = self.gate.measuring();
        let mut count = 0;
        confirms.confirm(tag, multiple, |number, sent_ns| {
            count += 1;
            if verdict == Verdict::Nacked {
                self.sent.excused.push(number - 1);
            } else if measuring {
                self.latency.saturating_record(now_ns.saturating_sub(sent_ns));
            }
        })?;
        match verdict {
            Verdict::Acked => {
                self.counters.confirmed.add(count);
                self.counters.confirmed_at_ns.set(now_ns);
            }
            Verdict::Nacked => self.counters.nacked.add(count),
        }
        Ok(())
    }

    fn pause(&mut self, now_ns: u64) {
        self.blocked_since_ns.get_or_insert(now_ns);
    }

    fn resume(&mut self, now_ns: u64) {
        if let Some(since_ns) = self.blocked_since_ns.take() {
            self.counters.blocked_ns.add(now_ns.saturating_sub(since_ns));
        }
    }

    /// Waits until something can be done.
    fn rest(&mut self, now_ns: u64) -> Result<(), LinkError> {
        let mut nap = NAP;
        if let Some(pace) = &self.pace
            && self.blocked_since_ns.is_none()
        {
            // Without this lower bound a window that is full would be asked about over and over.
            let wait_ns = pace.next_ns().saturating_sub(now_ns);
            let full = self
                .confirms
                .as_ref()
                .is_some_and(|confirms| confirms.room() < self.refill);
            if !full {
                nap = nap.min(Duration::from_nanos(wait_ns));
            }
        }
        self.link.wait(!self.pending.is_empty(), nap)
    }

    fn outstanding(&self) -> usize {
        self.confirms.as_ref().map_or(0, Confirms::outstanding)
    }

    fn finish(mut self) -> Published {
        self.resume(self.gate.clock.now_ns());
        let unconfirmed: Vec<u64> = self.confirms.iter().flat_map(Confirms::unconfirmed).collect();
        self.sent.excused.extend(unconfirmed.iter().map(|number| number - 1));
        self.sent.excused.sort_unstable();
        // Closing in order also makes sure that the broker has taken what was sent. A half-written message cannot be
        // followed by anything.
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

/// How many of `all` things fall to the one of that index.
pub(super) fn share(all: u64, index: u64, of: u64) -> u64 {
    all / of + u64::from(index < all % of)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_add_up() {
        assert_eq!((0..3).map(|index| share(10, index, 3)).collect::<Vec<_>>(), [4, 3, 3]);
    }
}
