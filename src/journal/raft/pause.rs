//! Pauses between small entries.
//!
//! A round of a group costs each member messages, a write and a sync, whatever it carries. Where rounds
//! take long (a slow disk, a busy machine) a moderate load would keep all members at work all the time
//! with entries of a record or two. Therefore the round after one that carried several records begins no
//! sooner than twice the time that one took, from its beginning, [`MOST`] at most: a group with little to
//! do works half of the time, with larger entries.
//!
//! Publishers who wait for their confirms send right after a round and then nothing: to them a pause is
//! lost time. One in whose later half nothing came is followed by rounds without a pause: a few, and
//! twice as many each time, until one is worth it again.
//!
//! ```text
//! round ──landed──→ pause ──came late──→ pause after each round
//!                     └──came at once or not at all──→ skip FEW, 2 FEW, … MANY rounds
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// When a proposer rests; pure, it is told the time.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    /// When the last round began, and how long it took.
    landed: Option<(Instant, Duration)>,
    /// When the pause that is on began.
    begun: Option<Instant>,
    /// When a record last came in it.
    came: Option<Instant>,
    /// Rounds still without a pause.
    skip: u32,
    /// How many those were at first.
    skipped: u32,
}

impl Pauses {
    /// A round with that many records ended.
    pub fn landed(&mut self, records: usize, sent: Instant, now: Instant) {
        self.landed = (records > 1).then(|| (sent, now - sent));
    }

    /// Until when to rest before the next round, if at all; [`Pauses::end`] ends it.
    pub fn begin(&mut self, now: Instant) -> Option<Instant> {
        let (sent, took) = self.landed.take().filter(|(_, took)| *took >= LEAST)?;
        let until = sent + (2 * took).min(MOST);
        if until <= now {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.begun = Some(now);
        self.came = None;
        Some(until)
    }

    /// Whether a pause is on.
    pub fn is_on(&self) -> bool {
        self.begun.is_some()
    }

    /// A record comes.
    pub fn came(&mut self, now: Instant) {
        self.came = Some(now);
    }

    /// The pause is over.
    pub fn end(&mut self, now: Instant) {
        let Some(begun) = self.begun.take() else {
            return;
        };
        let half = begun + (now - begun) / 2;
        self.skipped = match self.came {
            Some(came) if came > half => 0,
            _ => (2 * self.skipped).clamp(FEW, MANY),
        };
        self.skip = self.skipped;
    }
}

/// Rounds that take less are not worth a pause: timers have steps of a millisecond.
const LEAST: Duration = Duration::from_micros(750);
/// From the beginning of a round to the next: the longest that is waited for.
const MOST: Duration = Duration::from_millis(2);
/// Rounds without a pause after the first that was lost time,
const FEW: u32 = 4;
/// and after the last of many.
const MANY: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A round of that many records that took this long and ends now.
    fn round(pauses: &mut Pauses, records: usize, took: Duration, now: Instant) {
        pauses.landed(records, now - took, now);
    }

    /// Runs rounds of two records with a millisecond each; in each pause one comes after `after`.
    /// Returns in how many there was a pause.
    fn paused(rounds: usize, after: Duration) -> usize {
        let mut pauses = Pauses::default();
        let mut now = Instant::now();
        let mut count = 0;
        for _ in 0..rounds {
            now += MS;
            round(&mut pauses, 2, MS, now);
            if let Some(until) = pauses.begin(now) {
                assert_eq!(until, now + MS);
                pauses.came(now + after);
                pauses.end(until);
                now = until;
                count += 1;
            }
        }
        count
    }

    #[test]
    fn what_comes_at_its_own_time_is_gathered_after_each_round() {
        assert_eq!(paused(1000, Duration::from_micros(600)), 1000);
    }

    #[test]
    fn who_waits_for_confirms_is_rarely_held_up() {
        // The first, those after 4, 8, 16 and 32 rounds without one, then one in 65.
        assert_eq!(paused(1000, MS / 5), 5 + (1000 - 65) / 65);
    }

    #[test]
    fn a_pause_that_is_worth_it_ends_the_skipping() {
        let mut pauses = Pauses::default();
        let now = Instant::now();
        round(&mut pauses, 2, MS, now);
        let until = pauses.begin(now).expect("a pause");
        pauses.end(until);
        for _ in 0..FEW {
            round(&mut pauses, 2, MS, now);
            assert_eq!(pauses.begin(now), None);
        }
        round(&mut pauses, 2, MS, now);
        let until = pauses.begin(now).expect("a pause");
        assert!(pauses.is_on());
        pauses.came(until);
        pauses.end(until);
        assert!(!pauses.is_on());
        round(&mut pauses, 2, MS, now);
        assert!(pauses.begin(now).is_some());
    }

    #[test]
    fn nothing_rests_after_a_lone_record_a_short_round_or_a_long_silence() {
        let mut pauses = Pauses::default();
        let now = Instant::now();
        assert_eq!(pauses.begin(now), None);
        round(&mut pauses, 1, MS, now);
        assert_eq!(pauses.begin(now), None);
        round(&mut pauses, 2, MS / 4, now);
        assert_eq!(pauses.begin(now), None);
        round(&mut pauses, 2, MS, now);
        assert_eq!(pauses.begin(now + MS), None);
    }

    #[test]
    fn a_round_that_took_long_is_followed_by_a_short_pause_or_none() {
        let mut pauses = Pauses::default();
        let now = Instant::now();
        round(&mut pauses, 2, 3 * MS / 2, now);
        assert_eq!(pauses.begin(now), Some(now + MS / 2));
        pauses.end(now);
        pauses.skip = 0;
        round(&mut pauses, 2, 500 * MS, now);
        assert_eq!(pauses.begin(now), None);
    }
}
