//! `x-random` and `x-local-random`: one target by chance (RabbitMQ, "Random Exchange Type" and "Local
//! Random Exchange"). The second takes only queues that are on the node of the publisher; where none is,
//! the message has no target.

use super::Queue;
use super::exchange_type::{ExchangeType, RouteInput, Target};
use crate::spec::BindingSpec;

/// One entry for each binding.
pub struct Random<Q>(Vec<Target<Q>>);

impl<Q> Random<Q> {
    /// Without bindings.
    pub fn new() -> Self {
        Self(Vec::new())
    }
}

impl<Q: Clone + Eq + Send + Sync> ExchangeType<Q> for Random<Q> {
    fn bind(&mut self, _: &BindingSpec, target: &Target<Q>) {
        self.0.push(target.clone());
    }

    fn unbind(&mut self, _: &BindingSpec, target: &Target<Q>) {
        if let Some(at) = self.0.iter().position(|own| own == target) {
            self.0.swap_remove(at);
        }
    }

    fn route(&self, _: &RouteInput<'_>, random: &mut dyn FnMut() -> u64, hit: &mut dyn FnMut(&Target<Q>)) {
        if !self.0.is_empty() {
            hit(&self.0[(random() % self.0.len() as u64) as usize]);
        }
    }

    fn by_key_alone(&self) -> bool {
        false
    }
}

/// The same, of which only the queues count that are here.
pub struct LocalRandom<Q>(Random<Q>);

impl<Q> LocalRandom<Q> {
    /// Without bindings.
    pub fn new() -> Self {
        Self(Random::new())
    }
}

impl<Q: Queue> ExchangeType<Q> for LocalRandom<Q> {
    fn bind(&mut self, binding: &BindingSpec, target: &Target<Q>) {
        self.0.bind(binding, target);
    }

    fn unbind(&mut self, binding: &BindingSpec, target: &Target<Q>) {
        self.0.unbind(binding, target);
    }

    fn route(&self, _: &RouteInput<'_>, random: &mut dyn FnMut() -> u64, hit: &mut dyn FnMut(&Target<Q>)) {
        let is_here = |target: &&Target<Q>| matches!(target, Target::Queue(queue) if queue.is_here());
        let here: Vec<_> = self.0.0.iter().filter(is_here).collect();
        if !here.is_empty() {
            hit(here[(random() % here.len() as u64) as usize]);
        }
    }

    fn by_key_alone(&self) -> bool {
        false
    }
}
