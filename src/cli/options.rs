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

    /// Shows how the command is written.
    #[arg(short = '?', long)]
    pub help: bool,
    /// The node: its name, or the URL of its HTTP API. Without it, the one of this machine.
    #[arg(short, long, allow_hyphen_values = true)]
    pub node: Option<String>,
    /// Names of nodes may be of any length: taken, and means nothing.
    #[arg(short, long)]
    pub longnames: bool,
    /// The longest wait for the node, in seconds.
    #[arg(short, long)]
    pub timeout: Option<u64>,
    /// Says nothing but the result.
    #[arg(short, long)]
    pub quiet: bool,
    /// The same, without the first line of a table.
    #[arg(short, long)]
    pub silent: bool,
    /// The virtual host, where the command is about one.
    #[arg(short = 'p', long)]
    pub vhost: Option<String>,
    /// How the result is written: table, pretty_table, csv, json or erlang.
    #[arg(long)]
    pub formatter: Option<String>,
    /// A table is written without its first line.
    #[arg(long)]
    pub no_table_headers: bool,
    /// Where the data of the node on this machine lies, and with it its socket.
    #[arg(long)]
    pub data_dir: Option<String>,
    /// The configuration file of the node on this machine.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// The user to ask another node as. Without it, requests are signed with the cluster's secret.
    #[arg(long)]
    pub username: Option<String>,
    /// That user's password; better in WARREN_PASSWORD, which no list of processes shows.
    #[arg(long)]
    pub password: Option<String>,
    /// Whom to trust with the certificates of other nodes: a file with certificates of authorities.
    #[arg(long)]
    pub ca_file: Option<PathBuf>,

    /// Only what is on nodes that are reached; of plugins, what counts anyway.
    #[arg(long)]
    pub online: bool,
    /// Only what is on nodes that are not reached; of plugins, what counts anyway.
    #[arg(long)]
    pub offline: bool,
    /// Only what is on the node that is asked.
    #[arg(long)]
    pub local: bool,
    /// Only if there is no message in it.
    #[arg(long, short = 'e')]
    pub if_empty: bool,
    /// Only if nobody consumes from it.
    #[arg(long, short = 'u')]
    pub if_unused: bool,
    /// Of several that match the one with the highest number counts.
    #[arg(long, allow_negative_numbers = true)]
    pub priority: Option<i64>,
    /// What it is for: queues, classic_queues, quorum_queues, streams, exchanges or all.
    #[arg(long)]
    pub apply_to: Option<String>,
    /// A text for people.
    #[arg(long)]
    pub description: Option<String>,
    /// Tags, joined by commas.
    #[arg(long)]
    pub tags: Option<String>,
    /// The type of queues that are declared without one.
    #[arg(long)]
    pub default_queue_type: Option<String>,
    /// What is given is the hash of the password.
    #[arg(long)]
    pub pre_hashed_password: bool,
    /// Whose; guest when nobody is named.
    #[arg(long)]
    pub user: Option<String>,
    /// All of them, wherever they are.
    #[arg(long)]
    pub global: bool,
    /// At most so many.
    #[arg(long)]
    pub limit: Option<usize>,
    /// The rest after each of them, in milliseconds.
    #[arg(long)]
    pub per_connection_delay: Option<u64>,
    /// How it is written: of definitions json, of cipher suites openssl.
    #[arg(long)]
    pub format: Option<String>,
    /// Only in virtual hosts whose names match.
    #[arg(long)]
    pub vhost_pattern: Option<String>,
    /// Only queues whose names match.
    #[arg(long)]
    pub queue_pattern: Option<String>,
    /// promotable or voter: it learns before it votes either way.
    #[arg(long)]
    pub membership: Option<String>,
    /// Only those that failed are listed.
    #[arg(long)]
    pub errors_only: bool,
    /// Said only where no command is.
    #[arg(long)]
    pub version: bool,
    /// All of them.
    #[arg(long)]
    pub all: bool,
    /// Only those in use.
    #[arg(long)]
    pub used: bool,
    /// The process that is waited for.
    #[arg(long, short = 'P')]
    pub pid: Option<u32>,
    /// More of each.
    #[arg(long, short = 'v')]
    pub verbose: bool,
    /// Names only.
    #[arg(long, short = 'm')]
    pub minimal: bool,
    /// Only those that are enabled, which all are.
    #[arg(long, short = 'E')]
    pub enabled: bool,
    /// The same.
    #[arg(long)]
    pub implicitly_enabled: bool,
    /// What cannot be read is to be lost.
    #[arg(long)]
    pub keep_readable: bool,
    /// So many lines.
    #[arg(long, short = 'N')]
    pub number: Option<usize>,
    /// For so many seconds; without it until it is interrupted.
    #[arg(long, short = 'd')]
    pub duration: Option<u64>,
    /// Only events whose name matches.
    #[arg(long)]
    pub pattern: Option<String>,
    /// What the name is of: queue or exchange.
    #[arg(long)]
    pub object_type: Option<String>,
    /// How long each queue may take to answer, in milliseconds.
    #[arg(long)]
    pub queue_timeout: Option<u64>,
    /// IPv4 or IPv6.
    #[arg(long)]
    pub address_family: Option<String>,
    /// How many of the units; 4 without it.
    #[arg(long)]
    pub within: Option<u64>,
    /// days, weeks, months or years; of memory bytes, KB, MB, GB or TB.
    #[arg(long)]
    pub unit: Option<String>,
    /// A node that does not run is no failure.
    #[arg(long)]
    pub idempotent: bool,
    /// Waits for the end of its process, as it does without a word.
    #[arg(long)]
    pub wait: bool,
    /// Does not wait for the end of its process.
    #[arg(long)]
    pub no_wait: bool,
    /// By the address and the user that tried.
    #[arg(long)]
    pub by_source: bool,
    /// How many partitions.
    #[arg(long)]
    pub partitions: Option<u64>,
    /// One partition for each of them, joined by commas.
    #[arg(long)]
    pub binding_keys: Option<String>,
    /// The most bytes of each, such as 20gb.
    #[arg(long)]
    pub max_length_bytes: Option<String>,
    /// How long messages are kept, as ISO 8601 has it: P5DT8H.
    #[arg(long)]
    pub max_age: Option<String>,
    /// The most bytes of a segment, such as 500mb.
    #[arg(long)]
    pub stream_max_segment_size_bytes: Option<String>,
    /// client-local or balanced.
    #[arg(long)]
    pub leader_locator: Option<String>,
    /// How many members each has.
    #[arg(long)]
    pub initial_cluster_size: Option<u64>,
    /// The stream.
    #[arg(long)]
    pub stream: Option<String>,
    /// The name under which it is read.
    #[arg(long)]
    pub reference: Option<String>,
    /// first, last, next or an offset.
    #[arg(long)]
    pub to: Option<String>,
    /// What was published then or later, in milliseconds since 1970.
    #[arg(long)]
    pub timestamp: Option<u64>,
    /// Also while it is in use.
    #[arg(long)]
    pub force: bool,
    /// Offsets that readers have stored.
    #[arg(long)]
    pub offset: bool,
    /// Numbers of publishers.
    #[arg(long)]
    pub writer: bool,
    /// What is tracked, not the members.
    #[arg(long)]
    pub tracking: bool,
    /// The member that is to lead.
    #[arg(long)]
    pub preferred_leader_node: Option<String>,
}

