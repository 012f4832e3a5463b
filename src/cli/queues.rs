//! Commands about queues.

use std::fs::File;
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::column::{Column, Kind};
use super::columns::chosen;
use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, exit};

/// What can be done with queues.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "list_queues",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Monitoring,
        usage: "[--vhost <vhost>] [--online] [--offline] [--local] [--no-table-headers] [<column>, ...] [--timeout <timeout>]",
        help: "Lists the queues of a virtual host",
        arguments: ANY,
        options: &["online", "offline", "local"],
        columns: &COLUMNS,
        banner: |call| {
            let timeout = call.options.timeout.unwrap_or(60);
            format!(
                "Timeout: {timeout}.0 seconds ...\nListing queues for vhost {} ...",
                call.vhost()
            )
        },
        run: list,
    },
    Command {
        name: "list_unresponsive_queues",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Monitoring,
        usage: "[--local] [--queue-timeout <milliseconds>] [<column> ...] [--no-table-headers] [--timeout <timeout>]",
        help: "Lists the queues that do not answer within the time, for want of a leader or of a node",
        arguments: ANY,
        options: &["local", "queue-timeout"],
        columns: &UNRESPONSIVE,
        banner: |call| format!("Listing unresponsive queues for vhost {} ...", call.vhost()),
        run: unresponsive,
    },
    Command {
        name: "purge_queue",
        tools: &[Tool::Ctl],
        group: Group::Queues,
        usage: "<queue> [--vhost <vhost>]",
        help: "Takes all ready messages out of a queue",
        arguments: 1..=1,
        banner: |call| format!("Purging queue '{}' in vhost '{}' ...", call.argument(0), call.vhost()),
        run: |call| match call.delete(&["queues", call.vhost(), call.argument(0), "contents"])? {
            true => Ok(Output::Nothing),
            false => Err(not_found()),
        },
        ..Command::ROW
    },
    Command {
        name: "delete_queue",
        tools: &[Tool::Ctl],
        group: Group::Queues,
        usage: "<queue_name> [--if-empty|-e] [--if-unused|-u] [--vhost <vhost>]",
        help: "Deletes a queue with its messages",
        arguments: 1..=1,
        options: &["if-empty", "if-unused"],
        banner: |call| format!("Deleting queue '{}' on vhost '{}' ...", call.argument(0), call.vhost()),
        run: delete,
        ..Command::ROW
    },
    Command {
        name: "peek",
        tools: &[Tool::Queues],
        group: Group::Monitoring,
        usage: "[--vhost <vhost>] <queue> <position> [--timeout <timeout>]",
        help: "Shows the message that many places from the front of a queue, which stays as it is",
        arguments: 2..=2,
        banner: |call| {
            format!(
                "Peeking at quorum queue {} at position {} on node {} ...",
                call.argument(0),
                call.argument(1),
                call.node()
            )
        },
        run: peek,
        ..Command::ROW
    },
    Command {
        name: "export_queue",
        tools: &[Tool::Ctl, Tool::Queues],
        group: Group::Queues,
        usage: "<queue> <file_path | \"-\"> [--vhost <vhost>]",
        help: "Writes down what can be read of a damaged queue, a message of JSON on each line",
        arguments: 2..=2,
        run: export,
        ..Command::ROW
    },
    Command {
        name: "recover_queue",
        tools: &[Tool::Ctl, Tool::Queues],
        group: Group::Queues,
        usage: "<queue> --keep-readable [--vhost <vhost>]",
        help: "Serves a damaged queue again with what can be read of it; the rest is gone for good",
        arguments: 1..=1,
        options: &["keep-readable"],
        banner: |call| {
            format!(
                "Recovering queue '{}' in vhost '{}' ...",
                call.argument(0),
                call.vhost()
            )
        },
        run: recover,
        ..Command::ROW
    },
];

const ANY: RangeInclusive<usize> = 0..=usize::MAX;

