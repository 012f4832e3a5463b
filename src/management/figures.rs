//! How numbers that move are shown: totals, with their rates and samples beside them.

use serde_json::{Map, Value, json};

use super::call::Call;
use crate::config::RatesMode;
use crate::statistics::{Figure, Figures, Kind, Measure, Window, Windows};

/// What publishers do on a channel.
pub const PUBLISHES: &[Measure] = &[
    Measure::Publish,
    Measure::Confirm,
    Measure::ReturnUnroutable,
    Measure::DropUnroutable,
];

/// What comes to a queue.
pub const INCOMING: &[Measure] = &[Measure::Publish];

/// What consumers do.
pub const DELIVERIES: &[Measure] = &[
    Measure::Ack,
    Measure::Deliver,
    Measure::DeliverNoAck,
    Measure::Get,
    Measure::GetEmpty,
    Measure::GetNoAck,
    Measure::Redeliver,
];

/// What goes through an exchange.
pub const ROUTED: &[Measure] = &[Measure::PublishIn, Measure::PublishOut];

/// What queues do with the disk.
pub const DISK: &[Measure] = &[Measure::DiskReads, Measure::DiskWrites];

/// What the node does with its log.
pub const JOURNAL: &[Measure] = &[Measure::IoWriteCount, Measure::IoWriteBytes, Measure::IoSyncCount];

/// Clients and queues that come and go.
pub const CHURN: &[Measure] = &[
    Measure::ConnectionClosed,
    Measure::QueueDeclared,
    Measure::QueueCreated,
    Measure::ConnectionCreated,
    Measure::QueueDeleted,
    Measure::ChannelCreated,
    Measure::ChannelClosed,
];

/// Writes a number's rate, and its samples where they are asked for, beside it.
pub fn write_details(windows: Windows, view: &mut Value, key: &str, measure: Measure, figure: &Figure) {
    view[format!("{key}_details")] = details(figure, measure.kind(), windows.of(measure));
}

/// Writes an average, of late and of each step that is asked for, beside which RabbitMQ shows it as its rate.
pub fn write_average(view: &mut Value, key: &str, figure: &Figure, window: Option<Window>) {
    view[key] = json!(figure.now);
    view[format!("{key}_details")] = details(figure, Kind::Gauge, window);
}

/// Writes a number that never moves here, as RabbitMQ shows those that count what Erlang does.
pub fn write_nothing(view: &mut Value, key: &str, window: Option<Window>) {
    view[key] = json!(0);
    view[format!("{key}_details")] = details(&Figure::default(), Kind::Counter, window);
}

/// Writes totals with their rates.
pub fn write_counters(windows: Windows, view: &mut Value, figures: &Figures, counters: &[Measure]) {
    for counter in counters {
        let figure = figures.get(*counter);
        view[counter.name()] = json!(figure.now as u64);
        write_details(windows, view, counter.name(), *counter, &figure);
    }
}

/// Writes the message rates of something, those groups of which anything was counted. Nothing where none was.
pub fn write_message_stats(call: &Call, view: &mut Value, figures: &Figures, groups: &[&[Measure]]) {
    if let Some(stats) = message_stats(call, figures, groups) {
        view["message_stats"] = stats;
    }
}

/// The same by itself.
pub fn message_stats(call: &Call, figures: &Figures, groups: &[&[Measure]]) -> Option<Value> {
    if call.broker.config().management.rates_mode == RatesMode::None {
        return None;
    }
    let mut stats = json!({});
    for group in groups.iter().filter(|group| figures.has(group)) {
        write_counters(call.windows, &mut stats, figures, group);
        if group.contains(&Measure::Deliver) {
            let both = figures.sum(Measure::DELIVER_GET);
            stats["deliver_get"] = json!(both.now as u64);
            write_details(call.windows, &mut stats, "deliver_get", Measure::Deliver, &both);
        }
    }
    stats
        .as_object()
        .is_some_and(|stats| !stats.is_empty())
        .then_some(stats)
}

/// One number of a queue's message rates by its dotted path, for lists that are sorted by it: a total or a rate.
pub fn number(figures: &Figures, path: &str) -> Option<f64> {
    let path = path.strip_prefix("message_stats.")?;
    let rate_of = path.strip_suffix("_details.rate");
    let name = rate_of.unwrap_or(path);
    let figure = match name {
        "deliver_get" => figures.sum(Measure::DELIVER_GET),
        name => {
            let mut measures = INCOMING.iter().chain(DELIVERIES);
            figures.get(*measures.find(|measure| measure.name() == name)?)
        }
    };
    Some(if rate_of.is_some() { figure.rate } else { figure.now })
}

fn details(figure: &Figure, kind: Kind, window: Option<Window>) -> Value {
    let mut details = Map::new();
    details.insert("rate".to_owned(), json!(figure.rate));
    if let Some(window) = window {
        let mut samples = figure.samples(kind);
        // What was never other than zero has no points.
        samples.resize(window.count, 0.0);
        let last = samples.last().copied().unwrap_or_default();
        let first = samples.first().copied().unwrap_or_default();
        let age = window.every * (window.count as u64 - 1).max(1);
        let average = samples.iter().sum::<f64>() / samples.len() as f64;
        let shown = samples.iter().rev().zip(0..).map(|(sample, at)| {
            let second = window.end - at * window.every;
            json!({"sample": *sample as i64, "timestamp": second * 1000})
        });
        details.insert("samples".to_owned(), shown.collect());
        details.insert("avg_rate".to_owned(), json!((last - first) / age as f64));
        details.insert("avg".to_owned(), json!(average));
    }
    details.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_shown_from_the_newest_with_their_averages() {
        let figure = Figure {
            now: 122.0,
            rate: 12.2,
            points: vec![None, Some(0.0), Some(61.0), Some(61.0)],
            tail: 0.0,
        };
        let window = Window::of(1_795_400_583, 15, 5);
        assert_eq!(
            details(&figure, Kind::Counter, window),
            json!({
                "rate": 12.2,
                "samples": [
                    {"sample": 122, "timestamp": 1_795_400_580_000_u64},
                    {"sample": 61, "timestamp": 1_795_400_575_000_u64},
                    {"sample": 0, "timestamp": 1_795_400_570_000_u64},
                    {"sample": 0, "timestamp": 1_795_400_565_000_u64},
                ],
                "avg_rate": 122.0 / 15.0,
                "avg": 45.75,
            })
        );
        assert_eq!(details(&figure, Kind::Counter, None), json!({"rate": 12.2}));
    }
}
