//! Commands that make and change a cluster.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::command::{Call, Command, Group, MISPLACED, Output, Tool};
use super::failed::{Failed, bad, exit};

/// What nodes of a cluster can be told.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "stop_app",
        tools: &[Tool::Ctl],
        group: Group::Nodes,
        help: "Stops the broker; the process of the node goes on",
        banner: |call| format!("Stopping rabbit application on node {} ...", call.node()),
        run: |call| order(call, "stop_app", &json!({})),
        ..Command::ROW
    },
    Command {
        name: "start_app",
        tools: &[Tool::Ctl],
        group: Group::Nodes,
        help: "Starts the broker of a node whose process runs",
        banner: |call| format!("Starting node {} ...", call.node()),
        run: |call| order(call, "start_app", &json!({})),
        ..Command::ROW
    },
    Command {
        name: "reset",
        tools: &[Tool::Ctl],
        group: Group::Nodes,
        help: "Takes the stopped node out of its cluster and forgets all that it has",
        banner: |call| format!("Resetting node {} ...", call.node()),
        run: |call| order(call, "reset", &json!({})),
        ..Command::ROW
    },
    Command {
        name: "force_reset",
        tools: &[Tool::Ctl],
        group: Group::Cluster,
        help: "Forgets all that the stopped node has and tells no other node",
        banner: |call| format!("Forcefully resetting node {} ...", call.node()),
        run: |call| order(call, "force_reset", &json!({})),
        ..Command::ROW
    },
    Command {
        name: "rename_cluster_node",
        tools: &[Tool::Ctl],
        group: Group::Deprecated,
        usage: "<oldnode1> <newnode1> [oldnode2] [newnode2] ...",
        help: "Does nothing: a node keeps its place in the cluster under whatever name it starts with",
        arguments: 2..=usize::MAX,
        run: |_| {
            Ok(Output::message(
                "DEPRECATED. This command is a no-op. Node renaming is incompatible with Raft-based features such \
                 as quorum queues, streams, Khepri. ",
            ))
        },
        ..Command::ROW
    },
    Command {
        name: "await_online_nodes",
        tools: &[Tool::Ctl],
        group: Group::Cluster,
        usage: "<count> [--timeout <timeout>]",
        help: "Waits until so many nodes of the cluster run",
        arguments: 1..=1,
        banner: |call| {
            format!(
                "Will wait for at least {} nodes to join the cluster of {}. Timeout: {} seconds.",
                call.argument(0),
                call.node(),
                patience(call).as_secs()
            )
        },
        run: await_online_nodes,
        ..Command::ROW
    },
    Command {
        name: "join_cluster",
        tools: &[Tool::Ctl],
        group: Group::Cluster,
        usage: "<existing_cluster_member_node>",
        help: "Makes the stopped node a member of the cluster that another node is in",
        arguments: 1..=1,
        banner: |call| format!("Clustering node {} with {}", call.node(), call.argument(0)),
        run: |call| match call.argument(0) {
            target if target == call.node() => Err(Failed::told(
                exit::SOFTWARE,
                format!("Error: cannot cluster node with itself: {target}"),
            )),
            target => order(call, "join_cluster", &json!({"node": target})),
        },
        ..Command::ROW
    },
    Command {
        name: "forget_cluster_node",
        tools: &[Tool::Ctl],
        group: Group::Cluster,
        usage: "<existing_cluster_member_node>",
        help: "Takes a node that is stopped out of the cluster",
        arguments: 1..=1,
        banner: |call| format!("Removing node {} from the cluster", call.argument(0)),
        run: |call| match call.delete(&["nodes", call.argument(0)])? {
            true => Ok(Output::Nothing),
            false => Err(Failed::told(
                exit::UNAVAILABLE,
                "The node selected is not in the cluster.",
            )),
        },
        ..Command::ROW
    },
];

/// Time other nodes may take when the call does not say.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

fn patience(call: &Call) -> Duration {
    call.options.timeout.map_or(PATIENCE, Duration::from_secs)
}

/// Has the process do something, whether or not its broker runs.
fn order(call: &Call, name: &str, fields: &Value) -> Result<Output, Failed> {
    if call.client.is_remote() {
        let text = format!("{name} is an order to a process: it is given on the machine of the node");
        return Err(Failed::told(exit::USAGE, text));
    }
    let answer = call.ask("PUT", &["local", name], Some(fields))?;
    match answer.status {
        204 => Ok(Output::Nothing),
        200 => Ok(Output::message(answer.json()["message"].as_str().unwrap_or_default())),
        _ => match answer.reason() {
            why if why.starts_with(MISPLACED) => Err(Failed::misplaced(why)),
            why => Err(Failed::told(exit::SOFTWARE, why)),
        },
    }
}

fn await_online_nodes(call: &Call) -> Result<Output, Failed> {
    let wanted: usize = call
        .argument(0)
        .parse()
        .map_err(|_| bad("Bad argument: Argument must be a positive integer"))?;
    let begun = Instant::now();
    loop {
        let nodes = call.ask_any(&["nodes"])?;
        let nodes = match nodes.status {
            200 => nodes.json(),
            _ => Value::Null,
        };
        let nodes = nodes.as_array().into_iter().flatten();
        if nodes.filter(|node| node["running"] == true).count() >= wanted {
            return Ok(Output::Nothing);
        }
        if begun.elapsed() >= patience(call) {
            let text = format!(
                "Error: timed out while waiting. Not enough nodes joined {}'s cluster.",
                call.node()
            );
            return Err(Failed::told(exit::SOFTWARE, text));
        }
        thread::sleep(LOOK);
    }
}
