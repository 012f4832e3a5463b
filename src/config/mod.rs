//! The configuration: one struct of sections, filled once at start.
//!
//! Four sources, each coming over the one before: the defaults of the table, the files of
//! [`file`], the environment of [`env`], and the flags of the command line. All but the first are
//! lists of [`Setting`]s, and the table of [`keys`] says what each key takes and which field it
//! fills. Whatever is not understood is refused with the place it stands at and what was
//! expected; all such problems are reported at once.

mod advanced;
mod ciphers;
pub mod env;
mod environment;
mod erlang;
mod file;
pub mod key;
pub mod keys;
pub mod ldap_query;
mod lines;
mod named;
pub mod place;
mod plugins;
mod problem;
pub mod sample;
pub mod sections;
mod setting;
mod value;

use crate::types::sorting::map_of;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use ciphers::Cipher;
pub use environment::Environment;
pub use named::Named;
pub use plugins::PLUGINS;
pub use problem::{ConfigError, Problem};
pub use sections::*;
pub use setting::{Origin, Setting};

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub node: Node,
    pub listeners: Listeners,
    /// For the AMQP listeners.
    pub tls: Tls,
    pub limits: Limits,
    pub auth: Auth,
    pub resources: Resources,
    pub queues: Queues,
    pub definitions: Definitions,
    pub management: Management,
    pub prometheus: Prometheus,
    pub stream: StreamProtocol,
    pub logging: Logging,
    pub otlp: Otlp,
    pub cluster: Cluster,
    pub product: Product,
    /// What was accepted and has no effect, or may not be what was meant: for the log.
    pub warnings: Vec<String>,
    /// The files that were read, in order.
    pub files: Vec<PathBuf>,
    /// The keys that were set, each with the value that holds; secrets are not shown.
    pub given: BTreeMap<String, String>,
}

/// What holds when nothing is set: the defaults of the table. They are RabbitMQ 4.0's unless the row
/// says otherwise.
impl Default for Config {
    fn default() -> Self {
        keys::DEFAULTS.clone()
    }
}

/// What the command line said.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config`: a file, or a directory of `.conf` files, instead of the usual ones.
    pub config: Option<PathBuf>,
    pub settings: Vec<Setting>,
}

/// Loads the configuration of this process.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load(flags: &Flags) -> Result<Config, ConfigError> {
    load_from(flags, &Environment::of_process(), Path::new(file::DEFAULT_DIRECTORY))
}

/// The same with a given environment, and `directory` as the place of `rabbitmq.conf` and
/// `conf.d`.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load_from(flags: &Flags, environment: &Environment, directory: &Path) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    let mut problems = Vec::new();
    let named = match &flags.config {
        Some(path) => Some(path.as_path()),
        None => environment.said(env::CONFIG_FILE).map(Path::new),
    };
    match file::files(named, environment, directory) {
        Ok(files) => {
            config.files = files.paths;
            config.warnings.extend(files.remarks);
        }
        Err(problem) => problems.push(problem),
    }
    for path in config.files.clone() {
        match file::read(&path, environment) {
            Ok(lines) => {
                config.warnings.extend(lines.remarks);
                problems.extend(lines.problems);
                config.apply_all(lines.settings, &mut problems);
            }
            Err(problem) => problems.push(problem),
        }
    }
    config.warnings.extend(plugins::remarks(environment, directory));
    let found = env::read(environment);
    config.warnings.extend(found.warnings);
    problems.extend(found.problems);
    config.apply_all(found.settings, &mut problems);
    config.apply_all(flags.settings.clone(), &mut problems);
    config.finish(environment);
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(ConfigError(problems))
    }
}

impl Config {
    /// Nothing at all, for the table to fill with its defaults.
    fn empty() -> Self {
        Self {
            node: Node::default(),
            listeners: Listeners::default(),
            tls: Tls::default(),
            limits: Limits::default(),
            auth: Auth::default(),
            resources: Resources::default(),
            queues: Queues::default(),
            definitions: Definitions::default(),
            management: Management::default(),
            prometheus: Prometheus::default(),
            stream: StreamProtocol::default(),
            logging: Logging::default(),
            otlp: Otlp::default(),
            cluster: Cluster::default(),
            product: Product::default(),
            warnings: Vec::new(),
            files: Vec::new(),
            given: BTreeMap::new(),
        }
    }

    fn apply_all(&mut self, settings: Vec<Setting>, problems: &mut Vec<Problem>) {
        for setting in settings {
            if let Err(problem) = self.apply(setting) {
                problems.push(problem);
            }
        }
    }

