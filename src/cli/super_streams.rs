//! Commands about super streams.

use serde_json::{Map, Value, json};

use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, exit};

/// What can be done with super streams.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "add_super_stream",
        tools: &[Tool::Streams],
        group: Group::Streams,
        usage: "<name> [--vhost <vhost>] [--partitions <partitions>] [--binding-keys <binding-keys>]",
        help: "Makes a super stream: so many partitions, 3 without a word, or one for each binding key",
        arguments: 1..=1,
        options: &[
            "partitions",
            "binding-keys",
            "max-length-bytes",
            "max-age",
            "stream-max-segment-size-bytes",
            "leader-locator",
            "initial-cluster-size",
        ],
        banner: |_| "Adding a super stream...".to_owned(),
        run: add,
        ..Command::ROW
    },
    Command {
        name: "delete_super_stream",
        tools: &[Tool::Streams],
        group: Group::Streams,
        usage: "<name> [--vhost <vhost>]",
        help: "Deletes a super stream and its partitions",
        arguments: 1..=1,
        banner: |_| "Deleting a super stream...".to_owned(),
        run: |call| {
            let name = call.argument(0);
            let answer = call.ask("DELETE", &["stream", "super-streams", call.vhost(), name], None)?;
            match answer.status {
                404 => Err(Failed::told(exit::SOFTWARE, "stream_not_found")),
                _ => {
                    answer.accepted()?;
                    Ok(Output::message(format!("Super stream {name} has been deleted")))
                }
            }
        },
        ..Command::ROW
    },
    Command {
        name: "add_super_stream_partition",
        tools: &[Tool::Streams],
        group: Group::Streams,
        usage: "<name> <binding_key> [--vhost <vhost>]",
        help: "Gives a super stream that is there another partition, the last, with that binding key",
        arguments: 2..=2,
        banner: |call| format!("Adding a partition to super stream {} ...", call.argument(0)),
        run: |call| {
            let path = ["stream", "super-streams", call.vhost(), call.argument(0), "partitions"];
            let answer = call.ask("POST", &path, Some(&json!({"binding-key": call.argument(1)})))?;
            match answer.status {
                404 => Err(Failed::told(exit::SOFTWARE, "stream_not_found")),
                400 => Err(Failed::told(exit::SOFTWARE, answer.reason())),
                _ => answer.accepted().map(|_| Output::Nothing),
            }
        },
        ..Command::ROW
    },
];

fn add(call: &Call) -> Result<Output, Failed> {
    let (name, options) = (call.argument(0), &call.options);
    let mut body = match (options.partitions, &options.binding_keys) {
        (Some(_), Some(_)) => {
            return Err(Failed::arguments(
                "~c\"Specify --partitions or --binding-keys, not both.\"",
            ));
        }
        (Some(count), None) => json!({"partitions": count}),
        (None, Some(keys)) => json!({"binding-keys": keys}),
        (None, None) => json!({"partitions": 3}),
    };
    body["arguments"] = Value::Object(arguments(call)?);
    let answer = call.ask("PUT", &["stream", "super-streams", call.vhost(), name], Some(&body))?;
    if answer.status != 400 {
        answer.accepted()?;
        return Ok(Output::message(format!("Super stream {name} has been created")));
    }
    let exists = call.find(&["exchanges", call.vhost(), name])?.is_some();
    Err(match exists {
        true => Failed::told(
            exit::SOFTWARE,
            format!("{{:reference_already_exists, ~c\"there is already an exchange named {name}\"}}"),
        ),
        false => Failed::told(exit::SOFTWARE, answer.reason()),
    })
}

/// Arguments of the partitions, by their names over the API.
fn arguments(call: &Call) -> Result<Map<String, Value>, Failed> {
    let options = &call.options;
    let mut arguments = Map::new();
    for (name, size) in [
        ("max-length-bytes", &options.max_length_bytes),
        ("stream-max-segment-size-bytes", &options.stream_max_segment_size_bytes),
    ] {
        if let Some(size) = size {
            let bytes = bytes(size).ok_or_else(|| Failed::arguments(format!("{name}: '{size}' is no size")))?;
            arguments.insert(name.to_owned(), json!(bytes));
        }
    }
    if let Some(age) = &options.max_age {
        let seconds = seconds(age).ok_or_else(|| Failed::arguments(format!("max-age: '{age}' is no duration")))?;
        arguments.insert("max-age".to_owned(), json!(format!("{seconds}s")));
    }
    if let Some(locator) = &options.leader_locator {
        arguments.insert("queue-leader-locator".to_owned(), json!(locator));
    }
    if let Some(size) = options.initial_cluster_size {
        arguments.insert("initial-cluster-size".to_owned(), json!(size));
    }
    Ok(arguments)
}

/// `20gb`: units of thousands, and with an `i` of 1,024.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// `P5DT8H` (ISO 8601): seconds. Months are of 30 days and years of 365, as for `x-max-age`.
fn seconds(text: &str) -> Option<u64> {
    let rest = text.strip_prefix('P')?;
    let (days, times) = rest.split_once('T').unwrap_or((rest, ""));
    let day = 86_400;
    let dates = [('Y', 365 * day), ('M', 30 * day), ('W', 7 * day), ('D', day)];
    let clock = [('H', 3_600), ('M', 60), ('S', 1)];
    let sum = sum(days, &dates)?.checked_add(sum(times, &clock)?)?;
    (sum > 0).then_some(sum)
}

fn sum(text: &str, units: &[(char, u64)]) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, unit) = rest.split_at(end);
        let letter = unit.chars().next()?;
        let (_, factor) = units.iter().find(|(own, _)| *own == letter)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*factor)?)?;
        rest = &unit[letter.len_utf8()..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let read = ["20gb", "500MB", "7", "1kib"].map(bytes);
        assert_eq!(read, [Some(20_000_000_000), Some(500_000_000), Some(7), Some(1024)]);
        assert_eq!(["x", "1 x", "", "99999999tb9"].map(bytes), [None; 4]);
    }

    #[test]
    fn durations_are_iso_8601() {
        let read = ["PT1H", "PT10M30S", "P5DT8H", "P1M"].map(seconds);
        assert_eq!(read, [Some(3_600), Some(630), Some(460_800), Some(2_592_000)]);
        assert_eq!(["1h", "P", "PT", "PT1D", "PTH", "P0D"].map(seconds), [None; 6]);
    }
}
