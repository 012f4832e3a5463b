//! What one thing's numbers come to: how many, how fast, and how it was. Those of several nodes add up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::measure::{Kind, Measure};

/// One measure.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Figure {
    /// The total of a counter, the state of a gauge.
    pub now: f64,
    /// By how much it has changed in a second, of late.
    pub rate: f64,
    /// By how much a counter has changed, or how a gauge stood, in each step of the window that was asked for,
    /// the oldest first. `None` where nobody looked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<Option<f64>>,
    /// By how much it has changed since the last of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tail: f64,
}

/// The numbers of one thing. What is not in it is zero and has been all the time.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Figures(BTreeMap<Measure, Figure>);

impl Figures {
    /// Of one measure; all zero where nothing is known.
    pub fn get(&self, measure: Measure) -> Figure {
        self.0.get(&measure).cloned().unwrap_or_default()
    }

    /// Whether somebody looked in that step of the window that was asked for.
    pub fn is_known(&self, step: usize) -> bool {
        let mut figures = self.0.values();
        figures.any(|figure| figure.points.get(step).is_some_and(Option::is_some))
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether anything was ever counted of these.
    pub fn has(&self, measures: &[Measure]) -> bool {
        let known = measures.iter().filter_map(|measure| self.0.get(measure));
        known.into_iter().any(|figure| figure.now != 0.0)
    }

    /// Several as if they were one, such as `deliver_get`.
    pub fn sum(&self, measures: &[Measure]) -> Figure {
        measures.iter().fold(Figure::default(), |mut sum, measure| {
            if let Some(figure) = self.0.get(measure) {
                sum.add(figure);
            }
            sum
        })
    }

    /// Sets one.
    pub fn set(&mut self, measure: Measure, figure: Figure) {
        self.0.insert(measure, figure);
    }

    /// Adds what another node, or another thing, has.
    pub fn add(&mut self, other: &Self) {
        for (measure, figure) in &other.0 {
            self.0.entry(*measure).or_default().add(figure);
        }
    }
}

impl Figure {
    fn add(&mut self, other: &Self) {
        self.now += other.now;
        self.rate += other.rate;
        self.tail += other.tail;
        if self.points.is_empty() {
            self.points.clone_from(&other.points);
            return;
        }
        for (own, others) in self.points.iter_mut().zip(&other.points) {
            *own = match (*own, *others) {
                (Some(own), Some(others)) => Some(own + others),
                (own, others) => own.or(others),
            };
        }
    }

    /// How it stood at the end of each step, as RabbitMQ shows it: nothing where nobody looked.
    pub fn samples(&self, kind: Kind) -> Vec<f64> {
        if kind == Kind::Gauge {
            return self.points.iter().map(|point| point.unwrap_or_default()).collect();
        }
        let mut total = (self.now - self.tail).max(0.0);
        let mut samples = vec![0.0; self.points.len()];
        for (sample, point) in samples.iter_mut().zip(&self.points).rev() {
            *sample = total;
            total = (total - point.unwrap_or_default()).max(0.0);
        }
        samples
    }
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(now: f64, points: &[Option<f64>]) -> Figure {
        Figure {
            now,
            rate: 1.5,
            points: points.to_vec(),
            tail: 1.0,
        }
    }

    #[test]
    fn what_nodes_say_adds_up() {
        let mut own = Figures::default();
        own.set(Measure::Publish, counted(10.0, &[None, Some(2.0), None]));
        let mut others = Figures::default();
        others.set(Measure::Publish, counted(5.0, &[Some(1.0), Some(3.0), None]));
        others.set(Measure::Get, counted(5.0, &[]));
        own.add(&others);
        let publish = own.get(Measure::Publish);
        assert_eq!((publish.now, publish.rate, publish.tail), (15.0, 3.0, 2.0));
        assert_eq!(publish.points, [Some(1.0), Some(5.0), None]);
        assert_eq!(own.sum(&[Measure::Publish, Measure::Get]).now, 20.0);
        let sent = serde_json::to_string(&own).expect("plain data");
        assert_eq!(serde_json::from_str::<Figures>(&sent).expect("figures"), own);
    }

    #[test]
    fn samples_of_a_counter_are_its_totals() {
        let figure = counted(10.0, &[Some(1.0), None, Some(4.0)]);
        assert_eq!(figure.samples(Kind::Counter), [5.0, 5.0, 9.0]);
        assert_eq!(figure.samples(Kind::Gauge), [1.0, 0.0, 4.0]);
    }
}
