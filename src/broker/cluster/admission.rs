//! Who is a member of the cluster: nodes are taken in, tell their names, and are taken out.
//!
//! ```text
//! in:  learner of the catalogue's group → has the log → voter → the catalogue names it
//! out: no voter → no member of the group → the catalogue names it no more
//! ```
//! A member whose part of the catalogue is lost stays a member of the cluster while the group does
//! without it. Members change on the leader of the catalogue's group, one at a time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Membership;
use super::mending::Catalogued;
use super::questions::ADMISSION;
use crate::broker::BrokerError;
use crate::cluster::Class;
use crate::cluster::identity::ClusterId;
use crate::metadata::{Command, Node};
use crate::types::NodeId;

/// Between two looks at how far a learner is.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How long it rests while nobody leads.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// For an answer of another node.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

impl Membership {
    /// Tells the cluster this node's name and address, which may have changed since its last run.
    /// `address` is where this one is to be found.
    pub async fn tell_name(self: &Arc<Self>, address: &str) {
        let us = self.nodes.us();
        let told = self.declarations.decide(|catalogue| {
            let is_same = |known: &Node| known.name == self.node.name && known.address == address;
            let mut others = catalogue.nodes().iter().filter(|(other, _)| **other != us);
            let command = if catalogue.nodes().get(&us).is_none_or(is_same) {
                None
            } else if others.any(|(_, known)| known.name == self.node.name) {
                tracing::error!(name = self.node.name, "another member has the name of this node");
                None
            } else {
                Some(Command::PutNode {
                    node: us,
                    name: self.node.name.clone(),
                    address: address.to_owned(),
                })
            };
            Ok::<_, BrokerError>((command, ()))
        });
        if let Err(error) = told.await {
            tracing::warn!(%error, "the cluster does not know this node's name and address yet");
        }
    }

    /// Takes a node into the cluster, unless it is a member as who it `was`. Only on the leader of the
    /// catalogue's group.
    pub(in crate::broker) async fn admit(
        self: &Arc<Self>,
        node: NodeId,
        name: &str,
        address: &str,
        was: Option<NodeId>,
    ) -> Result<Option<ClusterId>, String> {
        let _one = self.admitting.lock().await;
        let cluster = self.identity.lock().cluster();
        let cluster = cluster.ok_or_else(|| "this node belongs to no cluster".to_owned())?;
        let group = self.declarations.group();
        // Before anything changes that would be carried out later without the node.
        if !matches!(tokio::time::timeout(ANSWER_TIMEOUT, group.barrier()).await, Ok(Ok(()))) {
            return Err(BrokerError::NoMajority.to_string());
        }
        if was.is_some_and(|was| self.declarations.catalogue().nodes().contains_key(&was)) {
            return Ok(None);
        }
        let namesake = self
            .declarations
            .catalogue()
            .nodes()
            .iter()
            .find(|(other, known)| **other != node && known.name == name)
            .map(|(other, _)| *other);
        if let Some(namesake) = namesake {
            if self.nodes.is_alive(namesake) {
                return Err(format!("another node is called {name}"));
            }
            tracing::warn!(node = name, "the node comes back without its data: it is a new member");
            self.take_out(namesake).await.map_err(|error| error.to_string())?;
        }
        let failed = |error: &dyn std::fmt::Display| error.to_string();
        if let Some(links) = self.nodes.cluster() {
            links.know(node, name, &[address]);
            if tokio::time::timeout(ANSWER_TIMEOUT, links.linked(node, Class::Data))
                .await
                .is_err()
            {
                return Err(format!("{name} cannot be reached at {address}"));
            }
        }
        group.add_learner(node).await.map_err(|error| failed(&error))?;
        // A voter that is not there yet would only be one more whose vote is missing.
        if !self.has_log(node).await {
            let removed = group.remove_learners(BTreeSet::from([node])).await;
            removed.map_err(|error| failed(&error))?;
            return Err(format!("{name} did not take the catalogue in time"));
        }
        self.name_cluster().await.map_err(|error| failed(&error))?;
        group.add_voter(node).await.map_err(|error| failed(&error))?;
        let command = Command::PutNode {
            node,
            name: name.to_owned(),
            address: address.to_owned(),
        };
        self.declarations
            .command(command)
            .await
            .map_err(|error| failed(&error))?;
        tracing::info!(node = name, "joined the cluster");
        Ok(Some(cluster))
    }

