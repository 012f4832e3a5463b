//! What workers tell the conductor while they run: counts, and when to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Time in nanoseconds since the Unix epoch that never goes back while the process runs.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
    origin_ns: u64,
}

impl Clock {
    /// A clock that agrees with the system's now.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            origin: Instant::now(),
            origin_ns: nanos(since_epoch.unwrap_or_default()),
        }
    }

    /// Nanoseconds since the Unix epoch; never 0.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        (self.origin_ns + nanos(self.origin.elapsed())).max(1)
    }
}

/// A duration in nanoseconds; 584 years fit.
pub fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

/// What all workers of a run look at.
#[derive(Debug)]
pub struct Gate {
    pub clock: Clock,
    measuring: AtomicBool,
    publishers_stop: AtomicBool,
    consumers_stop: AtomicBool,
}

impl Gate {
    /// Nothing is measured and nothing stopped.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            measuring: AtomicBool::new(false),
            publishers_stop: AtomicBool::new(false),
            consumers_stop: AtomicBool::new(false),
        }
    }

    /// Whether latencies count.
    pub fn measuring(&self) -> bool {
        self.measuring.load(Ordering::Relaxed)
    }

    /// Starts or ends the measured time.
    pub fn measure(&self, on: bool) {
        self.measuring.store(on, Ordering::Relaxed);
    }

    /// Whether publishers shall send nothing more.
    pub fn publishers_stop(&self) -> bool {
        self.publishers_stop.load(Ordering::Relaxed)
    }

    /// Tells publishers to send nothing more and wait for their confirms.
    pub fn stop_publishers(&self) {
        self.publishers_stop.store(true, Ordering::Relaxed);
    }

    /// Whether consumers shall end.
    pub fn consumers_stop(&self) -> bool {
        self.consumers_stop.load(Ordering::Relaxed)
    }

    /// Tells consumers to end.
    pub fn stop_consumers(&self) {
        self.consumers_stop.store(true, Ordering::Relaxed);
    }
}

/// A count that one worker writes and the conductor reads.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The present value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Writes a new value; only the owner does.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds; only the owner does, so no atomic addition is needed.
    pub fn add(&self, more: u64) {
        self.set(self.get() + more);
    }
}

/// The counts of one worker, in cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    pub published: Count,
    pub confirmed: Count,
    pub nacked: Count,
    pub returned: Count,
    pub consumed: Count,
    /// Time spent blocked by the broker until now, in nanoseconds.
    pub blocked_ns: Count,
    /// When the last message was published, confirmed and consumed, on the run's clock.
    pub published_at_ns: Count,
    pub confirmed_at_ns: Count,
    pub consumed_at_ns: Count,
}

/// The counts of all workers at one moment.
#[derive(Debug, Default, Clone, Copy)]
pub struct Totals {
    pub published: u64,
    pub confirmed: u64,
    pub nacked: u64,
    pub returned: u64,
    pub consumed: u64,
    pub blocked_ns: u64,
    pub published_at_ns: u64,
    pub confirmed_at_ns: u64,
    pub consumed_at_ns: u64,
}

impl Totals {
    /// Adds up the workers; of the times the latest counts.
    pub fn of<'a>(workers: impl Iterator<Item = &'a Counters>) -> Self {
        let mut totals = Self::default();
        for worker in workers {
            totals.published += worker.published.get();
            totals.confirmed += worker.confirmed.get();
            totals.nacked += worker.nacked.get();
            totals.returned += worker.returned.get();
            totals.consumed += worker.consumed.get();
            totals.blocked_ns += worker.blocked_ns.get();
            totals.published_at_ns = totals.published_at_ns.max(worker.published_at_ns.get());
            totals.confirmed_at_ns = totals.confirmed_at_ns.max(worker.confirmed_at_ns.get());
            totals.consumed_at_ns = totals.consumed_at_ns.max(worker.consumed_at_ns.get());
        }
        totals
    }

    /// The same counts as of one time for all.
    pub fn at(self, now_ns: u64) -> Self {
        Self {
            published_at_ns: now_ns,
            confirmed_at_ns: now_ns,
            consumed_at_ns: now_ns,
            ..self
        }
    }
}
