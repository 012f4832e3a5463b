//! When a writer waits for company. Time comes in from outside.
//!
//! A write costs the same for one frame as for fifty. While many senders are busy, the frames of
//! one or two milliseconds go together; a lone sender that waits for each answer, or a quiet
//! link, never waits.

use std::time::{Duration, Instant};

/// Frames in a write, on average, from which on there are many senders.
const MANY: usize = 4;
/// Enough for one write.
const ENOUGH_BYTES: usize = 64 * 1024;
/// So many writes within one linger are load.
const WRITES: u32 = 3;

pub(super) struct Pace {
    linger: Duration,
    /// Begin of the time in which writes are counted.
    since: Instant,
    writes: u32,
    /// Frames of a write, in sixteenths, as a moving average.
    frames: usize,
    loaded: bool,
}

impl Pace {
    pub fn new(linger: Duration, now: Instant) -> Self {
        Self {
            linger,
            since: now,
            writes: 0,
            frames: 0,
            loaded: false,
        }
    }

    /// How long to wait before the next write, with so many bytes waiting.
    pub fn wait(&self, waiting: usize, now: Instant) -> Option<Duration> {
        let until = self.since + self.linger;
        (self.loaded && waiting < ENOUGH_BYTES && now < until).then(|| until - now)
    }

    /// So many frames were written together.
    pub fn wrote(&mut self, frames: usize, now: Instant) {
        self.frames = self.frames - self.frames / 4 + frames.min(1 << 20) * 4;
        self.writes += 1;
        let passed = now.saturating_duration_since(self.since);
        if self.loaded {
            // Written after its linger: the next time begins. Company that stayed away ends it.
            self.loaded = self.frames / 16 >= MANY && passed < self.linger * 4;
            (self.since, self.writes) = (now, 0);
        } else if passed >= self.linger {
            (self.since, self.writes) = (now, 0);
        } else if self.writes >= WRITES && self.frames / 16 >= MANY {
            self.loaded = true;
            (self.since, self.writes) = (now, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINGER: Duration = Duration::from_millis(1);

    fn step(pace: &mut Pace, now: &mut Instant, frames: usize, micros: u64) -> Option<Duration> {
        *now += Duration::from_micros(micros);
        let wait = pace.wait(frames * 100, *now);
        *now += wait.unwrap_or_default();
        pace.wrote(frames, *now);
        wait
    }

    #[test]
    fn a_lone_sender_never_waits() {
        let mut now = Instant::now();
        let mut pace = Pace::new(LINGER, now);
        for _ in 0..1000 {
            assert_eq!(step(&mut pace, &mut now, 1, 50), None);
        }
    }

    #[test]
    fn many_senders_wait_for_each_other_and_stop_when_it_is_quiet() {
        let mut now = Instant::now();
        let mut pace = Pace::new(LINGER, now);
        let waits = (0..20).filter_map(|_| step(&mut pace, &mut now, 8, 50)).count();
        assert!(waits > 10, "{waits}");
        // Nothing for a while: the next frame goes at once.
        assert_eq!(step(&mut pace, &mut now, 1, 50_000), None);
        assert_eq!(step(&mut pace, &mut now, 1, 50), None);
    }

    #[test]
    fn large_batches_do_not_wait() {
        let mut now = Instant::now();
        let mut pace = Pace::new(LINGER, now);
        for _ in 0..20 {
            step(&mut pace, &mut now, 8, 50);
        }
        assert_eq!(pace.wait(ENOUGH_BYTES, now), None);
    }
}
