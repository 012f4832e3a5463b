//! `report`: what other commands show, one behind the other, for whoever is asked to help.

use super::command::{Call, Command, Group, Output, Tool};
use super::failed::Failed;
use super::written::written;

/// What can be asked for.
pub static COMMANDS: &[Command] = &[Command {
    name: "report",
    tools: &[Tool::Ctl, Tool::Diagnostics],
    group: Group::Monitoring,
    help: "Shows what is asked for when something is wrong: status, environment and all lists",
    banner: |call| format!("Reporting server status of node {} ...", call.node()),
    run: report,
    ..Command::ROW
}];

/// What is shown once.
const OF_THE_NODE: [&str; 9] = [
    "status",
    "cluster_status",
    "environment",
    "list_feature_flags",
    "list_connections",
    "list_channels",
    "list_vhosts",
    "list_users",
    "list_global_parameters",
];

/// What is shown of each vhost.
const OF_A_VHOST: [&str; 7] = [
    "list_queues",
    "list_exchanges",
    "list_bindings",
    "list_consumers",
    "list_permissions",
    "list_policies",
    "list_parameters",
];

fn report(call: &Call) -> Result<Output, Failed> {
    let mut text = String::new();
    for name in OF_THE_NODE {
        text += &part(call, name)?;
    }
    for vhost in call.list(&["vhosts"])? {
        let inside = call.in_vhost(vhost["name"].as_str().unwrap_or_default());
        for name in OF_A_VHOST {
            text += &part(&inside, name)?;
        }
    }
    Ok(Output::message(text))
}

fn part(call: &Call, name: &str) -> Result<String, Failed> {
    let Some(command) = call.commands.find(&call.program, name) else {
        return Ok(String::new());
    };
    let shown = written((command.run)(call)?, None, call);
    Ok(format!("\n{}\n{shown}", (command.banner)(call)))
}
