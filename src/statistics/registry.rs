//! The statistics of a node: what all of it comes to, and what the sampler is to look at.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::counters::Tally;
use super::figures::Figures;
use super::latency::Latencies;
use super::measure::Measure;
use super::record::Reading;
use super::rings::{Fill, LEVELS, Rings};
use super::sizes::Sizes;
use super::stats::Stats;
use super::streaming::StreamTraffic;
use super::window::Windows;

/// See the head of this file.
pub struct Statistics {
    node: Arc<Stats>,
    latencies: Latencies,
    sizes: Sizes,
    streaming: StreamTraffic,
    /// Exchanges and vhosts in which something has moved.
    active: Mutex<Vec<Arc<Stats>>>,
    /// The seconds in which the sampler has looked.
    beats: RwLock<Rings>,
    /// Seconds over which a rate is taken.
    interval: u64,
    /// What moves is written down.
    is_kept: bool,
}

impl Statistics {
    /// Nothing was counted yet. Rates are taken over so many seconds, where what moves is written down.
    pub fn new(interval: u64, is_kept: bool) -> Self {
        Self {
            node: Arc::default(),
            latencies: Latencies::of_node(),
            sizes: Sizes::default(),
            streaming: StreamTraffic::default(),
            active: Mutex::default(),
            beats: RwLock::new(Rings::new(Fill::Missing, LEVELS.len())),
            interval: interval.clamp(1, 50),
            is_kept,
        }
    }

    /// The node's own numbers.
    pub fn node(&self) -> &Arc<Stats> {
        &self.node
    }

    /// How long things took on this node.
    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// How large the messages were that clients of this node have published.
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// What clients of the stream protocol have done.
    pub fn streaming(&self) -> &StreamTraffic {
        &self.streaming
    }

    /// All that was counted on this node since it started, whatever was reset: for a metrics listener.
    pub fn totals(&self) -> Tally {
        self.node.totals()
    }

    /// What moves in it is to be seen by the sampler.
    pub fn touch(&self, stats: &Arc<Stats>) {
        if self.is_kept && stats.touch() {
            self.active.lock().push(stats.clone());
        }
    }

    /// The sampler looks in that second: at the node, and at what has moved. What is sampled beside is so before.
    pub fn beat(&self, second: u64) {
        self.beats.write().record(second, 1.0);
        self.node.sample(second);
        let active = std::mem::take(&mut *self.active.lock());
        for stats in active {
            stats.rest();
            if stats.sample(second) {
                self.touch(&stats);
            }
        }
    }

    /// Since which second nothing has moved in a thing, where that is longer than rates are taken over; 0 where
    /// nothing ever has. Nothing is said where nothing is written down.
    pub fn idle_since(&self, stats: &Stats, now: u64) -> Option<u64> {
        let moved = stats.moved();
        (self.is_kept && moved + self.interval < now).then_some(moved)
    }

    /// What a thing's numbers come to in that second.
    pub fn figures(&self, stats: &Stats, now: u64, windows: Windows) -> Figures {
        let beats = self.beats.read();
        stats.read(Reading {
            now,
            interval: self.interval,
            beats: &beats,
            windows,
        })
    }
}

/// What all that happens in a vhost adds to: the vhost's numbers and the node's.
pub struct Scope {
    statistics: Arc<Statistics>,
    vhost: Arc<Stats>,
}

impl Scope {
    /// Of a vhost of that node.
    pub fn new(statistics: Arc<Statistics>) -> Self {
        Self {
            statistics,
            vhost: Arc::default(),
        }
    }

    /// The vhost's own numbers.
    pub fn vhost(&self) -> &Arc<Stats> {
        &self.vhost
    }

    /// The node's statistics.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Counts for both.
    pub fn add(&self, counter: Measure, count: u64) {
        self.statistics.node.add(counter, count);
        self.vhost.add(counter, count);
        self.statistics.touch(&self.vhost);
    }

