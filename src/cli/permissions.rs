//! Commands about permissions.

use serde_json::json;

use super::command::{Call, Command, Failed, Group, Output, no_vhost};
use super::print::plain;

/// What can be done with permissions.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "set_permissions",
        group: Group::AccessControl,
        usage: "[--vhost <vhost>] <username> <conf> <write> <read>",
        help: "Sets user permissions for a vhost",
        arguments: 4..=4,
        options: &[],
        columns: &[],
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
    },
    Command {
        name: "clear_permissions",
        group: Group::AccessControl,
        usage: "[--vhost <vhost>] <username>",
        help: "Revokes user permissions for a vhost",
        arguments: 1..=1,
        options: &[],
        columns: &[],
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
    },
    Command {
        name: "list_permissions",
        group: Group::AccessControl,
        usage: "[--vhost <vhost>] [--no-table-headers]",
        help: "Lists user permissions in a virtual host",
        arguments: 0..=0,
        options: &[],
        columns: &[],
        banner: |call| format!("Listing permissions for vhost \"{}\" ...", call.vhost()),
        run: |call| list_in_vhost(call, "permissions", &["user", "configure", "write", "read"]),
    },
    Command {
        name: "list_user_permissions",
        group: Group::AccessControl,
        usage: "[--no-table-headers] <username>",
        help: "Lists permissions of a user across all virtual hosts",
        arguments: 1..=1,
        options: &[],
        columns: &[],
        banner: |call| format!("Listing permissions for user \"{}\" ...", call.argument(0)),
        run: |call| list_of_user(call, "permissions", &["vhost", "configure", "write", "read"]),
    },
    Command {
        name: "list_topic_permissions",
        group: Group::AccessControl,
        usage: "[--vhost <vhost>] [--no-table-headers]",
        help: "Lists topic permissions in a virtual host",
        arguments: 0..=0,
        options: &[],
        columns: &[],
        banner: |call| format!("Listing topic permissions for vhost \"{}\" ...", call.vhost()),
        run: |call| list_in_vhost(call, "topic-permissions", &["user", "exchange", "write", "read"]),
    },
    Command {
        name: "list_user_topic_permissions",
        group: Group::AccessControl,
        usage: "[--no-table-headers] <username>",
        help: "Lists user topic permissions",
        arguments: 1..=1,
        options: &[],
        columns: &[],
        banner: |call| format!("Listing topic permissions for user \"{}\" ...", call.argument(0)),
        run: |call| list_of_user(call, "topic-permissions", &["vhost", "exchange", "write", "read"]),
    },
    Command {
        name: "set_topic_permissions",
        group: Group::AccessControl,
        usage: "[--vhost <vhost>] <username> <exchange> <write> <read>",
        help: "Sets user topic permissions for an exchange",
        arguments: 4..=4,
        options: &[],
        columns: &[],
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
    },
    Command {
        name: "clear_topic_permissions",
        group: Group::AccessControl,
        usage: "[--vhost <vhost>] <username> [<exchange>]",
        help: "Clears user topic permissions for a vhost or exchange",
        arguments: 1..=2,
        options: &[],
        columns: &[],
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
    call.need_user(user)?;
    Ok(Output::rows(plain(columns), call.list(&["users", user, kind])?))
}
