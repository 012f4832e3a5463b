//! The help of `warren ctl`: the list of commands, one command, and what was perhaps meant.

use super::command::{Command, Group, Output, Table, Tool};
use super::failed::{Failed, exit};
use super::{absent, completion, options};
use crate::config;
use crate::types::sorting::sort_by_key;

/// Options that every usage begins with.
const COMMON: &str = "[--node <node>] [--longnames] [--quiet]";

/// What needs no node.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "help",
        tools: Tool::EACH,
        group: Group::Help,
        usage: "[<command>]",
        help: "Shows what there is, or how one command is written",
        arguments: 0..=1,
        run: |call| match call.argument(0) {
            "" => Ok(Output::message(all(call.commands, &call.program))),
            name => match call.commands.find(&call.program, name) {
                Some(command) => Ok(Output::message(one(&call.program, command))),
                None => Err(unknown(call.commands, &call.program, name)),
            },
        },
        ..Command::ROW
    },
    Command {
        name: "version",
        tools: &[Tool::Ctl, Tool::Diagnostics, Tool::Plugins],
        group: Group::Help,
        help: "Shows the version of the command line tools",
        run: |_| Ok(Output::message(env!("CARGO_PKG_VERSION"))),
        ..Command::ROW
    },
    Command {
        name: "autocomplete",
        tools: &[Tool::Ctl, Tool::Diagnostics, Tool::Queues, Tool::Plugins],
        group: Group::Help,
        usage: "[prefix] [--timeout <timeout>]",
        help: "Lists the commands that begin so",
        arguments: 1..=1,
        run: |call| {
            let mut names: Vec<_> = call.commands.of(&call.program).map(|command| command.name).collect();
            names.retain(|name| name.starts_with(call.argument(0)));
            names.sort_unstable();
            Ok(match names.is_empty() {
                true => Output::Silent,
                false => Output::Text {
                    text: names.join("\n"),
                    json: names.into(),
                },
            })
        },
        ..Command::ROW
    },
    Command {
        name: "completion",
        tools: Tool::EACH,
        group: Group::Help,
        usage: "<bash | zsh | fish>",
        help: "Writes the script by which a shell completes these commands and their options",
        arguments: 1..=1,
        run: |call| completion::script(call.commands, &call.program, call.argument(0)),
        ..Command::ROW
    },
];

/// How a command is written.
pub fn usage(program: &str, command: &Command) -> String {
    let line = format!("{program} {COMMON} {} {}", command.name, command.usage);
    format!("Usage\n\n{}", line.trim_end())
}

/// All commands by group.
pub fn all(table: &Table, program: &str) -> String {
    let width = table.of(program).map(|command| command.name.len()).max().unwrap_or(0) + 2;
    let mut out = format!(
        "\nUsage\n\n{program} [--node <node>] [--timeout <timeout>] [--longnames] [--quiet] <command> \
         [<command options>]\n\nAvailable commands:\n"
    );
    for (group, title) in Group::ALL {
        let mut commands: Vec<_> = table.of(program).filter(|command| command.group == group).collect();
        if commands.is_empty() {
            continue;
        }
        out += &format!("\n{title}:\n\n");
        sort_by_key(&mut commands, |command| command.name);
        for command in commands {
            out += &format!("   {:width$}{}\n", command.name, command.help);
        }
    }
    out + &format!("\nUse '{program} help <command>' to learn more about a specific command")
}

/// One command.
pub fn one(program: &str, command: &Command) -> String {
    let mut out = format!("\n{}\n\n{}.\n", usage(program, command), command.help);
    let own = options::explained(command.options);
    if !own.is_empty() || !command.columns.is_empty() {
        out += "\nArguments and Options\n";
    }
    if !command.columns.is_empty() {
        let mut names: Vec<_> = command.columns.iter().map(|column| column.name).collect();
        names.sort_unstable();
        out += &format!("\n<column>\n\tone of {}\n", names.join(", "));
    }
    for (option, help) in own {
        out += &format!("\n{option}\n\t{help}\n");
    }
    out += "\nGeneral Options\n\n";
    let general = options::general();
    let width = general.iter().map(|(option, _)| option.len()).max().unwrap_or(0) + 2;
    for (option, help) in general {
        out += &format!("   {option:width$}{help}\n");
    }
    out
}

/// There is no such command: not here, not of this tool, or not at all.
pub fn unknown(table: &Table, program: &str, name: &str) -> Failed {
    if let Some(absent) = absent::of(name) {
        return absent;
    }
    let text = format!("\nCommand '{name}' not found. \n");
    let elsewhere = table.all().find(|command| command.name == name);
    if let Some(tools) = elsewhere.map(|command| command.tools) {
        let names: Vec<_> = tools.iter().map(|tool| tool.name()).collect();
        return Failed::bare(exit::USAGE, format!("{text}It is one of {}.\n", names.join(" and ")));
    }
    let nearest = table
        .of(program)
        .map(|command| (config::distance(name, command.name), command.name))
        .min();
    let text = match nearest {
        Some((distance, command)) if distance <= 3 => format!("{text}Did you mean '{command}'? \n"),
        _ => format!("{text}{}", all(table, program)),
    };
    Failed::bare(exit::USAGE, text)
}
