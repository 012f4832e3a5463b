//! What every publisher does, whatever it speaks: a batch that is being written, window, rate and limit, and what is
//! heard of it.
//!
//! The loop never blocks on writing alone, because a broker that waits for its confirms to be read would then wait
//! for ever. One pass: prepare a batch if there is room for one, write what the socket takes, read what is there.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::args::PerfArgs;
use super::confirms::{Confirms, Verdict};
use super::counters::{Counters, Gate};
use super::link_error::LinkError;
use super::pace::Pace;
use super::pipe::NAP;
use super::stats::histogram;
use super::topology::Lanes;
use super::verify::Sent;

/// How long a publisher that has nothing more to send waits without progress for its last confirms.
pub const GIVE_UP: Duration = Duration::from_secs(15);

/// See the head of this file.
pub struct Sending {
    pub index: u16,
    /// The part of the batch that is not written yet, as byte positions.
    pub pending: std::ops::Range<usize>,
    /// Sequence number of the message after those in the batch.
    pub next_seq: u64,
    limit: Option<u64>,
    pace: Option<Pace>,
    confirms: Option<Confirms>,
    /// Free places in the window worth a write.
    refill: usize,
    pub sent: Sent,
    latency: Histogram<u64>,
    pub counters: Arc<Counters>,
    pub gate: Arc<Gate>,
}

/// What a publisher leaves behind.
pub struct Published {
    pub sent: Sent,
    /// Messages neither confirmed nor refused when it gave up.
    pub unconfirmed: u64,
    /// From publish to confirm, in nanoseconds.
    pub latency: Histogram<u64>,
}

/// A publisher by its protocol.
pub trait Publishes {
    fn sending(&self) -> &Sending;
    /// Stamps the next batch if the last one is written and there is room.
    fn prepare(&mut self, now_ns: u64);
    /// Writes what the socket takes; whether that was anything.
    fn write(&mut self) -> Result<bool, LinkError>;
    /// Reads once and acts on what came; whether that was anything.
    fn hear(&mut self) -> Result<bool, LinkError>;
    /// Waits until something can be done.
    fn rest(&mut self, now_ns: u64) -> Result<(), LinkError>;
}

/// Publishes until its share is sent or the gate says stop, then waits for the confirms.
pub fn run(publisher: &mut impl Publishes) -> Result<(), LinkError> {
    let gate = publisher.sending().gate.clone();
    let mut last_progress_ns = gate.clock.now_ns();
    loop {
        let now_ns = gate.clock.now_ns();
        let over = publisher.sending().is_over();
        if !over {
            publisher.prepare(now_ns);
        }
        let wrote = publisher.write()?;
        let heard = publisher.hear()?;
        if over && publisher.sending().is_idle() {
            return Ok(());
        }
        if wrote || heard {
            last_progress_ns = now_ns;
        } else if over && Duration::from_nanos(now_ns - last_progress_ns) > GIVE_UP {
            return Ok(());
        } else {
            publisher.rest(now_ns)?;
        }
    }
}

impl Sending {
    /// Of publisher `index`, whose batch has room for so many messages.
    pub fn new(args: &PerfArgs, index: usize, slots: usize, lanes: Lanes, gate: Arc<Gate>) -> Self {
        let (publishers, place) = (args.publishers as u64, index as u64);
        Self {
            index: index as u16,
            pending: 0..0,
            next_seq: 0,
            limit: args.messages.map(|all| share(all, place, publishers)),
            pace: args
                .rate
                .map(|rate| Pace::in_turn(rate, gate.clock.now_ns(), place, publishers)),
            confirms: (args.confirm > 0).then(|| Confirms::new(args.confirm)),
            // A write per freed place would cost more in system calls than it gains: a tenth of the window at once.
            refill: (args.confirm / 10).clamp(1, slots),
            sent: Sent {
                count: 0,
                excused: Vec::new(),
                lanes,
            },
            latency: histogram(),
            counters: Arc::default(),
            gate,
        }
    }

