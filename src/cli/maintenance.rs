//! Commands that take a node out of service and put it back, or end its process.

use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::json;

use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, exit};

/// What a node can be told.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "drain",
        tools: &[Tool::Upgrade],
        group: Group::Upgrade,
        help: "Takes the node out of service: its clients are sent away, and other nodes lead its queues",
        banner: |call| {
            format!(
                "Will put node {} into maintenance mode. The node will no longer serve any client traffic!",
                call.node()
            )
        },
        run: drain,
        ..Command::ROW
    },
    Command {
        name: "revive",
        tools: &[Tool::Upgrade],
        group: Group::Upgrade,
        help: "Puts a node that was drained back into service",
        banner: |call| {
            format!(
                "Will put node {} back into regular operating mode. The node will again serve client traffic and \
                 host primary queue replicas.",
                call.node()
            )
        },
        run: |call| act(call, "revive"),
        ..Command::ROW
    },
    Command {
        name: "suspend_listeners",
        tools: &[Tool::Ctl],
        group: Group::Operations,
        help: "Closes the ports for clients; those that are connected stay",
        banner: |call| {
            format!(
                "Will suspend client connection listeners on node {}. The node will no longer accept client \
                 connections!",
                call.node()
            )
        },
        run: |call| act(call, "suspend-listeners"),
        ..Command::ROW
    },
    Command {
        name: "resume_listeners",
        tools: &[Tool::Ctl],
        group: Group::Operations,
        help: "Opens the ports for clients again",
        banner: |call| {
            format!(
                "Will resume client connection listeners on node {}. The node will now accept client connections",
                call.node()
            )
        },
        run: |call| act(call, "resume-listeners"),
        ..Command::ROW
    },
    Command {
        name: "activate_free_disk_space_monitoring",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Raises an alarm again when free disk is under the limit",
        banner: |call| format!("[Re-]activating free disk space monitoring on node {}...", call.node()),
        run: |call| act(call, "watch-disk"),
        ..Command::ROW
    },
    Command {
        name: "deactivate_free_disk_space_monitoring",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Raises no alarm for free disk under the limit, until the node ends; a disk that is full counts all the same",
        banner: |call| format!("Deactivating free disk space monitoring on node {}...", call.node()),
        run: |call| act(call, "ignore-disk"),
        ..Command::ROW
    },
    Command {
        name: "stop",
        tools: &[Tool::Ctl],
        group: Group::Nodes,
        usage: "[--idempotent] [<pidfile>]",
        help: "Stops the node and ends its process",
        arguments: 0..=1,
        options: &["idempotent"],
        banner: |call| format!("Stopping and halting node {} ...", call.node()),
        run: |call| match stop(call) {
            Ok(_) => Ok(Output::Nothing),
            Err(failed) if call.options.idempotent && failed.status == exit::UNAVAILABLE => {
                Ok(Output::message(format!("Node {} is no longer running", call.node())))
            }
            Err(failed) => Err(failed),
        },
        ..Command::ROW
    },
    Command {
        name: "shutdown",
        tools: &[Tool::Ctl],
        group: Group::Nodes,
        usage: "[--wait] [--timeout <timeout>]",
        help: "Stops the node and ends its process, and waits until it is gone",
        options: &["wait", "no-wait"],
        run: |call| {
            let node = call.node();
            let pid = stop(call)?;
            Ok(match call.options.no_wait {
                true => Output::message(format!("Shutting down RabbitMQ node {node}")),
                false => Output::message(format!(
                    "Shutting down RabbitMQ node {node} running at PID {pid}\nWaiting for PID {pid} to \
                     terminate\nRabbitMQ node {node} running at PID {pid} successfully shut down"
                )),
            })
        },
        ..Command::ROW
    },
];

/// Time a process may take to end when the call does not say.
const END: Duration = Duration::from_secs(300);
/// Between two looks at whether it is there.
const LOOK: Duration = Duration::from_millis(20);

fn act(call: &Call, action: &str) -> Result<Output, Failed> {
    call.put(&["maintenance", action], &json!({}))
}

fn drain(call: &Call) -> Result<Output, Failed> {
    let answer = call
        .ask("PUT", &["maintenance", "drain"], Some(&json!({})))?
        .accepted()?;
    match answer["leaders"].as_u64() {
        None | Some(0) => Ok(Output::Nothing),
        Some(left) => Ok(Output::message(format!(
            "{left} queues are led here still: no other member of theirs runs on a node in service"
        ))),
    }
}

/// Has the process end, and waits for that unless it is told not to. Gives its pid.
fn stop(call: &Call) -> Result<u32, Failed> {
    let told = call.get(&["local", "name"])?;
    let pid = told["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    let pid = pid.ok_or_else(|| Failed::told(exit::SOFTWARE, "the node does not say which process it is"))?;
    call.ask("PUT", &["local", "stop"], Some(&json!({})))?.accepted()?;
    let patience = call.options.timeout.map_or(END, Duration::from_secs);
    let begun = Instant::now();
    while !call.options.no_wait && is_running(pid) {
        if begun.elapsed() >= patience {
            let text = format!("Process {pid} has not ended within {} seconds", patience.as_secs());
            return Err(Failed::told(exit::TEMPORARY, text));
        }
        thread::sleep(LOOK);
    }
    Ok(pid)
}

/// Whether the process is there; one that has ended may wait for its parent to notice.
fn is_running(pid: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let state = state.and_then(|line| line.rsplit(") ").next()?.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}
