//! Commands that look whether a node is well, and wait for it.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::{Value, json};

use super::command::{Call, Command, Group, MISPLACED, Output, Tool};
use super::failed::{Failed, exit};
use super::listeners;
use super::node::{in_units, is_running, node};
use crate::types::sorting::sort_by_key;

/// What can be asked about a node's health.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "is_running",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Says whether the node serves clients; either answer is no failure",
        banner: |call| format!("Asking node {} for its status ...", call.node()),
        run: |call| {
            let node = call.node();
            Ok(match serves(call)? {
                true => asked(true, format!("RabbitMQ on node {node} is fully booted and running")),
                false => asked(
                    false,
                    format!(
                        "RabbitMQ on node {node} is not running or has not fully booted yet (check with is_booting)"
                    ),
                ),
            })
        },
        ..Command::ROW
    },
    Command {
        name: "is_booting",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Says whether the broker of the node is being started; either answer is no failure",
        banner: |call| format!("Asking node {} for its boot status ...", call.node()),
        run: |call| {
            let node = call.node();
            let told = call.get(&["local", "name"])?;
            Ok(match told["starting"] == true {
                true => asked(true, format!("RabbitMQ on node {node} is booting")),
                false => asked(
                    false,
                    format!(
                        "RabbitMQ on node {node} is fully booted (check with is_running), stopped or has not started \
                         booting yet"
                    ),
                ),
            })
        },
        ..Command::ROW
    },
    Command {
        name: "check_port_listener",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        usage: "<port>",
        help: "Fails unless the node listens on the port",
        arguments: 1..=1,
        banner: |call| {
            let port = call.argument(0);
            format!(
                "Asking node {} if there's an active listener on port {port} ...",
                call.node()
            )
        },
        run: check_port,
        ..Command::ROW
    },
    Command {
        name: "check_protocol_listener",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        usage: "<protocol>",
        help: "Fails unless the node listens for the protocol",
        arguments: 1..=1,
        banner: |call| {
            let protocol = call.argument(0);
            format!(
                "Asking node {} if there's an active listener for protocol {protocol} ...",
                call.node()
            )
        },
        run: check_protocol,
        ..Command::ROW
    },
    Command {
        name: "node_health_check",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Deprecated,
        help: "Does nothing any more: the checks of single things took its place",
        run: |_| {
            Ok(Output::message(
                "This command is deprecated and does nothing. Use check_running, check_local_alarms and their like.",
            ))
        },
        ..Command::ROW
    },
    Command {
        name: "memory_breakdown",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Shows what memory the node uses",
        usage: "[--unit <unit>] [--timeout <timeout>]",
        options: &["unit"],
        banner: |call| format!("Reporting memory breakdown on node {}...", call.node()),
        run: memory,
        ..Command::ROW
    },
    Command {
        name: "wait",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Nodes,
        usage: "[<pidfile>] [--pid|-P <pid>] [--timeout <timeout>]",
        help: "Waits until the process of a pid, or of a pid file, is a node that serves clients",
        arguments: 0..=1,
        options: &["pid"],
        banner: |call| match call.argument(0) {
            "" => String::new(),
            file => format!("Waiting for pid file '{file}' to appear"),
        },
        run: wait,
        ..Command::ROW
    },
    Command {
        name: "check_certificate_expiration",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        usage: "[--within <period>] [--unit <unit>]",
        help: "Fails while some certificate in use ends within the time",
        options: &["within", "unit"],
        banner: |call| format!("Checking certificate expiration on node {} ...", call.node()),
        run: certificates,
        ..Command::ROW
    },
    Command {
        name: "check_if_new_quorum_queue_replicas_have_finished_initial_sync",
        tools: &[Tool::Diagnostics, Tool::Queues],
        group: Group::Monitoring,
        help: "Fails while some member of a quorum queue on the node has yet to get what the others have",
        banner: |call| {
            format!(
                "Checking if node {} runs promotable replicas of any queues ...",
                call.node()
            )
        },
        run: being_filled,
        ..Command::ROW
    },
    Command {
        name: "check_if_any_deprecated_features_are_used",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Fails while features are used that are deprecated",
        banner: |_| "Checking if any deprecated features are used ...".to_owned(),
        run: |call| {
            let used = call.list(&["deprecated-features", "used"])?;
            let names: Vec<_> = used.iter().filter_map(|feature| feature["name"].as_str()).collect();
            if names.is_empty() {
                return Ok(Output::well("Cluster reported no deprecated features in use"));
            }
            let report = json!({
                "deprecated_features": names,
                "message": "Cluster reported deprecated features in use",
                "result": "error",
            });
            Err(call.ill(names.join("\n"), &report))
        },
        ..Command::ROW
    },
    Command {
        name: "await_online_quorum_plus_one",
        tools: &[Tool::Upgrade],
        group: Group::Upgrade,
        usage: "[--timeout <timeout>]",
        help: "Waits until each quorum queue has a member more online than its majority needs, so that this node may stop",
        banner: |call| {
            let seconds = call.options.timeout.unwrap_or(QUORUM.as_secs());
            format!(
                "Will wait for a quorum + 1 of nodes to be online for all quorum queues and streams for {seconds} \
                 seconds..."
            )
        },
        run: await_quorum,
        ..Command::ROW
    },
    Command {
        name: "post_upgrade",
        tools: &[Tool::Upgrade],
        group: Group::Upgrade,
        help: "What is done after an upgrade: spreads the leaders of queues over the nodes",
        banner: |_| "Executing post upgrade tasks...\nRebalancing queue masters...".to_owned(),
        run: |call| {
            call.post(&["rebalance", "queues"], b"")?.accepted()?;
            Ok(Output::Nothing)
        },
        ..Command::ROW
    },
];

