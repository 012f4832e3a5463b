//! The command line: its subcommands and where each leads.
//!
//! `warren` alone is `warren server`. Reads arguments only; what a subcommand does is elsewhere.

mod absent;
mod checks;
mod client;
mod cluster;
mod column;
mod columns;
mod command;
mod completion;
mod connections;
mod ctl;
mod definitions;
mod erlang;
mod exchanges;
mod failed;
mod help;
mod limits;
mod listeners;
mod logins;
mod logs;
mod machine;
mod maintenance;
mod matching;
mod node;
mod options;
mod parameters;
mod permissions;
mod plugins;
mod policies;
mod print;
mod queues;
mod remote;
mod replicas;
mod report;
mod server;
mod settings;
mod stream_groups;
mod streams;
mod super_streams;
mod tool;
mod unreachable;
mod users;
mod vhosts;
mod written;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

pub use ctl::{CtlArgs, run as control};
pub use server::ServerArgs;

/// An AMQP 0-9-1 broker that takes the place of RabbitMQ.
#[derive(Debug, Parser)]
#[command(name = "warren", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    server: ServerArgs,
}

/// What `warren` can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node (what `warren` does when nothing is said).
    Server(ServerArgs),
    /// Put a load on a broker and measure it.
    Perf(Box<crate::perf::PerfArgs>),
    /// Move the messages of queues from a RabbitMQ, or another Warren, to this one.
    Migrate(Box<crate::migrate::MigrateArgs>),
    /// Ask the node on this machine, or tell it what to do, as rabbitmqctl does.
    Ctl(CtlArgs),
}

impl Cli {
    /// Reads the arguments of this process, and ends it when they are wrong.
    pub fn of_process() -> Self {
        let given: Vec<_> = std::env::args_os().collect();
        let program = given.first().and_then(|program| program.to_str());
        if let Some(name) = program.and_then(tool::foreign) {
            eprintln!("{name} is not part of Warren; `warren help` says what is");
            std::process::exit(failed::exit::USAGE.into());
        }
        Self::parse_from(arguments(given))
    }

    /// The subcommand asked for.
    pub fn command(self) -> Command {
        self.command.unwrap_or(Command::Server(self.server))
    }
}

/// The binary called by the name of a command line tool of RabbitMQ's is `warren ctl`.
fn arguments(mut given: Vec<OsString>) -> Vec<OsString> {
    let program = given.first().and_then(|program| program.to_str());
    if program.and_then(tool::Tool::of).is_some() {
        given.insert(1, "ctl".into());
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    fn flags(arguments: &[&str]) -> crate::config::Flags {
        let cli = Cli::try_parse_from(arguments).expect("right arguments");
        let Command::Server(args) = cli.command() else {
            panic!("not the server")
        };
        args.flags()
    }

    #[test]
    fn the_arguments_are_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_node_is_run_when_no_subcommand_is_given() {
        assert!(flags(&["warren"]).settings.is_empty());
        let given = flags(&["warren", "--amqp", "5673", "--amqp", "[::1]:0", "--config", "a.conf"]);
        assert_eq!(given.config, Some("a.conf".into()));
        assert_eq!(given.settings.len(), 1);
        assert_eq!(given.settings[0].key, "listeners.tcp");
        assert_eq!(given.settings[0].value, "5673,[::1]:0");
        assert_eq!(
            given.settings,
            flags(&["warren", "server", "--amqp", "5673", "--amqp", "[::1]:0"]).settings
        );
    }

    #[test]
    fn a_tool_of_rabbitmqs_is_ctl() {
        let given = ["/usr/sbin/rabbitmqctl", "-n", "x", "status"].map(OsString::from);
        let cli = Cli::try_parse_from(arguments(given.to_vec())).expect("right arguments");
        assert!(matches!(cli.command(), Command::Ctl(_)));
        let given = vec![OsString::from("warren")];
        assert_eq!(arguments(given.clone()), given);
    }

    #[test]
    fn every_flag_sets_the_key_it_is_listed_with() {
        for (flag, key) in keys::flags() {
            let flag = flag.name;
            let given = flags(&["warren", "server", flag, "x"]);
            let [setting] = &given.settings[..] else {
                panic!("{flag}: {given:?}")
            };
            assert_eq!((&setting.key, setting.value.as_str()), (&key.pattern, "x"));
            assert_eq!(setting.origin.to_string(), flag);
        }
    }
}
