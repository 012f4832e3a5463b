//! Whether a leader delivers: everybody who may hold messages was heard, and the lease is held.
//!
//! ```text
//! leads → gathering ──all that live have said what they hold, or their time is over──→ serves
//!                                                    lease wanting: asks for it, serves again when held
//! ```
//! A leader that is paused or cut off goes quiet before another takes over: what it delivers it has
//! written down with a majority that it heard just now.

use rustc_hash::FxHashSet;

use super::effects::Effects;
use super::handles::Handles;
use crate::types::NodeId;

/// See the head of this file.
pub(super) struct Serving<J> {
    journal: J,
    /// Nodes that have yet to say what their clients hold; `None` when that is over.
    gathering: Option<FxHashSet<NodeId>>,
    /// Another is to lead: what was delivered is written down, and must stay all there is.
    is_over: bool,
    /// Whether the lease was held when this run of the queue asked.
    lease: Option<bool>,
    /// A consumer was passed over for want of the lease.
    lapsed: bool,
    /// The lease is being asked for.
    is_regaining: bool,
}

impl<J> Serving<J> {
    /// Of a new leader, which has yet to hear its own clients.
    pub fn new(journal: J) -> Self {
        Self {
            journal,
            gathering: Some(FxHashSet::default()),
            is_over: false,
            lease: None,
            lapsed: false,
            is_regaining: false,
        }
    }

    /// Whether a delivery may be made now.
    pub fn may_deliver<H: Handles<Journal = J>, E: Effects<H>>(&mut self, effects: &mut E) -> bool {
        if self.is_over || self.gathering.is_some() {
            return false;
        }
        let held = *self.lease.get_or_insert_with(|| effects.holds_lease(&self.journal));
        self.lapsed |= !held;
        held
    }

    /// The lease is looked at anew the next time, and asked for where it was wanting.
    pub fn served<H: Handles<Journal = J>, E: Effects<H>>(&mut self, incarnation: u64, effects: &mut E) {
        self.lease = None;
        if std::mem::take(&mut self.lapsed) && !std::mem::replace(&mut self.is_regaining, true) {
            effects.regain_lease(&self.journal, incarnation);
        }
    }

    /// The lease that was asked for is held.
    pub fn regained(&mut self) {
        self.is_regaining = false;
    }

    /// These nodes have yet to be heard; `None` is nobody.
    pub fn gather(&mut self, nodes: Option<FxHashSet<NodeId>>) {
        self.gathering = nodes;
    }

    /// A node was heard, or all had their time. True when nobody is waited for any more and somebody was.
    pub fn gathered(&mut self, node: Option<NodeId>) -> bool {
        let Some(missing) = &mut self.gathering else {
            return false;
        };
        if let Some(node) = node {
            missing.remove(&node);
            if !missing.is_empty() {
                return false;
            }
        }
        self.gathering = None;
        !self.is_over
    }

    /// Another is to lead, or this node goes on after all. True when it serves from now on.
    pub fn set_over(&mut self, is_over: bool) -> bool {
        self.is_over = is_over;
        !is_over && self.gathering.is_none()
    }
}
