//! `x-delayed-message`: holds messages back for as long as their `x-delay` header says, and routes them as
//! another type does then (RabbitMQ, "Delayed Message Exchange").

use super::exchange_type::{Before, Deciding, ExchangeType, ExchangeTypeSpec, Queue, RouteInput, Why};
use super::{ExchangeKind, delay, exchange_kind};
use crate::spec::SpecError;
use crate::spec::exchange_arguments::{Bad, ExchangeArgument};
use crate::spec::shape::Shape;
use crate::types::{FieldTable, FieldValue};

pub(super) static TYPE: ExchangeTypeSpec = ExchangeTypeSpec::new(
    "x-delayed-message",
    "Delayed Message Exchange.",
    // Who asks is told of the type that decides when the delay is over.
    Deciding::Each(Why::OtherKey),
)
.takes(&[ExchangeArgument::new("x-delayed-type", delayed_type).asks(
    Shape::one_of(DELAYED_TYPES),
    "How messages are routed when their delay is over.",
)])
.checks(has_delayed_type)
.before(hold)
.routes_as(after_the_delay)
.holds_messages();

/// What such an exchange may be after the delay, for forms: every other type.
const DELAYED_TYPES: &[&str] = &[
    "direct",
    "fanout",
    "topic",
    "headers",
    "x-consistent-hash",
    "x-random",
    "x-local-random",
    "x-modulus-hash",
    "x-recent-history",
];

/// The bindings of the type that decides when the delay is over.
pub(super) fn bindings<Q: Queue>(arguments: &FieldTable) -> Box<dyn ExchangeType<Q>> {
    after_the_delay(arguments).bindings(&FieldTable::new())
}

/// Holds back what says so and has not waited yet.
fn hold(input: &RouteInput<'_>) -> Before {
    let delay = (!input.delayed).then(|| delay::of(input.headers.table())).flatten();
    delay.map_or(Before::Nothing, Before::Hold)
}

/// The type by which such an exchange routes when the delay is over.
fn after_the_delay(arguments: &FieldTable) -> ExchangeKind {
    arguments
        .get("x-delayed-type")
        .and_then(FieldValue::as_str)
        .and_then(ExchangeKind::named)
        .filter(|kind| *kind != ExchangeKind::DelayedMessage)
        .unwrap_or(ExchangeKind::Direct)
}

/// A delayed exchange must say what it is after the delay.
fn has_delayed_type(arguments: &FieldTable) -> Result<(), SpecError> {
    match arguments.get("x-delayed-type") {
        Some(_) => Ok(()),
        None => Err(SpecError::NoDelayedType),
    }
}

fn delayed_type(value: &FieldValue) -> Result<(), Bad> {
    let FieldValue::LongString(name) = value else {
        return Err(Bad::Whole(SpecError::NoDelayedType));
    };
    match exchange_kind(&String::from_utf8_lossy(name)).map_err(Bad::Whole)? {
        ExchangeKind::DelayedMessage => Err(Bad::Whole(SpecError::DelayedTwice)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::EXCHANGE_TYPES;
    use super::*;

    #[test]
    fn every_other_type_can_be_delayed() {
        let others = EXCHANGE_TYPES
            .iter()
            .map(|row| row.name)
            .filter(|name| *name != TYPE.name);
        assert_eq!(others.collect::<Vec<_>>(), DELAYED_TYPES);
    }
}
