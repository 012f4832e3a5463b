//! Pieces of JSON that several resources share, with RabbitMQ's field names.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::call::Call;
use super::figures;
use crate::broker::QueueHandle;
use crate::spec::QueueType;
use crate::statistics::{Figures, Measure};
use crate::types::Timestamp;

/// A queue type's name on the wire.
pub fn queue_type(kind: QueueType) -> &'static str {
    crate::spec::arguments::type_name(kind)
}

/// The queue type of that name.
pub fn queue_type_named(name: &str) -> Option<QueueType> {
    let all = [QueueType::Classic, QueueType::Quorum, QueueType::Stream];
    all.into_iter().find(|kind| queue_type(*kind) == name)
}

/// Tags, from a list of texts or one text with commas.
pub fn tags(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => {
            let tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
            Some(tags.map(str::to_owned).collect())
        }
        Value::Array(tags) => tags.iter().map(|tag| tag.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// A time as RabbitMQ shows when something became idle: `2026-11-23T02:22:52.000+00:00`.
pub fn time(at: Timestamp) -> String {
    let shown = crate::logging::shown_time(Duration::from_millis(at.0));
    // A `T` in the place of the space, and three digits fewer.
    let (day, time) = shown.split_once(' ').unwrap_or((&shown, ""));
    let time = time.replacen("000+", "+", 1);
    format!("{day}T{time}")
}

/// Writes how fast queues grow, and how long they were.
pub fn write_lengths(call: &Call, view: &mut Value, counted: &Figures) {
    let both = counted.sum(&[Measure::Ready, Measure::Unacked]);
    figures::write_details(call.windows, view, "messages", Measure::Ready, &both);
    for measure in [Measure::Ready, Measure::Unacked] {
        figures::write_details(call.windows, view, measure.name(), measure, &counted.get(measure));
    }
}

/// The messages of several queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub ready: u64,
    pub unacked: u64,
}

impl Totals {
    /// Adds the queues up.
    pub fn of(call: &Call, queues: &[Arc<QueueHandle>]) -> Self {
        queues.iter().fold(Self::default(), |totals, queue| {
            let counts = call.gathered.counts(queue).unwrap_or_default();
            Self {
                ready: totals.ready + counts.ready,
                unacked: totals.unacked + counts.unacked,
            }
        })
    }

    /// Writes them into an object.
    pub fn write(self, view: &mut Value) {
        view["messages"] = json!(self.ready + self.unacked);
        view["messages_ready"] = json!(self.ready);
        view["messages_unacknowledged"] = json!(self.unacked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_types_have_their_names() {
        assert_eq!(queue_type_named("quorum"), Some(QueueType::Quorum));
        assert_eq!(queue_type_named("nope"), None);
    }

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(time(Timestamp(951_782_400_000)), "2000-02-29T00:00:00.000+00:00");
        assert_eq!(time(Timestamp(951_782_400_052)), "2000-02-29T00:00:00.052+00:00");
    }

    #[test]
    fn totals_add_up() {
        let mut view = json!({});
        Totals { ready: 2, unacked: 1 }.write(&mut view);
        assert_eq!(view["messages"], 3);
        assert_eq!(view["messages_ready"], 2);
    }
}
