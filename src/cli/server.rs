//! `warren server`: its flags.
//!
//! A flag is another way to write a key of the configuration. Which there are, and what each says of
//! itself, is in the table of keys; values are taken as text here and read where the keys are.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use crate::config::key::{Key, Sample};
use crate::config::{Flags, Origin, Setting, keys};

/// What the flags of `warren server` said.
#[derive(Debug)]
pub struct ServerArgs(Flags);

impl ServerArgs {
    /// The flags as settings, for [`crate::config::load`].
    pub fn flags(self) -> Flags {
        self.0
    }
}

impl Args for ServerArgs {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help(CONFIG_HELP);
        let of_keys = keys::flags().map(|(flag, row)| {
            Arg::new(flag.name)
                .long(flag.name.trim_start_matches('-'))
                .value_name(flag.value)
                .action(match flag.is_list {
                    true => ArgAction::Append,
                    false => ArgAction::Set,
                })
                .help(help(row, flag.is_list))
        });
        command.arg(config).args(of_keys).after_help(SOURCES)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServerArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let settings = keys::flags().filter_map(|(flag, row)| {
            let values: Vec<_> = matches.get_many::<String>(flag.name)?.cloned().collect();
            Some(Setting {
                origin: Origin::Flag(flag.name),
                key: row.pattern.clone(),
                value: values.join(","),
            })
        });
        Ok(Self(Flags {
            config: matches.get_one::<PathBuf>(CONFIG).cloned(),
            settings: settings.collect(),
        }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What a flag says of itself: what its row says, and the default that stands there.
fn help(row: &Key, is_list: bool) -> String {
    let mut text = row.help.to_owned();
    if let Some(reason) = row.unbuilt {
        text.push_str(&format!(" Only 'none' is taken: {reason}."));
    } else if let Sample::Default(values) = &row.sample {
        text.push_str(&format!(" [default: {}]", values.join(", ")));
    }
    if is_list {
        text.push_str(" May be given several times.");
    }
    text
}

const CONFIG: &str = "config";
const CONFIG_HELP: &str = "\
The configuration file, or a directory of .conf files [default: /etc/rabbitmq/rabbitmq.conf,
/etc/rabbitmq/conf.d/*.conf and /etc/rabbitmq/advanced.config if there]";

const SOURCES: &str = "\
Each flag is also an environment variable: WARREN_DATA_DIR for --data-dir. A flag comes over the
environment, the environment over the configuration file; docs/rabbitmq.conf.sample lists its keys.";
