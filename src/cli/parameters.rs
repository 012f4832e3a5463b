//! Commands about parameters.

use serde_json::{Value, json};

use super::column::{Column, Kind};
use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, exit};

/// What can be asked of parameters.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "list_parameters",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Parameters,
        usage: "[--vhost <vhost>] [--no-table-headers]",
        help: "Lists the runtime parameters of a virtual host",
        banner: |call| format!("Listing runtime parameters for vhost \"{}\" ...", call.vhost()),
        run: |call| {
            call.need_vhost(call.vhost())?;
            let mut items = call.list(&["parameters"])?;
            items.retain(|item| item["vhost"] == call.vhost());
            let columns = vec![
                Column::plain("component"),
                Column::plain("name"),
                Column::of("value", "value", Kind::Document),
            ];
            Ok(Output::rows(columns, items))
        },
        ..Command::ROW
    },
    Command {
        name: "list_global_parameters",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Parameters,
        usage: "[--no-table-headers]",
        help: "Lists the runtime parameters that belong to no virtual host",
        banner: |_| "Listing global runtime parameters ...".to_owned(),
        run: |call| {
            let columns = vec![Column::plain("name"), Column::of("value", "value", Kind::Document)];
            Ok(Output::rows(columns, call.list(&["global-parameters"])?))
        },
        ..Command::ROW
    },
    Command {
        name: "set_parameter",
        tools: &[Tool::Ctl],
        group: Group::Parameters,
        usage: "[--vhost <vhost>] <component_name> <name> <value>",
        help: "Sets a runtime parameter of a virtual host",
        arguments: 3..=3,
        banner: |call| {
            format!(
                "Setting runtime parameter \"{}\" for component \"{}\" to \"{}\" in vhost \"{}\" ...",
                call.argument(1),
                call.argument(0),
                call.argument(2),
                call.vhost()
            )
        },
        run: |call| {
            call.need_vhost(call.vhost())?;
            let path = ["parameters", call.argument(0), call.vhost(), call.argument(1)];
            call.put(&path, &json!({"value": document(call.argument(2))?}))
        },
        ..Command::ROW
    },
    Command {
        name: "clear_parameter",
        tools: &[Tool::Ctl],
        group: Group::Parameters,
        usage: "[--vhost <vhost>] <component_name> <name>",
        help: "Takes away a runtime parameter of a virtual host",
        arguments: 2..=2,
        banner: |call| {
            format!(
                "Clearing runtime parameter \"{}\" for component \"{}\" on vhost \"{}\" ...",
                call.argument(1),
                call.argument(0),
                call.vhost()
            )
        },
        run: |call| {
            call.need_vhost(call.vhost())?;
            let path = ["parameters", call.argument(0), call.vhost(), call.argument(1)];
            cleared(call, &path)
        },
        ..Command::ROW
    },
    Command {
        name: "set_global_parameter",
        tools: &[Tool::Ctl],
        group: Group::Parameters,
        usage: "<name> <value>",
        help: "Sets a runtime parameter that belongs to no virtual host",
        arguments: 2..=2,
        banner: |call| {
            format!(
                "Setting global runtime parameter \"{}\" to \"{}\" ...",
                call.argument(0),
                call.argument(1)
            )
        },
        run: |call| {
            let body = json!({"value": document(call.argument(1))?});
            call.put(&["global-parameters", call.argument(0)], &body)
        },
        ..Command::ROW
    },
    Command {
        name: "clear_global_parameter",
        tools: &[Tool::Ctl],
        group: Group::Parameters,
        usage: "<name>",
        help: "Takes away a runtime parameter that belongs to no virtual host",
        arguments: 1..=1,
        banner: |call| format!("Clearing global runtime parameter \"{}\" ...", call.argument(0)),
        run: |call| cleared(call, &["global-parameters", call.argument(0)]),
        ..Command::ROW
    },
];

/// An argument that is a JSON document.
fn document(text: &str) -> Result<Value, Failed> {
    let unread = |_| {
        let text = format!("Could not parse JSON document: {{error,{{failed_to_decode_json,<<{text:?}>>}}}}");
        Failed::told(exit::UNAVAILABLE, text)
    };
    serde_json::from_str(text).map_err(unread)
}

fn cleared(call: &Call, path: &[&str]) -> Result<Output, Failed> {
    match call.delete(path)? {
        true => Ok(Output::Nothing),
        false => Err(Failed::told(exit::UNAVAILABLE, "Parameter does not exist")),
    }
}
