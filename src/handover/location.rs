//! Where the live queue is, as this node knows it.
//!
//! ```text
//! Here                          lives on this node, and only here
//! Elsewhere ◄──says it leads── Unknown ──the group leads here──► Leading
//!     └─── gone, or not the leader ──►  ◄── leads no more ────────┘
//! ```
//! One that is not replicated stays `Here` or `Elsewhere` for good.

use rustc_hash::{FxHashMap, FxHashSet};

use super::leader::Leader;
use super::message::ConsumerKey;
use super::remote_leader::RemoteLeader;
use super::remote_nodes::RemoteNodes;
use super::{Handles, LiveQueue};
use crate::queue::{ConsumerId, Holder, Slot};

/// See the head of this file.
pub enum Location<H: Handles> {
    /// Here, because the queue lives on this node.
    Here(Box<Here<H>>),
    /// Here, because this node leads the queue's group.
    Leading(Box<Leader<H>>),
    /// On another node.
    Elsewhere(RemoteLeader),
    /// Nobody leads it, as far as is known.
    Unknown,
}

/// A queue that is only here.
pub struct Here<H: Handles> {
    pub served: Served<H>,
    /// Its records are damaged, or it has panicked: nothing is run on it.
    pub is_quarantined: bool,
}

/// A live queue, and whom it serves.
pub struct Served<H: Handles> {
    pub queue: LiveQueue<H>,
    /// Consumers of this node's clients.
    pub local: FxHashMap<ConsumerKey, ConsumerId>,
    pub remote: RemoteNodes<H::Line>,
}

impl<H: Handles> Served<H> {
    /// A queue that serves nobody yet.
    pub fn new(queue: LiveQueue<H>) -> Self {
        Self {
            queue,
            local: FxHashMap::default(),
            remote: RemoteNodes::default(),
        }
    }

    /// What these consumers hold, by sequence number; it stays outstanding when they are cancelled.
    pub fn held_by(&self, ids: impl IntoIterator<Item = ConsumerId>) -> FxHashMap<u64, Slot> {
        let ids: FxHashSet<ConsumerId> = ids.into_iter().collect();
        let held = (!ids.is_empty()).then(|| self.queue.held()).into_iter().flatten();
        held.filter(|(holder, _)| matches!(holder, Holder::Consumer(id) if ids.contains(id)))
            .map(|(_, slot)| (slot.seq(), slot))
            .collect()
    }
}

impl<H: Handles> Location<H> {
    /// The live queue, when it is here.
    pub fn served(&self) -> Option<&Served<H>> {
        match self {
            Self::Here(here) => Some(&here.served),
            Self::Leading(leader) => Some(&leader.served),
            Self::Elsewhere(_) | Self::Unknown => None,
        }
    }

    /// The live queue, when it is here.
    pub fn served_mut(&mut self) -> Option<&mut Served<H>> {
        match self {
            Self::Here(here) => Some(&mut here.served),
            Self::Leading(leader) => Some(&mut leader.served),
            Self::Elsewhere(_) | Self::Unknown => None,
        }
    }
}
