//! Where log lines go.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::types::ByteSize;

/// Where log lines go. Unlike RabbitMQ's, the console is on by default and the file is off.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Logging {
    pub console: bool,
    pub console_level: Option<Level>,
    pub console_format: LogFormat,
    pub stream: Stream,
    /// A file name within `dir`, or a path.
    pub file: Option<PathBuf>,
    pub file_level: Option<Level>,
    pub file_format: LogFormat,
    /// Size at which a new file is begun; `None` never.
    pub rotation_size: Option<ByteSize>,
    /// Older files that are kept.
    pub rotation_count: u16,
    /// Where log files lie; the `log` directory within the data directory by default.
    pub dir: Option<PathBuf>,
    /// For everything that has no level of its own.
    pub level: Level,
    /// By category, where it differs.
    pub categories: BTreeMap<LogCategory, Level>,
}

/// RabbitMQ's log levels, the least important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    Debug,
    #[default]
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
    None,
}

/// What a log line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Plaintext,
    Json,
}

/// Which of the terminal's streams gets the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Stream {
    #[default]
    Stdout,
    Stderr,
}

/// The parts of the node that can have a log level of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogCategory {
    Connection,
    Channel,
    Queue,
    Raft,
}