    fn is_over(&self) -> bool {
        self.gate.publishers_stop() || self.limit.is_some_and(|limit| self.next_seq >= limit)
    }

    fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.confirms.as_ref().map_or(0, Confirms::outstanding) == 0
    }

    /// How many messages the next batch may have, of so many that fit; 0 while the last is not written or there is no
    /// room for enough.
    pub fn due(&mut self, slots: usize, now_ns: u64) -> usize {
        let room = self.confirms.as_ref().map_or(usize::MAX, Confirms::room);
        if !self.pending.is_empty() || room < self.refill {
            return 0;
        }
        let mut count = slots.min(room) as u64;
        if let Some(limit) = self.limit {
            count = count.min(limit - self.next_seq);
        }
        if let Some(pace) = &mut self.pace {
            count = count.min(pace.due(now_ns));
            pace.take(count);
        }
        count as usize
    }

    /// So many messages are in the batch, in so many bytes.
    pub fn stamped(&mut self, count: usize, bytes: usize, now_ns: u64) {
        self.pending = 0..bytes;
        self.next_seq += count as u64;
        if let Some(confirms) = &mut self.confirms {
            confirms.sent(count, now_ns);
        }
    }

    /// The socket took so many bytes of the batch, in which a message has so many.
    pub fn wrote(&mut self, bytes: usize, slot_bytes: usize) {
        self.pending.start += bytes;
        // With what stands between messages a few too many while a batch is half written.
        let left = self.pending.len().div_ceil(slot_bytes) as u64;
        self.sent.count = self.sent.count.max(self.next_seq.saturating_sub(left));
        self.counters.published.set(self.sent.count);
        self.counters.published_at_ns.set(self.gate.clock.now_ns());
    }

    /// The broker has answered these messages, by their numbers from 1; `multiple` with all before.
    pub fn settle(
        &mut self,
        tags: impl IntoIterator<Item = u64>,
        multiple: bool,
        verdict: Verdict,
        now_ns: u64,
    ) -> Result<(), LinkError> {
        let Some(confirms) = &mut self.confirms else {
            return Ok(());
        };
        let measuring = self.gate.measuring();
        let mut count = 0;
        for tag in tags {
            confirms.confirm(tag, multiple, |number, sent_ns| {
                count += 1;
                if verdict == Verdict::Nacked {
                    self.sent.excused.push(number - 1);
                } else if measuring {
                    self.latency.saturating_record(now_ns.saturating_sub(sent_ns));
                }
            })?;
        }
        match verdict {
            Verdict::Acked => {
                self.counters.confirmed.add(count);
                self.counters.confirmed_at_ns.set(now_ns);
            }
            Verdict::Nacked => self.counters.nacked.add(count),
        }
        Ok(())
    }

    /// How long it may rest at most.
    pub fn nap(&self, now_ns: u64) -> Duration {
        // A window that is full would be asked about over and over.
        let is_full = self
            .confirms
            .as_ref()
            .is_some_and(|confirms| confirms.room() < self.refill);
        match self.pace.as_ref().filter(|_| !is_full) {
            Some(pace) => NAP.min(Duration::from_nanos(pace.next_ns().saturating_sub(now_ns))),
            None => NAP,
        }
    }

    /// What is left behind.
    pub fn finish(mut self) -> Published {
        let unconfirmed: Vec<u64> = self.confirms.iter().flat_map(Confirms::unconfirmed).collect();
        self.sent.excused.extend(unconfirmed.iter().map(|number| number - 1));
        self.sent.excused.sort_unstable();
        Published {
            sent: self.sent,
            unconfirmed: unconfirmed.len() as u64,
            latency: self.latency,
        }
    }
}

/// How many of `all` things fall to the one of that index.
fn share(all: u64, index: u64, of: u64) -> u64 {
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
