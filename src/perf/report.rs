//! What the user sees: a line each second, and the figures at the end as text or JSON.

use std::fmt;

use serde::Serialize;

use super::counters::Totals;
use super::stats::Percentiles;
use super::verify::Verdict;

const SECOND_NS: u64 = 1_000_000_000;

/// The line each second.
pub struct Live {
    to_stderr: bool,
    started_ns: u64,
    last_ns: u64,
    last: Totals,
}

impl Live {
    /// Lines go to the error output when the standard output is for JSON.
    pub fn new(to_stderr: bool) -> Self {
        Self {
            to_stderr,
            started_ns: 0,
            last_ns: 0,
            last: Totals::default(),
        }
    }

    /// When the next line is due.
    pub fn next_ns(&self) -> u64 {
        self.last_ns + SECOND_NS
    }

    /// Prints a line if a second has passed since the last; the first call starts the time.
    pub fn tick(&mut self, now_ns: u64, totals: &Totals) {
        if self.started_ns == 0 {
            (self.started_ns, self.last_ns) = (now_ns, now_ns);
        }
        if now_ns < self.next_ns() {
            return;
        }
        let line = self.line(now_ns, totals);
        match self.to_stderr {
            true => eprintln!("{line}"),
            false => println!("{line}"),
        }
        (self.last_ns, self.last) = (now_ns, *totals);
    }

    fn line(&self, now_ns: u64, totals: &Totals) -> String {
        let seconds = (now_ns - self.last_ns) as f64 / SECOND_NS as f64;
        let rate = |now: u64, before: u64| grouped(((now - before) as f64 / seconds).round() as u64);
        let mut line = format!(
            "{:5} s   published {:>11}/s   confirmed {:>11}/s   consumed {:>11}/s",
            (now_ns - self.started_ns) / SECOND_NS,
            rate(totals.published, self.last.published),
            rate(totals.confirmed, self.last.confirmed),
            rate(totals.consumed, self.last.consumed),
        );
        for (what, count) in [("nacked", totals.nacked), ("returned", totals.returned)] {
            if count > 0 {
                line += &format!("   {what} {}", grouped(count));
            }
        }
        line
    }
}

/// The figures of a run. The field names are the JSON's and stay as they are.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// No error, nothing lost, refused or returned.
    pub ok: bool,
    /// Measured seconds, up to the last message if the run ended by itself.
    pub seconds: f64,
    /// Messages of the whole run, warm-up included.
    pub published: u64,
    pub confirmed: u64,
    pub nacked: u64,
    pub returned: u64,
    pub unconfirmed: u64,
    pub consumed: u64,
    /// Rates of the measured time.
    pub published_per_s: f64,
    pub confirmed_per_s: f64,
    pub consumed_per_s: f64,
    /// Time publishers were blocked by the broker, all together.
    pub blocked_seconds: f64,
    /// From publish to confirm, in microseconds.
    pub confirm_latency_us: Option<Percentiles>,
    /// From publish to delivery, in microseconds.
    pub latency_us: Option<Percentiles>,
    pub verify: Option<Verdict>,
    pub errors: Vec<String>,
}

/// Everything that is known at the end of a run.
pub struct Figures {
    /// Counts at the beginning and the end of the measured time.
    pub begin: Totals,
    pub end: Totals,
    /// Counts after everything has ended.
    pub totals: Totals,
    pub confirm_latency: Option<Percentiles>,
    pub latency: Option<Percentiles>,
    pub verdict: Option<Verdict>,
    pub unconfirmed: u64,
    pub errors: Vec<String>,
}

