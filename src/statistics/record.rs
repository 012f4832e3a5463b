//! The history of one thing: what the sampler has seen of it.

use super::counters::Tally;
use super::figures::Figures;
use super::measure::{Kind, Measure};
use super::rings::{Fill, LEVELS, Rings};
use super::window::Windows;

/// See the head of this file.
pub(super) struct Record {
    /// The second in which it began.
    since: u64,
    levels: usize,
    /// The last second in which anything was other than before.
    moved: Option<u64>,
    /// What the counters stood at when they were sampled last.
    seen: Tally,
    /// What they stood at when the statistics were reset.
    base: Tally,
    /// Of measures that have ever been other than zero.
    rings: Vec<(Measure, Rings)>,
}

/// What a figure is read by.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    /// The second that runs.
    pub now: u64,
    /// Seconds over which a rate is taken.
    pub interval: u64,
    /// The seconds in which the sampler looked.
    pub beats: &'a Rings,
    pub windows: Windows,
}

impl Record {
    /// Nothing is known before that second.
    pub fn new(since: u64, levels: usize) -> Self {
        Self {
            since,
            levels,
            moved: None,
            seen: Tally::default(),
            base: Tally::default(),
            rings: Vec::new(),
        }
    }

    /// Takes in what was counted by the end of that second, and how things stand. Whether anything is other
    /// than it was.
    pub fn sample(&mut self, second: u64, tally: &Tally, gauges: impl Iterator<Item = (Measure, i64)>) -> bool {
        let added = tally.since(&self.seen);
        self.seen = tally.clone();
        let mut changed = false;
        for counter in Measure::counters().filter(|counter| added[*counter] > 0) {
            changed = true;
            self.rings(counter).record(second, added[counter] as f32);
        }
        for (gauge, value) in gauges {
            let value = value as f32;
            let known = self.rings.iter().any(|(measure, _)| *measure == gauge);
            if value == 0.0 && !known {
                continue;
            }
            let rings = self.rings(gauge);
            changed |= rings.at(0, second.saturating_sub(1)) != Some(value);
            rings.record(second, value);
        }
        if changed {
            self.moved = Some(second);
        }
        changed
    }

    /// Forgets everything up to that second; counters begin anew.
    pub fn reset(&mut self, second: u64, tally: &Tally) {
        self.since = second;
        self.seen = tally.clone();
        self.base = tally.clone();
        self.rings.clear();
    }

    /// The last second in which anything was other than before; `None` where nothing ever was.
    pub fn moved(&self) -> Option<u64> {
        self.moved
    }

    /// The counters since the last reset.
    pub fn since_reset(&self, tally: &Tally) -> Tally {
        tally.since(&self.base)
    }

    /// Adds what is known of each measure that was ever other than zero.
    pub fn read(&self, reading: Reading<'_>, figures: &mut Figures) {
        for (measure, rings) in &self.rings {
            let mut figure = figures.get(*measure);
            figure.rate = self.rate(*measure, rings, reading);
            if let Some(window) = reading.windows.of(*measure) {
                let point = |(from, to)| self.between(*measure, rings, from, to, reading);
                figure.points = window.steps().map(point).collect();
                if measure.kind() == Kind::Counter {
                    let since = self.between(*measure, rings, window.end, reading.now, reading);
                    let unseen = figure.now - self.since_reset(&self.seen)[*measure] as f64;
                    figure.tail = since.unwrap_or_default() + unseen.max(0.0);
                }
            }
            figures.set(*measure, figure);
        }
    }

    fn rings(&mut self, measure: Measure) -> &mut Rings {
        let at = match self.rings.iter().position(|(known, _)| *known == measure) {
            Some(at) => at,
            None => {
                let fill = match measure.kind() {
                    Kind::Counter => Fill::Zero,
                    Kind::Gauge => Fill::Last,
                };
                self.rings.push((measure, Rings::new(fill, self.levels)));
                self.rings.len() - 1
            }
        };
        &mut self.rings[at].1
    }

    /// By how much it changes in a second: over the last whole seconds, as many as it is there.
    fn rate(&self, measure: Measure, rings: &Rings, reading: Reading<'_>) -> f64 {
        let Reading { now, interval, .. } = reading;
        let from = now.saturating_sub(interval).max(self.since);
        let Some(seconds) = now.checked_sub(from).filter(|seconds| *seconds > 0) else {
            return 0.0;
        };
        let change = match measure.kind() {
            Kind::Counter => self.between(measure, rings, from, now, reading),
            Kind::Gauge => {
                let at = |second: u64| self.value(rings, 0, second);
                at(now - 1)
                    .zip(at(from.saturating_sub(1)).or(Some(0.0)))
                    .map(|(now, before)| now - before)
            }
        };
        change.unwrap_or_default() / seconds as f64
    }

    /// What was added from one second to another, or how it stood at the end of them.
    fn between(&self, measure: Measure, rings: &Rings, from: u64, to: u64, reading: Reading<'_>) -> Option<f64> {
        let reach = reading.now.saturating_sub(from);
        let covers = |level: &usize| LEVELS[*level].every * (LEVELS[*level].slots as u64 - 1) >= reach;
        let level = (0..self.levels).find(covers).unwrap_or(self.levels - 1);
        let every = LEVELS[level].every;
        let to = to.min(reading.now);
        if from >= to {
            return None;
        }
        let slots = (from / every)..=((to - 1) / every);
        let slots = slots.filter(|slot| {
            let beats = reading.beats.at(level.min(reading.beats.levels() - 1), *slot);
            beats.is_some_and(|beats| beats > 0.0)
        });
        match measure.kind() {
            Kind::Gauge => slots.rev().find_map(|slot| self.value(rings, level, slot)),
            Kind::Counter => slots.fold(None, |sum, slot| {
                let Some(value) = self.value(rings, level, slot) else {
                    return sum;
                };
                let (begins, ends) = (slot * every, ((slot + 1) * every).min(reading.now));
                let inside = to.min(ends).saturating_sub(from.max(begins)) as f64 / (ends - begins).max(1) as f64;
                Some(sum.unwrap_or(0.0) + value * inside)
            }),
        }
    }

    /// A slot of the history; zero where the measure had not been other than zero yet.
    fn value(&self, rings: &Rings, level: usize, slot: u64) -> Option<f64> {
        if slot < self.since / LEVELS[level].every {
            return None;
        }
        match rings.at(level, slot) {
            Some(value) => Some(f64::from(value)),
            // It is older than what is kept, or than the first change.
            None if rings.begins_after(level, slot) => Some(0.0),
            None => None,
        }
    }
}
