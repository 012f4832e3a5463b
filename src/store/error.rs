//! What goes wrong with the store.

use std::io;
use std::sync::Arc;

use super::frame::VERSION;

/// What went wrong.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {what}: {error}")]
    Io { what: &'static str, error: Arc<io::Error> },
    #[error("the data directory {0} is in use by another process")]
    InUse(String),
    #[error("the data directory {0} was not written by this program")]
    Format(String),
    #[error(
        "the data directory {dir} has format version {found}, and this program reads and writes only versions {} and {ours}",
        VERSION
    )]
    Version { dir: String, found: u32, ours: u8 },
    #[error("cannot {what}: {error}")]
    Rest {
        what: &'static str,
        error: Arc<str>,
        /// It was for lack of space.
        is_full: bool,
    },
    /// Its files are there and are not what was written.
    #[error("cannot {what}, which is damaged: {error}")]
    RestDamaged { what: &'static str, error: Arc<str> },
    #[error(
        "what is known of damage has format version {found}, and this program reads only version {ours}: the data directory belongs to a newer version"
    )]
    DamageVersion { found: u64, ours: u64 },
    #[error("entry {seq} of owner {owner} cannot be read")]
    Unreadable { owner: u64, seq: u64 },
    #[error("a thread of the store panicked")]
    Panicked,
    #[error("the store is stopped")]
    Stopped,
}

impl StoreError {
    pub(super) fn io(what: &'static str, error: io::Error) -> Self {
        Self::Io {
            what,
            error: Arc::new(error),
        }
    }

    /// Whether the disk itself has said that it cannot.
    pub fn is_of_disk(&self) -> bool {
        match self {
            Self::Io { error, .. } => is_of_disk(error),
            _ => false,
        }
    }

    /// Whether it was for lack of space.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Io { error, .. } => is_full(error),
            Self::Rest { is_full, .. } => *is_full,
            _ => false,
        }
    }
}

pub(super) fn is_of_disk(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
