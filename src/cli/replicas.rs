//! Commands about the members of quorum queues, those of `rabbitmq-queues`.

use std::thread;

use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::column::plain;
use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, exit};
use super::unreachable::Unreachable;
use crate::pattern::Pattern;

/// What can be done with members.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "grow",
        tools: &[Tool::Queues],
        group: Group::Cluster,
        usage: "<node> <all | even> [--vhost-pattern <pattern>] [--queue-pattern <pattern>] [--membership <promotable|voter>]",
        help: "Gives matching quorum queues another member, on that node",
        arguments: 2..=2,
        options: &["vhost-pattern", "queue-pattern", "membership", "errors-only"],
        banner: |call| format!("Growing {} quorum queues on {}...", call.argument(1), call.argument(0)),
        run: grow,
        ..Command::ROW
    },
    Command {
        name: "shrink",
        tools: &[Tool::Queues],
        group: Group::Cluster,
        usage: "<node> [--errors-only]",
        help: "Takes the members of quorum queues off a node",
        arguments: 1..=1,
        options: &["errors-only"],
        banner: |call| format!("Shrinking quorum queues on {}...", call.argument(0)),
        run: shrink,
        ..Command::ROW
    },
    Command {
        name: "rebalance",
        tools: &[Tool::Queues],
        group: Group::Cluster,
        usage: "<all | classic | quorum | stream> [--vhost-pattern <pattern>] [--queue-pattern <pattern>]",
        help: "Moves leaders of queues so that each node leads about as many",
        arguments: 1..=1,
        options: &["vhost-pattern", "queue-pattern"],
        banner: |call| match call.argument(0) {
            "all" => "Re-balancing leaders of all queues...".to_owned(),
            kind => format!("Re-balancing leaders of {kind} queues..."),
        },
        run: rebalance,
        ..Command::ROW
    },
    Command {
        name: "add_member",
        tools: &[Tool::Queues],
        group: Group::Replication,
        usage: "[--vhost <vhost>] <queue> <node> [--membership <promotable|voter>]",
        help: "Gives a quorum queue another member, on that node",
        arguments: 2..=2,
        options: &["membership"],
        banner: |call| {
            let (queue, node) = (call.argument(0), call.argument(1));
            format!("Adding a replica for queue {queue} on node {node}...")
        },
        run: |call| change(call, Change::Add),
        ..Command::ROW
    },
    Command {
        name: "delete_member",
        tools: &[Tool::Queues],
        group: Group::Replication,
        usage: "[--vhost <vhost>] <queue> <node>",
        help: "Takes a member of a quorum queue off a node",
        arguments: 2..=2,
        banner: |call| {
            let (queue, node) = (call.argument(0), call.argument(1));
            format!("Removing a replica of queue {queue} on node {node}...")
        },
        run: |call| change(call, Change::Delete),
        ..Command::ROW
    },
    Command {
        name: "transfer_leadership",
        tools: &[Tool::Ctl, Tool::Queues],
        group: Group::Replication,
        usage: "[--vhost <vhost>] <queue> <node>",
        help: "Makes another member of a quorum queue its leader",
        arguments: 2..=2,
        banner: |call| {
            let (queue, node) = (call.argument(0), call.argument(1));
            format!("Transferring leadership of queue {queue} to node {node}...")
        },
        run: |call| change(call, Change::Lead),
        ..Command::ROW
    },
    Command {
        name: "quorum_status",
        tools: &[Tool::Diagnostics, Tool::Queues],
        group: Group::Monitoring,
        usage: "[--vhost <vhost>] <queue>",
        help: "Shows the members of a quorum queue and how far each is",
        arguments: 1..=1,
        banner: |call| {
            format!(
                "Status of quorum queue {} on node {} ...",
                call.argument(0),
                call.node()
            )
        },
        run: quorum_status,
        ..Command::ROW
    },
    Command {
        name: "metadata_store_status",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Shows the members of the group that has what is declared, and how far each is",
        banner: |call| format!("Status of metadata store on node {} ...", call.node()),
        run: |call| Ok(members_of(call.get(&["cluster", "metadata-store"])?)),
        ..Command::ROW
    },
    Command {
        name: "check_if_node_is_quorum_critical",
        tools: &[Tool::Diagnostics, Tool::Queues],
        group: Group::Monitoring,
        help: "Fails while some queue would lose its majority if the node stopped",
        banner: |call| {
            format!(
                "Checking if node {} is critical for quorum of any queues/streams ...",
                call.node()
            )
        },
        run: quorum_critical,
        ..Command::ROW
    },
];

/// Queues whose members are changed side by side.
const AT_ONCE: usize = 16;

#[derive(Clone, Copy)]
enum Change {
    Add,
    Delete,
    Lead,
}

