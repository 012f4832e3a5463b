//! Commands about the limits of vhosts and users.

use serde_json::{Map, Value, json};

use super::column::{Column, Kind};
use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, exit};

/// What can be done with limits.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "set_vhost_limits",
        tools: &[Tool::Ctl],
        group: Group::VirtualHosts,
        usage: "[--vhost <vhost>] <definition>",
        help: "Sets limits of a virtual host",
        arguments: 1..=1,
        banner: |call| {
            let definition = call.argument(0);
            format!(
                "Setting vhost limits to \"{definition}\" for vhost \"{}\" ...",
                call.vhost()
            )
        },
        run: |call| {
            call.need_vhost(call.vhost())?;
            set(call, &["vhost-limits", call.vhost()], call.argument(0))
        },
        ..Command::ROW
    },
    Command {
        name: "clear_vhost_limits",
        tools: &[Tool::Ctl],
        group: Group::VirtualHosts,
        usage: "[--vhost <vhost>]",
        help: "Takes away the limits of a virtual host",
        banner: |call| format!("Clearing vhost \"{}\" limits ...", call.vhost()),
        run: |call| {
            call.need_vhost(call.vhost())?;
            let own = of(call, "vhost-limits", call.vhost())?;
            clear(call, &["vhost-limits", call.vhost()], own.keys())
        },
        ..Command::ROW
    },
    Command {
        name: "list_vhost_limits",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::VirtualHosts,
        usage: "[--vhost <vhost>] [--global] [--no-table-headers]",
        help: "Shows the limits of virtual hosts",
        options: &["global"],
        banner: |call| match call.options.global {
            true => "Listing limits for all vhosts ...".to_owned(),
            false => format!("Listing limits for vhost \"{}\" ...", call.vhost()),
        },
        run: |call| {
            if call.options.global {
                let columns = vec![Column::plain("vhost"), Column::of("limits", "value", Kind::Document)];
                return Ok(Output::rows(columns, call.list(&["vhost-limits"])?));
            }
            call.need_vhost(call.vhost())?;
            let own = of(call, "vhost-limits", call.vhost())?;
            // RabbitMQ has nothing to say where there are none, and an empty list for programs.
            Ok(match own.is_empty() {
                true => Output::Text {
                    text: String::new(),
                    json: json!([]),
                },
                false => Output::message(Value::Object(own).to_string()),
            })
        },
        ..Command::ROW
    },
    Command {
        name: "set_user_limits",
        tools: &[Tool::Ctl],
        group: Group::Users,
        usage: "<username> <definition>",
        help: "Sets limits of a user",
        arguments: 2..=2,
        banner: |call| {
            let definition = call.argument(1);
            format!(
                "Setting user limits to \"{definition}\" for user \"{}\" ...",
                call.argument(0)
            )
        },
        run: |call| {
            call.need_listed_user(call.argument(0))?;
            set(call, &["user-limits", call.argument(0)], call.argument(1))
        },
        ..Command::ROW
    },
    Command {
        name: "clear_user_limits",
        tools: &[Tool::Ctl],
        group: Group::Users,
        usage: "<username> <limit_type> | all",
        help: "Takes away one limit of a user, or all",
        arguments: 2..=2,
        banner: |call| {
            let (user, limit) = (call.argument(0), call.argument(1));
            format!("Clearing \"{limit}\" limits for user \"{user}\" ...")
        },
        run: |call| {
            let user = call.need_listed_user(call.argument(0))?;
            let named = call.argument(1).to_owned();
            let own = user["limits"].as_object().cloned().unwrap_or_default();
            let limits = own.keys().filter(|limit| named == "all" || named == **limit);
            clear(call, &["user-limits", call.argument(0)], limits)
        },
        ..Command::ROW
    },
    Command {
        name: "list_user_limits",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Users,
        usage: "[--user <username>] [--global] [--no-table-headers]",
        help: "Shows the limits of users",
        options: &["global", "user"],
        banner: |call| match call.options.global {
            true => "Listing limits for all users ...".to_owned(),
            false => format!("Listing limits for user \"{}\" ...", user(call)),
        },
        run: |call| {
            if call.options.global {
                let columns = vec![Column::plain("user"), Column::of("limits", "value", Kind::Document)];
                return Ok(Output::rows(columns, call.list(&["user-limits"])?));
            }
            let user = call.need_listed_user(user(call))?;
            Ok(Output::message(user["limits"].to_string()))
        },
        ..Command::ROW
    },
];

/// The user whose limits are asked for.
fn user(call: &Call) -> &str {
    call.options.user.as_deref().unwrap_or("guest")
}

/// The limits of a vhost.
fn of(call: &Call, kind: &str, name: &str) -> Result<Map<String, Value>, Failed> {
    let listed = call.list(&[kind, name])?;
    let value = listed.first().map(|item| item["value"].clone());
    Ok(value.and_then(|value| value.as_object().cloned()).unwrap_or_default())
}

/// Sets what a JSON document says.
fn set(call: &Call, path: &[&str; 2], definition: &str) -> Result<Output, Failed> {
    let Ok(Value::Object(limits)) = serde_json::from_str(definition) else {
        return Err(not_json(definition));
    };
    for (limit, value) in &limits {
        call.put(&[path[0], path[1], limit], &json!({"value": value}))?;
    }
    Ok(Output::Nothing)
}

fn clear<'a>(call: &Call, path: &[&str; 2], limits: impl Iterator<Item = &'a String>) -> Result<Output, Failed> {
    for limit in limits {
        call.delete(&[path[0], path[1], limit])?;
    }
    Ok(Output::Nothing)
}

/// A document that is none, in the words of RabbitMQ.
pub fn not_json(text: &str) -> Failed {
    let why = format!("Could not parse JSON document: {{error,{{failed_to_decode_json,<<\"{text}\">>}}}}");
    Failed::told(exit::UNAVAILABLE, why)
}
