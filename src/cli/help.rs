//! The help of `warren ctl`: the list of commands, one command, and what was perhaps meant.

use super::command::{Command, Failed, Group, Output, exit};
use super::ctl::{COMMON, find, table};
use crate::config;

/// `help` and `version`, which need no node.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "help",
        group: Group::Help,
        usage: "[<command>]",
        help: "Displays usage information for a command",
        arguments: 0..=1,
        options: &[],
        columns: &[],
        banner: |_| String::new(),
        run: |call| match call.argument(0) {
            "" => Ok(Output::message(all(&call.program))),
            name => match find(&call.program, name) {
                Some(command) => Ok(Output::message(one(&call.program, command))),
                None => Err(unknown(&call.program, name)),
            },
        },
    },
    Command {
        name: "version",
        group: Group::Help,
        usage: "",
        help: "Displays CLI tools version",
        arguments: 0..=0,
        options: &[],
        columns: &[],
        banner: |_| String::new(),
        run: |_| Ok(Output::message(env!("CARGO_PKG_VERSION"))),
    },
];

/// How a command is written.
pub fn usage(program: &str, command: &Command) -> String {
    let line = format!("{program} {COMMON} {} {}", command.name, command.usage);
    format!("Usage\n\n{}", line.trim_end())
}

/// All commands by group.
pub fn all(program: &str) -> String {
    let width = table(program).map(|command| command.name.len()).max().unwrap_or(0) + 2;
    let mut out = format!(
        "\nUsage\n\n{program} [--node <node>] [--timeout <timeout>] [--longnames] [--quiet] <command> \
         [<command options>]\n\nAvailable commands:\n"
    );
    for (group, title) in Group::ALL {
        let mut commands: Vec<_> = table(program).filter(|command| command.group == group).collect();
        if commands.is_empty() {
            continue;
        }
        out += &format!("\n{title}:\n\n");
        commands.sort_by_key(|command| command.name);
        for command in commands {
            out += &format!("   {:width$}{}\n", command.name, command.help);
        }
    }
    out + &format!("\nUse '{program} help <command>' to learn more about a specific command")
}

/// One command.
pub fn one(program: &str, command: &Command) -> String {
    let stop = if command.help.ends_with('.') { "" } else { "." };
    format!("\n{}\n\n{}{stop}\n\n{GENERAL}", usage(program, command), command.help)
}

/// There is no such command.
pub fn unknown(program: &str, name: &str) -> Failed {
    let nearest = table(program)
        .map(|command| (config::distance(name, command.name), command.name))
        .min();
    let meant = match nearest {
        Some((distance, command)) if distance <= 3 => format!("\nDid you mean '{command}'? \n"),
        _ => String::new(),
    };
    let text = format!("\nCommand '{name}' not found. \n{meant}{}", all(program));
    Failed::bare(exit::USAGE, text)
}

const GENERAL: &str = "\
General Options

The following options are accepted by most or all commands.

short            | long          | description
-----------------|---------------|--------------------------------
-?               | --help        | displays command help
-n <node>        | --node <node> | the node's name, as it is shown
-t               | --timeout <n> | for commands that support it, operation timeout in seconds
-q               | --quiet       | suppress informational messages
-s               | --silent      | suppress informational messages
                                 | and table header row
-p               | --vhost       | for commands that are scoped to a virtual host,
                 |               | virtual host to use
                 | --formatter   | alternative result formatter to use
                                 | if supported: json, pretty_table, table, csv
                 | --data-dir    | where the node's data lies, and with it its socket
                 | --config      | the node's configuration file
";
