//! Commands about virtual hosts.

use serde_json::{Map, Value, json};

use super::column::{Column, Kind};
use super::columns::chosen;
use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, bad, exit, no_vhost};

/// What can be done with vhosts.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "add_vhost",
        tools: &[Tool::Ctl],
        group: Group::VirtualHosts,
        usage: "<vhost> [--description <description> --tags \"<tag1>,<tag2>,<...>\" --default-queue-type <quorum|classic|stream>]",
        help: "Makes a virtual host",
        arguments: 1..=1,
        options: &["description", "tags", "default-queue-type"],
        banner: |call| format!("Adding vhost \"{}\" ...", call.argument(0)),
        run: add,
        ..Command::ROW
    },
    Command {
        name: "set_vhost_tags",
        tools: &[Tool::Ctl],
        group: Group::VirtualHosts,
        usage: "<vhost> <tag> [...]",
        help: "Gives a virtual host these tags in place of those it has",
        arguments: 1..=usize::MAX,
        banner: |call| {
            let tags = call.arguments().get(1..).unwrap_or_default();
            format!(
                "Setting tags for virtual host \"{}\" to [{}] ...",
                call.argument(0),
                tags.join(", ")
            )
        },
        run: |call| {
            let name = call.argument(0);
            let missing = || Failed::told(exit::DATA, format!("Virtual host \"{name}\" does not exist"));
            call.find(&["vhosts", name])?.ok_or_else(missing)?;
            let tags = call.arguments().get(1..).unwrap_or_default();
            call.put(&["vhosts", name], &json!({"tags": tags}))
        },
        ..Command::ROW
    },
    Command {
        name: "update_vhost_metadata",
        tools: &[Tool::Ctl],
        group: Group::VirtualHosts,
        usage: "<vhost> [--description <description>] [--tags \"<tag1>,<tag2>,<...>\"] [--default-queue-type <quorum|classic|stream>]",
        help: "Gives a virtual host another description, other tags or another default queue type",
        arguments: 1..=1,
        options: &["description", "tags", "default-queue-type"],
        banner: |call| format!("Updating metadata of vhost \"{}\" ...", call.argument(0)),
        run: update,
        ..Command::ROW
    },
    Command {
        name: "restart_vhost",
        tools: &[Tool::Ctl],
        group: Group::VirtualHosts,
        usage: "[--vhost <vhost>] [--timeout <timeout>]",
        help: "Makes sure that the node serves a virtual host, which it does as long as it runs",
        banner: |call| {
            format!(
                "Trying to restart vhost '{}' on node '{}' ...",
                call.vhost(),
                call.node()
            )
        },
        run: |call| {
            let (vhost, node) = (call.vhost(), call.node());
            match call.find(&["vhosts", vhost])? {
                Some(_) => Ok(Output::message(format!(
                    "Vhost '{vhost}' is already running on node '{node}'"
                ))),
                None => Err(Failed::told(
                    exit::SOFTWARE,
                    format!("Failed to start vhost '{vhost}' on node '{node}'Reason: {{:no_such_vhost, \"{vhost}\"}}"),
                )),
            }
        },
        ..Command::ROW
    },
    Command {
        name: "reconcile_vhosts",
        tools: &[Tool::Ctl],
        group: Group::VirtualHosts,
        help: "Does nothing: every node serves every virtual host as soon as it is made",
        banner: |_| "Will try to initiate virtual host reconciliation on all reachable cluster nodes...".to_owned(),
        ..Command::ROW
    },
    Command {
        name: "trace_on",
        tools: &[Tool::Ctl],
        group: Group::VirtualHosts,
        usage: "[--vhost <vhost>]",
        help: "Publishes a copy of each message of a virtual host to amq.rabbitmq.trace",
        banner: |call| format!("Starting tracing for vhost \"{}\" ...", call.vhost()),
        run: |call| trace(call, true),
        ..Command::ROW
    },
    Command {
        name: "trace_off",
        tools: &[Tool::Ctl],
        group: Group::VirtualHosts,
        usage: "[--vhost <vhost>]",
        help: "Publishes no more copies to amq.rabbitmq.trace",
        banner: |call| format!("Stopping tracing for vhost \"{}\" ...", call.vhost()),
        run: |call| trace(call, false),
        ..Command::ROW
    },
    Command {
        name: "delete_vhost",
        tools: &[Tool::Ctl],
        group: Group::VirtualHosts,
        usage: "<vhost>",
        help: "Deletes a virtual host with all that is in it",
        arguments: 1..=1,
        banner: |call| format!("Deleting vhost \"{}\" ...", call.argument(0)),
        run: |call| match call.delete(&["vhosts", call.argument(0)])? {
            true => Ok(Output::Nothing),
            false => Err(no_vhost(call.argument(0))),
        },
        ..Command::ROW
    },
    Command {
        name: "list_vhosts",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::AccessControl,
        usage: "[--no-table-headers] [<column> ...]",
        help: "Lists the virtual hosts",
        arguments: 0..=usize::MAX,
        columns: &COLUMNS,
        banner: |_| "Listing vhosts ...".to_owned(),
        run: |call| {
            let columns = chosen(call, &COLUMNS, &["name"]);
            Ok(Output::rows(columns, call.list(&["vhosts"])?))
        },
        ..Command::ROW
    },
    Command {
        name: "check_virtual_hosts",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Fails unless the node serves every virtual host",
        banner: |call| format!("Checking if all vhosts are running on node {} ...", call.node()),
        run: |call| {
            call.get(&["health", "checks", "virtual-hosts"])?;
            Ok(Output::well(format!(
                "Node {} reported all vhosts as running",
                call.node()
            )))
        },
        ..Command::ROW
    },
];

