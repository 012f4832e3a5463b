//! One thing's numbers: counters that anybody adds to, gauges, and their history.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;

use super::counters::{Counters, Tally};
use super::figures::{Figure, Figures};
use super::measure::Measure;
use super::record::{Reading, Record};
use super::rings::{LEVELS, SHORT};

/// See the head of this file. Counters are added to without a lock; the record is the sampler's and its readers'.
pub struct Stats {
    counters: Counters,
    gauges: [AtomicI64; Measure::GAUGES],
    /// The sampler looks at it the next time.
    is_active: AtomicBool,
    levels: usize,
    record: Mutex<Option<Box<Record>>>,
}

impl Default for Stats {
    fn default() -> Self {
        Self::with_levels(LEVELS.len())
    }
}

impl Stats {
    /// Of something that comes and goes with a client: its history is short.
    pub fn of_client() -> Self {
        Self::with_levels(SHORT)
    }

    fn with_levels(levels: usize) -> Self {
        Self {
            counters: Counters::default(),
            gauges: Default::default(),
            is_active: AtomicBool::new(false),
            levels,
            record: Mutex::default(),
        }
    }

    /// Counts. Whoever does so sees to it that the sampler looks, see [`Stats::touch`].
    pub fn add(&self, counter: Measure, count: u64) {
        self.counters.add(counter, count);
    }

    /// Counts where nobody else does at the time, because a lock is held: it costs less.
    pub fn add_alone(&self, counter: Measure, count: u64) {
        self.counters.add_alone(counter, count);
    }

    /// A counter that is kept elsewhere stands there now; nobody else adds to it.
    pub fn stand(&self, counter: Measure, total: u64) {
        self.counters.stand(counter, total);
    }

    /// The sampler is to look at it. Whether it was not to until now: then it is to be told.
    pub fn touch(&self) -> bool {
        !self.is_active.load(Ordering::Relaxed) && !self.is_active.swap(true, Ordering::AcqRel)
    }

    /// The sampler has it no more among those that it looks at: it may be touched again.
    pub fn rest(&self) {
        self.is_active.store(false, Ordering::Release);
    }

    /// How a gauge stands from now on; by how much that is more.
    pub fn set(&self, gauge: Measure, value: i64) -> i64 {
        value - self.gauge(gauge).swap(value, Ordering::Relaxed)
    }

    /// A gauge is more by that, or less.
    pub fn change(&self, gauge: Measure, by: i64) {
        self.gauge(gauge).fetch_add(by, Ordering::Relaxed);
    }

    fn gauge(&self, gauge: Measure) -> &AtomicI64 {
        &self.gauges[gauge as usize - Measure::COUNTERS]
    }

    /// What was counted since the thing is there.
    pub fn totals(&self) -> Tally {
        self.counters.read()
    }

    /// Writes down what was counted by the end of that second, and how the gauges stand. Whether anything is
    /// other than it was.
    pub fn sample(&self, second: u64) -> bool {
        let mut record = self.record.lock();
        let record = record.get_or_insert_with(|| Box::new(Record::new(second, self.levels)));
        let gauges = Measure::gauges().map(|gauge| (gauge, self.gauge(gauge).load(Ordering::Relaxed)));
        record.sample(second, &self.counters.read(), gauges)
    }

    /// Forgets the history, and counts anew for those who read figures.
    pub fn reset(&self, second: u64) {
        let mut record = self.record.lock();
        let record = record.get_or_insert_with(|| Box::new(Record::new(second, self.levels)));
        record.reset(second, &self.counters.read());
    }

    /// The last second in which the sampler saw anything move; 0 where it never did.
    pub(super) fn moved(&self) -> u64 {
        let record = self.record.lock();
        record.as_ref().and_then(|record| record.moved()).unwrap_or(0)
    }

    pub(super) fn read(&self, reading: Reading<'_>) -> Figures {
        let record = self.record.lock();
        let totals = self.counters.read();
        let totals = match &*record {
            Some(record) => record.since_reset(&totals),
            None => totals,
        };
        let mut figures = Figures::default();
        let counted = Measure::counters().map(|counter| (counter, totals[counter] as f64));
        let standing = Measure::gauges().map(|gauge| (gauge, self.gauge(gauge).load(Ordering::Relaxed) as f64));
        for (measure, now) in counted.chain(standing).filter(|(_, now)| *now != 0.0) {
            let figure = Figure {
                now,
                ..Figure::default()
            };
            figures.set(measure, figure);
        }
        if let Some(record) = &*record {
            record.read(reading, &mut figures);
        }
        figures
    }
}
