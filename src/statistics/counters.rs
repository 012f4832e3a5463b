//! Counters that anybody adds to, and what they stood at.

use std::ops::Index;
use std::sync::atomic::{AtomicU64, Ordering};

use super::measure::Measure;

/// Counters of one thing. Added to once a batch, so that the lines they lie in rest most of the time.
#[derive(Default)]
pub(super) struct Counters([AtomicU64; Measure::COUNTERS]);

impl Counters {
    pub fn add(&self, counter: Measure, count: u64) {
        self.0[counter as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// The same where nobody else adds at the time.
    pub fn add_alone(&self, counter: Measure, count: u64) {
        let counter = &self.0[counter as usize];
        counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    /// A counter that is kept elsewhere stands there now.
    pub fn stand(&self, counter: Measure, total: u64) {
        self.0[counter as usize].store(total, Ordering::Relaxed);
    }

    pub fn read(&self) -> Tally {
        let mut tally = Tally::default();
        for (total, counter) in tally.0.iter_mut().zip(&self.0) {
            *total = counter.load(Ordering::Relaxed);
        }
        tally
    }
}

/// A number for each counter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tally([u64; Measure::COUNTERS]);

impl Default for Tally {
    fn default() -> Self {
        Self([0; Measure::COUNTERS])
    }
}

impl Tally {
    /// Deliveries and fetches together, as RabbitMQ's `deliver_get`.
    pub fn deliver_get(&self) -> u64 {
        Measure::DELIVER_GET.iter().map(|counter| self[*counter]).sum()
    }

    /// What has come since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut tally = self.clone();
        for (now, before) in tally.0.iter_mut().zip(earlier.0) {
            *now = now.saturating_sub(before);
        }
        tally
    }

    /// With another count of one thing.
    #[must_use]
    pub fn with(mut self, counter: Measure, count: u64) -> Self {
        self.0[counter as usize] = count;
        self
    }

    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        for (own, others) in self.0.iter_mut().zip(other.0) {
            *own += others;
        }
    }
}

impl Index<Measure> for Tally {
    type Output = u64;

    fn index(&self, counter: Measure) -> &u64 {
        &self.0[counter as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_and_fetches_are_added_up() {
        let counters = Counters::default();
        counters.add(Measure::Publish, 3);
        counters.add(Measure::Get, 2);
        counters.add(Measure::DeliverNoAck, 5);
        assert_eq!(counters.read().deliver_get(), 7);
    }
}
