//! How many messages may be sent by now.
//!
//! A publisher with a rate asks before each write. One that fell behind (blocked, or waiting for confirms) catches up
//! by at most [`CATCH_UP_NS`] worth of messages, so that a pause is not followed by a flood.

/// Most time that is made up for after a pause, in nanoseconds.
const CATCH_UP_NS: u64 = 100_000_000;
const SECOND_NS: u128 = 1_000_000_000;

/// Even spacing of messages at a rate.
#[derive(Debug, Clone)]
pub struct Pace {
    per_second: u64,
    /// When message 0 of the present count is due, in nanoseconds.
    origin_ns: u64,
    taken: u64,
}

impl Pace {
    /// The first message is due at `start_ns`; `per_second` is at least 1.
    pub fn new(per_second: u64, start_ns: u64) -> Self {
        Self {
            per_second: per_second.max(1),
            origin_ns: start_ns,
            taken: 0,
        }
    }

    /// The same for one of several that begin at `start_ns`: they take turns within the interval instead of sending
    /// all at once.
    pub fn in_turn(per_second: u64, start_ns: u64, index: u64, of: u64) -> Self {
        let stagger_ns = SECOND_NS as u64 / per_second.max(1) * index / of.max(1);
        Self::new(per_second, start_ns + stagger_ns)
    }

    /// Messages that are due and not yet taken.
    pub fn due(&mut self, now_ns: u64) -> u64 {
        let next_ns = self.next_ns();
        if now_ns < next_ns {
            return 0;
        }
        if now_ns - next_ns > CATCH_UP_NS {
            self.origin_ns = now_ns - CATCH_UP_NS;
            self.taken = 0;
        }
        let elapsed = u128::from(now_ns - self.origin_ns);
        let ever = (elapsed * u128::from(self.per_second) / SECOND_NS) as u64 + 1;
        ever.saturating_sub(self.taken)
    }

    /// Counts messages as sent.
    pub fn take(&mut self, count: u64) {
        self.taken += count;
    }

    /// When the next message is due, in nanoseconds.
    pub fn next_ns(&self) -> u64 {
        let after = u128::from(self.taken) * SECOND_NS;
        self.origin_ns + after.div_ceil(u128::from(self.per_second)) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn messages_fall_due_evenly() {
        let mut pace = Pace::new(1000, 5 * MS);
        assert_eq!(pace.due(4 * MS), 0);
        assert_eq!(pace.due(5 * MS), 1);
        pace.take(1);
        assert_eq!(pace.next_ns(), 6 * MS);
        assert_eq!(pace.due(6 * MS - 1), 0);
        assert_eq!(pace.due(8 * MS), 3);
    }

    #[test]
    fn after_a_pause_only_a_tenth_of_a_second_is_made_up_for() {
        let mut pace = Pace::new(1000, 0);
        assert_eq!(pace.due(60_000 * MS), 101);
        pace.take(101);
        assert_eq!(pace.due(60_000 * MS), 0);
        assert_eq!(pace.due(60_001 * MS), 1);
    }

    proptest! {
        #[test]
        fn the_rate_is_kept_whenever_it_is_asked_for(rate in 1..2_000_000u64, steps in prop::collection::vec(1..90 * MS, 1..200)) {
            let mut pace = Pace::new(rate, 0);
            let (mut now, mut sent) = (0, 0);
            for step in steps {
                now += step;
                let due = pace.due(now);
                pace.take(due);
                sent += due;
                let ideal = u128::from(now) * u128::from(rate) / SECOND_NS + 1;
                prop_assert!(u128::from(sent) <= ideal);
                prop_assert!(pace.next_ns() > now);
            }
        }

        #[test]
        fn a_message_is_due_at_the_time_it_was_announced(rate in 1..3_000_000u64, taken in 0..1_000_000u64) {
            let mut pace = Pace::new(rate, 0);
            pace.take(taken);
            let next = pace.next_ns();
            prop_assert_eq!(pace.due(next), 1);
        }
    }
}
