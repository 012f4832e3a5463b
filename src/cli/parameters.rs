//! Commands about parameters.

use super::command::{Command, Group, Output};
use super::print::{Column, Kind};

/// What can be asked of parameters.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "list_parameters",
        group: Group::Parameters,
        usage: "[--vhost <vhost>] [--no-table-headers]",
        help: "Lists runtime parameters for a virtual host",
        arguments: 0..=0,
        options: &[],
        columns: &[],
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
    },
    Command {
        name: "list_global_parameters",
        group: Group::Parameters,
        usage: "[--no-table-headers]",
        help: "Lists global runtime parameters",
        arguments: 0..=0,
        options: &[],
        columns: &[],
        banner: |_| "Listing global runtime parameters ...".to_owned(),
        run: |call| {
            let columns = vec![Column::plain("name"), Column::of("value", "value", Kind::Document)];
            Ok(Output::rows(columns, call.list(&["global-parameters"])?))
        },
    },
];
