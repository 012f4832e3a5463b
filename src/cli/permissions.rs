//! Commands about permissions.

use serde_json::json;

use super::column::plain;
use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, no_vhost};

/// What can be done with permissions.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "set_permissions",
        tools: &[Tool::Ctl],
        group: Group::AccessControl,
        usage: "[--vhost <vhost>] <username> <conf> <write> <read>",
        help: "Says what a user may do in a virtual host, by patterns for names",
        arguments: 4..=4,
        banner: |call| {
            let user = call.argument(0);
            format!(
                "Setting permissions for user \"{user}\" in vhost \"{}\" ...",
                call.vhost()
            )
        },
        run: |call| {
            let user = user_in_vhost(call)?;
            let body = json!({
                "configure": call.argument(1), "write": call.argument(2), "read": call.argument(3),
            });
            call.put(&["permissions", call.vhost(), user], &body)
        },
        ..Command::ROW
    },
    Command {
        name: "set_permissions_globally",
        tools: &[Tool::Ctl],
        group: Group::AccessControl,
        usage: "<username> <conf> <write> <read>",
        help: "Says what a user may do in each virtual host that there is now",
        arguments: 4..=4,
        banner: |call| {
            format!(
                "Setting permissions for user \"{}\" in all virtual hosts ...",
                call.argument(0)
            )
        },
        run: |call| {
            let user = call.argument(0);
            call.need_user(user)?;
            let body = json!({
                "configure": call.argument(1), "write": call.argument(2), "read": call.argument(3),
            });
            for vhost in call.list(&["vhosts"])? {
                let vhost = vhost["name"].as_str().unwrap_or_default();
                call.put(&["permissions", vhost, user], &body)?;
            }
            Ok(Output::Nothing)
        },
        ..Command::ROW
    },
    Command {
        name: "clear_permissions",
        tools: &[Tool::Ctl],
        group: Group::AccessControl,
        usage: "[--vhost <vhost>] <username>",
        help: "Keeps a user out of a virtual host",
        arguments: 1..=1,
        banner: |call| {
            let user = call.argument(0);
            format!(
                "Clearing permissions for user \"{user}\" in vhost \"{}\" ...",
                call.vhost()
            )
        },
        run: |call| {
            let user = user_in_vhost(call)?;
            call.delete(&["permissions", call.vhost(), user])?;
            Ok(Output::Nothing)
        },
        ..Command::ROW
    },
    Command {
        name: "list_permissions",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::AccessControl,
        usage: "[--vhost <vhost>] [--no-table-headers]",
        help: "Lists who may do what in a virtual host",
        banner: |call| format!("Listing permissions for vhost \"{}\" ...", call.vhost()),
        run: |call| list_in_vhost(call, "permissions", &["user", "configure", "write", "read"]),
        ..Command::ROW
    },
    Command {
        name: "list_user_permissions",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::AccessControl,
        usage: "[--no-table-headers] <username>",
        help: "Lists what a user may do, in all virtual hosts",
        arguments: 1..=1,
        banner: |call| format!("Listing permissions for user \"{}\" ...", call.argument(0)),
        run: |call| list_of_user(call, "permissions", &["vhost", "configure", "write", "read"]),
        ..Command::ROW
    },
    Command {
        name: "list_topic_permissions",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::AccessControl,
        usage: "[--vhost <vhost>] [--no-table-headers]",
        help: "Lists the topic permissions in a virtual host",
        banner: |call| format!("Listing topic permissions for vhost \"{}\" ...", call.vhost()),
        run: |call| list_in_vhost(call, "topic-permissions", &["user", "exchange", "write", "read"]),
        ..Command::ROW
    },
    Command {
        name: "list_user_topic_permissions",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::AccessControl,
        usage: "[--no-table-headers] <username>",
        help: "Lists the topic permissions of a user, in all virtual hosts",
        arguments: 1..=1,
        banner: |call| format!("Listing topic permissions for user \"{}\" ...", call.argument(0)),
        run: |call| list_of_user(call, "topic-permissions", &["vhost", "exchange", "write", "read"]),
        ..Command::ROW
    },
    Command {
        name: "set_topic_permissions",
        tools: &[Tool::Ctl],
        group: Group::AccessControl,
        usage: "[--vhost <vhost>] <username> <exchange> <write> <read>",
        help: "Says with which routing keys a user may publish to a topic exchange and bind to it",
        arguments: 4..=4,
        banner: |call| {
            format!(
                "Setting topic permissions on \"{}\" for user \"{}\" in vhost \"{}\" ...",
                call.argument(1),
                call.argument(0),
                call.vhost()
            )
        },
        run: |call| {
            let user = user_in_vhost(call)?;
            let body = json!({
                "exchange": call.argument(1), "write": call.argument(2), "read": call.argument(3),
            });
            call.put(&["topic-permissions", call.vhost(), user], &body)
        },
        ..Command::ROW
    },
    Command {
        name: "clear_topic_permissions",
        tools: &[Tool::Ctl],
        group: Group::AccessControl,
        usage: "[--vhost <vhost>] <username> [<exchange>]",
        help: "Takes away the topic permissions of a user for an exchange, or for all of a virtual host",
        arguments: 1..=2,
        banner: |call| {
            let (user, vhost) = (call.argument(0), call.vhost());
            match call.argument(1) {
                "" => format!("Clearing topic permissions for user \"{user}\" in vhost \"{vhost}\" ..."),
                exchange => {
                    format!("Clearing topic permissions on \"{exchange}\" for user \"{user}\" in vhost \"{vhost}\" ...")
                }
            }
        },
        run: |call| {
            let user = user_in_vhost(call)?;
            let mut path = vec!["topic-permissions", call.vhost(), user];
            path.extend(call.arguments().get(1).map(String::as_str));
            call.delete(&path)?;
            Ok(Output::Nothing)
        },
        ..Command::ROW
    },
];

/// The user that a command names first, once it is known that it and the vhost are there.
fn user_in_vhost(call: &Call) -> Result<&str, Failed> {
    let user = call.argument(0);
    call.need_vhost(call.vhost())?;
    call.need_user(user)?;
    Ok(user)
}

/// Permissions of one kind in a vhost.
fn list_in_vhost(call: &Call, kind: &str, columns: &'static [&'static str]) -> Result<Output, Failed> {
    let items = call.find(&["vhosts", call.vhost(), kind])?;
    let items = items.ok_or_else(|| no_vhost(call.vhost()))?;
    Ok(Output::rows(
        plain(columns),
        items.as_array().cloned().unwrap_or_default(),
    ))
}

/// The same of a user.
fn list_of_user(call: &Call, kind: &str, columns: &'static [&'static str]) -> Result<Output, Failed> {
    let user = call.argument(0);
    call.need_listed_user(user)?;
    Ok(Output::rows(plain(columns), call.list(&["users", user, kind])?))
}
