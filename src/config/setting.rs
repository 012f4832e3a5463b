//! A setting, and where it was made.

use std::fmt;
use std::path::PathBuf;

/// One key and its value as written, and where that was.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    pub origin: Origin,
    pub key: String,
    pub value: String,
}

/// Where a setting stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    File {
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// A variable of the environment.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}
