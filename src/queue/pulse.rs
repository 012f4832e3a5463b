//! How a queue fared lately: how much came and went, when a message arrived.
//!
//! A sample at most once a second, taken when something happens anyway, so that a queue at rest costs
//! nothing and a message one comparison of a batch. So an arrival is known to a second, and a rate is
//! one of the last ten. Holds: samples are in order of time and of numbers; when there are too many
//! every other one of the older goes.

use std::collections::VecDeque;

use crate::types::{Millis, Timestamp};

/// Between two samples.
const EVERY: Millis = Millis(1000);
/// Samples that are kept; of those before the last [`FINE`] ones every other goes.
const MOST: usize = 64;
const FINE: usize = 16;
/// The time that rates are of, and the least of it that they are told of.
const WINDOW: Millis = Millis(10_000);
const SHORTEST: Millis = Millis(2_000);

/// See the head of this file.
pub(super) struct Pulse {
    samples: VecDeque<Sample>,
    due: Timestamp,
    /// When a client settled something, or the queue began.
    settled: Timestamp,
}

#[derive(Clone, Copy)]
struct Sample {
    at: Timestamp,
    /// The number that the next message gets.
    next_seq: u64,
    /// Messages that are ready or with clients.
    depth: u64,
}

/// What came and went in the last seconds, for each second.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Rates {
    pub arriving: f64,
    pub leaving: f64,
}

impl Pulse {
    /// Of a queue that is here from now on, whatever is in it.
    pub fn beginning(now: Timestamp) -> Self {
        Self {
            samples: VecDeque::new(),
            due: Timestamp(0),
            settled: now,
        }
    }

    /// Something happened; takes a sample if it is time for one.
    #[inline]
    pub fn beat(&mut self, now: Timestamp, next_seq: u64, depth: impl FnOnce() -> u64) {
        if now >= self.due {
            let depth = depth();
            self.sample(Sample {
                at: now,
                next_seq,
                depth,
            });
        }
    }

    #[cold]
    fn sample(&mut self, sample: Sample) {
        if self.samples.len() == MOST {
            let mut position = 0;
            self.samples.retain(|_| {
                position += 1;
                position > MOST - FINE || position % 2 == 1
            });
        }
        self.due = sample.at + EVERY;
        self.samples.push_back(sample);
    }

    /// A client settled something.
    pub fn settled(&mut self, now: Timestamp) {
        self.settled = now;
    }

    /// How long no client has settled anything.
    pub fn unsettled_for(&self, now: Timestamp) -> Millis {
        now.since(self.settled)
    }

    /// Messages went all at once: what was before says nothing of rates.
    pub fn forget(&mut self) {
        self.samples.clear();
        self.due = Timestamp(0);
    }

    /// When the message of that number came, a second earlier or later; one that was here before the
    /// first sample came then at the latest.
    pub fn arrival(&self, seq: u64) -> Option<Timestamp> {
        let after = self.samples.partition_point(|sample| sample.next_seq <= seq);
        let sample = self.samples.get(after).or(self.samples.back())?;
        Some(sample.at)
    }

    /// The number from which on messages came at that time or later, a second earlier or later.
    pub fn first_since(&self, at: Timestamp) -> u64 {
        let after = self.samples.partition_point(|sample| sample.at < at);
        let before = after.checked_sub(1).and_then(|before| self.samples.get(before));
        before.map_or(0, |sample| sample.next_seq)
    }

    /// What came and went lately; `None` where that is not known yet.
    pub fn rates(&self, now: Timestamp, next_seq: u64, depth: u64) -> Option<Rates> {
        let nothing = Rates {
            arriving: 0.0,
            leaving: 0.0,
        };
        let mut recent = self.samples.iter().filter(|sample| now.since(sample.at) <= WINDOW);
        let Some(first) = recent.next() else {
            return self.samples.back().map(|_| nothing);
        };
        let time = now.since(first.at);
        if time < SHORTEST {
            return None;
        }
        let seconds = time.0 as f64 / 1000.0;
        let came = next_seq.saturating_sub(first.next_seq);
        let went = (first.depth + came).saturating_sub(depth);
        Some(Rates {
            arriving: came as f64 / seconds,
            leaving: went as f64 / seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(number: u64) -> Timestamp {
        Timestamp(1_000_000 + number * 1000)
    }

    #[test]
    fn rates_are_those_of_the_last_ten_seconds() {
        let mut pulse = Pulse::beginning(second(0));
        assert_eq!(pulse.rates(second(0), 1, 0), None);
        for now in 0..30 {
            // Ten come each second, and four go.
            pulse.beat(second(now), 1 + 10 * now, || 6 * now);
        }
        let rates = pulse.rates(second(29), 1 + 290, 174).expect("known");
        assert_eq!((rates.arriving, rates.leaving), (10.0, 4.0));
        let rest = pulse.rates(second(60), 1 + 290, 174).expect("known");
        assert_eq!((rest.arriving, rest.leaving), (0.0, 0.0));
    }

    #[test]
    fn an_arrival_is_known_to_a_second() {
        let mut pulse = Pulse::beginning(second(0));
        assert_eq!(pulse.arrival(1), None);
        for now in 0..10 {
            pulse.beat(second(now), 1 + 100 * (now + 1), || 0);
        }
        assert_eq!(pulse.arrival(1), Some(second(0)));
        assert_eq!(pulse.arrival(100), Some(second(0)));
        assert_eq!(pulse.arrival(101), Some(second(1)));
        // It came after the last sample, and less than a second after it.
        assert_eq!(pulse.arrival(1001), Some(second(9)));
    }

    #[test]
    fn what_came_since_a_time_begins_with_the_first_that_arrived_then() {
        let mut pulse = Pulse::beginning(second(0));
        assert_eq!(pulse.first_since(second(5)), 0);
        for now in 0..10 {
            pulse.beat(second(now), 1 + 100 * (now + 1), || 0);
        }
        for now in 1..10 {
            let first = pulse.first_since(second(now));
            assert_eq!(pulse.arrival(first), Some(second(now)));
            assert_eq!(pulse.arrival(first - 1), Some(second(now - 1)));
        }
        assert_eq!(pulse.first_since(second(0)), 0);
        // What came after the last sample, if anything.
        assert_eq!(pulse.first_since(second(60)), 1001);
    }

    #[test]
    fn a_queue_that_never_rests_keeps_few_samples_and_old_ones() {
        let mut pulse = Pulse::beginning(second(0));
        for now in 0..10_000 {
            pulse.beat(second(now), now + 2, || 0);
            pulse.beat(second(now), now + 2, || unreachable!("not due"));
        }
        assert!(pulse.samples.len() <= MOST);
        assert_eq!(pulse.arrival(1), Some(second(0)));
        assert_eq!(pulse.arrival(10_000), Some(second(9_999)));
        assert!(pulse.samples.iter().is_sorted_by_key(|sample| sample.at));
    }
}
