//! `x-random`: one target by chance (RabbitMQ, "Random Exchange Type").

use super::exchange_type::{Deciding, ExchangeType, ExchangeTypeSpec, Queue, RouteInput, Target};
use crate::spec::BindingSpec;
use crate::types::FieldTable;

pub(super) static TYPE: ExchangeTypeSpec = ExchangeTypeSpec::new(
    "x-random",
    "Randomly picks a binding (queue) to route via (to).",
    Deciding::Chance,
);

/// The bindings of such an exchange: none yet.
pub(super) fn bindings<Q: Queue>(_: &FieldTable) -> Box<dyn ExchangeType<Q>> {
    Box::new(Random::new())
}

/// One entry for each binding.
pub struct Random<Q>(pub(super) Vec<Target<Q>>);

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
