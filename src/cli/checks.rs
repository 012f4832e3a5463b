//! Commands that look whether a node is well, and wait for it.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::{Value, json};

use super::command::{Call, Command, Failed, Group, MISPLACED, Output, exit};
use super::listeners;
use super::node::{gigabytes, is_running, node};

/// What can be asked about a node's health.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "is_running",
        group: Group::Monitoring,
        usage: "",
        help: "Queries if the target node is running and its broker is started",
        arguments: 0..=0,
        options: &[],
        columns: &[],
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
    },
    Command {
        name: "is_booting",
        group: Group::Monitoring,
        usage: "",
        help: "Queries if the target node is still booting",
        arguments: 0..=0,
        options: &[],
        columns: &[],
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
    },
    Command {
        name: "check_port_listener",
        group: Group::Monitoring,
        usage: "<port>",
        help: "Health check that exits with a non-zero code if target node does not have an active listener for given port",
        arguments: 1..=1,
        options: &[],
        columns: &[],
        banner: |call| {
            let port = call.argument(0);
            format!(
                "Asking node {} if there's an active listener on port {port} ...",
                call.node()
            )
        },
        run: check_port,
    },
    Command {
        name: "check_protocol_listener",
        group: Group::Monitoring,
        usage: "<protocol>",
        help: "Health check that exits with a non-zero code if target node does not have an active listener for given protocol",
        arguments: 1..=1,
        options: &[],
        columns: &[],
        banner: |call| {
            let protocol = call.argument(0);
            format!(
                "Asking node {} if there's an active listener for protocol {protocol} ...",
                call.node()
            )
        },
        run: check_protocol,
    },
    Command {
        name: "node_health_check",
        group: Group::Monitoring,
        usage: "",
        help: "DEPRECATED. Does nothing: use the health checks of the HTTP API",
        arguments: 0..=0,
        options: &[],
        columns: &[],
        banner: |_| String::new(),
        run: |_| {
            Ok(Output::message(
                "This command is deprecated and does nothing. Use check_running, check_local_alarms and their like.",
            ))
        },
    },
    Command {
        name: "memory_breakdown",
        group: Group::Monitoring,
        usage: "",
        help: "Provides a memory usage breakdown for a node",
        arguments: 0..=0,
        options: &[],
        columns: &[],
        banner: |call| format!("Reporting memory breakdown on node {}...", call.node()),
        run: memory,
    },
    Command {
        name: "log_location",
        group: Group::Monitoring,
        usage: "[--all]",
        help: "Shows log file location(s) on target node",
        arguments: 0..=0,
        options: &["all"],
        columns: &[],
        banner: |call| format!("Log file location(s) on node {} ...", call.node()),
        run: |call| {
            let node = this_node(call)?;
            let files = node["log_files"].as_array().cloned().unwrap_or_default();
            let shown = if call.options.all { files.len() } else { 1 };
            let shown: Vec<_> = files.into_iter().take(shown).collect();
            let lines: Vec<_> = shown.iter().filter_map(Value::as_str).collect();
            Ok(Output::Told {
                text: lines.join("\n"),
                json: json!({"node": call.node(), "paths": lines}),
            })
        },
    },
    Command {
        name: "wait",
        group: Group::Nodes,
        usage: "[<pidfile>] [--pid|-P <pid>] [--timeout <timeout>]",
        help: "Waits for a node to start by watching its process. See also await_online_nodes",
        arguments: 0..=1,
        options: &["pid"],
        columns: &[],
        banner: |call| match call.argument(0) {
            "" => String::new(),
            file => format!("Waiting for pid file '{file}' to appear"),
        },
        run: wait,
    },
    Command {
        name: "await_online_quorum_plus_one",
        group: Group::Upgrade,
        usage: "[--timeout <timeout>]",
        help: "Waits for all quorum queues to have one more member online than a majority, so that this node can be stopped",
        arguments: 0..=0,
        options: &[],
        columns: &[],
        banner: |call| {
            let seconds = call.options.timeout.unwrap_or(QUORUM.as_secs());
            format!(
                "Will wait for a quorum + 1 of nodes to be online for all quorum queues and streams for {seconds} \
                 seconds..."
            )
        },
        run: await_quorum,
    },
    Command {
        name: "post_upgrade",
        group: Group::Upgrade,
        usage: "",
        help: "Runs post-upgrade tasks: spreads the leaders of queues over the nodes",
        arguments: 0..=0,
        options: &[],
        columns: &[],
        banner: |_| "Executing post upgrade tasks...\nRebalancing queue masters...".to_owned(),
        run: |call| {
            call.post(&["rebalance", "queues"], b"")?.accepted()?;
            Ok(Output::Nothing)
        },
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
    Output::Told { text, json }
}

/// Whether the node's broker serves its clients.
fn serves(call: &Call) -> Result<bool, Failed> {
    let answer = call.ask_any(&["health", "checks", "is-in-service"])?;
    match answer.status {
        200 => Ok(true),
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
        return Ok(Output::Told {
            text: format!("A listener for port {port} is running on node {node}."),
            json: json!({"node": node, "port": port, "result": "ok"}),
        });
    }
    let ports: Vec<_> = ports.iter().map(u64::to_string).collect();
    Err(Failed::bare(
        exit::UNAVAILABLE,
        format!(
            "No listener for port {port} is active on node {node}. Found listeners that use the following ports: {}",
            ports.join(", ")
        ),
    ))
}

fn check_protocol(call: &Call) -> Result<Output, Failed> {
    let (node, protocol) = (call.node(), call.argument(0));
    let listeners = listeners::of(&call.get(&["overview"])?);
    let mut protocols: Vec<_> = listeners.iter().filter_map(|one| one["protocol"].as_str()).collect();
    protocols.sort_unstable();
    protocols.dedup();
    if protocols.contains(&protocol) {
        return Ok(Output::Told {
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
    let used = &node["mem_used"];
    Ok(Output::Told {
        text: format!("rss: {} gb (100.0%)", gigabytes(used)),
        json: json!({"rss": {"bytes": used, "percentage": 100.0}}),
    })
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
