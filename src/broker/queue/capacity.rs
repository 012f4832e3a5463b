//! Which part of the time a queue could have given its consumers more: RabbitMQ's `consumer_capacity`.

use std::time::{Duration, Instant};

/// In which time what was is mostly forgotten.
const MEMORY: Duration = Duration::from_secs(5);

/// An average over the time that has passed, in which what is longer ago counts less.
pub struct Capacity {
    /// 1 is all of the time.
    part: f64,
    /// Messages wait, and no consumer takes one more.
    is_full: bool,
    since: Instant,
}

impl Capacity {
    /// Of a queue whose consumers take whatever comes.
    pub fn new(now: Instant) -> Self {
        Self {
            part: 1.0,
            is_full: false,
            since: now,
        }
    }

    /// Whether messages wait that no consumer takes.
    pub fn note(&mut self, is_full: bool, now: Instant) {
        if self.is_full != is_full {
            self.part = self.at(now);
            self.since = now;
            self.is_full = is_full;
        }
    }

    /// What it is at that time.
    pub fn at(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.since).as_secs_f64() / MEMORY.as_secs_f64();
        let was = (-passed).exp();
        let is = if self.is_full { 0.0 } else { 1.0 };
        self.part * was + is * (1.0 - was)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_what_is_and_forgets_what_was() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut capacity = Capacity::new(start);
        assert_eq!(capacity.at(at(9000)), 1.0);
        capacity.note(true, at(9000));
        assert!((0.36..0.38).contains(&capacity.at(at(14_000))));
        assert!(capacity.at(at(60_000)) < 0.001);
        // Half of the time.
        for ms in (60_000..90_000).step_by(10) {
            capacity.note(ms % 20 == 0, at(ms));
        }
        assert!((0.4..0.6).contains(&capacity.at(at(90_000))));
    }
}