const COLUMNS: [Column; 6] = [
    Column::plain("name"),
    Column::plain("description"),
    Column::of("tags", "tags", Kind::Word),
    Column::of("default_queue_type", "default_queue_type", Kind::Word),
    Column::plain("tracing"),
    Column::of("cluster_state", "cluster_state", Kind::Word),
];

fn trace(call: &Call, wished: bool) -> Result<Output, Failed> {
    let vhost = call.vhost();
    call.need_vhost(vhost)?;
    call.put(&["vhosts", vhost], &json!({"tracing": wished}))?;
    let word = if wished { "enabled" } else { "disabled" };
    match call.need_vhost(vhost)?["tracing"] == wished {
        true => Ok(Output::message(format!("Trace {word} for vhost {vhost}"))),
        false => Err(Failed::told(
            exit::UNAVAILABLE,
            format!("tracing cannot be {word} on this node"),
        )),
    }
}

fn update(call: &Call) -> Result<Output, Failed> {
    let fields = metadata(call);
    if fields.is_empty() {
        return Err(Failed::arguments("not enough arguments."));
    }
    if let Some(kind) = &call.options.default_queue_type
        && !matches!(kind.as_str(), "quorum" | "stream" | "classic")
    {
        return Err(bad(format!(
            "Bad argument: Default queue type must be one of: quorum, stream, classic. Provided: {kind}"
        )));
    }
    call.need_vhost(call.argument(0))?;
    call.put(&["vhosts", call.argument(0)], &Value::Object(fields))
}

fn add(call: &Call) -> Result<Output, Failed> {
    call.put(&["vhosts", call.argument(0)], &Value::Object(metadata(call)))
}

/// What the options say of a virtual host.
fn metadata(call: &Call) -> Map<String, Value> {
    let options = &call.options;
    let mut body = Map::new();
    if let Some(description) = &options.description {
        body.insert("description".to_owned(), json!(description));
    }
    if let Some(tags) = &options.tags {
        body.insert("tags".to_owned(), json!(tags));
    }
    if let Some(kind) = &options.default_queue_type {
        body.insert("default_queue_type".to_owned(), json!(kind));
    }
    body
}
