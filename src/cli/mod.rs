//! The command line: its subcommands and where each leads.
//!
//! `warren` alone is `warren server`. Reads arguments only; what a subcommand does is elsewhere.

mod server;

use clap::{Parser, Subcommand};

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
    Perf(crate::perf::PerfArgs),
}

impl Cli {
    /// The subcommand asked for.
    pub fn command(self) -> Command {
        self.command.unwrap_or(Command::Server(self.server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::env;

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
    fn every_flag_sets_the_key_it_is_listed_with() {
        for (flag, key) in env::FLAGS {
            let given = flags(&["warren", "server", flag, "x"]);
            let [setting] = &given.settings[..] else {
                panic!("{flag}: {given:?}")
            };
            assert_eq!((setting.key.as_str(), setting.value.as_str()), (key, "x"));
            assert_eq!(setting.origin.to_string(), flag);
        }
    }
}
