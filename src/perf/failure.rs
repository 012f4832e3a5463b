//! Why there is nothing to report.

use super::args::Contradiction;
use super::link_error::LinkError;

/// Why there is nothing to report.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Args(#[from] Contradiction),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    #[error("cannot write the report: {0}")]
    Json(#[from] serde_json::Error),
}