/// All columns of queues. There are no processes to name, so those about them are empty.
const COLUMNS: [Column; 36] = [
    Column::of("arguments", "arguments", Kind::Table),
    Column::plain("auto_delete"),
    Column::plain("consumer_capacity"),
    Column::plain("consumer_utilisation"),
    Column::plain("consumers"),
    Column::plain("disk_reads"),
    Column::plain("disk_writes"),
    Column::plain("durable"),
    Column::of(
        "effective_policy_definition",
        "effective_policy_definition",
        Kind::Pairs,
    ),
    Column::plain("exclusive"),
    Column::plain("exclusive_consumer_pid"),
    Column::plain("exclusive_consumer_tag"),
    Column::plain("head_message_timestamp"),
    Column::of("leader", "leader", Kind::Word),
    Column::of("members", "members", Kind::Word),
    Column::plain("memory"),
    Column::plain("message_bytes"),
    Column::plain("message_bytes_persistent"),
    Column::plain("message_bytes_ram"),
    Column::plain("message_bytes_ready"),
    Column::plain("message_bytes_unacknowledged"),
    Column::plain("messages"),
    Column::plain("messages_persistent"),
    Column::plain("messages_ram"),
    Column::plain("messages_ready"),
    Column::plain("messages_ready_ram"),
    Column::plain("messages_unacknowledged"),
    Column::plain("messages_unacknowledged_ram"),
    Column::plain("name"),
    Column::of("online", "online", Kind::Word),
    Column::plain("operator_policy"),
    Column::plain("owner_pid"),
    Column::plain("pid"),
    Column::plain("policy"),
    Column::of("state", "state", Kind::Word),
    Column::of("type", "type", Kind::Word),
];

const UNRESPONSIVE: [Column; 5] = [
    Column::of("arguments", "arguments", Kind::Table),
    Column::plain("auto_delete"),
    Column::plain("durable"),
    Column::plain("name"),
    Column::plain("pid"),
];

/// Time a queue may take to answer when the call does not say.
const ANSWER: Duration = Duration::from_secs(15);

/// Asks each queue by itself, so that one that hangs is told from the others.
fn unresponsive(call: &Call) -> Result<Output, Failed> {
    let mut queues = call.list(&["queues", call.vhost()])?;
    queues.retain(|queue| !call.options.local || queue["node"] == call.node());
    let patience = call.options.queue_timeout.map_or(ANSWER, Duration::from_millis);
    let client = Client::new(call.client.place.clone(), Some(patience));
    let answers = |queue: &Value| {
        let path = ["queues", call.vhost(), queue["name"].as_str().unwrap_or_default()];
        match client.ask("GET", &path, None) {
            // One that was deleted meanwhile is not missed.
            Ok(answer) => answer.status == 404 || answer.json()["state"] == "running",
            Err(_) => false,
        }
    };
    queues.retain(|queue| !answers(queue));
    Ok(Output::rows(chosen(call, &UNRESPONSIVE, &["name"]), queues))
}

fn list(call: &Call) -> Result<Output, Failed> {
    let columns = chosen(call, &COLUMNS, &["name", "messages"]);
    let mut queues = call.list(&["queues", call.vhost()])?;
    let options = &call.options;
    queues.retain(|queue| {
        let is_down = queue["state"] == "down";
        !(options.offline && !is_down || options.online && is_down) && (!options.local || queue["node"] == call.node())
    });
    Ok(Output::rows(columns, queues.into_iter().map(shown).collect()))
}

/// A queue as the command line tools show it, which differs from the API by its type.
fn shown(mut queue: Value) -> Value {
    if queue["type"] == "classic" {
        let node = queue["node"].clone();
        queue["members"] = json!([node]);
        queue["leader"] = node;
    } else {
        queue["exclusive"] = Value::Null;
    }
    queue
}

/// Messages of a page that is asked for on the way to the position.
const PAGE: u64 = 200;
/// Bytes of a body that are shown.
const SHOWN: u64 = 64;

