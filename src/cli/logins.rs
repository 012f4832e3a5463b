//! Commands about attempts to log in.

use serde_json::Value;

use super::column::plain;
use super::command::{Call, Command, Group, Output, Tool};
use super::failed::Failed;

/// What can be asked of attempts.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "list_node_auth_attempt_stats",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Monitoring,
        usage: "[--by-source]",
        help: "Lists how many tried to log in to the node, and how many could, by protocol",
        options: &["by-source"],
        banner: |call| format!("Listing authentication\n attempts for node \"{}\" ...", call.node()),
        run: list,
        ..Command::ROW
    },
    Command {
        name: "reset_node_auth_attempt_metrics",
        tools: &[Tool::Diagnostics],
        group: Group::Configuration,
        help: "Counts attempts to log in from zero again",
        banner: |call| format!("Reset auth attempt metrics on node {} ...", call.node()),
        run: |call| {
            let name = own_name(call)?;
            let path = ["auth", "attempts", &name];
            call.ask("DELETE", &path, None)?.accepted().map(|_| Output::Nothing)
        },
        ..Command::ROW
    },
];

fn own_name(call: &Call) -> Result<String, Failed> {
    let overview = call.get(&["overview"])?;
    Ok(overview["node"].as_str().unwrap_or_default().to_owned())
}

fn list(call: &Call) -> Result<Output, Failed> {
    let name = own_name(call)?;
    let counts = ["auth_attempts", "auth_attempts_failed", "auth_attempts_succeeded"];
    let (path, first): (&[&str], &[&'static str]) = match call.options.by_source {
        true => (
            &["auth", "attempts", &name, "source"],
            &["protocol", "remote_address", "username"],
        ),
        false => (&["auth", "attempts", &name], &["protocol"]),
    };
    let attempts: Vec<Value> = call.list(path)?;
    if attempts.is_empty() {
        let text = format!("Node {} reported no authentication attempt stats", call.node());
        return Ok(Output::Listed {
            text,
            columns: plain(first),
            items: attempts,
        });
    }
    Ok(Output::rows(plain(&[first, &counts].concat()), attempts))
}
