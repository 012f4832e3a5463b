//! How nodes become a cluster.
//!
//! A node that belongs to none and has nobody to look for begins one alone. One that has joins the
//! cluster of whomever it finds. Where none of them belongs to one, the node with the lowest name
//! among a majority of those that are configured asks each of them for its promise and begins it; a
//! node promises itself to one candidate at a time, so there are never two.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Membership;
use super::questions::{ADMISSION, Joining};
use crate::broker::StartError;
use crate::cluster::PeerView;
use crate::cluster::identity::{ClusterId, IdentityError};
use crate::types::NodeId;

/// Between two looks at who is there.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// For a link to a node that accepts connections.
const LINK_TIMEOUT: Duration = Duration::from_secs(3);
/// For an answer of another node.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a promise to another node holds if nothing comes of it.
const PROMISE_LIFETIME: Duration = Duration::from_secs(10);

/// Why a node is not taken into a cluster.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("it does not link itself with this node")]
    NoLink,
    #[error("it belongs to no cluster")]
    NoCluster,
    #[error("{0}")]
    Refused(String),
    #[error("a majority of the cluster's nodes cannot be reached")]
    NoMajority,
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl Membership {
    /// Makes this node a member of a cluster, if it is of none yet. `seeds` is how many other nodes
    /// are configured, `address` where this one is to be found.
    ///
    /// # Errors
    /// When nothing can be written down.
    pub async fn form(self: &Arc<Self>, seeds: usize, address: &str) -> Result<(), StartError> {
        if self.belongs() {
            return Ok(());
        }
        if seeds == 0 {
            return self.found(address).await;
        }
        let mut refusal = String::new();
        loop {
            let there = self.nodes.linked();
            if let Some(cluster) = self.join_one(&there, address, &mut refusal).await {
                self.belong_to(cluster)?;
                return Ok(());
            }
            let is_lowest = there.iter().all(|peer| peer.name > self.node.name);
            let is_majority = 2 * (there.len() + 1) > seeds + 1;
            if is_lowest && is_majority && self.is_promised(&there, seeds).await {
                return self.found(address).await;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Makes this node, which belongs to no cluster yet, a member of that of the node at `target`;
    /// false when the cluster has this node already as who it `was`. `address` is where this one is to
    /// be found.
    ///
    /// # Errors
    /// Why it was not taken in.
    pub async fn join(self: &Arc<Self>, target: &str, address: &str, was: Option<NodeId>) -> Result<bool, JoinError> {
        // Others may have linked themselves: they look for who was here.
        let is_target = |peer: &PeerView| peer.addresses.iter().any(|known| known == target);
        let link = async {
            loop {
                match self.nodes.linked().into_iter().find(is_target) {
                    Some(peer) => return peer,
                    None => tokio::time::sleep(POLL_INTERVAL).await,
                }
            }
        };
        let link = tokio::time::timeout(LINK_TIMEOUT, link).await;
        let peer = link.map_err(|_| JoinError::NoLink)?;
        if peer.introduction.is_none_or(|who| who.cluster.is_none()) {
            return Err(JoinError::NoCluster);
        }
        let begun = Instant::now();
        while begun.elapsed() < ANSWER_TIMEOUT {
            match self.ask_to_join(peer.id, address, was).await {
                Joining::Joined(cluster) => {
                    self.belong_to(ClusterId(cluster))?;
                    return Ok(true);
                }
                Joining::AlreadyMember => return Ok(false),
                Joining::Refused(text) => return Err(JoinError::Refused(text)),
                Joining::Elsewhere => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
        if begun.elapsed() >= ADMISSION {
            // It may be that we are a member, and have not heard of it.
            self.ask_to_forget(peer.id, self.us(), ANSWER_TIMEOUT).await;
        }
        Err(JoinError::NoMajority)
    }

    async fn join_one(&self, there: &[PeerView], address: &str, refusal: &mut String) -> Option<ClusterId> {
        for peer in there {
            match self.ask_to_join(peer.id, address, None).await {
                Joining::Joined(cluster) => return Some(ClusterId(cluster)),
                Joining::Refused(text) if *refusal != text => {
                    tracing::warn!(node = peer.name, text, "this node may not join");
                    *refusal = text;
                }
                Joining::Refused(_) | Joining::AlreadyMember | Joining::Elsewhere => {}
            }
        }
        None
    }

    /// Whether a majority of the configured nodes promises itself to this one.
    async fn is_promised(&self, there: &[PeerView], seeds: usize) -> bool {
        let us = self.nodes.us();
        let begun = Instant::now();
        if !self.promise(us) {
            return false;
        }
        let mut promises = 1;
        for peer in there {
            promises += usize::from(self.ask_promise(peer.id, ANSWER_TIMEOUT).await);
        }
        // Who was paused meanwhile may have been given up: others may be promised to another by now.
        2 * promises > seeds + 1 && begun.elapsed() < PROMISE_LIFETIME / 3
    }

    /// Promises this node to one that wants to begin a cluster.
    pub(super) fn promise(&self, to: NodeId) -> bool {
        if self.belongs() {
            return false;
        }
        let mut promised = self.promised.lock();
        match *promised {
            Some((other, since)) if other != to && since.elapsed() < PROMISE_LIFETIME => false,
            _ => {
                *promised = Some((to, Instant::now()));
                true
            }
        }
    }
}
