//! What a node does when others come and go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Membership;
use super::remote::Input;
use crate::broker::queue::peers::PeerInput;
use crate::cluster::{Event, Health, PeerView, Suspicion};
use crate::logging::Said;
use crate::metadata::{Catalogue, Command};
use crate::tasks;
use crate::types::NodeId;

/// Between two looks at who is away.
const LOOK_FOR_ABSENT: Duration = Duration::from_secs(1);
/// How long a silent node's clients keep what they hold.
const GRACE: Duration = Duration::from_secs(10);
/// How long the links to a node stay that is no member any more.
const FAREWELL: Duration = Duration::from_millis(500);

impl Membership {
    /// The members of the cluster changed.
    pub(in crate::broker) fn on_nodes(self: &Arc<Self>, catalogue: &Catalogue) {
        self.look_around(catalogue);
        let Some(cluster) = self.nodes.cluster().cloned() else {
            return;
        };
        for (node, known) in catalogue.nodes() {
            cluster.know(*node, &known.name, &[&known.address]);
        }
        let is_member = self.belongs() && catalogue.nodes().contains_key(&self.nodes.us());
        let was_one = |peer: &PeerView| peer.introduction.as_ref().is_none_or(|who| who.cluster.is_some());
        let mut gone: Vec<_> = cluster
            .peers()
            .into_iter()
            .filter(was_one)
            .map(|peer| peer.id)
            .collect();
        gone.retain(|peer| is_member && !catalogue.nodes().contains_key(peer));
        if gone.is_empty() {
            return;
        }
        let declarations = self.declarations.clone();
        tasks::spawn("farewell", async move {
            // A node that leaves has yet to hear that it has.
            tokio::time::sleep(FAREWELL).await;
            // One that has not caught up may not know those who came last. They are looked at again when it
            // has.
            gone.retain(|peer| declarations.is_live() && !declarations.catalogue().nodes().contains_key(peer));
            gone.into_iter().for_each(|peer| cluster.forget(peer));
        });
    }

    /// Acts on nodes that come and go, until the task is dropped.
    pub async fn run_nodes(self: Arc<Self>) {
        let Some(cluster) = self.nodes.cluster().cloned() else {
            return;
        };
        let mut events = cluster.events();
        let input: Arc<dyn PeerInput> = Arc::new(Input(Arc::downgrade(&self)));
        self.on_nodes(&self.declarations.catalogue());
        for peer in cluster.peers() {
            self.queues.peers.meet(&cluster, peer.id, input.clone());
        }
        loop {
            match events.recv().await {
                Ok(Event::Up { node, .. }) => {
                    self.queues.peers.meet(&cluster, node, input.clone());
                    self.on_node_up(node);
                }
                Ok(Event::Restarted { node, incarnation }) => {
                    self.queues.peers.meet(&cluster, node, input.clone());
                    self.alarms.forget_unless(|other| other != node);
                    self.on_node_restarted(node, incarnation);
                    self.on_node_up(node);
                    // What it led before it leads no more, though it is up: Raft hears of that last.
                    self.replicas.elections.on_suspect(node, true);
                }
                Ok(Event::Suspect { node, why }) => {
                    self.replicas.elections.on_suspect(node, why != Suspicion::Silence);
                    self.on_node_suspect(node, why);
                }
                Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {
                    for peer in cluster.peers() {
                        self.queues.peers.meet(&cluster, peer.id, input.clone());
                        self.ask_what_is_short(peer.id);
                    }
                }
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
            }
            self.look_around(&self.declarations.catalogue());
        }
    }

    /// What was declared for a run of a node goes when that has ended or is away for long, until the
    /// task is dropped. The leader of the catalogue's group sees to that.
    pub async fn run_absences(self: Arc<Self>) {
        let us = self.nodes.us();
        let mut away: BTreeMap<NodeId, Instant> = BTreeMap::new();
        let mut said = Said::default();
        loop {
            tokio::time::sleep(LOOK_FOR_ABSENT).await;
            let members: Vec<_> = self.declarations.catalogue().nodes().keys().copied().collect();
            away.retain(|node, _| {
                let stays = members.contains(node) && !self.nodes.is_alive(*node);
                if !stays {
                    said.is_over(node);
                }
                stays
            });
            for node in members
                .into_iter()
                .filter(|node| *node != us && !self.nodes.is_alive(*node))
            {
                let since = *away.entry(node).or_insert_with(Instant::now);
                if since.elapsed() >= self.grace(node)
                    && self.declarations.is_leader()
                    && self.declarations.has_left(node)
                    && let Err(error) = self.declarations.command(Command::EndRun(node)).await
                    && said.is_news(node, &error)
                {
                    tracing::warn!(%node, %error, "what the node left behind stays for now");
                }
            }
        }
    }

    /// How long what a node has left may be wanted by it: one whose process has ended does not come
    /// back to it.
    fn grace(&self, node: NodeId) -> Duration {
        match self.nodes.cluster().map(|cluster| cluster.health(node)) {
            Some(Health::Suspect(Suspicion::Refused | Suspicion::Goodbye)) => Duration::ZERO,
            _ => GRACE,
        }
    }

    /// The followers on that node hear from their leaders here, at a pace.
    fn on_node_up(self: &Arc<Self>, node: NodeId) {
        self.ask_what_is_short(node);
        self.announce_to(node);
        for (queue, group) in self.replicas.all() {
            if group.leadership().leader == Some(node) {
                self.replicas.elections.on_leader(queue, Some(node));
            }
        }
        let replicas = self.replicas.clone();
        tasks::spawn("heartbeats", async move {
            for (_, group) in replicas.all() {
                if group.is_leader()
                    && group.status().voters.contains(&node)
                    && let Err(error) = group.heartbeat().await
                {
                    tracing::debug!(%error, "no heartbeat");
                }
            }
        });
    }

    fn on_node_suspect(self: &Arc<Self>, node: NodeId, why: Suspicion) {
        self.alarms.forget_unless(|other| other != node);
        self.on_leader_suspect(node);
        if why != Suspicion::Silence {
            // Its process is gone, and its clients' connections with it.
            return self.on_node_gone(node);
        }
        let membership = self.clone();
        tasks::spawn("grace", async move {
            tokio::time::sleep(GRACE).await;
            if !membership.nodes.is_alive(node) {
                membership.on_node_gone(node);
            }
        });
    }
}