fn peek(call: &Call) -> Result<Output, Failed> {
    let wrong = || Failed::arguments("\"position value must be a positive integer\"");
    let mut left: u64 = call.argument(1).parse().map_err(|_| wrong())?;
    if left == 0 {
        return Err(wrong());
    }
    let path = ["queues", call.vhost(), call.argument(0), "messages"];
    let mut from = json!(0);
    loop {
        let query = [
            ("from", from.to_string()),
            ("count", left.min(PAGE).to_string()),
            ("body_bytes", SHOWN.to_string()),
        ];
        let answer = call.answered(call.client.look(&path, &query))?;
        if answer.status == 404 {
            let text = format!("Target queue was not found in virtual host '{}'", call.vhost());
            return Err(Failed::told(exit::UNAVAILABLE, text));
        }
        let page = answer.accepted()?;
        let messages = page["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let count = messages.len() as u64;
        if let Some(message) = usize::try_from(left - 1).ok().and_then(|at| messages.get(at)) {
            return Ok(peeked(message));
        }
        left = left.saturating_sub(count);
        from = page["next"].clone();
        if from.is_null() || left == 0 {
            let text = "Target queue does not have a message at that position";
            return Err(Failed::told(exit::UNAVAILABLE, text));
        }
    }
}

/// A message as keys and values.
fn peeked(message: &Value) -> Output {
    let properties = message["properties"].as_object().cloned().unwrap_or_default();
    let headers = properties.get("headers").and_then(Value::as_object).cloned();
    let mut fields: Vec<(String, Value)> = properties.into_iter().filter(|(key, _)| key != "headers").collect();
    fields.push(("routing_keys".to_owned(), json!([message["routing_key"]])));
    fields.push(("exchange".to_owned(), message["exchange"].clone()));
    fields.push((format!("payload (max {SHOWN} bytes)"), message["body"].clone()));
    let headers = headers.into_iter().flatten();
    fields.extend(headers.map(|(key, value)| (format!("header.{key}"), value)));
    let items = fields.iter().map(|(key, value)| {
        let shown = match value.as_array().map(Vec::as_slice) {
            Some([one]) => one,
            _ => value,
        };
        json!({"keys": key, "values": shown})
    });
    let items = items.collect();
    let object: serde_json::Map<_, _> = fields.into_iter().collect();
    Output::Drawn {
        columns: vec![Column::plain("keys"), Column::plain("values")],
        items,
        json: json!({"message": object, "result": "ok"}),
    }
}

fn delete(call: &Call) -> Result<Output, Failed> {
    let path = ["queues", call.vhost(), call.argument(0)];
    let missing = || Failed::told(exit::USAGE, "Queue not found");
    let queue = call.find(&path)?.ok_or_else(missing)?;
    // Asked for here for the words; the node looks again.
    if call.options.if_empty && queue["messages"] != 0 {
        return Err(Failed::told(exit::USAGE, "Queue is not empty"));
    }
    if call.options.if_unused && queue["consumers"] != 0 {
        return Err(Failed::told(exit::USAGE, "Queue is in use"));
    }
    let conditions = [
        (call.options.if_empty, "if-empty=true"),
        (call.options.if_unused, "if-unused=true"),
    ];
    let conditions: Vec<_> = conditions.into_iter().filter(|(asked, _)| *asked).collect();
    let query: Vec<_> = conditions.into_iter().map(|(_, text)| text).collect();
    match call.delete_if(&path, &query.join("&"))? {
        true => Ok(Output::message(format!(
            "Queue was successfully deleted with {} ready messages",
            queue["messages_ready"].as_u64().unwrap_or(0)
        ))),
        false => Err(missing()),
    }
}

/// A few megabytes at a time, until there is no more.
fn export(call: &Call) -> Result<Output, Failed> {
    let path = call.argument(1);
    let failed = |error| Failed::told(exit::DATA, format!("Cannot write {path}: {error}"));
    let mut file: Box<dyn Write> = match path {
        "-" => Box::new(io::stdout()),
        path => Box::new(File::create(path).map_err(failed)?),
    };
    let (mut from, mut count, mut lost) = (0, 0, 0);
    loop {
        let place = u64::to_string(&from);
        let page = call.find(&["queues", call.vhost(), call.argument(0), "readable", &place])?;
        let page = page.ok_or_else(not_found)?;
        for message in page["messages"].as_array().into_iter().flatten() {
            writeln!(file, "{message}").map_err(failed)?;
            count += 1;
        }
        lost += page["lost"].as_u64().unwrap_or(0);
        match page["next"].as_u64() {
            Some(next) => from = next,
            None => break,
        }
    }
    file.flush().map_err(failed)?;
    // What is on standard output is the messages alone.
    match path {
        "-" => Ok(Output::Nothing),
        _ => Ok(Output::Text {
            text: format!("{count} messages were written, {lost} cannot be read."),
            json: json!({"written": count, "lost": lost}),
        }),
    }
}

fn recover(call: &Call) -> Result<Output, Failed> {
    if !call.options.keep_readable {
        let text = "what cannot be read is lost for good by this: say --keep-readable if that is meant";
        return Err(Failed::told(exit::USAGE, text));
    }
    let body = json!({"action": "recover"});
    let path = ["queues", call.vhost(), call.argument(0), "actions"];
    let answer = call.ask("POST", &path, Some(&body))?;
    if answer.status == 404 {
        return Err(not_found());
    }
    if answer.status >= 300 {
        return Err(Failed::told(exit::DATA, answer.reason()));
    }
    let said = answer.json();
    match said["served"] == "next start" {
        true => Ok(Output::Text {
            text: "The queue is served from the next start of the node.".to_owned(),
            json: said,
        }),
        false => Ok(Output::Nothing),
    }
}

fn not_found() -> Failed {
    Failed::bare(exit::DATA, "Object (queue, stream, exchange, etc) was not found")
}
