//! Commands about what a node was told by its configuration, and what can be changed while it runs.

use serde_json::{Value, json};

use super::column::{Column, Kind};
use super::columns::chosen;
use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, bad, exit};

/// What can be set.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "set_cluster_name",
        tools: &[Tool::Ctl],
        group: Group::Configuration,
        usage: "<name>",
        help: "Gives the cluster another name",
        arguments: 1..=1,
        banner: |call| format!("Setting cluster name to {} ...", call.argument(0)),
        run: |call| call.put(&["cluster-name"], &json!({"name": call.argument(0)})),
        ..Command::ROW
    },
    Command {
        name: "set_vm_memory_high_watermark",
        tools: &[Tool::Ctl],
        group: Group::Configuration,
        usage: "<fraction> | absolute <value>",
        help: "Sets how much memory the node may use before publishers are blocked, until it ends",
        arguments: 1..=2,
        banner: |call| match call.arguments() {
            [_, value, ..] => format!("Setting memory threshold on {} to {value} bytes ...", call.node()),
            _ => format!(
                "Setting memory threshold on {} to {} ...",
                call.node(),
                call.argument(0)
            ),
        },
        run: |call| match call.arguments() {
            [kind, value] if kind == "absolute" => set(call, "vm_memory_high_watermark.absolute", value),
            [fraction] => match fraction.parse::<f64>() {
                Ok(number) if !(0.0..=1.0).contains(&number) => Err(bad(
                    "Bad argument: The threshold should be a fraction between 0.0 and 1.0",
                )),
                _ => set(call, "vm_memory_high_watermark.relative", fraction),
            },
            _ => Err(bad("Bad argument.")),
        },
        ..Command::ROW
    },
    Command {
        name: "set_disk_free_limit",
        tools: &[Tool::Ctl],
        group: Group::Configuration,
        usage: "<disk_limit> | mem_relative <fraction>",
        help: "Sets how much disk must be free, or publishers are blocked, until the node ends",
        arguments: 1..=2,
        banner: |call| match call.arguments() {
            [_, value, ..] => {
                format!(
                    "Setting disk free limit on {} to {value} times the total RAM ...",
                    call.node()
                )
            }
            _ => format!(
                "Setting disk free limit on {} to {} bytes ...",
                call.node(),
                call.argument(0)
            ),
        },
        run: |call| match call.arguments() {
            [kind, value] if kind == "mem_relative" => set(call, "disk_free_limit.relative", value),
            [limit] => set(call, "disk_free_limit.absolute", limit),
            _ => Err(bad("Bad argument.")),
        },
        ..Command::ROW
    },
    Command {
        name: "set_log_level",
        tools: &[Tool::Ctl],
        group: Group::Configuration,
        usage: "<log_level>",
        help: "Sets from which level up the node logs, until it ends",
        arguments: 1..=1,
        banner: |call| format!("Setting log level to \"{}\" ...", call.argument(0)),
        run: |call| match call.argument(0) {
            level @ ("debug" | "info" | "warning" | "error" | "critical" | "none") => {
                set(call, "log.default.level", level)
            }
            other => Err(Failed::told(
                exit::UNAVAILABLE,
                format!("level {other} is not supported. Try one of debug, info, warning, error, critical, none"),
            )),
        },
        ..Command::ROW
    },
    Command {
        name: "environment",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Configuration,
        help: "Shows each key of the configuration and the value that the node was started with",
        banner: |call| format!("Application environment of node {} ...", call.node()),
        run: |call| {
            let keys = call.get(&["settings"])?;
            let lines = keys.as_object().into_iter().flatten();
            let lines: Vec<_> = lines
                .map(|(key, value)| format!("{key} = {}", value.as_str().unwrap_or_default()))
                .collect();
            Ok(Output::Text {
                text: lines.join("\n"),
                json: keys.clone(),
            })
        },
        ..Command::ROW
    },
    Command {
        name: "list_feature_flags",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::FeatureFlags,
        usage: "[--no-table-headers] [<column>, ...]",
        help: "Lists the feature flags of RabbitMQ 4.0 and their state",
        arguments: 0..=usize::MAX,
        columns: &FLAG,
        banner: |_| "Listing feature flags ...".to_owned(),
        run: |call| {
            let columns = chosen(call, &FLAG, &["name", "state"]);
            Ok(Output::rows(columns, call.list(&["feature-flags"])?))
        },
        ..Command::ROW
    },
    Command {
        name: "enable_feature_flag",
        tools: &[Tool::Ctl],
        group: Group::FeatureFlags,
        usage: "<feature_flag>",
        help: "Does nothing for a flag that there is: all are enabled",
        arguments: 1..=1,
        banner: |call| match call.argument(0) {
            "all" => "Enabling all feature flags ...".to_owned(),
            name => format!("Enabling feature flag \"{name}\" ..."),
        },
        run: |call| {
            let name = call.argument(0);
            // What there is, is enabled.
            let known = call.list(&["feature-flags"])?.iter().any(|flag| flag["name"] == name);
            if name == "all" || known {
                return Ok(Output::Nothing);
            }
            let text = format!("This feature flag is not supported by node {}", call.node());
            Err(Failed::told(exit::USAGE, text))
        },
        ..Command::ROW
    },
    Command {
        name: "list_deprecated_features",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::FeatureFlags,
        usage: "[--used] [<column> ...]",
        help: "Lists features that are deprecated",
        arguments: 0..=usize::MAX,
        options: &["used"],
        columns: &FEATURE,
        banner: |call| match call.options.used {
            true => "Listing deprecated features in use ...".to_owned(),
            false => "Listing deprecated features ...".to_owned(),
        },
        run: |call| {
            let path: &[&str] = match call.options.used {
                true => &["deprecated-features", "used"],
                false => &["deprecated-features"],
            };
            let columns = chosen(call, &FEATURE, &["name", "deprecation_phase"]);
            Ok(Output::rows(columns, call.list(path)?))
        },
    },
];

const FLAG: [Column; 6] = [
    Column::of("name", "name", Kind::Word),
    Column::of("state", "state", Kind::Word),
    Column::of("stability", "stability", Kind::Word),
    Column::of("provided_by", "provided_by", Kind::Word),
    Column::plain("desc"),
    Column::plain("doc_url"),
];

const FEATURE: [Column; 5] = [
    Column::of("name", "name", Kind::Word),
    Column::of("deprecation_phase", "deprecation_phase", Kind::Word),
    Column::of("provided_by", "provided_by", Kind::Word),
    Column::plain("desc"),
    Column::plain("doc_url"),
];

/// Gives a key of the configuration another value in the running node.
fn set(call: &Call, key: &str, value: &str) -> Result<Output, Failed> {
    let body: Value = json!({"value": value});
    let answer = call.ask("PUT", &["settings", key], Some(&body))?;
    match answer.status {
        204 => Ok(Output::Nothing),
        _ => Err(bad("Bad argument.")),
    }
}