impl Change {
    fn verb(self) -> &'static str {
        match self {
            Self::Add | Self::Lead => "POST",
            Self::Delete => "DELETE",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Delete => "delete",
            Self::Lead => "transfer-leadership",
        }
    }
}

/// Asks for a change.
fn ask(client: &Client, change: Change, vhost: &str, queue: &str, node: &str) -> Result<Answer, Unreachable> {
    let path = ["queues", "quorum", vhost, queue, "replicas", change.path()];
    client.ask(change.verb(), &path, Some(&json!({"node": node})))
}

/// What was answered; the inner error is why it is not done, in the API's words.
fn understood(answer: Answer, vhost: &str, queue: &str) -> Result<Result<(), String>, Failed> {
    match answer.status {
        404 => Err(Failed::bare(
            exit::DATA,
            format!("queue '{queue}' was not found in virtual host '{vhost}'"),
        )),
        503 => Ok(Err(match answer.reason().as_str() {
            "classic_queue_not_supported" => "Cannot add members to a classic queue".to_owned(),
            reason => reason.to_owned(),
        })),
        _ => answer.accepted().map(|_| Ok(())),
    }
}

fn change(call: &Call, change: Change) -> Result<Output, Failed> {
    check_membership(call)?;
    let (queue, node) = (call.argument(0), call.argument(1));
    if matches!(change, Change::Add) {
        need_node(call, node)?;
    }
    let answer = call.answered(ask(&call.client, change, call.vhost(), queue, node))?;
    match understood(answer, call.vhost(), queue)? {
        Ok(()) => Ok(Output::Nothing),
        Err(why) => Err(Failed::told(exit::UNAVAILABLE, why)),
    }
}

/// Members can be on nodes of the cluster only.
fn need_node(call: &Call, node: &str) -> Result<(), Failed> {
    match call.list(&["nodes"])?.iter().any(|known| known["name"] == node) {
        true => Ok(()),
        false => Err(Failed::misplaced(format!("node {node} is not a member of the cluster"))),
    }
}

/// Members always learn before they vote, so both words mean the same here.
fn check_membership(call: &Call) -> Result<(), Failed> {
    match call.options.membership.as_deref() {
        None | Some("promotable" | "voter") => Ok(()),
        Some(other) => Err(Failed::arguments(format!(
            "\"voter status '{other}' is not recognised.\""
        ))),
    }
}

fn pattern(text: Option<&str>) -> Result<Pattern, Failed> {
    let text = text.unwrap_or(".*");
    Pattern::new(text).map_err(|error| Failed::arguments(format!("'{text}' is no pattern: {error}")))
}

