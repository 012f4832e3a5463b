//! The nodes of the cluster as the broker needs them: who is there, who answers, and the Raft
//! groups of this one.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::questions::{QUESTIONS, read, written};
use crate::cluster::{Cluster, Health, PeerView};
use crate::journal::raft::{Links, RaftJournals};
use crate::store::Store;
use crate::types::{NodeId, Timestamp};

/// This node as others see it.
#[derive(Debug, Clone)]
pub struct NodeInfo {
    /// `rabbit@host`.
    pub name: String,
    pub cluster_name: String,
    pub started_at: Timestamp,
}

/// See the head of this file.
pub struct Nodes {
    us: NodeId,
    journals: RaftJournals,
    links: Arc<Links>,
    cluster: OnceLock<Cluster>,
}

impl Nodes {
    /// This node, without links to others yet.
    pub fn new(us: NodeId, store: Store) -> Self {
        let links = Arc::new(Links::default());
        Self {
            us,
            journals: RaftJournals::new(us, store, links.clone()),
            links,
            cluster: OnceLock::new(),
        }
    }

    /// This node.
    pub fn us(&self) -> NodeId {
        self.us
    }

    /// The Raft groups that this node has members of.
    pub fn journals(&self) -> &RaftJournals {
        &self.journals
    }

    /// The transport of their messages.
    pub fn links(&self) -> &Arc<Links> {
        &self.links
    }

    /// The links stand from now on.
    pub fn join(&self, cluster: Cluster) {
        self.links.start(cluster.clone(), self.journals.downgrade());
        // A node starts once.
        let _ = self.cluster.set(cluster);
    }

    /// The links to others; none on a node that does not listen for any.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.get()
    }

    /// Whether a node answers.
    pub fn is_alive(&self, node: NodeId) -> bool {
        node == self.us || self.cluster().is_some_and(|cluster| cluster.health(node) == Health::Up)
    }

    /// The other nodes that answer.
    pub fn others_alive(&self) -> Vec<NodeId> {
        let Some(cluster) = self.cluster() else {
            return Vec::new();
        };
        let peers = cluster.peers().into_iter();
        peers
            .filter(|peer| peer.health == Health::Up && peer.introduction.is_some())
            .map(|peer| peer.id)
            .collect()
    }

    /// All nodes that answer, in order.
    pub fn running(&self) -> Vec<NodeId> {
        let mut running = self.others_alive();
        running.push(self.us);
        running.sort_unstable();
        running
    }

    /// The other nodes that are linked with this one, members of a cluster or not.
    pub fn linked(&self) -> Vec<PeerView> {
        let peers = self.cluster().map(Cluster::peers).unwrap_or_default();
        peers
            .into_iter()
            .filter(|peer| peer.introduction.is_some() && peer.health == Health::Up)
            .collect()
    }

    /// Asks a node; `None` when it does not answer in time, or says what is no answer.
    pub async fn ask<A>(&self, node: NodeId, question: &impl Serialize, deadline: Instant) -> Option<A>
    where
        A: for<'de> Deserialize<'de>,
    {
        self.ask_written(node, written(question), deadline).await
    }

    /// The same with a question that is written already.
    pub async fn ask_written<A>(&self, node: NodeId, question: Bytes, deadline: Instant) -> Option<A>
    where
        A: for<'de> Deserialize<'de>,
    {
        let cluster = self.cluster()?;
        let answer = cluster.call(node, QUESTIONS, question, deadline.into_std()).await;
        match answer {
            Ok(answer) => read(&answer),
            Err(error) => {
                tracing::debug!(%node, %error, "no answer from a node");
                None
            }
        }
    }
}