/// Time that members of queues may take to come back when the call does not say.
const QUORUM: Duration = Duration::from_secs(120);
/// Time a node may take to start when the call does not say.
const STARTUP: Duration = Duration::from_secs(300);
/// Between two looks at something that can only be looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The answer to a question of yes or no; either is no failure.
fn asked(result: bool, text: String) -> Output {
    let json = json!({"message": text, "result": result});
    Output::Text { text, json }
}

/// Whether the node's broker serves its clients.
fn serves(call: &Call) -> Result<bool, Failed> {
    let answer = call.ask_any(&["health", "checks", "is-in-service"])?;
    match answer.status {
        200 => Ok(true),
        // It runs, only not for clients.
        503 if answer.json()["drained"] == true => Ok(true),
        503 => Ok(false),
        _ => Err(Failed::told(exit::UNAVAILABLE, answer.reason())),
    }
}

/// The node that is asked, as the API has it.
fn this_node(call: &Call) -> Result<Value, Failed> {
    node(call, &call.get(&["overview"])?)
}

fn check_port(call: &Call) -> Result<Output, Failed> {
    let (node, port) = (call.node(), call.argument(0));
    let wanted: u16 = port
        .parse()
        .map_err(|_| Failed::arguments("Argument must be a port number"))?;
    let listeners = listeners::of(&call.get(&["overview"])?);
    let mut ports: Vec<_> = listeners
        .iter()
        .filter_map(|listener| listener["port"].as_u64())
        .collect();
    ports.sort_unstable();
    if ports.contains(&wanted.into()) {
        return Ok(Output::Text {
            text: format!("A listener for port {port} is running on node {node}."),
            json: json!({"node": node, "port": port, "result": "ok"}),
        });
    }
    let names: Vec<_> = ports.iter().map(u64::to_string).collect();
    let text = format!(
        "No listener for port {port} is active on node {node}. Found listeners that use the following ports: {}",
        names.join(", ")
    );
    let report = json!({"listeners": listeners, "missing": port, "ports": ports, "result": "error"});
    Err(call.ill(text, &report))
}

fn check_protocol(call: &Call) -> Result<Output, Failed> {
    let (node, protocol) = (call.node(), call.argument(0));
    let listeners = listeners::of(&call.get(&["overview"])?);
    let mut protocols: Vec<_> = listeners.iter().filter_map(|one| one["protocol"].as_str()).collect();
    protocols.sort_unstable();
    protocols.dedup();
    if protocols.contains(&protocol) {
        return Ok(Output::Text {
            text: format!("A listener for protocol {protocol} is running on node {node}."),
            json: json!({"node": node, "protocol": protocol, "result": "ok"}),
        });
    }
    Err(Failed::told(
        exit::UNAVAILABLE,
        format!(
            "No listener for protocol {protocol} is active on node {node}. Found listeners for the following \
             protocols: {}",
            protocols.join(", ")
        ),
    ))
}