/// Options that go with every command.
const GENERAL: [&str; 14] = [
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
    "username",
    "password",
    "ca-file",
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

/// What is said of the options of that name: how one is written, and what it does.
pub fn explained(names: &[&str]) -> Vec<(String, String)> {
    let command = Options::command();
    let named = command
        .get_arguments()
        .filter(|argument| argument.get_long().is_some_and(|long| names.contains(&long)));
    let shown = |argument: &clap::Arg| {
        let long = argument.get_long().unwrap_or_default();
        let value = match argument.get_action().takes_values() {
            true => format!(" <{}>", long.replace('-', "_")),
            false => String::new(),
        };
        let short = argument
            .get_short()
            .map_or_else(String::new, |short| format!("-{short}, "));
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        (format!("{short}--{long}{value}"), help)
    };
    named.map(shown).collect()
}

/// Those that go with every command.
pub fn general() -> Vec<(String, String)> {
    explained(&GENERAL)
}

/// The arguments of a command that takes these options, for whoever completes what is typed.
pub fn arguments(own: &[&str]) -> Vec<clap::Arg> {
    let is_meant = |argument: &&clap::Arg| {
        let long = argument.get_long();
        long.is_some_and(|long| GENERAL.contains(&long) || own.contains(&long))
    };
    Options::command().get_arguments().filter(is_meant).cloned().collect()
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
