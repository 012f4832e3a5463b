//! What a node has of a stream that it leads.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::broker::queue::contents::Contents;
use crate::journal::raft::Group;
use crate::stream::Leader;

/// As long as this node leads, and nothing that it decided is lost.
pub(super) struct Leading {
    pub leader: Leader,
    pub group: Group<Contents>,
    /// Something that was decided was not applied: it is to be begun anew from what was.
    pub is_lost: Arc<AtomicBool>,
}
