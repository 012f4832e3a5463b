//! Why a node cannot be asked.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// Why the node cannot be asked.
#[derive(Debug, Error)]
pub enum Unreachable {
    #[error("No node answers at {}: {error}. Is it running, and is this its data directory (--data-dir)?", socket.display())]
    Connect { socket: PathBuf, error: io::Error },
    #[error("{address} cannot be asked: {why}")]
    Remote { address: String, why: String },
    #[error("The connection to the node failed: {0}")]
    Broken(#[from] io::Error),
    #[error("The request failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("It cannot be asked for: {0}")]
    Unspeakable(#[from] hyper::http::Error),
    #[error("There was no answer within {} ms", .0.as_millis())]
    Late(Duration),
}
