//! Commands about permissions.

use serde_json::json;

use super::command::{Command, Group, Output, no_vhost};
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
            let user = call.argument(0);
            call.need_vhost(call.vhost())?;
            call.need_user(user)?;
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
            let user = call.argument(0);
            call.need_vhost(call.vhost())?;
            call.need_user(user)?;
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
        run: |call| {
            let items = call.find(&["vhosts", call.vhost(), "permissions"])?;
            let items = items.ok_or_else(|| no_vhost(call.vhost()))?;
            let columns = plain(&["user", "configure", "write", "read"]);
            Ok(Output::rows(columns, items.as_array().cloned().unwrap_or_default()))
        },
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
        run: |call| {
            call.need_user(call.argument(0))?;
            let items = call.list(&["users", call.argument(0), "permissions"])?;
            Ok(Output::rows(plain(&["vhost", "configure", "write", "read"]), items))
        },
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
        run: |call| {
            let items = call.find(&["vhosts", call.vhost(), "topic-permissions"])?;
            let items = items.ok_or_else(|| no_vhost(call.vhost()))?;
            let columns = plain(&["user", "exchange", "write", "read"]);
            Ok(Output::rows(columns, items.as_array().cloned().unwrap_or_default()))
        },
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
        run: |call| {
            call.need_user(call.argument(0))?;
            let items = call.list(&["users", call.argument(0), "topic-permissions"])?;
            Ok(Output::rows(plain(&["vhost", "exchange", "write", "read"]), items))
        },
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
            let user = call.argument(0);
            call.need_vhost(call.vhost())?;
            call.need_user(user)?;
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
            let user = call.argument(0);
            call.need_vhost(call.vhost())?;
            call.need_user(user)?;
            let mut path = vec!["topic-permissions", call.vhost(), user];
            path.extend(call.arguments().get(1).map(String::as_str));
            call.delete(&path)?;
            Ok(Output::Nothing)
        },
    },
];
