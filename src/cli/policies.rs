//! Commands about policies and operator policies.

use serde_json::{Value, json};

use super::column::{Column, Kind};
use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, exit};
use super::limits::not_json;

/// What can be done with policies.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "set_policy",
        tools: &[Tool::Ctl],
        group: Group::Policies,
        usage: SET,
        help: "Makes a policy or changes it",
        arguments: 3..=3,
        options: &["priority", "apply-to"],
        banner: |call| format!("Setting policy {}", setting(call)),
        run: |call| set(call, "policies"),
        ..Command::ROW
    },
    Command {
        name: "clear_policy",
        tools: &[Tool::Ctl],
        group: Group::Policies,
        usage: "[--vhost <vhost>] <name>",
        help: "Takes away a policy",
        arguments: 1..=1,
        banner: |call| {
            format!(
                "Clearing policy \"{}\" on vhost \"{}\" ...",
                call.argument(0),
                call.vhost()
            )
        },
        run: |call| clear(call, "policies"),
        ..Command::ROW
    },
    Command {
        name: "list_policies",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Policies,
        usage: "[--vhost <vhost>] [--no-table-headers]",
        help: "Lists the policies of a virtual host",
        banner: |call| format!("Listing policies for vhost \"{}\" ...", call.vhost()),
        run: |call| list(call, "policies"),
        ..Command::ROW
    },
    Command {
        name: "set_operator_policy",
        tools: &[Tool::Ctl],
        group: Group::Policies,
        usage: SET,
        help: "Makes an operator policy, which limits what policies may set, or changes it",
        arguments: 3..=3,
        options: &["priority", "apply-to"],
        banner: |call| format!("Setting operator policy override {}", setting(call)),
        run: |call| set(call, "operator-policies"),
        ..Command::ROW
    },
    Command {
        name: "clear_operator_policy",
        tools: &[Tool::Ctl],
        group: Group::Policies,
        usage: "[--vhost <vhost>] <name>",
        help: "Takes away an operator policy",
        arguments: 1..=1,
        banner: |call| {
            let name = call.argument(0);
            format!("Clearing operator policy \"{name}\" on vhost \"{}\" ...", call.vhost())
        },
        run: |call| clear(call, "operator-policies"),
        ..Command::ROW
    },
    Command {
        name: "list_operator_policies",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Policies,
        usage: "[--vhost <vhost>] [--no-table-headers]",
        help: "Lists the operator policies of a virtual host",
        banner: |call| format!("Listing operator policy overrides for vhost \"{}\" ...", call.vhost()),
        run: |call| list(call, "operator-policies"),
        ..Command::ROW
    },
];

const SET: &str = "[--vhost <vhost>] [--priority <priority>] [--apply-to <apply-to>] <name> <pattern> <definition>";

fn setting(call: &Call) -> String {
    format!(
        "\"{}\" for pattern \"{}\" to \"{}\" with priority \"{}\" for vhost \"{}\" ...",
        call.argument(0),
        call.argument(1),
        call.argument(2),
        call.options.priority.unwrap_or(0),
        call.vhost()
    )
}

fn set(call: &Call, kind: &str) -> Result<Output, Failed> {
    let definition: Value = serde_json::from_str(call.argument(2)).map_err(|_| not_json(call.argument(2)))?;
    call.need_vhost(call.vhost())?;
    let body = json!({
        "pattern": call.argument(1),
        "definition": definition,
        "priority": call.options.priority.unwrap_or(0),
        "apply-to": call.options.apply_to.as_deref().unwrap_or("all"),
    });
    let answer = call.ask("PUT", &[kind, call.vhost(), call.argument(0)], Some(&body))?;
    if answer.status < 300 {
        return Ok(Output::Nothing);
    }
    // The API makes its reasons fit for a page.
    let reason = answer.reason().replace("&lt;", "<").replace("&gt;", ">");
    Err(Failed::told(exit::UNAVAILABLE, reason))
}

fn clear(call: &Call, kind: &str) -> Result<Output, Failed> {
    call.need_vhost(call.vhost())?;
    match call.delete(&[kind, call.vhost(), call.argument(0)])? {
        true => Ok(Output::Nothing),
        false => Err(Failed::told(exit::UNAVAILABLE, "Parameter does not exist")),
    }
}

/// What is shown of policies.
pub fn columns() -> Vec<Column> {
    vec![
        Column::plain("vhost"),
        Column::plain("name"),
        Column::plain("pattern"),
        Column::plain("apply-to"),
        Column::of("definition", "definition", Kind::Document),
        Column::plain("priority"),
    ]
}

fn list(call: &Call, kind: &str) -> Result<Output, Failed> {
    call.need_vhost(call.vhost())?;
    Ok(Output::rows(columns(), call.list(&[kind, call.vhost()])?))
}
