//! Rows about log lines.

use super::super::sections::{Level, LogCategory, LogFormat, Stream};
use super::*;
use crate::types::ByteSize;

pub fn keys() -> Vec<Key> {
    let mut keys = output_keys();
    keys.push(
        key("log.default.level", level())
            .default("info")
            .help("The least level that is logged where nothing else is said.")
            .sets(|c, level| c.logging.level = level),
    );
    keys.extend(CATEGORIES.map(|(word, category, help)| {
        key(format!("log.{word}.level"), level())
            .example("warning")
            .help(help)
            .sets(move |c, level| {
                c.logging.categories.insert(category, level);
            })
    }));
    keys
}

/// RabbitMQ's words for the categories that Warren has.
const CATEGORIES: [(&str, LogCategory, &str); 4] = [
    ("connection", LogCategory::Connection, "The level for connections."),
    ("channel", LogCategory::Channel, "The level for channels."),
    ("queue", LogCategory::Queue, "The level for queues."),
    ("ra", LogCategory::Raft, "The level for Raft groups."),
];

/// Whether there are lines of that category, or of none with a name.
pub fn is_category(word: &str) -> bool {
    word == "default" || CATEGORIES.iter().any(|(category, ..)| *category == word)
}

fn output_keys() -> Vec<Key> {
    let formats = [("plaintext", LogFormat::Plaintext), ("json", LogFormat::Json)];
    let streams = [("stdout", Stream::Stdout), ("stderr", Stream::Stderr)];
    vec![
        key("log.console", switch())
            .term("rabbit.log.console.enabled")
            .default("true")
            .help("Log to the terminal.")
            .sets(|c, on| c.logging.console = on),
        key("log.console.level", level())
            .example("info")
            .help("The least level that goes to the terminal.")
            .sets(|c, level| c.logging.console_level = Some(level)),
        key("log.console.formatter", choice(&formats))
            .default("plaintext")
            .help("What lines on the terminal look like.")
            .sets(|c, format| c.logging.console_format = format),
        key("log.console.stdio", choice(&streams))
            .default("stdout")
            .help("Which stream of the terminal.")
            .sets(|c, stream| c.logging.stream = stream),
        key("log.file", path().or("false"))
            .term("rabbit.log.file.file")
            .example("rabbit.log")
            .help("Log to this file as well; by default to none.")
            .sets(|c, file| c.logging.file = file),
        key("log.file.level", level())
            .example("info")
            .help("The least level that goes to the file.")
            .sets(|c, level| c.logging.file_level = Some(level)),
        key("log.file.formatter", choice(&formats))
            .default("plaintext")
            .help("What lines in the file look like.")
            .sets(|c, format| c.logging.file_format = format),
        key("log.file.rotation.size", binary_size(0..=i64::MAX as u64))
            .term("rabbit.log.file.size")
            .example("10485760")
            .help("Size in bytes at which a new file is begun; 0, the default, is never.")
            .sets(|c, bytes| c.logging.rotation_size = Some(ByteSize(bytes)).filter(|size| size.0 > 0)),
        key("log.file.rotation.count", integer(0..=u16::MAX.into()))
            .term("rabbit.log.file.count")
            .default("5")
            .help("Older files that are kept.")
            .sets(|c, files| c.logging.rotation_count = files),
        key("log.dir", path())
            .term("rabbit.log_root")
            .example("/var/log/rabbitmq")
            .help("Where log files lie; by default in 'text-log' within the data directory.")
            .sets(|c, path| c.logging.dir = Some(path)),
    ]
}

fn level() -> value::Value<Level> {
    choice(&LEVELS)
}

/// The levels by their words.
pub const LEVELS: [(&str, Level); 9] = [
    ("debug", Level::Debug),
    ("info", Level::Info),
    ("notice", Level::Notice),
    ("warning", Level::Warning),
    ("error", Level::Error),
    ("critical", Level::Critical),
    ("alert", Level::Alert),
    ("emergency", Level::Emergency),
    ("none", Level::None),
];
