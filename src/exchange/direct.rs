//! `direct`: the binding key is the routing key (spec section 3.1.3.1).

use rustc_hash::FxHashMap;

use super::exchange_type::{Bucket, Deciding, ExchangeType, ExchangeTypeSpec, Queue, RouteInput, Target, Why};
use crate::spec::BindingSpec;
use crate::types::FieldTable;

pub(super) static TYPE: ExchangeTypeSpec = ExchangeTypeSpec::new(
    "direct",
    "AMQP direct exchange, as per the AMQP specification",
    Deciding::Each(Why::OtherKey),
);

/// The bindings of such an exchange: none yet.
pub(super) fn bindings<Q: Queue>(_: &FieldTable) -> Box<dyn ExchangeType<Q>> {
    Box::new(Direct::new())
}

/// Targets by binding key.
pub struct Direct<Q>(FxHashMap<Box<[u8]>, Bucket<Q>>);

impl<Q> Direct<Q> {
    /// Without bindings.
    pub fn new() -> Self {
        Self(FxHashMap::default())
    }
}

impl<Q: Clone + Eq + Send + Sync> ExchangeType<Q> for Direct<Q> {
    fn bind(&mut self, binding: &BindingSpec, target: &Target<Q>) {
        self.0.entry(binding.key.as_bytes().into()).or_default().add(target);
    }

    fn unbind(&mut self, binding: &BindingSpec, target: &Target<Q>) {
        let key = binding.key.as_bytes();
        let Some(bucket) = self.0.get_mut(key) else { return };
        bucket.remove(target);
        if bucket.is_empty() {
            self.0.remove(key);
        }
    }

    fn route(&self, input: &RouteInput<'_>, _: &mut dyn FnMut() -> u64, hit: &mut dyn FnMut(&Target<Q>)) {
        for key in input.keys {
            if let Some(bucket) = self.0.get(*key) {
                bucket.each(hit);
            }
        }
    }

    fn by_key_alone(&self) -> bool {
        true
    }
}