/// The process's memory: it is one, and no part of it is counted by itself.
fn memory(call: &Call) -> Result<Output, Failed> {
    let node = this_node(call)?;
    let name = node["name"].as_str().unwrap_or_default();
    let memory = call.get(&["nodes", name, "memory"])?["memory"].take();
    let total = memory["total"]["rss"].as_f64().unwrap_or(0.0).max(1.0);
    let kinds = memory.as_object().into_iter().flatten();
    // Beside the kinds there are the total and how it was found.
    let mut kinds: Vec<_> = kinds.filter(|(_, bytes)| bytes.is_number()).collect();
    sort_by_key(&mut kinds, |(_, bytes)| std::cmp::Reverse(bytes.as_u64()));
    let part = |bytes: &Value| (bytes.as_f64().unwrap_or(0.0) / total * 1e4).round() / 100.0;
    let (unit, size) = match call.options.unit.as_deref().unwrap_or("GB").to_lowercase().as_str() {
        "bytes" => ("bytes", 1.0),
        "kb" => ("kb", 1e3),
        "mb" => ("mb", 1e6),
        "gb" => ("gb", 1e9),
        "tb" => ("tb", 1e12),
        other => {
            return Err(Failed::arguments(format!(
                "unit '{other}' is not supported. Please use one of: bytes, mb, gb, tb"
            )));
        }
    };
    let lines = kinds.iter().map(|(kind, bytes)| {
        let (bytes, part) = (in_units(bytes, size), part(bytes));
        format!("{kind}: {bytes} {unit} ({part:?}%)")
    });
    let views = kinds.iter().map(|(kind, bytes)| {
        let view = json!({"bytes": bytes, "percentage": part(bytes)});
        ((*kind).clone(), view)
    });
    Ok(Output::Text {
        text: lines.collect::<Vec<_>>().join("\n"),
        json: Value::Object(views.collect()),
    })
}

fn certificates(call: &Call) -> Result<Output, Failed> {
    let within = call.options.within.unwrap_or(4);
    let unit = call.options.unit.as_deref().unwrap_or("weeks");
    if !matches!(unit, "days" | "weeks" | "months" | "years") {
        return Err(Failed::arguments(format!(
            "\"unit '{unit}' is not supported. Please use one of: days, weeks, months, years\""
        )));
    }
    let path = ["health", "checks", "certificate-expiration", &within.to_string(), unit];
    let answer = call.ask("GET", &path, None)?;
    if answer.status != 503 {
        answer.accepted()?;
        return Ok(Output::well(format!(
            "No certificates are expiring within {within} {unit}."
        )));
    }
    Err(call.ill(answer.reason(), &answer.json()))
}

fn being_filled(call: &Call) -> Result<Output, Failed> {
    let node = call.node();
    let mut queues = call.list(&["queues"])?;
    queues.retain(|queue| {
        let filled = queue["members_being_filled"].as_array();
        filled.is_some_and(|nodes| nodes.iter().any(|filled| filled == node))
    });
    if queues.is_empty() {
        return Ok(Output::well(format!(
            "Node {node} reported no queues with promotable replicas"
        )));
    }
    let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    let names = queues
        .iter()
        .map(|queue| format!("queue '{}' in vhost '{}'", text(&queue["name"]), text(&queue["vhost"])));
    let names: Vec<_> = names.collect();
    let message = format!("Node {node} reported queues whose members have yet to be filled");
    let report = json!({"message": message, "queues": names, "result": "error"});
    Err(call.ill(names.join("\n"), &report))
}

fn wait(call: &Call) -> Result<Output, Failed> {
    let begun = Instant::now();
    let patience = call.options.timeout.map_or(STARTUP, Duration::from_secs);
    let late = |text: &str| Err(Failed::told(exit::UNAVAILABLE, text));
    let mut process = call.options.pid;
    let file = (!call.argument(0).is_empty()).then(|| PathBuf::from(call.argument(0)));
    if process.is_none() && file.is_none() {
        return Err(Failed::arguments("No pid or pidfile provided"));
    }
    loop {
        // The file is there once the node has written it.
        if process.is_none()
            && let Some(file) = &file
        {
            process = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
        }
        if let Some(process) = process
            && !PathBuf::from(format!("/proc/{process}")).exists()
        {
            return late("process_not_running");
        }
        if process.is_some() && is_running(call) {
            let node = call.node();
            return Ok(Output::message(format!(
                "Applications 'rabbit_and_plugins' are running on node '{node}'"
            )));
        }
        if begun.elapsed() >= patience {
            return late("timeout");
        }
        thread::sleep(LOOK);
    }
}

fn await_quorum(call: &Call) -> Result<Output, Failed> {
    let begun = Instant::now();
    let patience = call.options.timeout.map_or(QUORUM, Duration::from_secs);
    if call.list(&["nodes"])?.len() < 2 {
        return Ok(Output::message(
            "Target node seems to be the only one in a single node cluster, the command does not apply",
        ));
    }
    loop {
        let answer = call.ask("GET", &["health", "checks", "node-is-quorum-critical"], None)?;
        if answer.status == 200 {
            return Ok(Output::Nothing);
        }
        if answer.reason().starts_with(MISPLACED) || begun.elapsed() >= patience {
            return Err(Failed::told(
                exit::UNAVAILABLE,
                "time is up, no quorum + 1 online replicas came online for at least some quorum queues and streams",
            ));
        }
        thread::sleep(LOOK);
    }
}
