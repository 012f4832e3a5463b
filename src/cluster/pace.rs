//! When a writer waits for company. Time comes in from outside.
//!
//! A write costs the same for one frame as for fifty. While frames come faster than they can be
//! written one after the other, those of one or two milliseconds go together. A lone sender that
//! waits for each answer never waits here, and neither do a few: if a wait brought little
//! company, the senders were waiting for us, and it is not tried again for a while.

use std::time::{Duration, Instant};

/// Writes in a row after each of which more was waiting already: that is load.
const BUSY_WRITES: u32 = 8;
/// Frames that make a wait worth it.
const COMPANY: usize = 64;
/// Enough for one write.
const ENOUGH_BYTES: usize = 64 * 1024;
/// How long after a wait in vain the next one is tried.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Pace {
    linger: Duration,
    busy_writes: u32,
    wrote: Instant,
    /// The write that is coming was waited for.
    waited: bool,
    not_before: Instant,
}

impl Pace {
    pub fn new(linger: Duration, now: Instant) -> Self {
        Self {
            linger,
            busy_writes: 0,
            wrote: now,
            waited: false,
            not_before: now,
        }
    }

    /// Nothing was waiting after the last write.
    pub fn idle(&mut self) {
        self.busy_writes = 0;
    }

    /// How long to wait before the next write, with so many bytes waiting.
    pub fn wait(&mut self, waiting: usize, now: Instant) -> Option<Duration> {
        let until = self.wrote + self.linger;
        let loaded = self.busy_writes >= BUSY_WRITES && now >= self.not_before;
        self.waited = loaded && waiting < ENOUGH_BYTES && now < until;
        self.waited.then(|| until - now)
    }

    /// So many frames were written together.
    pub fn wrote(&mut self, frames: usize, now: Instant) {
        self.wrote = now;
        self.busy_writes += 1;
        if std::mem::take(&mut self.waited) && frames < COMPANY {
            self.busy_writes = 0;
            self.not_before = now + RETRY_PAUSE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINGER: Duration = Duration::from_millis(1);

    /// A writer whose senders have put so many frames there when it comes to write.
    struct Test {
        pace: Pace,
        now: Instant,
        waits: usize,
    }

    impl Test {
        fn new() -> Self {
            let now = Instant::now();
            Self {
                pace: Pace::new(LINGER, now),
                now,
                waits: 0,
            }
        }

        /// A write of what is there and of what comes during the wait.
        fn write(&mut self, there: usize, comes_in_a_wait: usize) {
            self.now += Duration::from_micros(20);
            let mut frames = there;
            if let Some(wait) = self.pace.wait(there * 100, self.now) {
                self.now += wait;
                self.waits += 1;
                frames += comes_in_a_wait;
            }
            self.pace.wrote(frames, self.now);
        }
    }

    #[test]
    fn who_finds_nothing_after_a_write_never_waits() {
        let mut test = Test::new();
        for _ in 0..1000 {
            test.write(1, 1000);
            test.pace.idle();
        }
        assert_eq!(test.waits, 0);
    }

    #[test]
    fn under_load_frames_go_together_until_it_is_quiet() {
        let mut test = Test::new();
        for _ in 0..100 {
            test.write(5, 200);
        }
        assert!(test.waits > 90, "{}", test.waits);
        test.pace.idle();
        test.waits = 0;
        test.write(1, 0);
        assert_eq!(test.waits, 0);
    }

    #[test]
    fn a_few_senders_that_wait_for_answers_are_hardly_held_up() {
        let mut test = Test::new();
        // The senders have sent all they will before they have an answer.
        for _ in 0..5000 {
            test.write(8, 8);
        }
        assert!(test.waits <= 2, "{}", test.waits);
    }

    #[test]
    fn large_batches_do_not_wait() {
        let mut test = Test::new();
        for _ in 0..100 {
            test.write(1000, 1000);
        }
        assert_eq!(test.waits, 0);
    }
}
