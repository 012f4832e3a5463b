//! `x-recent-history`: as fanout, and a queue that is bound gets the last messages (RabbitMQ, "Recent History
//! Exchange"). The router keeps them beside the bindings: `Router::remember`.

use super::exchange_type::{Before, Deciding, ExchangeType, ExchangeTypeSpec, Queue, RouteInput, Why};
use super::fanout;
use crate::spec::SpecError;
use crate::spec::exchange_arguments::{Bad, ExchangeArgument};
use crate::spec::shape::{Kind, Shape};
use crate::spec::term::term;
use crate::types::{FieldTable, FieldValue};

pub(super) static TYPE: ExchangeTypeSpec = ExchangeTypeSpec::new(
    "x-recent-history",
    "Recent History Exchange.",
    Deciding::Each(Why::OtherKey),
)
.takes(&[ExchangeArgument::new("x-recent-history-length", history_length).asks(
    Shape::at_least(Kind::Integer, 1),
    "Messages that are kept, and given to each queue that is bound; 20 without it.",
)])
.before(remember);

/// Remembers what does not say otherwise.
fn remember(input: &RouteInput<'_>) -> Before {
    match input.headers.table().get("x-recent-history-no-store") {
        None => Before::Remember,
        Some(_) => Before::Nothing,
    }
}

/// The bindings of such an exchange: none yet.
pub(super) fn bindings<Q: Queue>(arguments: &FieldTable) -> Box<dyn ExchangeType<Q>> {
    fanout::bindings(arguments)
}

fn history_length(value: &FieldValue) -> Result<(), Bad> {
    if value.as_int().is_some_and(|length| length > 0) {
        return Ok(());
    }
    Err(Bad::Whole(SpecError::HistoryLength(term(value))))
}
