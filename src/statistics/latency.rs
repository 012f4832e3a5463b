//! How long things took: percentiles of samples, of the last minutes and of all time.
//!
//! Few of many are timed, one of a batch at most, so that the rest pays nothing. A minute's samples are a
//! histogram; when it is over only its counts are kept, which are few.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hdrhistogram::{Counter, Histogram};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Minutes that are kept of the node.
const OF_NODE: u64 = 60;
/// Minutes that are kept of a queue, of which there are many.
const OF_QUEUE: u64 = 20;
/// Digits that a time keeps: it is off by a sixteenth at most.
const DIGITS: u8 = 1;
/// The longest that is told from longer ones, in microseconds: a day.
const LONGEST: u64 = 24 * 60 * 60 * 1_000_000;

/// What is timed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Delay {
    /// From a message's coming to its queue to its first delivery.
    Wait,
    /// From a delivery to its acknowledgement.
    Ack,
    /// From a publish to the answer of its queue.
    Confirm,
}

impl Delay {
    /// All of them, with their names in the HTTP API.
    pub const ALL: [(Self, &'static str); 3] = [(Self::Wait, "wait"), (Self::Ack, "ack"), (Self::Confirm, "confirm")];
}

/// The times of one queue, or of the node.
pub struct Latencies {
    tracks: [Mutex<Option<Box<Track>>>; Delay::ALL.len()],
    minutes: u64,
}

struct Track {
    /// Since the node started, in microseconds; of the node only.
    all: Option<Histogram<u64>>,
    sum_us: u64,
    /// The minute that runs.
    minute: u64,
    running: Histogram<u32>,
    past: VecDeque<(u64, Spread)>,
}

/// So many samples: how many took so many microseconds, from the shortest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread(Vec<(u64, u32)>);

/// The times of an hour at most, in minutes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spreads(BTreeMap<u64, Spread>);

/// All samples since the node started, for a metrics listener.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LatencyTotals {
    pub count: u64,
    pub sum: Duration,
    /// How many took so long at most, for each bound that was asked for.
    pub at_most: Vec<u64>,
}

impl Latencies {
    /// Of a queue.
    pub fn of_queue() -> Self {
        Self {
            tracks: Default::default(),
            minutes: OF_QUEUE,
        }
    }

    /// Of the node: its samples are counted for ever too.
    pub fn of_node() -> Self {
        Self {
            tracks: Default::default(),
            minutes: OF_NODE,
        }
    }

    /// Takes a sample in, in that second.
    pub fn record(&self, delay: Delay, took: Duration, second: u64) {
        let us = u64::try_from(took.as_micros()).unwrap_or(LONGEST).clamp(1, LONGEST);
        let minute = second / 60;
        let mut track = self.tracks[delay as usize].lock();
        let track = track.get_or_insert_with(|| Box::new(Track::new(minute, self.minutes == OF_NODE)));
        track.turn(minute, self.minutes);
        track.sum_us = track.sum_us.saturating_add(us);
        // They grow as they need to; what cannot be noted is no sample.
        if let Some(all) = &mut track.all {
            let _ = all.record(us);
        }
        let _ = track.running.record(us);
    }

    /// The samples of the last seconds, in whole minutes.
    pub fn last(&self, delay: Delay, age: u64, second: u64) -> Spreads {
        let mut track = self.tracks[delay as usize].lock();
        let mut spreads = Spreads::default();
        if let Some(track) = &mut *track {
            track.turn(second / 60, self.minutes);
            let first = (second / 60).saturating_sub(age.div_ceil(60));
            let past = track.past.iter().filter(|(minute, _)| *minute >= first);
            spreads.0 = past.cloned().collect();
            let running = Spread::of(&track.running);
            if !running.is_empty() {
                spreads.0.insert(track.minute, running);
            }
        }
        spreads
    }

    /// All samples, counted up to these bounds.
    pub fn totals(&self, delay: Delay, bounds: &[Duration]) -> LatencyTotals {
        let track = self.tracks[delay as usize].lock();
        let Some((all, sum_us)) = track
            .as_ref()
            .and_then(|track| Some((track.all.as_ref()?, track.sum_us)))
        else {
            return LatencyTotals {
                at_most: vec![0; bounds.len()],
                ..LatencyTotals::default()
            };
        };
        let at_most = |bound: &Duration| {
            let us = u64::try_from(bound.as_micros()).unwrap_or(LONGEST);
            all.count_between(0, us.min(LONGEST))
        };
        LatencyTotals {
            count: all.len(),
            sum: Duration::from_micros(sum_us),
            at_most: bounds.iter().map(at_most).collect(),
        }
    }
}

impl Track {
    fn new(minute: u64, is_of_node: bool) -> Self {
        Self {
            all: is_of_node.then(histogram),
            sum_us: 0,
            minute,
            running: histogram(),
            past: VecDeque::new(),
        }
    }

