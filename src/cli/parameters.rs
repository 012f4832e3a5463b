//! Commands about parameters and feature flags.

use super::columns;
use super::command::{Command, Group, Output};
use super::print::{Column, Kind};

/// What can be shown of feature flags.
const FLAG: [Column; 6] = [
    Column::plain("name"),
    Column::plain("state"),
    Column::plain("stability"),
    Column::plain("provided_by"),
    Column::plain("desc"),
    Column::plain("doc_url"),
];

/// What can be asked of parameters and feature flags.
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
    Command {
        name: "list_feature_flags",
        group: Group::Monitoring,
        usage: "[--no-table-headers] [<column>, ...]",
        help: "Lists feature flags",
        arguments: 0..=usize::MAX,
        options: &[],
        columns: &FLAG,
        banner: |_| "Listing feature flags ...".to_owned(),
        run: |call| {
            let columns = columns::chosen(call, &FLAG, &["name", "state"]);
            Ok(Output::rows(columns, call.list(&["feature-flags"])?))
        },
    },
];
