//! `fanout`: every target, whatever the routing key (spec section 3.1.3.2).

use super::exchange_type::{Bucket, Deciding, ExchangeType, ExchangeTypeSpec, Queue, RouteInput, Target, Why};
use crate::spec::BindingSpec;
use crate::types::FieldTable;

pub(super) static TYPE: ExchangeTypeSpec = ExchangeTypeSpec::new(
    "fanout",
    "AMQP fanout exchange, as per the AMQP specification",
    Deciding::Each(Why::OtherKey),
);

/// The bindings of such an exchange: none yet.
pub(super) fn bindings<Q: Queue>(_: &FieldTable) -> Box<dyn ExchangeType<Q>> {
    Box::new(Fanout::new())
}

/// All targets.
pub struct Fanout<Q>(Bucket<Q>);

impl<Q> Fanout<Q> {
    /// Without bindings.
    pub fn new() -> Self {
        Self(Bucket::default())
    }
}

impl<Q: Clone + Eq + Send + Sync> ExchangeType<Q> for Fanout<Q> {
    fn bind(&mut self, _: &BindingSpec, target: &Target<Q>) {
        self.0.add(target);
    }

    fn unbind(&mut self, _: &BindingSpec, target: &Target<Q>) {
        self.0.remove(target);
    }

    fn route(&self, _: &RouteInput<'_>, _: &mut dyn FnMut() -> u64, hit: &mut dyn FnMut(&Target<Q>)) {
        self.0.each(hit);
    }

    fn by_key_alone(&self) -> bool {
        true
    }
}