impl From<Figures> for Report {
    fn from(figures: Figures) -> Self {
        let Figures { begin, end, totals, .. } = figures;
        let lasted = |end_ns: u64, begin_ns: u64| end_ns.saturating_sub(begin_ns) as f64 / SECOND_NS as f64;
        let published_s = lasted(end.published_at_ns, begin.published_at_ns);
        let confirmed_s = lasted(end.confirmed_at_ns, begin.confirmed_at_ns);
        let consumed_s = lasted(end.consumed_at_ns, begin.consumed_at_ns);
        let clean = figures.verdict.is_none_or(|verdict| verdict.is_clean());
        Self {
            ok: clean && figures.errors.is_empty() && totals.nacked + totals.returned == 0,
            seconds: tenths_of_ms(published_s.max(confirmed_s).max(consumed_s)),
            published: totals.published,
            confirmed: totals.confirmed,
            nacked: totals.nacked,
            returned: totals.returned,
            unconfirmed: figures.unconfirmed,
            consumed: totals.consumed,
            published_per_s: rate(end.published - begin.published, published_s),
            confirmed_per_s: rate(end.confirmed - begin.confirmed, confirmed_s),
            consumed_per_s: rate(end.consumed - begin.consumed, consumed_s),
            blocked_seconds: tenths_of_ms(totals.blocked_ns as f64 / SECOND_NS as f64),
            confirm_latency_us: figures.confirm_latency,
            latency_us: figures.latency,
            verify: figures.verdict,
            errors: figures.errors,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |rate: f64| grouped(rate.round() as u64);
        writeln!(f, "measured {:.1} s", self.seconds)?;
        for (what, count, per_s) in [
            ("published", self.published, self.published_per_s),
            ("confirmed", self.confirmed, self.confirmed_per_s),
            ("consumed", self.consumed, self.consumed_per_s),
        ] {
            if count > 0 {
                writeln!(f, "{what:<12}{:>14}/s   {:>14} in all", whole(per_s), grouped(count))?;
            }
        }
        for (what, count) in [("nacked", self.nacked), ("returned", self.returned)] {
            if count > 0 {
                writeln!(f, "{what:<12}{:>14}", grouped(count))?;
            }
        }
        if self.blocked_seconds > 0.0 {
            writeln!(f, "{:<12}{:>14.1} s", "blocked", self.blocked_seconds)?;
        }
        percentiles(f, "confirm", self.confirm_latency_us.as_ref())?;
        percentiles(f, "end to end", self.latency_us.as_ref())?;
        if let Some(v) = &self.verify {
            let state = if v.is_clean() {
                "all there, once, in order"
            } else {
                "NOT CLEAN"
            };
            write!(
                f,
                "{:<12}{state}: lost {}, duplicates {}, ",
                "verified", v.lost, v.duplicates
            )?;
            writeln!(
                f,
                "redelivered {}, out of order {}, damaged {}",
                v.redelivered, v.out_of_order, v.damaged
            )?;
        }
        for error in &self.errors {
            writeln!(f, "error: {error}")?;
        }
        Ok(())
    }
}

fn percentiles(f: &mut fmt::Formatter<'_>, what: &str, times: Option<&Percentiles>) -> fmt::Result {
    let Some(t) = times else { return Ok(()) };
    writeln!(
        f,
        "{what:<12}p50 {:.0}   p75 {:.0}   p95 {:.0}   p99 {:.0}   p99.9 {:.0}   max {:.0} µs",
        t.p50, t.p75, t.p95, t.p99, t.p999, t.max
    )
}

/// So many a second, rounded for reading.
pub fn rate(count: u64, seconds: f64) -> f64 {
    match seconds > 0.0 {
        true => (count as f64 / seconds * 10.0).round() / 10.0,
        false => 0.0,
    }
}

/// Seconds, rounded for reading.
pub fn tenths_of_ms(seconds: f64) -> f64 {
    (seconds * 10_000.0).round() / 10_000.0
}

/// A number with a comma before every third digit.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        Figures {
            begin: Totals {
                published: 100,
                ..Totals::default().at(SECOND_NS)
            },
            end: Totals {
                published: 1100,
                consumed: 500,
                ..Totals::default().at(3 * SECOND_NS)
            },
            totals: Totals {
                published: 1200,
                consumed: 1200,
                ..Totals::default()
            },
            confirm_latency: None,
            latency: None,
            verdict: None,
            unconfirmed: 0,
            errors: Vec::new(),
        }
    }

    #[test]
    fn rates_are_of_the_measured_time_and_counts_of_the_whole_run() {
        let report = Report::from(figures());
        assert_eq!((report.published, report.published_per_s), (1200, 500.0));
        assert_eq!(
            (report.consumed, report.consumed_per_s, report.seconds),
            (1200, 250.0, 2.0)
        );
        assert!(report.ok);
    }

    #[test]
    fn a_refused_returned_or_lost_message_or_an_error_is_not_ok() {
        let spoil: [fn(&mut Figures); 4] = [
            |f| f.totals.nacked = 1,
            |f| f.totals.returned = 1,
            |f| f.errors.push("x".to_owned()),
            |f| {
                f.verdict = Some(Verdict {
                    lost: 1,
                    ..Verdict::default()
                });
            },
        ];
        for spoil in spoil {
            let mut figures = figures();
            spoil(&mut figures);
            assert!(!Report::from(figures).ok);
        }
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn a_line_says_what_happened_since_the_last() {
        let mut live = Live::new(true);
        live.tick(1, &Totals::default());
        let totals = Totals {
            published: 2_000_000,
            nacked: 3,
            ..Totals::default()
        };
        let line = live.line(2 * SECOND_NS + 1, &totals);
        assert!(line.contains("1,000,000/s") && line.contains("nacked 3"), "{line}");
    }
}
