//! Commands that make and change a cluster.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::command::{Call, Command, Failed, Group, MISPLACED, Output, exit};

/// What nodes of a cluster can be told.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "stop_app",
        group: Group::Nodes,
        usage: "",
        help: "Stops the broker but leaves the process running",
        arguments: 0..=0,
        options: &[],
        columns: &[],
        banner: |call| format!("Stopping rabbit application on node {} ...", call.node()),
        run: |call| order(call, "stop_app", &json!({})),
    },
    Command {
        name: "start_app",
        group: Group::Nodes,
        usage: "",
        help: "Starts the broker in a running process",
        arguments: 0..=0,
        options: &[],
        columns: &[],
        banner: |call| format!("Starting node {} ...", call.node()),
        run: |call| order(call, "start_app", &json!({})),
    },
    Command {
        name: "reset",
        group: Group::Nodes,
        usage: "",
        help: "Instructs a node to leave the cluster and return to its virgin state",
        arguments: 0..=0,
        options: &[],
        columns: &[],
        banner: |call| format!("Resetting node {} ...", call.node()),
        run: |call| order(call, "reset", &json!({})),
    },
    Command {
        name: "force_reset",
        group: Group::Cluster,
        usage: "",
        help: "Forcefully returns a node to its virgin state",
        arguments: 0..=0,
        options: &[],
        columns: &[],
        banner: |call| format!("Forcefully resetting node {} ...", call.node()),
        run: |call| order(call, "force_reset", &json!({})),
    },
    Command {
        name: "await_online_nodes",
        group: Group::Cluster,
        usage: "<count> [--timeout <timeout>]",
        help: "Waits for <count> nodes to join the cluster",
        arguments: 1..=1,
        options: &[],
        columns: &[],
        banner: |call| {
            format!(
                "Will wait for at least {} nodes to join the cluster of {}. Timeout: {} seconds.",
                call.argument(0),
                call.node(),
                patience(call).as_secs()
            )
        },
        run: await_online_nodes,
    },
    Command {
        name: "join_cluster",
        group: Group::Cluster,
        usage: "<existing_cluster_member_node>",
        help: "Instructs the node to become a member of the cluster that the specified node is in",
        arguments: 1..=1,
        options: &[],
        columns: &[],
        banner: |call| format!("Clustering node {} with {}", call.node(), call.argument(0)),
        run: |call| match call.argument(0) {
            target if target == call.node() => Err(Failed::told(
                exit::SOFTWARE,
                format!("Error: cannot cluster node with itself: {target}"),
            )),
            target => order(call, "join_cluster", &json!({"node": target})),
        },
    },
    Command {
        name: "forget_cluster_node",
        group: Group::Cluster,
        usage: "<existing_cluster_member_node>",
        help: "Removes a node from the cluster",
        arguments: 1..=1,
        options: &[],
        columns: &[],
        banner: |call| format!("Removing node {} from the cluster", call.argument(0)),
        run: |call| match call.delete(&["nodes", call.argument(0)])? {
            true => Ok(Output::Nothing),
            false => Err(Failed::told(
                exit::UNAVAILABLE,
                "The node selected is not in the cluster.",
            )),
        },
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
        .map_err(|_| Failed::arguments("count must be a number"))?;
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