    /// Waits until a learner has what the log has now.
    async fn has_log(&self, node: NodeId) -> bool {
        let group = self.declarations.group();
        let wanted = group.status().last_index;
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        while Instant::now() < deadline {
            if group.status().matched.get(&node).copied().flatten() >= wanted {
                return true;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        false
    }

    /// A cluster of several nodes has one name, which each of them tells.
    async fn name_cluster(self: &Arc<Self>) -> Result<(), BrokerError> {
        let name = "cluster_name";
        let value = self.node.cluster_name.as_str();
        self.declarations
            .decide(|catalogue| {
                let is_named = catalogue.global_parameters().contains_key(name);
                let command = Command::PutGlobalParameter {
                    name: name.to_owned(),
                    value: value.into(),
                };
                Ok::<_, BrokerError>(((!is_named).then_some(command), ()))
            })
            .await
    }

    /// Takes a node out of the cluster, which need not be there. Only on the leader of the
    /// catalogue's group.
    ///
    /// # Errors
    /// When no majority is reached.
    pub(super) async fn forget_node(self: &Arc<Self>, node: NodeId) -> Result<(), BrokerError> {
        let _one = self.admitting.lock().await;
        self.take_out(node).await
    }

    async fn take_out(self: &Arc<Self>, node: NodeId) -> Result<(), BrokerError> {
        // Only then: its vote may be needed for that.
        self.catalogue_without(node).await?;
        self.declarations.command(Command::RemoveNode(node)).await
    }

    /// The catalogue's group does, or does not, without a node that is a member of the cluster. Only on
    /// the leader of the group.
    ///
    /// # Errors
    /// When no majority is reached, or the node is no member.
    pub(super) async fn set_catalogued(self: &Arc<Self>, node: NodeId, change: Catalogued) -> Result<(), BrokerError> {
        let _one = self.admitting.lock().await;
        if !self.declarations.catalogue().nodes().contains_key(&node) {
            return Err(BrokerError::NoMajority);
        }
        let group = self.declarations.group();
        let failed = |_| BrokerError::NoMajority;
        match change {
            Catalogued::Without => {
                tracing::warn!(%node, "the node has lost what is declared, and has it again as a new member");
                self.catalogue_without(node).await
            }
            Catalogued::With if group.status().voters.contains(&node) => Ok(()),
            Catalogued::With => {
                group.add_learner(node).await.map_err(failed)?;
                match self.has_log(node).await {
                    true => group.add_voter(node).await.map_err(failed),
                    false => Err(BrokerError::NoMajority),
                }
            }
        }
    }

    async fn catalogue_without(&self, node: NodeId) -> Result<(), BrokerError> {
        let group = self.declarations.group();
        let status = group.status();
        let changed = if status.voters.contains(&node) {
            group.remove_voter(node).await
        } else if status.learners.contains(&node) {
            group.remove_learners(BTreeSet::from([node])).await
        } else {
            Ok(())
        };
        changed.map_err(|error| {
            tracing::warn!(%node, %error, "the node stays a member");
            BrokerError::NoMajority
        })
    }

    /// Leaves the cluster, if there is anybody else in it: nobody waits for this node's votes any
    /// more, and what lived on it alone is gone.
    ///
    /// # Errors
    /// When no majority of the others takes notice.
    pub async fn leave_cluster(self: &Arc<Self>) -> Result<(), BrokerError> {
        let us = self.nodes.us();
        let group = self.declarations.group();
        let is_alone = |here: &Self| here.declarations.catalogue().nodes().keys().all(|node| *node == us);
        if is_alone(self) && group.status().voters.iter().all(|voter| *voter == us) {
            return Ok(());
        }
        self.declarations.hand_over(self.replicas.next_leader_of(group)).await;
        self.forget(us).await
    }

    /// Asks the leader of the catalogue's group to take a node out of the cluster; this node may be
    /// the leader.
    ///
    /// # Errors
    /// When it is not heard by a majority.
    pub async fn forget(self: &Arc<Self>, node: NodeId) -> Result<(), BrokerError> {
        let deadline = Instant::now() + ADMISSION;
        while Instant::now() < deadline {
            let leader = self.declarations.group().leadership().leader;
            match leader {
                Some(leader) if leader == self.nodes.us() && node != leader => return self.forget_node(node).await,
                // A leader is taken out by another, once there is one.
                Some(leader) if leader == self.nodes.us() => {}
                Some(leader) => {
                    let patience = deadline.saturating_duration_since(Instant::now());
                    if self.ask_to_forget(leader, node, patience).await {
                        return Ok(());
                    }
                }
                None => {}
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        Err(BrokerError::NoMajority)
    }
}
