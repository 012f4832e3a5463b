//! Percentiles.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Highest time told apart, in nanoseconds: an hour. Longer ones count as this.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// An empty histogram of nanoseconds, exact to a thousandth.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("bounds and digits are within what hdrhistogram takes")
}

/// What is told of a distribution of times, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    pub count: u64,
    pub mean: f64,
    pub p50: f64,
    pub p75: f64,
    pub p95: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Percentiles {
    /// `None` when nothing was recorded.
    pub fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let micros = |ns: f64| (ns / 100.0).round() / 10.0;
        let at = |quantile| micros(histogram.value_at_quantile(quantile) as f64);
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            mean: micros(histogram.mean()),
            p50: at(0.50),
            p75: at(0.75),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(histogram.max() as f64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_an_even_spread_are_where_they_should_be() {
        let mut times = histogram();
        for micros in 1..=10_000u64 {
            times.saturating_record(micros * 1000);
        }
        let p = Percentiles::of(&times).expect("not empty");
        let near = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 0.002, "{found} {expected}");
        near(p.p50, 5000.0);
        near(p.p75, 7500.0);
        near(p.p95, 9500.0);
        near(p.p99, 9900.0);
        near(p.p999, 9990.0);
        near(p.max, 10_000.0);
        near(p.mean, 5000.5);
        assert_eq!(p.count, 10_000);
    }

    #[test]
    fn no_times_have_no_percentiles() {
        assert_eq!(Percentiles::of(&histogram()), None);
    }

    #[test]
    fn a_time_beyond_the_longest_counts_as_the_longest() {
        let mut times = histogram();
        times.saturating_record(u64::MAX);
        let max = Percentiles::of(&times).expect("not empty").max;
        assert!(max >= LONGEST_NS as f64 / 1000.0 * 0.999);
    }
}
