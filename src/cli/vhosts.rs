//! Commands about virtual hosts.

use serde_json::{Map, Value, json};

use super::columns::chosen;
use super::command::{Call, Command, Failed, Group, Output, no_vhost};
use super::print::Column;

/// What can be done with vhosts.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "add_vhost",
        group: Group::VirtualHosts,
        usage: "<vhost> [--description <description> --tags \"<tag1>,<tag2>,<...>\" --default-queue-type <quorum|classic|stream>]",
        help: "Creates a virtual host",
        arguments: 1..=1,
        options: &["description", "tags", "default-queue-type"],
        columns: &[],
        banner: |call| format!("Adding vhost \"{}\" ...", call.argument(0)),
        run: add,
    },
    Command {
        name: "delete_vhost",
        group: Group::VirtualHosts,
        usage: "<vhost>",
        help: "Deletes a virtual host",
        arguments: 1..=1,
        options: &[],
        columns: &[],
        banner: |call| format!("Deleting vhost \"{}\" ...", call.argument(0)),
        run: |call| match call.delete(&["vhosts", call.argument(0)])? {
            true => Ok(Output::Nothing),
            false => Err(no_vhost(call.argument(0))),
        },
    },
    Command {
        name: "list_vhosts",
        group: Group::AccessControl,
        usage: "[--no-table-headers] [<column> ...]",
        help: "Lists virtual hosts",
        arguments: 0..=usize::MAX,
        options: &[],
        columns: &COLUMNS,
        banner: |_| "Listing vhosts ...".to_owned(),
        run: |call| {
            let columns = chosen(call, &COLUMNS, &["name"]);
            Ok(Output::rows(columns, call.list(&["vhosts"])?))
        },
    },
    Command {
        name: "check_virtual_hosts",
        group: Group::Monitoring,
        usage: "",
        help: "Health check that checks if all vhosts are running in the target node",
        arguments: 0..=0,
        options: &[],
        columns: &[],
        banner: |call| format!("Checking if all vhosts are running on node {} ...", call.node()),
        run: |call| {
            call.get(&["health", "checks", "virtual-hosts"])?;
            Ok(Output::well(format!(
                "Node {} reported all vhosts as running",
                call.node()
            )))
        },
    },
];

const COLUMNS: [Column; 6] = [
    Column::plain("name"),
    Column::plain("description"),
    Column::plain("tags"),
    Column::plain("default_queue_type"),
    Column::plain("tracing"),
    Column::plain("cluster_state"),
];

fn add(call: &Call) -> Result<Output, Failed> {
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
    call.put(&["vhosts", call.argument(0)], &Value::Object(body))
}
