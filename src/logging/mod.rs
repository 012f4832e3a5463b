//! Log lines: what is logged, what a line looks like, and where it goes.
//!
//! The rest of Warren calls `tracing`'s macros; [`start`] connects them with the terminal and the
//! log file once, at start. Whoever logs is never held up: a line is formatted where it arises
//! and handed to one thread that writes (`writer`); if that thread is far behind, lines are
//! dropped, counted, and the count is logged.

mod line;
pub mod recent;
mod said;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{Config, Level, LogCategory, LogFormat, Logging};
use line::Lines;
use recent::Recent;
use writer::{LogFile, Output, Reopener, Sink};

pub use line::shown as shown_time;
pub use said::Said;
pub use writer::Running;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("cannot open the log file {}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(io::Error),
    #[error("a log was started before")]
    Twice,
}

/// Starts logging for the whole process. Dropping what is returned writes what is still waiting
/// and ends it.
///
/// # Errors
/// When the log file cannot be opened, or logging runs already.
pub fn start(config: &Config) -> Result<Running, LogError> {
    let file = config.logging.file.as_ref().map(|name| config.log_dir().join(name));
    let to_file = file.is_some();
    let (subscriber, levels, running) = subscriber(&config.logging, file)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    REOPENER.set(running.reopener()).map_err(|_| LogError::Twice)?;
    // The subscriber was the first, so these are.
    let _ = LEVELS.set(levels);
    if config.logging.console || to_file {
        let _ = RECENT.set(running.recent());
    }
    Ok(running)
}

/// Of the log of the process.
static REOPENER: OnceLock<Reopener> = OnceLock::new();

/// The last lines of the log of the process.
static RECENT: OnceLock<Recent> = OnceLock::new();

/// The last lines of the log; none where nothing is logged.
pub fn recent() -> Option<&'static Recent> {
    RECENT.get()
}

/// Opens the log file again, for whoever has moved it away (logrotate). Does nothing where there is
/// none.
pub fn reopen() {
    if let Some(reopener) = REOPENER.get() {
        reopener.reopen();
    }
}

fn subscriber(
    logging: &Logging,
    file: Option<PathBuf>,
) -> Result<(impl Subscriber + use<>, Levels, Running), LogError> {
    let to_file = file.is_some();
    let file = file.map(|path| {
        LogFile::open(&path, logging.rotation_size.map(|size| size.0), logging.rotation_count)
            .map_err(|error| LogError::File { path, error })
    });
    let running = Running::start(logging.stream, file.transpose()?).map_err(LogError::Thread)?;
    let mut layers = Vec::new();
    let mut levels = Levels::default();
    if logging.console {
        let targets = levels.changeable(targets(logging, logging.console_level));
        let mut output = running.output(Sink::Console);
        if !to_file {
            output = output.kept(running.recent());
        }
        layers.push(layer(output, logging.console_format, targets));
    }
    if to_file {
        let targets = levels.changeable(targets(logging, logging.file_level));
        let output = running.output(Sink::File).kept(running.recent());
        layers.push(layer(output, logging.file_format, targets));
    }
    Ok((Registry::default().with(layers), levels, running))
}

/// The levels of the outputs, which may be changed while it runs.
#[derive(Default)]
struct Levels(Vec<reload::Handle<Targets, Registry>>);

impl Levels {
    fn changeable(&mut self, targets: Targets) -> reload::Layer<Targets, Registry> {
        let (filter, handle) = reload::Layer::new(targets);
        self.0.push(handle);
        filter
    }

    /// One level for everything.
    fn set(&self, level: Level) {
        let logging = Logging {
            level,
            ..Config::default().logging
        };
        for handle in &self.0 {
            // An error says that the log has ended.
            let _ = handle.reload(targets(&logging, None));
        }
    }
}

/// Those of the process's log.
static LEVELS: OnceLock<Levels> = OnceLock::new();

/// Logs from this level upwards, in every category and to every output.
pub fn set_level(level: Level) {
    if let Some(levels) = LEVELS.get() {
        levels.set(level);
    }
}

fn layer(
    output: Output,
    format: LogFormat,
    targets: reload::Layer<Targets, Registry>,
) -> Box<dyn Layer<Registry> + Send + Sync> {
    let lines = Lines { format };
    let layer = fmt::layer().event_format(lines).with_writer(output).with_ansi(false);
    layer.with_filter(targets).boxed()
}

/// The parts of the program behind each category.
const CATEGORY_TARGETS: [(LogCategory, &[&str]); 4] = [
    (LogCategory::Connection, &["warren::net", "warren::connection"]),
    (LogCategory::Channel, &["warren::channel"]),
    (LogCategory::Queue, &["warren::queue", "warren::broker"]),
    (LogCategory::Raft, &["warren::journal::raft", "openraft"]),
];

/// What one output shows: a line must be important enough for its category and for the output.
/// Other people's crates are heard from warnings upwards only, openraft from errors: it warns of
/// every request that a node does not answer, and the links tell once when they lose a node. What is
/// asked of a group that has stopped is told to whoever asks; why it stopped was said once.
fn targets(logging: &Logging, output: Option<Level>) -> Targets {
    let least = |level: Level| filter(output.map_or(level, |output| output.max(level)));
    let (raft, asked) = match logging.level {
        Level::Debug => (LevelFilter::WARN, LevelFilter::ERROR),
        _ => (LevelFilter::ERROR, LevelFilter::OFF),
    };
    let mut targets = Targets::new()
        .with_default(least(logging.level).min(LevelFilter::WARN))
        .with_target("openraft", least(logging.level).min(raft))
        .with_target("openraft::raft::raft_inner", asked)
        .with_target("warren", least(logging.level));
    for (category, parts) in CATEGORY_TARGETS {
        if let Some(level) = logging.categories.get(&category) {
            targets = targets.with_targets(parts.iter().map(|part| (*part, least(*level))));
        }
    }
    targets
}

