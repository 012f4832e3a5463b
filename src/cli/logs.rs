//! Commands about the log of a node: its last lines, and those that come.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::column::plain;
use super::command::{Call, Command, Group, Output, Tool};
use super::failed::Failed;
use super::node::node;
use crate::pattern::Pattern;

/// What can be asked of the log.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "log_tail",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        usage: "[--number|-N <number>] [--timeout <timeout>]",
        help: "Shows the last lines of the node's log, wherever it goes",
        options: &["number"],
        banner: |call| format!("Last {} log lines on node {} ...", number(call), call.node()),
        run: |call| {
            let told = call.look(&["log"], &[("lines", number(call).to_string())])?;
            let items = lines(&told).map(|line| json!({"message": line}));
            Ok(Output::Listed {
                text: lines(&told).collect::<Vec<_>>().join("\n"),
                columns: plain(&["message"]),
                items: items.collect(),
            })
        },
        ..Command::ROW
    },
    Command {
        name: "log_tail_stream",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        usage: "[--duration|-d <seconds>] [--timeout <timeout>]",
        help: "Shows the lines of the node's log as they come, for some time or until it is interrupted",
        options: &["duration"],
        banner: |call| match call.options.duration {
            Some(seconds) => format!("Streaming logs from node {} for {seconds} seconds ...", call.node()),
            None => format!("Streaming logs from node {} ...", call.node()),
        },
        run: |call| follow(call, &["log"], |_| true),
        ..Command::ROW
    },
    Command {
        name: "consume_event_stream",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        usage: "[--duration|-d <seconds>] [--pattern <pattern>] [--timeout <timeout>]",
        help: "Shows what happens on the node, an object of JSON in each line, for some time or until it is interrupted",
        options: &["duration", "pattern"],
        run: |call| {
            let pattern = call.options.pattern.as_deref().map(Pattern::new).transpose();
            let pattern = pattern.map_err(|error| Failed::arguments(error.to_string()))?;
            follow(call, &["events"], |line| {
                let kind = serde_json::from_str::<Value>(line).unwrap_or_default();
                let kind = kind["event"].as_str().unwrap_or_default();
                pattern.as_ref().is_none_or(|pattern| pattern.matches(kind))
            })
        },
        ..Command::ROW
    },
    Command {
        name: "log_location",
        tools: &[Tool::Diagnostics],
        group: Group::Configuration,
        usage: "[--all]",
        help: "Shows where the log of the node goes",
        options: &["all"],
        banner: |call| format!("Log file location(s) on node {} ...", call.node()),
        run: |call| {
            let node = node(call, &call.get(&["overview"])?)?;
            let files = node["log_files"].as_array().cloned().unwrap_or_default();
            let shown = if call.options.all { files.len() } else { 1 };
            let shown: Vec<_> = files.into_iter().take(shown).collect();
            let lines: Vec<_> = shown.iter().filter_map(Value::as_str).collect();
            Ok(Output::Text {
                text: lines.join("\n"),
                json: json!({"node": call.node(), "paths": lines}),
            })
        },
        ..Command::ROW
    },
    Command {
        name: "rotate_logs",
        tools: &[Tool::Ctl],
        group: Group::Nodes,
        help: "Has the node open its log file again, once it was moved away",
        banner: |call| format!("Rotating logs for node {} ...", call.node()),
        run: |call| {
            call.post(&["log", "reopen"], b"{}")?.accepted()?;
            Ok(Output::Nothing)
        },
        ..Command::ROW
    },
];

/// Lines when the call does not say.
const USUAL: usize = 50;
/// How long the node waits for a line before it says that there is none, in seconds.
const WAIT: u64 = 5;

fn number(call: &Call) -> usize {
    call.options.number.unwrap_or(USUAL)
}

fn lines(told: &Value) -> impl Iterator<Item = &str> {
    told["lines"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Asks for what comes after what is known, again and again.
fn follow(call: &Call, path: &[&str], is_wanted: impl Fn(&str) -> bool) -> Result<Output, Failed> {
    let end = call
        .options
        .duration
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut next = call.look(path, &[("lines", "0".to_owned())])?["next"].clone();
    loop {
        let left = end.map_or(WAIT, |end| {
            end.saturating_duration_since(Instant::now()).as_secs().min(WAIT)
        });
        let told = call.look(path, &[("after", next.to_string()), ("wait", left.to_string())])?;
        let mut out = io::stdout().lock();
        for line in lines(&told).filter(|line| is_wanted(line)) {
            if writeln!(out, "{line}").is_err() {
                // Whoever read us has gone.
                return Ok(Output::Silent);
            }
        }
        next = told["next"].clone();
        if end.is_some_and(|end| Instant::now() >= end) {
            return Ok(Output::Silent);
        }
        if left == 0 {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
