//! `x-local-random`: one by chance of the queues that are on the node of the publisher (RabbitMQ, "Local
//! Random Exchange"); where none is, the message has no target.

use super::exchange_type::{Deciding, ExchangeType, ExchangeTypeSpec, NewBinding, Queue, RouteInput, Target};
use super::random::Random;
use crate::spec::arguments::type_module;
use crate::spec::{BindingSpec, QueueType, SpecError};
use crate::types::FieldTable;

pub(super) static TYPE: ExchangeTypeSpec = ExchangeTypeSpec::new(
    "x-local-random",
    "Picks one random local binding (queue) to route via (to).",
    Deciding::Chance,
)
.checks_bindings(local_target);

/// The bindings of such an exchange: none yet.
pub(super) fn bindings<Q: Queue>(_: &FieldTable) -> Box<dyn ExchangeType<Q>> {
    Box::new(LocalRandom::new())
}

/// All targets, of which only the queues count that are here.
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

/// It leads to classic queues, without a key.
fn local_target(binding: &NewBinding<'_>) -> Result<(), SpecError> {
    if !binding.key.is_empty() {
        return Err(SpecError::KeyNotEmpty(binding.key.to_owned()));
    }
    match binding.destination {
        Some(QueueType::Classic) => Ok(()),
        Some(other) => Err(SpecError::NotForExchangeType(type_module(other))),
        None => Err(SpecError::NoDestination),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_random_exchange_leads_to_classic_queues_without_a_key() {
        let check = |key, destination| {
            let binding = NewBinding {
                key,
                arguments: &FieldTable::new(),
                destination,
            };
            local_target(&binding).map_err(|error| error.to_string())
        };
        assert_eq!(check("", Some(QueueType::Classic)), Ok(()));
        assert_eq!(
            check("abc", Some(QueueType::Classic)),
            Err("Non empty binding 'abc' key not permitted".into())
        );
        assert_eq!(
            check("", Some(QueueType::Quorum)),
            Err("Queue type rabbit_quorum_queue not valid for this exchange type".into())
        );
        assert_eq!(check("", None), Err("Destination not found".into()));
    }
}
