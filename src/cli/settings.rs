//! Commands about what a node was told by its configuration, and what can be changed while it runs.

use serde_json::{Value, json};

use super::columns::chosen;
use super::command::{Call, Command, Failed, Group, Output, exit};
use super::print::Column;

/// What can be set.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "set_cluster_name",
        group: Group::Configuration,
        usage: "<name>",
        help: "Sets the cluster name",
        arguments: 1..=1,
        options: &[],
        columns: &[],
        banner: |call| format!("Setting cluster name to {} ...", call.argument(0)),
        run: |call| call.put(&["cluster-name"], &json!({"name": call.argument(0)})),
    },
    Command {
        name: "set_vm_memory_high_watermark",
        group: Group::Configuration,
        usage: "<fraction> | absolute <value>",
        help: "Sets the vm_memory_high_watermark setting, until the node ends",
        arguments: 1..=2,
        options: &[],
        columns: &[],
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
    },
    Command {
        name: "set_disk_free_limit",
        group: Group::Configuration,
        usage: "<disk_limit> | mem_relative <fraction>",
        help: "Sets the disk_free_limit setting, until the node ends",
        arguments: 1..=2,
        options: &[],
        columns: &[],
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
    },
    Command {
        name: "set_log_level",
        group: Group::Configuration,
        usage: "<log_level>",
        help: "Sets log level in the running node",
        arguments: 1..=1,
        options: &[],
        columns: &[],
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
    },
    Command {
        name: "environment",
        group: Group::Configuration,
        usage: "",
        help: "Displays the configuration that the node was started with: each key of rabbitmq.conf and its value",
        arguments: 0..=0,
        options: &[],
        columns: &[],
        banner: |call| format!("Application environment of node {} ...", call.node()),
        run: |call| {
            let keys = call.get(&["local", "environment"])?;
            let lines = keys.as_object().into_iter().flatten();
            let lines: Vec<_> = lines
                .map(|(key, value)| format!("{key} = {}", value.as_str().unwrap_or_default()))
                .collect();
            Ok(Output::Told {
                text: lines.join("\n"),
                json: keys.clone(),
            })
        },
    },
    Command {
        name: "list_feature_flags",
        group: Group::FeatureFlags,
        usage: "[--no-table-headers] [<column>, ...]",
        help: "Lists feature flags",
        arguments: 0..=usize::MAX,
        options: &[],
        columns: &FLAG,
        banner: |_| "Listing feature flags ...".to_owned(),
        run: |call| {
            let columns = chosen(call, &FLAG, &["name", "state"]);
            Ok(Output::rows(columns, call.list(&["feature-flags"])?))
        },
    },
    Command {
        name: "enable_feature_flag",
        group: Group::FeatureFlags,
        usage: "<feature_flag>",
        help: "Enables a feature flag or all supported feature flags on the target node",
        arguments: 1..=1,
        options: &[],
        columns: &[],
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
    },
    Command {
        name: "list_deprecated_features",
        group: Group::FeatureFlags,
        usage: "[--used] [<column> ...]",
        help: "Lists deprecated features",
        arguments: 0..=usize::MAX,
        options: &["used"],
        columns: &FEATURE,
        banner: |_| "Listing deprecated features ...".to_owned(),
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
    Column::plain("name"),
    Column::plain("state"),
    Column::plain("stability"),
    Column::plain("provided_by"),
    Column::plain("desc"),
    Column::plain("doc_url"),
];

const FEATURE: [Column; 4] = [
    Column::plain("name"),
    Column::plain("deprecation_phase"),
    Column::plain("provided_by"),
    Column::plain("desc"),
];

fn bad(why: &str) -> Failed {
    Failed {
        status: exit::DATA,
        ..Failed::arguments(why)
    }
}

/// Gives a key of the configuration another value in the running node.
fn set(call: &Call, key: &str, value: &str) -> Result<Output, Failed> {
    let body: Value = json!({"key": key, "value": value});
    let answer = call.ask("PUT", &["local", "setting"], Some(&body))?;
    match answer.status {
        204 => Ok(Output::Nothing),
        _ => Err(bad("Bad argument.")),
    }
}
