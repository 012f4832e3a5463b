//! What may stand behind `warren ctl`: the options of RabbitMQ's command line tools.
//!
//! They may stand anywhere among the words. Which command takes which is said by the table of
//! commands; those here marked as general go with all.

use std::path::PathBuf;

use clap::{CommandFactory, Parser};

/// The words and options of one call.
#[derive(Clone, Debug, Default, Parser)]
#[command(
    name = "ctl",
    disable_help_flag = true,
    disable_help_subcommand = true,
    args_override_self = true
)]
pub struct Options {
    /// The command and its arguments.
    pub words: Vec<String>,

    #[arg(short = '?', long)]
    pub help: bool,
    #[arg(short, long, allow_hyphen_values = true)]
    pub node: Option<String>,
    #[arg(short, long)]
    pub longnames: bool,
    #[arg(short, long)]
    pub timeout: Option<u64>,
    #[arg(short, long)]
    pub quiet: bool,
    #[arg(short, long)]
    pub silent: bool,
    #[arg(short = 'p', long)]
    pub vhost: Option<String>,
    #[arg(long)]
    pub formatter: Option<String>,
    #[arg(long)]
    pub no_table_headers: bool,
    #[arg(long)]
    pub data_dir: Option<String>,
    #[arg(long)]
    pub config: Option<PathBuf>,

    #[arg(long)]
    pub online: bool,
    #[arg(long)]
    pub offline: bool,
    #[arg(long)]
    pub local: bool,
    #[arg(long, short = 'e')]
    pub if_empty: bool,
    #[arg(long, short = 'u')]
    pub if_unused: bool,
    #[arg(long, allow_negative_numbers = true)]
    pub priority: Option<i64>,
    #[arg(long)]
    pub apply_to: Option<String>,
    #[arg(long)]
    pub description: Option<String>,
    #[arg(long)]
    pub tags: Option<String>,
    #[arg(long)]
    pub default_queue_type: Option<String>,
    #[arg(long)]
    pub pre_hashed_password: bool,
    #[arg(long)]
    pub user: Option<String>,
    #[arg(long)]
    pub global: bool,
    #[arg(long)]
    pub limit: Option<usize>,
    /// In milliseconds.
    #[arg(long)]
    pub per_connection_delay: Option<u64>,
    #[arg(long)]
    pub format: Option<String>,
    #[arg(long)]
    pub vhost_pattern: Option<String>,
    #[arg(long)]
    pub queue_pattern: Option<String>,
    #[arg(long)]
    pub membership: Option<String>,
    #[arg(long)]
    pub errors_only: bool,
    /// Said only where no command is.
    #[arg(long)]
    pub version: bool,
    #[arg(long)]
    pub all: bool,
    #[arg(long)]
    pub used: bool,
    #[arg(long, short = 'P')]
    pub pid: Option<u32>,
    #[arg(long, short = 'v')]
    pub verbose: bool,
    #[arg(long, short = 'm')]
    pub minimal: bool,
    #[arg(long, short = 'E')]
    pub enabled: bool,
    #[arg(long)]
    pub implicitly_enabled: bool,
    #[arg(long)]
    pub keep_readable: bool,
}

/// Options that go with every command.
const GENERAL: [&str; 11] = [
    "help",
    "node",
    "longnames",
    "timeout",
    "quiet",
    "silent",
    "vhost",
    "formatter",
    "no-table-headers",
    "data-dir",
    "config",
];

/// What was written wrong.
#[derive(Debug, PartialEq)]
pub enum Wrong {
    /// An option that there is not, as it was written.
    Option(String),
    /// A value that an option does not take, in clap's words.
    Value(String),
}

/// Reads the words behind the program's name.
///
/// # Errors
/// The first thing that is wrong.
pub fn read(words: &[String]) -> Result<Options, Wrong> {
    let program = [String::from("ctl")];
    Options::try_parse_from(program.iter().chain(words)).map_err(|error| {
        use clap::error::{ContextKind, ContextValue, ErrorKind};
        match (error.kind(), error.get(ContextKind::InvalidArg)) {
            (ErrorKind::UnknownArgument, Some(ContextValue::String(option))) => Wrong::Option(option.clone()),
            _ => Wrong::Value(error.to_string().lines().next().unwrap_or_default().to_owned()),
        }
    })
}

/// The options of these words that go neither with every command nor with one that takes `own`.
pub fn foreign(words: &[String], own: &[&str]) -> Option<String> {
    let program = [String::from("ctl")];
    let matches = Options::command().get_matches_from(program.iter().chain(words));
    let mut given = matches.ids().filter(|id| {
        matches.value_source(id.as_str()) == Some(clap::parser::ValueSource::CommandLine) && id.as_str() != "words"
    });
    let name = |id: &clap::Id| id.as_str().replace('_', "-");
    // Clap lists the group of all arguments as well.
    let is_known = |name: &String| {
        Options::command()
            .get_arguments()
            .any(|own| own.get_long() == Some(name))
    };
    let found = given.find(|id| {
        let name = name(id);
        is_known(&name) && !GENERAL.contains(&name.as_str()) && !own.contains(&name.as_str())
    });
    found.map(|id| format!("--{}", name(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_options_are_well_formed() {
        Options::command().debug_assert();
    }

    #[test]
    fn options_stand_anywhere() {
        let read = |text| read(&words(text)).expect("well written");
        let options = read("-q list_queues -p golden name --formatter json messages");
        assert_eq!(options.words, ["list_queues", "name", "messages"]);
        assert_eq!(options.vhost.as_deref(), Some("golden"));
        assert_eq!(options.formatter.as_deref(), Some("json"));
        assert!(options.quiet);
        assert_eq!(read("set_policy --priority -3 a").priority, Some(-3));
    }

    #[test]
    fn what_is_no_option_is_named() {
        assert_eq!(
            read(&words("list_queues --quorum")).err(),
            Some(Wrong::Option("--quorum".into()))
        );
        assert!(matches!(read(&words("x --priority high")).err(), Some(Wrong::Value(_))));
    }

    #[test]
    fn options_go_with_some_commands() {
        let given = words("add_user a b --if-empty -p x");
        assert_eq!(foreign(&given, &["pre-hashed-password"]), Some("--if-empty".into()));
        assert_eq!(foreign(&given, &["if-empty"]), None);
    }
}
