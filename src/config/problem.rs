//! What is wrong with a setting.

use std::path::PathBuf;

use super::setting::Origin;

/// One thing that is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("cannot read {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("{origin}: expected {expected}")]
    Syntax { origin: Origin, expected: String },
    #[error("{origin}: unknown key '{key}'{}", suggestion(nearest))]
    UnknownKey {
        origin: Origin,
        key: String,
        /// A key that was perhaps meant.
        nearest: Option<String>,
    },
    #[error("{origin}: '{value}' is not a value for {key}: expected {expected}")]
    Value {
        origin: Origin,
        key: String,
        value: String,
        expected: String,
    },
    #[error("{variable} is no longer read (RabbitMQ's image refuses it too): use rabbitmq.conf")]
    Removed { variable: String },
    #[error("{origin}: {reason}; only 'none' is taken until it is")]
    Unbuilt { origin: Origin, reason: &'static str },
}

fn suggestion(nearest: &Option<String>) -> String {
    let ask = |key| format!(" (did you mean '{key}'?)");
    nearest.as_ref().map(ask).unwrap_or_default()
}

/// Why there is no configuration: everything that is wrong with it, a line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct ConfigError(pub Vec<Problem>);

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}
