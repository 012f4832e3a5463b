//! Commands about queues.

use std::fs::File;
use std::io::{self, Write};
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::columns::chosen;
use super::command::{Call, Command, Failed, Group, Output, exit};
use super::print::{Column, Kind};

/// What can be done with queues.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "list_queues",
        group: Group::Monitoring,
        usage: "[--vhost <vhost>] [--online] [--offline] [--local] [--no-table-headers] [<column>, ...] [--timeout <timeout>]",
        help: "Lists queues and their properties",
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
        name: "purge_queue",
        group: Group::Queues,
        usage: "<queue> [--vhost <vhost>]",
        help: "Purges a queue (removes all messages in it)",
        arguments: 1..=1,
        options: &[],
        columns: &[],
        banner: |call| format!("Purging queue '{}' in vhost '{}' ...", call.argument(0), call.vhost()),
        run: |call| match call.delete(&["queues", call.vhost(), call.argument(0), "contents"])? {
            true => Ok(Output::Nothing),
            false => Err(not_found()),
        },
    },
    Command {
        name: "delete_queue",
        group: Group::Queues,
        usage: "<queue_name> [--if-empty|-e] [--if-unused|-u] [--vhost <vhost>]",
        help: "Deletes a queue",
        arguments: 1..=1,
        options: &["if-empty", "if-unused"],
        columns: &[],
        banner: |call| format!("Deleting queue '{}' on vhost '{}' ...", call.argument(0), call.vhost()),
        run: delete,
    },
    Command {
        name: "export_queue",
        group: Group::Queues,
        usage: "<queue> <file_path | \"-\"> [--vhost <vhost>]",
        help: "Writes down what can be read of a damaged queue, a message of JSON on each line",
        arguments: 2..=2,
        options: &[],
        columns: &[],
        banner: |_| String::new(),
        run: export,
    },
    Command {
        name: "recover_queue",
        group: Group::Queues,
        usage: "<queue> --keep-readable [--vhost <vhost>]",
        help: "Serves a damaged queue again with what can be read of it; the rest is gone for good",
        arguments: 1..=1,
        options: &["keep-readable"],
        columns: &[],
        banner: |call| {
            format!(
                "Recovering queue '{}' in vhost '{}' ...",
                call.argument(0),
                call.vhost()
            )
        },
        run: recover,
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
        Kind::Table,
    ),
    Column::plain("exclusive"),
    Column::plain("exclusive_consumer_pid"),
    Column::plain("exclusive_consumer_tag"),
    Column::plain("head_message_timestamp"),
    Column::plain("leader"),
    Column::plain("members"),
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
    Column::plain("online"),
    Column::plain("operator_policy"),
    Column::plain("owner_pid"),
    Column::plain("pid"),
    Column::plain("policy"),
    Column::plain("state"),
    Column::plain("type"),
];

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
        true => Ok(Output::Nothing),
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
        _ => Ok(Output::Told {
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
        true => Ok(Output::Told {
            text: "The queue is served from the next start of the node.".to_owned(),
            json: said,
        }),
        false => Ok(Output::Nothing),
    }
}

fn not_found() -> Failed {
    Failed::bare(exit::DATA, "Object (queue, stream, exchange, etc) was not found")
}
