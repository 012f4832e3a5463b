//! `warren ctl`, which takes the place of RabbitMQ's command line tools: finds the node, runs one
//! row of the table of commands, and writes what it gives.

use std::cell::OnceCell;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::client::{Client, Place};
use super::command::{Call, Command, Table};
use super::failed::{Failed, exit};
use super::options::{self, Options, Wrong};
use super::print::Formatter;
use super::remote::{self, Remote};
use super::tool::Tool;
use super::written::written;
use super::{
    checks, cluster, columns, connections, definitions, exchanges, help, limits, listeners, logins, logs, machine,
    maintenance, matching, node, parameters, permissions, plugins, policies, queues, replicas, report, settings,
    stream_groups, streams, super_streams, users, vhosts,
};
use crate::config::{self, Config, Flags, Origin, Setting, keys};

/// The words behind `warren ctl`. They are read by [`options`], for the answers to what is wrong
/// are RabbitMQ's.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct CtlArgs {
    /// A command and its arguments; 'help' lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    words: Vec<String>,
}

/// All commands.
pub static TABLE: Table = Table(&[
    help::COMMANDS,
    node::COMMANDS,
    checks::COMMANDS,
    listeners::COMMANDS,
    cluster::COMMANDS,
    queues::COMMANDS,
    replicas::COMMANDS,
    streams::COMMANDS,
    stream_groups::COMMANDS,
    super_streams::COMMANDS,
    exchanges::COMMANDS,
    connections::COMMANDS,
    users::COMMANDS,
    permissions::COMMANDS,
    vhosts::COMMANDS,
    limits::COMMANDS,
    policies::COMMANDS,
    parameters::COMMANDS,
    definitions::COMMANDS,
    settings::COMMANDS,
    plugins::COMMANDS,
    report::COMMANDS,
    logs::COMMANDS,
    maintenance::COMMANDS,
    machine::COMMANDS,
    matching::COMMANDS,
    logins::COMMANDS,
]);

/// Runs a command and gives its exit status.
pub fn run(args: CtlArgs) -> ExitCode {
    let called = std::env::args().next().unwrap_or_default();
    let program = Tool::of(&called).map_or("warren ctl", Tool::name);
    let written = match carry_out(program, &args.words) {
        Ok(text) => std::io::stdout().write_all(text.as_bytes()).map(|()| 0),
        Err(failed) => writeln!(std::io::stderr(), "{}", failed.text).map(|()| failed.status),
    };
    match written {
        Ok(status) => ExitCode::from(status),
        // Whoever read us has gone, as `head` does.
        Err(_) => ExitCode::FAILURE,
    }
}

fn carry_out(program: &str, words: &[String]) -> Result<String, Failed> {
    let options = options::read(words).map_err(|wrong| {
        // The command is the first word that is one; options may stand before it.
        let command = words.iter().find_map(|word| TABLE.find(program, word));
        with_usage(program, command, words, refused(wrong))
    })?;
    let Some(name) = options.words.first() else {
        if options.version {
            return Ok(format!("{}\n", env!("CARGO_PKG_VERSION")));
        }
        return match options.help {
            true => Ok(help::all(&TABLE, program) + "\n"),
            false => Err(Failed::bare(exit::USAGE, help::all(&TABLE, program))),
        };
    };
    let command = TABLE
        .find(program, name)
        .ok_or_else(|| help::unknown(&TABLE, program, name))?;
    if options.help {
        return Ok(help::one(program, command));
    }
    let wrong = |failed| with_usage(program, Some(command), words, failed);
    check_arguments(command, &options, words).map_err(wrong)?;
    let given = options.formatter.as_deref().map(|name| {
        let unknown = || Failed::arguments(format!("Formatter '{name}' is not supported"));
        Formatter::named(name).ok_or_else(unknown)
    });
    let formatter = given.transpose().map_err(wrong)?;
    let call = call(program, options)?;
    let banner = (command.banner)(&call);
    let is_for_people = !matches!(formatter, Some(Formatter::Json | Formatter::Csv));
    if !banner.is_empty() && is_for_people && !call.options.quiet && !call.options.silent {
        // A reader that has gone is noticed when the result is written.
        let _ = writeln!(std::io::stdout(), "{banner}");
    }
    let output = (command.run)(&call).map_err(wrong)?;
    Ok(written(output, formatter, &call))
}

fn refused(wrong: Wrong) -> Failed {
    match wrong {
        Wrong::Option(option) => Failed::arguments(format!("Invalid options for this command:\n{option} : ")),
        Wrong::Value(text) => Failed::arguments(text.trim_start_matches("error: ")),
    }
}

