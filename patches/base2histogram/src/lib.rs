//! The part of the crate `base2histogram` that openraft uses, written anew so that it costs nothing.
//!
//! openraft keeps a few histograms for each Raft group and shows them only with a feature that Warren
//! does not use. The crate it takes them from fills tables for 16 resolutions when the first is made:
//! 26 MB and 40 ms of every start. This one has a count for each power of two and no table.
//! `Cargo.toml` puts it in that crate's place (`[patch.crates-io]`); it goes when the crate fills only
//! the table that is used. Its authors have not been told yet. `scripts/check-dependencies` sees that this one
//! is the one in use.

use std::fmt;
use std::marker::PhantomData;

/// Counts of values by their power of two: 0, 1, 2 and 3, 4 to 7, and so on to `u64::MAX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    /// Bucket `b` counts the values that have `b` bits.
    buckets: [u64; u64::BITS as usize + 1],
    data: PhantomData<T>,
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Histogram<T> {
    /// A histogram that has counted nothing.
    pub fn new() -> Self {
        Histogram {
            buckets: [0; u64::BITS as usize + 1],
            data: PhantomData,
        }
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a value so many times.
    pub fn record_n(&mut self, value: u64, count: u64) {
        let bucket = &mut self.buckets[(u64::BITS - value.leading_zeros()) as usize];
        *bucket = bucket.saturating_add(count);
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.buckets.iter().fold(0, |total, &count| total.saturating_add(count))
    }

    /// The least value of the bucket below which lies the part `part` (0 to 1) of all values; 0 of none.
    pub fn percentile(&self, part: f64) -> u64 {
        let rank = (self.total() as f64 * part).ceil() as u64;
        let mut seen = 0u64;
        for (bucket, &count) in self.buckets.iter().enumerate() {
            seen = seen.saturating_add(count);
            if seen >= rank.max(1) {
                return least(bucket);
            }
        }
        0
    }

    /// The usual percentiles at once.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.total(),
            p0_1: self.percentile(0.001),
            p1: self.percentile(0.01),
            p5: self.percentile(0.05),
            p10: self.percentile(0.1),
            p50: self.percentile(0.5),
            p90: self.percentile(0.9),
            p99: self.percentile(0.99),
            p99_9: self.percentile(0.999),
        }
    }
}

/// The least value that has so many bits.
fn least(bits: usize) -> u64 {
    match bits {
        0 => 0,
        bits => 1 << (bits - 1),
    }
}

/// Percentiles of a histogram, each rounded down to a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} samples, p50 {}, p90 {}, p99 {}",
            self.samples, self.p50, self.p90, self.p99
        )
    }
}

/// Histograms to be printed, a line for each bucket that counted something.
#[derive(Debug, Clone, Default)]
pub struct AsciiChart<T = ()> {
    series: Vec<(String, Histogram<T>)>,
}

impl<T> AsciiChart<T> {
    /// A chart of nothing.
    pub fn new() -> Self {
        AsciiChart { series: Vec::new() }
    }

    /// The chart with one more histogram.
    pub fn add(mut self, name: &str, histogram: Histogram<T>) -> Self {
        self.series.push((name.to_owned(), histogram));
        self
    }

    /// What prints the chart.
    pub fn detailed(&self) -> &Self {
        self
    }
}

impl<T> fmt::Display for AsciiChart<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, histogram) in &self.series {
            writeln!(f, "{name}")?;
            for (bucket, count) in histogram.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
                writeln!(f, "{:>20} {count}", least(bucket))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_rounded_down_to_powers_of_two() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!((histogram.total(), histogram.percentile(0.5)), (0, 0));
        histogram.record_n(5, 98);
        histogram.record(0);
        histogram.record(u64::MAX);
        let stats = histogram.percentile_stats();
        assert_eq!(
            (stats.samples, stats.p0_1, stats.p50, stats.p99, stats.p99_9),
            (100, 0, 4, 4, 1 << 63)
        );
    }

    #[test]
    fn a_chart_has_a_line_for_each_bucket_that_counted() {
        let mut histogram = Histogram::<()>::new();
        histogram.record_n(3, 2);
        histogram.record(8);
        let chart = AsciiChart::new().add("sizes", histogram);
        let lines = ["sizes", &format!("{:>20} 2", 2), &format!("{:>20} 1", 8), ""].join("\n");
        assert_eq!(chart.detailed().to_string(), lines);
    }
}
