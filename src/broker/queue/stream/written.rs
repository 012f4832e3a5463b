//! What became of a batch.

use std::time::Duration;

use crate::types::NodeId;

/// Why a batch is not known to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// To be tried again, there if that is known.
    NotLeader { leader: Option<NodeId> },
    /// What its writer numbered before it is missing: all that is unanswered is to be sent again.
    Gap,
    /// It will never be taken.
    Refused,
    /// A newer publisher of its name has begun.
    Fenced,
}

/// The offset behind a batch that a majority has.
pub type Written = Result<u64, Lost>;

/// How long a batch may take before it is sent again.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