/// RabbitMQ has more levels: nothing of Warren's is a notice, and its worst is an error.
fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Notice | Level::Warning => LevelFilter::WARN,
        Level::Error | Level::Critical | Level::Alert | Level::Emergency => LevelFilter::ERROR,
        Level::None => LevelFilter::OFF,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in the log file after `log` was called.
    fn logged(logging: &Logging, log: impl FnOnce()) -> Vec<String> {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("sub/warren.log");
        let (subscriber, _levels, running) = subscriber(logging, Some(path.clone())).expect("starts");
        tracing::subscriber::with_default(subscriber, log);
        drop(running);
        let text = std::fs::read_to_string(path).expect("a log file");
        text.lines().map(str::to_owned).collect()
    }

    fn quiet() -> Logging {
        Logging {
            console: false,
            ..Config::default().logging
        }
    }

    #[test]
    fn a_line_has_time_level_text_and_fields() {
        let lines = logged(&quiet(), || {
            tracing::warn!(queue = "q 1", count = 3, name = %"a\nb", "queue is full");
        });
        let (time, rest) = lines[0].split_at(32);
        assert_eq!(rest, r#" [warning] queue is full queue="q 1" count=3 name="a\nb""#);
        assert!(time.starts_with("20") && time.ends_with("+00:00"), "{time}");
    }

    #[test]
    fn a_json_line_is_an_object_with_the_fields_in_it() {
        let logging = Logging {
            file_format: LogFormat::Json,
            ..quiet()
        };
        let lines = logged(&logging, || {
            tracing::error!(queue = "q", count = 3, durable = true, level = 7, "gone");
        });
        let line: serde_json::Value = serde_json::from_str(&lines[0]).expect("JSON");
        assert_eq!(line["level"], "error");
        assert_eq!(line["msg"], "gone");
        assert_eq!(line["queue"], "q");
        assert_eq!(line["count"], 3);
        assert_eq!(line["durable"], true);
        assert!(line["time"].as_str().is_some_and(|time| time.ends_with("+00:00")));
    }

    #[test]
    fn categories_and_outputs_have_levels_of_their_own() {
        let mut logging = quiet();
        logging.level = Level::Info;
        logging.file_level = Some(Level::Info);
        logging.categories.insert(LogCategory::Connection, Level::Error);
        logging.categories.insert(LogCategory::Channel, Level::Debug);
        let lines = logged(&logging, || {
            tracing::info!(target: "warren::node", "shown");
            tracing::debug!(target: "warren::node", "hidden: too detailed");
            tracing::warn!(target: "warren::net::listener", "hidden: by its category");
            tracing::error!(target: "warren::net", "shown");
            tracing::debug!(target: "warren::channel", "hidden: by the output");
            tracing::info!(target: "fjall", "hidden: not ours");
            tracing::warn!(target: "fjall", "shown");
        });
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert!(lines.iter().all(|line| line.ends_with("shown")), "{lines:#?}");
    }

    #[test]
    fn raft_warns_only_whom_it_is_asked_to_warn() {
        let category = |level| [(LogCategory::Raft, level)].into_iter().collect();
        let mut debug = quiet();
        debug.level = Level::Debug;
        let mut chosen = quiet();
        chosen.categories = category(Level::Warning);
        for (logging, shown) in [
            (quiet(), &["broken"][..]),
            (debug, &["unanswered", "broken", "asked"]),
            (chosen, &["unanswered", "broken"]),
        ] {
            let lines = logged(&logging, || {
                tracing::warn!(target: "openraft::replication", "unanswered");
                tracing::error!(target: "openraft::core::raft_core", "broken");
                tracing::error!(target: "openraft::raft::raft_inner", "asked");
            });
            let texts = lines.iter().map(|line| line.rsplit(' ').next().unwrap_or_default());
            assert_eq!(texts.collect::<Vec<_>>(), shown, "{logging:?}");
        }
    }

    #[test]
    fn levels_are_those_of_tracing_that_come_nearest() {
        assert_eq!(filter(Level::Notice), LevelFilter::WARN);
        assert_eq!(filter(Level::Emergency), LevelFilter::ERROR);
        assert_eq!(filter(Level::None), LevelFilter::OFF);
    }

    #[test]
    fn a_level_that_is_set_while_it_runs_holds_for_every_category() {
        let mut logging = quiet();
        logging.categories.insert(LogCategory::Connection, Level::Error);
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("warren.log");
        let (subscriber, levels, running) = subscriber(&logging, Some(path.clone())).expect("starts");
        tracing::subscriber::with_default(subscriber, || {
            let say = || {
                tracing::debug!(target: "warren::net", "detail");
                tracing::info!(target: "warren::net", "news");
                tracing::warn!(target: "warren::node", "trouble");
            };
            say();
            levels.set(Level::Debug);
            say();
            levels.set(Level::Error);
            say();
        });
        drop(running);
        let text = std::fs::read_to_string(path).expect("a log file");
        let said: Vec<_> = text.lines().filter_map(|line| line.rsplit(' ').next()).collect();
        assert_eq!(said, ["trouble", "detail", "news", "trouble"]);
    }
}
