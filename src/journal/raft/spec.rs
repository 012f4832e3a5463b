//! What a group is, and how it keeps its records.

use super::log::Archiving;
use crate::store::{OwnerId, OwnerLedger};
use crate::types::NodeId;
use std::fmt;

/// A group, the same on all its members. Never used again after the group is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct GroupId(pub u64);

/// A group on this node.
#[derive(Clone, Copy, Debug)]
pub struct GroupSpec {
    pub id: GroupId,
    /// Owner of its log in this node's store,
    pub log: OwnerId,
    /// and of its snapshots.
    pub snapshots: OwnerId,
    pub pace: Pace,
    /// It hears nobody before [`RaftJournals::let_in`](super::RaftJournals::let_in), as if it were not there: a
    /// member that takes the place of one that was lost must not vote before the others have done without that one.
    pub is_shut: bool,
}

/// Who says when it is time for an election or a heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// The group's own clock.
    Ticking,
    /// The same, and the member asks for no votes before [`Group::takes_part`](super::Group::takes_part): while it
    /// gets its log it reads of members as they were long ago, when it may have been the only one.
    Joining,
    /// Whoever watches the nodes, with [`Group::elect`](super::Group::elect) and
    /// [`Group::heartbeat`](super::Group::heartbeat): an idle group costs nothing.
    Quiet,
}

/// What the store kept of a group; nothing of a new one.
#[derive(Debug, Default)]
pub struct Ledgers {
    pub log: Option<OwnerLedger>,
    pub snapshots: Option<OwnerLedger>,
    /// Where the log puts its old entries, if it does.
    pub archiving: Option<Archiving>,
    /// The voters that the group began with, where this node is one of them and may have yet to begin:
    /// an empty log begins with them. Exactly the same on all of them, so that any majority of them can
    /// elect, whoever was first. None: an empty log is filled by a leader.
    pub founders: Vec<NodeId>,
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
