//! Whether this node hears a majority of the cluster's nodes, and what follows when it does not.
//!
//! ```text
//! Majority ──nodes are suspected──→ Minority, or Paused as the configuration says
//!    ↑                                            │
//!    └────────── so many answer again ────────────┘
//! ```
//! A node that hears too few is not ready for clients, and what they ask of it that needs a majority
//! waits. `cluster_partition_handling` says whether it keeps them: a paused node sends its clients away
//! and listens for none until it hears enough, so that they go where they are served.

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::Membership;
use crate::broker::Forced;
use crate::cluster::{Health, Suspicion};
use crate::config::PartitionHandling;
use crate::metadata::Catalogue;
use crate::types::NodeId;
use crate::types::sorting::sort;

/// How many of the cluster's nodes this one hears.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Reach {
    #[default]
    Majority,
    /// Too few to agree on anything; clients are kept.
    Minority,
    /// So few that it serves nobody for now.
    Paused,
}

impl Membership {
    /// Whether so many nodes of the cluster answer as have to agree. A node alone is its own majority.
    pub fn hears_majority(&self) -> bool {
        self.is_majority_alive(&self.declarations.catalogue())
    }

    /// Whether clients are to go elsewhere.
    pub fn is_paused(&self) -> bool {
        *self.reach.borrow() == Reach::Paused
    }

    /// Whether it will stop soon, and is not to get new clients.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// It is told to stop.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// The members of the cluster that this node does not hear, though nothing says that they have ended:
    /// they may run, on the other side of whatever it is that cuts them off.
    pub(in crate::broker) fn cut_off(&self) -> Vec<NodeId> {
        let Some(cluster) = self.nodes.cluster() else {
            return Vec::new();
        };
        let is_silent = |node: &NodeId| cluster.health(*node) == Health::Suspect(Suspicion::Silence);
        self.declarations
            .catalogue()
            .nodes()
            .keys()
            .copied()
            .filter(is_silent)
            .collect()
    }

    /// Their names.
    pub fn partitions(&self) -> Vec<String> {
        let names = self.declarations.node_names();
        let cut_off = self.cut_off().into_iter();
        let mut names: Vec<_> = cut_off.filter_map(|node| names.get(&node).cloned()).collect();
        sort(&mut names);
        names
    }

    /// Looks again: a node came or went, or became a member, or is none any more.
    pub(in crate::broker) fn look_around(&self, catalogue: &Catalogue) {
        // Before it has caught up it serves nobody, and most of the others have yet to be linked.
        if !self.declarations.is_live() {
            return;
        }
        let reach = match (self.is_majority_alive(catalogue), self.pauses(catalogue)) {
            (_, true) => Reach::Paused,
            (false, false) => Reach::Minority,
            (true, false) => Reach::Majority,
        };
        let changed = self
            .reach
            .send_if_modified(|known| std::mem::replace(known, reach) != reach);
        if !changed {
            return;
        }
        self.settle_listeners();
        match reach {
            Reach::Majority => tracing::info!("a majority of the cluster's nodes is heard again"),
            Reach::Minority => {
                tracing::warn!(
                    "a majority of the cluster's nodes cannot be reached: this node is not ready for clients"
                );
            }
            Reach::Paused => {
                tracing::warn!(
                    "too few of the cluster's nodes can be reached: clients are sent away until they are heard again"
                );
                self.connections.close_all(&Forced::Shutdown);
            }
        }
    }

    fn is_majority_alive(&self, catalogue: &Catalogue) -> bool {
        let nodes = catalogue.nodes();
        let alive = nodes.keys().filter(|node| self.nodes.is_alive(**node)).count();
        2 * alive > nodes.len() || nodes.is_empty()
    }

    fn pauses(&self, catalogue: &Catalogue) -> bool {
        let config = &self.config.cluster;
        match config.partition_handling {
            PartitionHandling::Ignore | PartitionHandling::Autoheal => false,
            PartitionHandling::PauseMinority => !self.is_majority_alive(catalogue),
            PartitionHandling::PauseIfAllDown => {
                let is_listed = |name: &String| config.pause_unless.values().any(|listed| listed == name);
                let nodes = catalogue.nodes().iter();
                let mut listed = nodes.filter(|(_, known)| is_listed(&known.name)).peekable();
                listed.peek().is_some() && listed.all(|(node, _)| !self.nodes.is_alive(*node))
            }
        }
    }
}
