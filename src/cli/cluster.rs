//! Commands that need several nodes, which this version does not have.

use super::command::{Call, Command, Failed, Group, Output, exit};

/// All of them; each says that it cannot be done.
pub static COMMANDS: &[Command] = &[
    needs_nodes(
        "stop_app",
        Group::Nodes,
        "",
        "Stops the broker but leaves the process running",
        0,
        0,
    ),
    needs_nodes(
        "start_app",
        Group::Nodes,
        "",
        "Starts the broker in a running process",
        0,
        0,
    ),
    needs_nodes(
        "reset",
        Group::Nodes,
        "",
        "Instructs a node to leave the cluster and return to its virgin state",
        0,
        0,
    ),
    needs_nodes(
        "join_cluster",
        Group::Cluster,
        "<existing_cluster_member_node>",
        "Instructs the node to become a member of the cluster that the specified node is in",
        1,
        1,
    ),
    needs_nodes(
        "forget_cluster_node",
        Group::Cluster,
        "<existing_cluster_member_node>",
        "Removes a node from the cluster",
        1,
        1,
    ),
    needs_nodes(
        "grow",
        Group::Cluster,
        "<node> <all | even>",
        "Grows quorum queue clusters by adding a member (replica) on the specified node for all matching queues",
        2,
        2,
    ),
    needs_nodes(
        "shrink",
        Group::Cluster,
        "<node>",
        "Shrinks quorum queue clusters by removing any members (replicas) on the given node.",
        1,
        1,
    ),
    needs_nodes(
        "rebalance",
        Group::Cluster,
        "<all | classic | quorum | stream>",
        "Re-balances leaders of replicated queues across up-and-running cluster nodes",
        1,
        1,
    ),
    needs_nodes(
        "add_member",
        Group::Replication,
        "[--vhost <vhost>] <queue> <node>",
        "Adds a quorum queue member (replica) on the given node.",
        2,
        2,
    ),
    needs_nodes(
        "delete_member",
        Group::Replication,
        "[--vhost <vhost>] <queue> <node>",
        "Removes a quorum queue member (replica) on the given node.",
        2,
        2,
    ),
    needs_nodes(
        "transfer_leadership",
        Group::Replication,
        "[--vhost <vhost>] <queue> <node>",
        "Makes another member of a quorum queue its leader",
        2,
        2,
    ),
];

const fn needs_nodes(
    name: &'static str,
    group: Group,
    usage: &'static str,
    help: &'static str,
    least: usize,
    most: usize,
) -> Command {
    Command {
        name,
        group,
        usage,
        help,
        arguments: least..=most,
        options: &[],
        columns: &[],
        banner: |_| String::new(),
        run: refuse,
    }
}

fn refuse(call: &Call) -> Result<Output, Failed> {
    let command = call.options.words.first().map_or("", String::as_str);
    let text = format!("This version of Warren has no clusters: '{command}' needs several nodes");
    Err(Failed::told(exit::UNAVAILABLE, text))
}
