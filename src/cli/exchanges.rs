//! Commands about exchanges and bindings.

use super::column::{Column, Kind};
use super::columns::chosen;
use super::command::{Call, Command, Group, Output, Tool};
use super::failed::Failed;

/// What can be asked of exchanges and bindings.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "list_exchanges",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Monitoring,
        usage: "[--vhost <vhost>] [--no-table-headers] [<column> ...]",
        help: "Lists the exchanges of a virtual host",
        arguments: 0..=usize::MAX,
        columns: &EXCHANGE,
        banner: |call| format!("Listing exchanges for vhost {} ...", call.vhost()),
        run: |call| {
            let columns = chosen(call, &EXCHANGE, &["name", "type"]);
            Ok(Output::rows(columns, call.list(&["exchanges", call.vhost()])?))
        },
        ..Command::ROW
    },
    Command {
        name: "list_bindings",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Monitoring,
        usage: "[--vhost <vhost>] [--no-table-headers] [<column> ...]",
        help: "Lists the bindings of a virtual host",
        arguments: 0..=usize::MAX,
        columns: &BINDING,
        banner: |call| format!("Listing bindings for vhost {}...", call.vhost()),
        run: bindings,
        ..Command::ROW
    },
];

const EXCHANGE: [Column; 7] = [
    Column::plain("name"),
    Column::of("type", "type", Kind::Word),
    Column::plain("durable"),
    Column::plain("auto_delete"),
    Column::plain("internal"),
    Column::of("arguments", "arguments", Kind::Table),
    Column::plain("policy"),
];

const BINDING: [Column; 6] = [
    Column::of("source_name", "source", Kind::Plain),
    Column::of("source_kind", "source_kind", Kind::Word),
    Column::of("destination_name", "destination", Kind::Plain),
    Column::of("destination_kind", "destination_type", Kind::Word),
    Column::plain("routing_key"),
    Column::of("arguments", "arguments", Kind::Table),
];

fn bindings(call: &Call) -> Result<Output, Failed> {
    let columns = chosen(call, &BINDING, &BINDING.map(|column| column.name));
    let mut items = call.list(&["bindings", call.vhost()])?;
    for item in &mut items {
        item["source_kind"] = "exchange".into();
    }
    Ok(Output::rows(columns, items))
}