    /// Another minute may have begun.
    fn turn(&mut self, minute: u64, kept: u64) {
        if minute <= self.minute {
            return;
        }
        let over = Spread::of(&self.running);
        if !over.is_empty() {
            self.past.push_back((self.minute, over));
            self.running.reset();
        }
        self.minute = minute;
        while self.past.front().is_some_and(|(past, _)| past + kept < minute) {
            self.past.pop_front();
        }
    }
}

fn histogram<C: Counter>() -> Histogram<C> {
    Histogram::new(DIGITS).expect("so many digits can be kept")
}

impl Spread {
    fn of(histogram: &Histogram<u32>) -> Self {
        let counts = histogram.iter_recorded();
        Self(counts.map(|at| (at.value_iterated_to(), at.count_at_value())).collect())
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// How long that part of them took at most, in microseconds; `None` where there are none.
    pub fn at(&self, part: f64) -> Option<u64> {
        let wanted = (self.len() as f64 * part).ceil().max(1.0) as u64;
        let mut seen = 0;
        let mut all = self.0.iter();
        all.find_map(|(us, count)| {
            seen += u64::from(*count);
            (seen >= wanted).then_some(*us)
        })
    }

    /// Adds other samples.
    pub fn add(&mut self, other: &Self) {
        let mut counts: BTreeMap<u64, u32> = self.0.iter().copied().collect();
        for (us, count) in &other.0 {
            let sum = counts.entry(*us).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.0 = counts.into_iter().collect();
    }
}

impl Spreads {
    /// Adds those of another node.
    pub fn add(&mut self, other: &Self) {
        for (minute, spread) in &other.0 {
            self.0.entry(*minute).or_default().add(spread);
        }
    }

    /// All of them.
    pub fn together(&self) -> Spread {
        let mut sum = Spread::default();
        self.0.values().for_each(|spread| sum.add(spread));
        sum
    }

    /// Those of that minute since the epoch.
    pub fn of(&self, minute: u64) -> Option<&Spread> {
        self.0.get(&minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn percentiles_are_off_by_a_sixteenth_at_most() {
        let latencies = Latencies::of_queue();
        (1..=100).for_each(|took| latencies.record(Delay::Wait, ms(took), 6000));
        let spread = latencies.last(Delay::Wait, 60, 6001).together();
        assert_eq!(spread.len(), 100);
        for (part, expected) in [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)] {
            let us = spread.at(part).expect("samples");
            let least = expected * 1000;
            assert!((least..=least + least / 16 + 1).contains(&us), "{part}: {us}");
        }
        assert_eq!(latencies.last(Delay::Ack, 60, 6001).together().at(0.5), None);
    }

    #[test]
    fn samples_are_forgotten_after_an_hour_and_counted_for_ever() {
        let latencies = Latencies::of_node();
        latencies.record(Delay::Ack, ms(1), 60);
        latencies.record(Delay::Ack, ms(30), 200);
        let len = |age, second| latencies.last(Delay::Ack, age, second).together().len();
        assert_eq!((len(3600, 200), len(60, 200), len(3600, 3600)), (2, 1, 2));
        assert_eq!((len(3600, 3720), len(3600, 9000)), (1, 0));
        let totals = latencies.totals(Delay::Ack, &[ms(2), ms(100)]);
        assert_eq!((totals.count, totals.sum), (2, ms(31)));
        assert_eq!(totals.at_most, [1, 2]);
        assert_eq!(latencies.totals(Delay::Wait, &[ms(2)]).at_most, [0]);
    }

    #[test]
    fn what_nodes_say_adds_up_by_minutes() {
        let all: Vec<_> = [(1, 60), (2, 60), (3, 120)]
            .into_iter()
            .map(|(took, second)| {
                let latencies = Latencies::of_queue();
                latencies.record(Delay::Confirm, ms(took), second);
                latencies.last(Delay::Confirm, 600, 130)
            })
            .collect();
        let mut sum = Spreads::default();
        all.iter().for_each(|spreads| sum.add(spreads));
        assert_eq!(
            (sum.of(1).map(Spread::len), sum.of(2).map(Spread::len)),
            (Some(2), Some(1))
        );
        let sent = serde_json::to_string(&sum).expect("plain data");
        assert_eq!(serde_json::from_str::<Spreads>(&sent).expect("spreads"), sum);
    }
}