    /// A gauge of a queue is more by that, or less.
    pub fn change(&self, gauge: Measure, by: i64) {
        if by != 0 {
            self.statistics.node.change(gauge, by);
            self.vhost.change(gauge, by);
            self.statistics.touch(&self.vhost);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::Window;

    fn all(window: Option<Window>) -> Windows {
        Windows::all(window.expect("a window"))
    }

    fn statistics() -> (Arc<Statistics>, Scope) {
        let statistics = Arc::new(Statistics::new(5, true));
        let scope = Scope::new(statistics.clone());
        (statistics, scope)
    }

    #[test]
    fn a_rate_is_positive_while_something_moves_and_then_zero() {
        let (statistics, scope) = statistics();
        for second in 100..110 {
            scope.add(Measure::Publish, 10);
            statistics.beat(second);
        }
        let rate = |now| {
            let figure = statistics
                .figures(scope.vhost(), now, Windows::default())
                .get(Measure::Publish);
            (figure.now, figure.rate)
        };
        assert_eq!(rate(110), (100.0, 10.0));
        (110..114).for_each(|second| statistics.beat(second));
        assert_eq!(rate(114), (100.0, 2.0));
        statistics.beat(114);
        assert_eq!(rate(115), (100.0, 0.0));
        assert_eq!(statistics.totals()[Measure::Publish], 100);
    }

    #[test]
    fn what_rests_is_not_looked_at() {
        let (statistics, scope) = statistics();
        scope.add(Measure::Publish, 1);
        statistics.beat(100);
        assert_eq!(statistics.active.lock().len(), 1);
        statistics.beat(101);
        assert_eq!(statistics.active.lock().len(), 0);
        scope.add(Measure::Publish, 1);
        scope.add(Measure::Publish, 1);
        assert_eq!(statistics.active.lock().len(), 1);
    }

    #[test]
    fn samples_end_with_what_was_counted_then() {
        let (statistics, scope) = statistics();
        for second in 100..=161 {
            scope.add(Measure::Publish, 2);
            scope.change(Measure::Ready, 1);
            statistics.beat(second);
        }
        scope.add(Measure::Publish, 5);
        let window = Window::of(162, 20, 5);
        let figures = statistics.figures(scope.vhost(), 162, all(window));
        let publish = figures.get(Measure::Publish);
        let samples = publish.samples(crate::statistics::measure::Kind::Counter);
        assert_eq!(samples, [80.0, 90.0, 100.0, 110.0, 120.0]);
        let ready = figures.get(Measure::Ready);
        assert_eq!(
            ready.points,
            [Some(40.0), Some(45.0), Some(50.0), Some(55.0), Some(60.0)]
        );
        assert_eq!(ready.rate, 1.0);
    }

    #[test]
    fn seconds_in_which_nobody_looked_are_missing() {
        let (statistics, scope) = statistics();
        for second in (100..110).chain(120..125) {
            scope.add(Measure::Publish, 1);
            statistics.beat(second);
        }
        let window = Window::of(125, 20, 5);
        let publish = statistics
            .figures(scope.vhost(), 125, all(window))
            .get(Measure::Publish);
        assert_eq!(publish.points, [Some(5.0), Some(5.0), None, None, Some(5.0)]);
        let before = Window::of(125, 40, 5);
        let publish = statistics
            .figures(scope.vhost(), 125, all(before))
            .get(Measure::Publish);
        assert_eq!(publish.points[..4], [None, None, None, None]);
    }

    #[test]
    fn a_reset_forgets_and_a_metrics_listener_does_not() {
        let (statistics, scope) = statistics();
        scope.add(Measure::Publish, 7);
        statistics.beat(100);
        scope.vhost().reset(101);
        statistics.node().reset(101);
        scope.add(Measure::Publish, 2);
        statistics.beat(101);
        let figure = |stats| {
            statistics
                .figures(stats, 102, all(Window::of(102, 4, 1)))
                .get(Measure::Publish)
        };
        for stats in [scope.vhost(), statistics.node()] {
            assert_eq!(figure(stats).now, 2.0);
            assert_eq!(figure(stats).points, [None, None, None, None, Some(2.0)]);
        }
        assert_eq!(statistics.totals()[Measure::Publish], 9);
    }
}