fn members(queue: &Value) -> impl Iterator<Item = &str> {
    queue["members"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// The quorum queues that match the patterns of the call.
fn quorum_queues(call: &Call) -> Result<Vec<Value>, Failed> {
    let vhosts = pattern(call.options.vhost_pattern.as_deref())?;
    let names = pattern(call.options.queue_pattern.as_deref())?;
    let matches = |pattern: &Pattern, name: &Value| name.as_str().is_some_and(|name| pattern.matches(name));
    let mut queues = call.list(&["queues"])?;
    queues.retain(|queue| {
        queue["type"] == "quorum" && matches(&vhosts, &queue["vhost"]) && matches(&names, &queue["name"])
    });
    Ok(queues)
}

fn grow(call: &Call) -> Result<Output, Failed> {
    check_membership(call)?;
    let (node, strategy) = (call.argument(0), call.argument(1));
    if !matches!(strategy, "all" | "even") {
        return Err(Failed::arguments(format!(
            "\"strategy '{strategy}' is not recognised.\""
        )));
    }
    need_node(call, node)?;
    let mut queues = quorum_queues(call)?;
    queues.retain(|queue| {
        let is_even = members(queue).count().is_multiple_of(2);
        members(queue).all(|member| member != node) && (strategy == "all" || is_even)
    });
    change_all(call, Change::Add, node, &queues)
}

fn shrink(call: &Call) -> Result<Output, Failed> {
    let node = call.argument(0);
    let mut queues = quorum_queues(call)?;
    queues.retain(|queue| members(queue).any(|member| member == node));
    change_all(call, Change::Delete, node, &queues)
}

/// Asks for the change of all of them at once.
fn ask_all(client: &Client, change: Change, node: &str, queues: &[Value]) -> Vec<Result<Answer, Unreachable>> {
    let ask_one = |queue: &Value| ask(client, change, text(&queue["vhost"]), text(&queue["name"]), node);
    thread::scope(|scope| {
        let asked = queues.iter().map(|queue| scope.spawn(move || ask_one(queue)));
        let asked: Vec<_> = asked.collect();
        let answers = asked.into_iter().map(thread::ScopedJoinHandle::join);
        let answers = answers.map(|answer| answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        answers.collect()
    })
}

fn change_all(call: &Call, change: Change, node: &str, queues: &[Value]) -> Result<Output, Failed> {
    let mut items = Vec::new();
    let answers = queues
        .chunks(AT_ONCE)
        .flat_map(|queues| ask_all(&call.client, change, node, queues));
    for (queue, answer) in queues.iter().zip(answers) {
        let (vhost, name) = (text(&queue["vhost"]), text(&queue["name"]));
        let before = members(queue).count();
        let (size, result) = match understood(call.answered(answer)?, vhost, name)? {
            Ok(()) if call.options.errors_only => continue,
            Ok(()) => match change {
                Change::Delete => (json!(before - 1), "ok".to_owned()),
                Change::Add | Change::Lead => (json!(before + 1), "ok".to_owned()),
            },
            Err(why) if why == "timeout" => (
                json!("?"),
                "error: the operation timed out and may not have been completed".to_owned(),
            ),
            Err(why) if why == "last_node" => (json!(before), "error: the last node cannot be removed".to_owned()),
            Err(why) => (json!(before), format!("error: {why}")),
        };
        items.push(json!({"vhost": vhost, "name": name, "size": size, "result": result}));
    }
    Ok(Output::rows(plain(&["vhost", "name", "size", "result"]), items))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn rebalance(call: &Call) -> Result<Output, Failed> {
    let kind = call.argument(0);
    if !matches!(kind, "all" | "classic" | "quorum" | "stream") {
        let text = format!("type {kind} is not supported. Try one of all, quorum, stream.");
        return Err(Failed::told(exit::UNAVAILABLE, text));
    }
    // Classic queues have one member, which leads.
    if matches!(kind, "classic" | "stream") {
        return Ok(leaders(&[]));
    }
    let wish = json!({
        "vhost_pattern": call.options.vhost_pattern.as_deref().unwrap_or(".*"),
        "queue_pattern": call.options.queue_pattern.as_deref().unwrap_or(".*"),
    });
    call.ask("POST", &["rebalance", "queues"], Some(&wish))?.accepted()?;
    Ok(leaders(&quorum_queues(call)?))
}

/// How many queues each node leads.
fn leaders(queues: &[Value]) -> Output {
    let mut counts = std::collections::BTreeMap::<&str, u64>::new();
    for queue in queues {
        *counts.entry(text(&queue["leader"])).or_default() += 1;
    }
    let items = counts
        .into_iter()
        .map(|(node, count)| json!({"Node name": node, "Number of quorum queues": count}));
    Output::Rows {
        columns: plain(&["Node name", "Number of quorum queues"]),
        items: items.collect(),
        fancy: true,
    }
}

fn quorum_status(call: &Call) -> Result<Output, Failed> {
    let path = ["queues", "quorum", call.vhost(), call.argument(0), "status"];
    let answer = call.ask("GET", &path, None)?;
    let members = match answer.status {
        404 => return Err(not_found()),
        503 => {
            return Err(Failed::told(
                exit::UNAVAILABLE,
                "Cannot get quorum status of a classic queue",
            ));
        }
        _ => answer.accepted()?,
    };
    Ok(members_of(members))
}

/// The members of a group, as RabbitMQ's tables show them.
fn members_of(members: Value) -> Output {
    let columns = [
        "Node Name",
        "Raft State",
        "Membership",
        "Last Log Index",
        "Last Written",
        "Last Applied",
        "Commit Index",
        "Snapshot Index",
        "Term",
        "Machine Version",
    ];
    Output::Rows {
        columns: plain(&columns),
        items: members.as_array().cloned().unwrap_or_default(),
        fancy: true,
    }
}

fn quorum_critical(call: &Call) -> Result<Output, Failed> {
    let answer = call.ask("GET", &["health", "checks", "node-is-quorum-critical"], None)?;
    let node = call.node();
    if answer.status != 503 {
        answer.accepted()?;
        return Ok(Output::well(format!(
            "Node {node} reported no queues/streams with minimum quorum"
        )));
    }
    let queues = &answer.json()["queues"];
    if call.options.formatter.as_deref() == Some("json") {
        let message = format!("Node {node} reported local queues with minimum online quorum");
        let report = json!({"message": message, "queues": queues, "result": "error"});
        return Err(Failed::bare(exit::UNAVAILABLE, report.to_string()));
    }
    let names = queues.as_array().into_iter().flatten();
    let names = names.map(|queue| text(&queue["readable_name"]));
    let lines: Vec<_> = names
        .map(|name| format!("{name} will become unavailable if node {node} stops"))
        .collect();
    Err(Failed::bare(exit::UNAVAILABLE, lines.join("\n")))
}

fn not_found() -> Failed {
    Failed::bare(exit::DATA, "Object (queue, stream, exchange, etc) was not found")
}
