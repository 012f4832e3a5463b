//! `rabbitmq-plugins`: what RabbitMQ has plug-ins for and is part of this program. It is always there:
//! enabling it does nothing, and what is not part of it cannot be enabled.

use serde_json::{Value, json};

use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, exit};
use crate::config::PLUGINS;

/// What can be asked of plug-ins.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "list",
        tools: &[Tool::Plugins],
        group: Group::Plugins,
        usage: "[pattern] [--verbose] [--minimal] [--enabled] [--implicitly-enabled]",
        help: "Lists what RabbitMQ has as plugins and is part of this program",
        arguments: 0..=1,
        options: &["verbose", "minimal", "enabled", "implicitly-enabled"],
        banner: |call| {
            let pattern = call.arguments().first().map_or(".*", String::as_str);
            format!("Listing plugins with pattern \"{pattern}\" ...")
        },
        run: list,
        ..Command::ROW
    },
    Command {
        name: "is_enabled",
        tools: &[Tool::Plugins],
        group: Group::Monitoring,
        usage: "<plugin1> [ <plugin2>] [--offline] [--online]",
        help: "Fails unless all these plugins are part of this program",
        arguments: 1..=usize::MAX,
        options: &["offline", "online"],
        banner: |call| {
            let (word, names) = named(call);
            format!("Asking node {} if {word} {names} enabled...", call.node())
        },
        run: is_enabled,
        ..Command::ROW
    },
    Command {
        name: "enable",
        tools: &[Tool::Plugins],
        group: Group::Plugins,
        usage: "<plugin1> [ <plugin2>] | --all [--offline] [--online]",
        help: "Does nothing for what is part of this program, which is always enabled, and fails for anything else",
        arguments: 0..=usize::MAX,
        options: &["all", "offline", "online"],
        banner: |call| begun(call, "Enabling"),
        run: enable,
        ..Command::ROW
    },
    Command {
        name: "set",
        tools: &[Tool::Plugins],
        group: Group::Plugins,
        usage: "<plugin1> [ <plugin2>] [--offline] [--online]",
        help: "As enable: what is part of this program stays enabled",
        arguments: 0..=usize::MAX,
        options: &["offline", "online"],
        banner: |call| begun(call, "Enabling"),
        run: enable,
        ..Command::ROW
    },
    Command {
        name: "disable",
        tools: &[Tool::Plugins],
        group: Group::Plugins,
        usage: "<plugin1> [ <plugin2>] | --all [--offline] [--online]",
        help: "Fails for what is part of this program",
        arguments: 0..=usize::MAX,
        options: &["all", "offline", "online"],
        banner: |call| begun(call, "Disabling"),
        run: disable,
        ..Command::ROW
    },
];

/// What is said before any of them is changed.
fn begun(call: &Call, word: &str) -> String {
    let names = call.arguments().join("\n");
    format!("{word} plugins on node {}:\n{names}", call.node())
}

/// The plug-ins that are there and match; names are plain words, so a pattern may be a part of one.
fn list(call: &Call) -> Result<Output, Failed> {
    let pattern = call.argument(0).trim_end_matches(".*");
    let shown: Vec<_> = PLUGINS.into_iter().filter(|name| name.contains(pattern)).collect();
    let version = env!("CARGO_PKG_VERSION");
    let lines = shown.iter().map(|name| match call.options.minimal {
        true => (*name).to_owned(),
        false => format!("[E*] {name} {version}"),
    });
    let mut text: Vec<_> = lines.collect();
    if !call.options.minimal {
        text.insert(
            0,
            " Configured: E = explicitly enabled; e = implicitly enabled\n | Status: * = running\n |/".into(),
        );
    }
    let plugins: Vec<Value> = shown
        .iter()
        .map(|name| json!({"name": name, "version": version, "enabled": "enabled", "running": true}))
        .collect();
    Ok(Output::Text {
        text: text.join("\n"),
        json: json!({"status": "running", "format": "normal", "plugins": plugins}),
    })
}

fn is_enabled(call: &Call) -> Result<Output, Failed> {
    let (node, (word, names)) = (call.node(), named(call));
    match missing(call).as_slice() {
        [] => Ok(Output::message(format!(
            "{} {names} enabled on node {node}",
            capital(word)
        ))),
        missing => Err(Failed::told(
            exit::UNAVAILABLE,
            format!(
                "Plugin {} is not enabled on node {node}. Enabled plugins and dependencies: {}",
                missing.join(", "),
                PLUGINS.join(", ")
            ),
        )),
    }
}

fn enable(call: &Call) -> Result<Output, Failed> {
    match missing(call).as_slice() {
        [] => Ok(Output::message("Plugin configuration unchanged.")),
        missing => Err(not_found(missing)),
    }
}

fn disable(call: &Call) -> Result<Output, Failed> {
    let has_built_in = call.options.all || call.arguments().iter().any(|name| PLUGINS.contains(&name.as_str()));
    match has_built_in {
        true => Err(Failed::told(
            exit::SOFTWARE,
            "What is part of this program cannot be disabled",
        )),
        false => Ok(Output::message("Plugin configuration unchanged.")),
    }
}

/// As RabbitMQ says it of a plug-in that is nowhere.
fn not_found(missing: &[&str]) -> Failed {
    let missing: Vec<_> = missing.iter().map(|name| format!(":{name}")).collect();
    Failed::told(
        exit::SOFTWARE,
        format!("{{:plugins_not_found, [{}]}}", missing.join(", ")),
    )
}

/// Those of the arguments that are not there.
fn missing(call: &Call) -> Vec<&str> {
    let names = call.arguments().iter().map(String::as_str);
    names.filter(|name| !PLUGINS.contains(name)).collect()
}

fn named(call: &Call) -> (&'static str, String) {
    match call.arguments() {
        [name] => ("plugin", format!("{name} is")),
        names => ("plugins", format!("{} are", names.join(", "))),
    }
}

fn capital(word: &str) -> &str {
    if word == "plugin" { "Plugin" } else { "Plugins" }
}
