//! What a channel does with each queue and exchange, where the configuration asks for such detail.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::statistics::{Figures, Measure, Stats};
use crate::types::{ExchangeName, QueueId};

/// Empty and without cost where it is not asked for.
#[derive(Default)]
pub struct Pairs(Option<Box<Kept>>);

#[derive(Default)]
struct Kept {
    deliveries: FxHashMap<QueueId, Arc<Stats>>,
    publishes: FxHashMap<ExchangeName, Arc<Stats>>,
}

impl Pairs {
    /// Whether anything is kept is asked once, when the channel is opened.
    pub fn new(is_kept: bool) -> Self {
        Self(is_kept.then(Box::default))
    }

    /// The channel does that with a queue.
    pub fn consume(&mut self, queue: QueueId, what: Measure, count: u64) {
        if let Some(kept) = &mut self.0 {
            kept.deliveries
                .entry(queue)
                .or_insert_with(of_client)
                .add_alone(what, count);
        }
    }

    /// The channel does that with an exchange.
    pub fn publish(&mut self, exchange: &ExchangeName, what: Measure, count: u64) {
        if let Some(kept) = &mut self.0 {
            let stats = kept.publishes.entry(exchange.clone()).or_insert_with(of_client);
            stats.add_alone(what, count);
        }
    }

    /// Writes down what was counted by the end of that second. Whether anything is new.
    pub fn sample(&self, second: u64) -> bool {
        self.all().fold(false, |changed, stats| stats.sample(second) | changed)
    }

    /// Counts anew.
    pub fn reset(&self, second: u64) {
        self.all().for_each(|stats| stats.reset(second));
    }

    /// By queue.
    pub fn deliveries(&self, figures: impl Fn(&Stats) -> Figures) -> Vec<(QueueId, Figures)> {
        let kept = self.0.iter().flat_map(|kept| &kept.deliveries);
        kept.map(|(queue, stats)| (*queue, figures(stats))).collect()
    }

    /// By exchange.
    pub fn publishes(&self, figures: impl Fn(&Stats) -> Figures) -> Vec<(ExchangeName, Figures)> {
        let kept = self.0.iter().flat_map(|kept| &kept.publishes);
        kept.map(|(exchange, stats)| (exchange.clone(), figures(stats)))
            .collect()
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Stats>> {
        let kept = self.0.iter();
        kept.flat_map(|kept| kept.deliveries.values().chain(kept.publishes.values()))
    }
}

fn of_client() -> Arc<Stats> {
    Arc::new(Stats::of_client())
}
