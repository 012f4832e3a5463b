//! Where the live queue is, as this node knows it.
//!
//! ```text
//! Here                          lives on this node, and only here
//! Elsewhere ◄──says it leads── Unknown ──the group leads here──► Leading
//!     └─── gone, or not the leader ──►  ◄── leads no more ────────┘
//! ```
//! One that is not replicated stays `Here` or `Elsewhere` for good.

use super::handles::Handles;
use super::leader::Leader;
use super::remote_leader::RemoteLeader;
use super::served::Served;

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