fn check_arguments(command: &Command, options: &Options, words: &[String]) -> Result<(), Failed> {
    if let Some(option) = options::foreign(words, command.options) {
        return Err(refused(Wrong::Option(option)));
    }
    let count = options.words.len() - 1;
    if count < *command.arguments.start() {
        Err(Failed::arguments("not enough arguments."))
    } else if count > *command.arguments.end() {
        Err(Failed::arguments("too many arguments."))
    } else {
        columns::check(command, options)
    }
}

/// What was given and how it is written, below what is wrong with it.
fn with_usage(program: &str, command: Option<&Command>, words: &[String], failed: Failed) -> Failed {
    if !failed.usage {
        return failed;
    }
    let usage = command.map_or_else(|| help::all(&TABLE, program), |command| help::usage(program, command));
    Failed {
        text: format!("{}\nArguments given:\n\t{}\n\n{usage}", failed.text, words.join(" ")),
        ..failed
    }
}

/// Finds the node: its data directory is where `warren server` would have it.
fn call(program: &str, mut options: Options) -> Result<Call, Failed> {
    let config = configuration(&options)?;
    let patience = options.timeout.map(Duration::from_secs);
    let here = Client::new(Place::Here(config.control_socket()), patience);
    let host = config.node.name.rsplit_once('@').map_or("", |(_, host)| host);
    // A node's name may be given without its host, which is this one then.
    if let Some(name) = &mut options.node
        && !name.contains("://")
        && !name.contains('@')
    {
        *name = format!("{name}@{host}");
    }
    let client = match &options.node {
        Some(node) if !is_here(&here, node, &options, &config) => {
            let remote = Remote::of(node, &options, &config)?;
            Client::new(Place::There(Arc::new(remote)), patience)
        }
        _ => here,
    };
    Ok(Call {
        program: program.to_owned(),
        commands: &TABLE,
        configured_node: config.node.name.clone(),
        node: OnceCell::new(),
        client,
        options,
    })
}

/// Whether the node of this machine is meant: by the name that it says it has, or while it does not
/// run, by the one it would have. A name that says nothing is of this machine's, where no other node
/// could be asked.
fn is_here(here: &Client, node: &str, options: &Options, config: &Config) -> bool {
    if node.contains("://") {
        return false;
    }
    match here.ask("GET", &["local", "name"], None) {
        Ok(told) => told.json()["name"] == node,
        Err(_) => node == config.node.name || !remote::can_prove(options, config),
    }
}

fn configuration(options: &Options) -> Result<Config, Failed> {
    let data_dir = options.data_dir.clone().and_then(|value| {
        let (flag, row) = keys::flags().find(|(flag, _)| flag.name == "--data-dir")?;
        Some(Setting {
            origin: Origin::Flag(flag.name),
            key: row.pattern.clone(),
            value,
        })
    });
    let flags = Flags {
        config: options.config.clone(),
        settings: data_dir.into_iter().collect(),
    };
    config::load(&flags).map_err(|error| Failed::told(exit::DATA, error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_command_is_there_once() {
        let names: Vec<_> = TABLE.all().map(|command| command.name).collect();
        let unique: BTreeSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
        for command in TABLE.all() {
            assert!(!command.help.is_empty(), "{}", command.name);
        }
    }

    fn failure(words: &str) -> Failed {
        let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
        carry_out("rabbitmqctl", &words).expect_err("refused")
    }

    #[test]
    fn wrong_arguments_are_refused_in_rabbitmqs_words() {
        let failed = failure("-n g1@localhost add_user");
        assert_eq!(failed.status, exit::USAGE);
        let expected = "\
Error (argument validation): not enough arguments.
Arguments given:
\t-n g1@localhost add_user

Usage

rabbitmqctl [--node <node>] [--longnames] [--quiet] add_user <username> [<password>] [<password_hash> --pre-hashed-password]";
        assert_eq!(failed.text, expected);
    }

    #[test]
    fn options_that_a_command_does_not_take_are_refused() {
        let expected = "\
Error (argument validation): Invalid options for this command:
--quorum : 
Arguments given:
\t-n g1@localhost list_queues -p golden --quorum name

Usage

rabbitmqctl [--node <node>] [--longnames] [--quiet] list_queues [--vhost <vhost>] [--online] [--offline] [--local] [--no-table-headers] [<column>, ...] [--timeout <timeout>]";
        assert_eq!(
            failure("-n g1@localhost list_queues -p golden --quorum name").text,
            expected
        );
        let failed = failure("list_users --if-empty");
        assert!(failed.text.contains("--if-empty : "), "{}", failed.text);
    }

    #[test]
    fn a_command_that_there_is_not_may_be_a_slip() {
        let failed = failure("list_queue");
        assert_eq!(failed.status, exit::USAGE);
        assert!(failed.text.starts_with("\nCommand 'list_queue' not found. \n"));
        assert!(failed.text.contains("Did you mean 'list_queues'?"), "{}", failed.text);
        assert!(!failure("frobnicate").text.contains("Did you mean"));
    }
}