    fn apply(&mut self, setting: Setting) -> Result<(), Problem> {
        let Setting { origin, key, value } = setting;
        let segments = key::segments(&key);
        let is_definitions = segments.first().is_some_and(|word| word == "definitions");
        self.definitions.configured |= is_definitions || segments.last().is_some_and(|word| word == "load_definitions");
        if let Some((row, placeholder)) = keys::find(&segments) {
            return match row.apply(self, &placeholder, &value) {
                true => {
                    let shown = if row.secret { "…".to_owned() } else { value.clone() };
                    self.given.insert(key, shown);
                    self.check_effect(row, origin, value)
                }
                false => Err(Problem::Value {
                    origin,
                    key,
                    value: if row.secret { "…".to_owned() } else { value },
                    expected: row.expected.clone(),
                }),
            };
        }
        match keys::ignored::reason(&segments) {
            Some(reason) => {
                self.warnings.push(format!("{origin}: {key} has no effect: {reason}"));
                Ok(())
            }
            None => Err(Problem::UnknownKey {
                origin,
                nearest: nearest(&key),
                key,
            }),
        }
    }

    /// With another value for a key, as it may be changed while the node runs.
    ///
    /// # Errors
    /// When the value is none for that key, or nobody knows the key.
    pub fn with(&self, key: &str, value: &str) -> Result<Self, Problem> {
        let mut config = self.clone();
        config.apply(Setting {
            origin: Origin::Flag("set"),
            key: key.to_owned(),
            value: value.to_owned(),
        })?;
        Ok(config)
    }

    /// Every key that has a value, in order: those that were set, and the defaults of the others.
    pub fn effective(&self) -> BTreeMap<String, String> {
        let rows = keys::all().filter(|row| matches!(row.sample, key::Sample::Default(_)));
        let rows = rows.filter(|row| !row.pattern.contains('$'));
        let defaults = rows.flat_map(|row| row.samples().map(|(_, value)| (row.pattern.clone(), value.to_owned())));
        let mut all = map_of(defaults);
        all.extend(self.given.clone());
        all
    }

    /// Tells whoever sets a key that does nothing yet. From a file it may come with everything else
    /// that RabbitMQ was told; who gives a flag of ours wants just that.
    fn check_effect(&mut self, row: &key::Key, origin: Origin, value: String) -> Result<(), Problem> {
        let Some(reason) = row.unbuilt.filter(|_| value != "none") else {
            return Ok(());
        };
        let is_flag = match &origin {
            Origin::File { .. } => false,
            Origin::Flag(_) => true,
            Origin::Variable(name) => keys::flags().any(|(flag, _)| flag.variable() == *name),
        };
        if is_flag {
            return Err(Problem::Unbuilt { origin, reason });
        }
        self.warnings
            .push(format!("{origin}: {} has no effect: {reason}", row.pattern));
        Ok(())
    }

    /// Fills what depends on the machine, and says what will not be as it was asked for.
    fn finish(&mut self, environment: &Environment) {
        if self.node.name.is_empty() {
            self.node.name = format!("rabbit@{}", place::host_name(environment));
        }
        if self.node.data_dir.as_os_str().is_empty() {
            self.node.data_dir = place::data_dir();
        }
        if self.cluster.discovery == Discovery::Foreign {
            self.warnings.push(
                "cluster_formation.peer_discovery_backend: Warren finds peers by classic_config, dns or --join only"
                    .to_owned(),
            );
        }
    }

    /// The memory alarm's limit on this machine, in bytes.
    pub fn memory_limit(&self) -> crate::types::ByteSize {
        self.resources.memory_limit(place::memory())
    }

    /// Where the node serves its HTTP API to whoever runs it.
    pub fn control_socket(&self) -> PathBuf {
        self.node.data_dir.join("ctl.sock")
    }

    /// The directory of log files for people to read: beside the write-ahead log, which is `log`, and
    /// not a part of the node that a reset takes away.
    pub fn log_dir(&self) -> PathBuf {
        let within = || self.node.data_dir.join("text-log");
        self.logging.dir.clone().unwrap_or_else(within)
    }
}

/// The key of the table that differs least, if it differs by a slip or two.
fn nearest(key: &str) -> Option<String> {
    let plain = keys::all().filter(|row| !row.pattern.contains('$'));
    plain
        .map(|row| (distance(key, &row.pattern), &row.pattern))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, pattern)| pattern.clone())
}

/// Letters to add, drop or change to make one text of the other.
pub fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, letter) in from.chars().take(MAX_COMPARED).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for column in 0..to.len() {
            let changed = diagonal + usize::from(to[column] != letter);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

/// Letters of an unknown key that are compared; no key is longer.
const MAX_COMPARED: usize = 128;

#[cfg(test)]
mod tests;
