//! `x-modulus-hash`: the routing key's hash modulo the number of bindings (RabbitMQ, "Sharding").

use super::consistent_hash::hash;
use super::exchange_type::{Deciding, ExchangeType, ExchangeTypeSpec, Queue, RouteInput, Target};
use crate::spec::BindingSpec;
use crate::types::FieldTable;

pub(super) static TYPE: ExchangeTypeSpec =
    ExchangeTypeSpec::new("x-modulus-hash", "Modulus Hashing Exchange", Deciding::Together);

/// The bindings of such an exchange: none yet.
pub(super) fn bindings<Q: Queue>(_: &FieldTable) -> Box<dyn ExchangeType<Q>> {
    Box::new(ModulusHash::new())
}

/// One entry for each binding, in the order of binding.
pub struct ModulusHash<Q>(Vec<Target<Q>>);

impl<Q> ModulusHash<Q> {
    /// Without bindings.
    pub fn new() -> Self {
        Self(Vec::new())
    }
}

impl<Q: Clone + Eq + Send + Sync> ExchangeType<Q> for ModulusHash<Q> {
    fn bind(&mut self, _: &BindingSpec, target: &Target<Q>) {
        self.0.push(target.clone());
    }

    fn unbind(&mut self, _: &BindingSpec, target: &Target<Q>) {
        if let Some(at) = self.0.iter().position(|own| own == target) {
            self.0.remove(at);
        }
    }

    fn route(&self, input: &RouteInput<'_>, _: &mut dyn FnMut() -> u64, hit: &mut dyn FnMut(&Target<Q>)) {
        let Some(key) = input.keys.first().filter(|_| !self.0.is_empty()) else {
            return;
        };
        hit(&self.0[(hash(key) % self.0.len() as u64) as usize]);
    }

    fn by_key_alone(&self) -> bool {
        true
    }
}
