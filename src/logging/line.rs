//! What a log line looks like: as RabbitMQ's, so that what reads those reads these.
//!
//! Plain: `2025-01-31 12:00:00.000000+00:00 [info] text key=value`; times are UTC. As JSON:
//! `{"time": …, "level": …, "msg": …}` with the fields beside them. Control characters are
//! escaped: names that clients chose cannot forge lines.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::LogFormat;

/// Formats events.
pub struct Lines {
    pub format: LogFormat,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        // A clock before 1970 is shown as 1970.
        let time = shown(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let level = word(*event.metadata().level());
        match self.format {
            LogFormat::Plaintext => {
                let mut plain = Plain::default();
                event.record(&mut plain);
                writeln!(writer, "{time} [{level}] {}{}", plain.message, plain.fields)
            }
            LogFormat::Json => {
                let mut json = Json::default();
                json.add("time", time.into());
                json.add("level", level.into());
                json.add("msg", Value::Null);
                event.record(&mut json);
                writeln!(writer, "{}", Value::Object(json.0))
            }
        }
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

/// The message and then the fields, gathered in that order whatever order they come in.
#[derive(Default)]
struct Plain {
    message: String,
    fields: String,
}

impl Visit for Plain {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.extend(value.chars().flat_map(escaped));
        } else if value.is_empty() || value.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"') {
            // Writing to a string cannot fail.
            let _ = write!(self.fields, " {}={value:?}", field.name());
        } else {
            let _ = write!(self.fields, " {}={value}", field.name());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

fn escaped(letter: char) -> impl Iterator<Item = char> {
    let (plain, escape) = match letter.is_control() {
        true => (None, Some(letter.escape_default())),
        false => (Some(letter), None),
    };
    plain.into_iter().chain(escape.into_iter().flatten())
}

/// The members of the object; a field never takes the place of time or level.
#[derive(Default)]
struct Json(Map<String, Value>);

impl Json {
    fn add(&mut self, name: &str, value: Value) {
        self.0.entry(name).or_insert(value);
    }
}

impl Visit for Json {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => drop(self.0.insert("msg".to_owned(), value.into())),
            name => self.add(name, value.into()),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// A time since 1970 as RFC 3339 with a space, in UTC.
pub fn shown(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let of_day = seconds % 86_400;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let micros = since_1970.subsec_micros();
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}+00:00")
}

/// The date of a day counted from 1970-01-01. Years are counted from March within 400-year
/// cycles, so that the leap day is the last of its year.
fn date(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let (cycle, of_cycle) = (day / 146_097, day % 146_097);
    let year = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (
        cycle * 400 + year + u64::from(month <= 2),
        month,
        of_year - (153 * from_march + 2) / 5 + 1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00.000000+00:00"),
            (951_782_400, "2000-02-29 00:00:00.000000+00:00"),
            (1_709_251_199, "2024-02-29 23:59:59.000000+00:00"),
            (1_735_689_599, "2024-12-31 23:59:59.000000+00:00"),
            (4_107_542_400, "2100-03-01 00:00:00.000000+00:00"),
        ] {
            assert_eq!(shown(Duration::from_secs(seconds)), text);
        }
        assert!(shown(Duration::from_micros(1_000_007)).ends_with(":01.000007+00:00"));
    }
}
