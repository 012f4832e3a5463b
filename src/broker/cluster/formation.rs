//! How nodes become a cluster, and what a node does when others come and go.
//!
//! A node that belongs to none and has nobody to look for begins one alone. One that has joins the
//! cluster of whomever it finds. Where none of them belongs to one, the node with the lowest name
//! among a majority of those that are configured asks each of them for its promise and begins it; a
//! node promises itself to one candidate at a time, so there are never two.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::RngCore;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::control::{ADMISSION, CONTROL, ControlService, Joining};
use super::remote::Input;
use crate::broker::Broker;
use crate::broker::catalogue::propose::Catalogued;
use crate::broker::queue::peers::{PeerInput, QUEUES, QueueService};
use crate::broker::{BrokerError, StartError};
use crate::cluster::identity::{ClusterId, IdentityError};
use crate::cluster::rpc::Services;
use crate::cluster::secret::{SecretError, SharedSecret};
use crate::cluster::tls::{Certificate, Tls, TlsError};
use crate::cluster::{Class, Cluster, Event, Handler, Health, PeerView, Settings, Suspicion};
use crate::journal::raft::{RAFT, RaftService};
use crate::metadata::{Catalog, Command, Node};
use crate::tasks;
use crate::types::NodeId;

/// Between two looks at who is there.
const LOOK: Duration = Duration::from_millis(100);
/// Between two looks at who is away.
const LOOK_FOR_ABSENT: Duration = Duration::from_secs(1);
/// For a link to a node that accepts connections.
const LINK: Duration = Duration::from_secs(3);
/// For an answer of another node.
const ASK: Duration = Duration::from_secs(5);
/// How long a silent node's clients keep what they hold.
const GRACE: Duration = Duration::from_secs(10);
/// How long the links to a node stay that is no member any more.
const FAREWELL: Duration = Duration::from_millis(500);
/// How long a promise to another node holds if nothing comes of it.
const PROMISE: Duration = Duration::from_secs(10);

/// Why a node has no links to others.
#[derive(Debug, thiserror::Error)]
pub enum LinksError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("what is known of other nodes cannot be read: {0}")]
    Book(#[from] std::io::Error),
}

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

impl Broker {
    /// Starts the links to other nodes.
    ///
    /// # Errors
    /// [`LinksError`].
    pub fn start_links(self: &Arc<Self>, settings: Settings, listener: TcpListener) -> Result<(), LinksError> {
        let directory = &self.config.node.data_dir;
        let secret = SharedSecret::find(&self.config.cluster, directory, |bytes| rand::rng().fill_bytes(bytes))?;
        let queues: Arc<dyn Handler> = Arc::new(QueueService(Input(Arc::downgrade(self))));
        let services = Services::default()
            .serve(RAFT, Class::Data, Arc::new(RaftService(self.nodes.links().clone())))
            .serve(QUEUES, Class::Data, queues)
            .serve(CONTROL, Class::Control, Arc::new(ControlService(Arc::downgrade(self))));
        let identity = self.identity.lock();
        let cluster = Cluster::start(settings, &identity, secret, services, listener, directory)?;
        drop(identity);
        self.nodes.join(cluster);
        Ok(())
    }

    /// The links to other nodes, on a node that has any.
    pub fn links(&self) -> Option<&Cluster> {
        self.nodes.cluster()
    }

    /// Reads the certificates of the links between nodes again; `None` where they do not speak TLS.
    pub fn read_certificates(&self) -> Option<Result<(), TlsError>> {
        Some(self.links()?.tls()?.read_again())
    }

    /// The certificates that the links between nodes use.
    pub fn certificates(&self) -> Vec<Certificate> {
        let tls = self.links().and_then(Cluster::tls);
        tls.map(Tls::certificates).unwrap_or_default()
    }

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
            let there = self.linked();
            if let Some(cluster) = self.join_one(&there, address, &mut refusal).await {
                self.belong_to(cluster)?;
                return Ok(());
            }
            let is_lowest = there.iter().all(|peer| peer.name > self.node.name);
            let is_majority = 2 * (there.len() + 1) > seeds + 1;
            if is_lowest && is_majority && self.is_promised(&there, seeds).await {
                return self.found(address).await;
            }
            tokio::time::sleep(LOOK).await;
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
                match self.linked().into_iter().find(is_target) {
                    Some(peer) => return peer,
                    None => tokio::time::sleep(LOOK).await,
                }
            }
        };
        let link = tokio::time::timeout(LINK, link).await;
        let peer = link.map_err(|_| JoinError::NoLink)?;
        if peer.introduction.is_none_or(|who| who.cluster.is_none()) {
            return Err(JoinError::NoCluster);
        }
        let begun = Instant::now();
        while begun.elapsed() < ASK {
            match self.ask_to_join(peer.id, address, was).await {
                Joining::Joined(cluster) => {
                    self.belong_to(ClusterId(cluster))?;
                    return Ok(true);
                }
                Joining::AlreadyMember => return Ok(false),
                Joining::Refused(text) => return Err(JoinError::Refused(text)),
                Joining::Elsewhere => tokio::time::sleep(LOOK).await,
            }
        }
        if begun.elapsed() >= ADMISSION {
            // It may be that we are a member, and have not heard of it.
            self.ask_to_be_forgotten(peer.id, Instant::now() + ASK).await;
        }
        Err(JoinError::NoMajority)
    }

    /// Tells the cluster this node's name and address, which may have changed since its last run.
    /// `address` is where this one is to be found.
    pub async fn tell_name(self: &Arc<Self>, address: &str) {
        let us = self.nodes.us();
        let told = self.decide(|catalog| {
            let is_same = |known: &Node| known.name == self.node.name && known.address == address;
            let mut others = catalog.nodes().iter().filter(|(other, _)| **other != us);
            let command = if catalog.nodes().get(&us).is_none_or(is_same) {
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

    pub(in crate::broker) fn linked(&self) -> Vec<PeerView> {
        let peers = self.nodes.cluster().map(|cluster| cluster.peers()).unwrap_or_default();
        peers
            .into_iter()
            .filter(|peer| peer.introduction.is_some() && peer.health == Health::Up)
            .collect()
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
            promises += usize::from(self.ask_promise(peer.id, Instant::now() + ASK).await);
        }
        // Who was paused meanwhile may have been given up: others may be promised to another by now.
        2 * promises > seeds + 1 && begun.elapsed() < PROMISE / 3
    }

    /// Promises this node to one that wants to begin a cluster.
    pub(super) fn promise(&self, to: NodeId) -> bool {
        if self.belongs() {
            return false;
        }
        let mut promised = self.promised.lock();
        match *promised {
            Some((other, since)) if other != to && since.elapsed() < PROMISE => false,
            _ => {
                *promised = Some((to, Instant::now()));
                true
            }
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
        let group = self.catalogue();
        // Before anything changes that would be carried out later without the node.
        if !matches!(tokio::time::timeout(ASK, group.barrier()).await, Ok(Ok(()))) {
            return Err(BrokerError::NoMajority.to_string());
        }
        if was.is_some_and(|was| self.catalog().nodes().contains_key(&was)) {
            return Ok(None);
        }
        let namesake = self
            .catalog()
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
            if tokio::time::timeout(ASK, links.linked(node, Class::Data))
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
        self.command(command).await.map_err(|error| failed(&error))?;
        tracing::info!(node = name, "joined the cluster");
        Ok(Some(cluster))
    }

    /// Waits until a learner has what the log has now.
    async fn has_log(&self, node: NodeId) -> bool {
        let group = self.catalogue();
        let wanted = group.status().last_index;
        let deadline = Instant::now() + ASK;
        while Instant::now() < deadline {
            if group.status().matched.get(&node).copied().flatten() >= wanted {
                return true;
            }
            tokio::time::sleep(LOOK / 10).await;
        }
        false
    }

    /// A cluster of several nodes has one name, which each of them tells.
    async fn name_cluster(self: &Arc<Self>) -> Result<(), BrokerError> {
        let name = "cluster_name";
        let value = self.node.cluster_name.as_str();
        self.decide(|catalog| {
            let is_named = catalog.global_parameters().contains_key(name);
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
        self.command(Command::RemoveNode(node)).await
    }

    /// The catalogue's group does, or does not, without a node that is a member of the cluster. Only on
    /// the leader of the group.
    ///
    /// # Errors
    /// When no majority is reached, or the node is no member.
    pub(super) async fn set_catalogued(self: &Arc<Self>, node: NodeId, wish: Catalogued) -> Result<(), BrokerError> {
        let _one = self.admitting.lock().await;
        if !self.catalog().nodes().contains_key(&node) {
            return Err(BrokerError::NoMajority);
        }
        let group = self.catalogue();
        let failed = |_| BrokerError::NoMajority;
        match wish {
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
        let group = self.catalogue();
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
        let group = self.catalogue();
        let is_alone = |broker: &Self| broker.catalog().nodes().keys().all(|node| *node == us);
        if is_alone(self) && group.status().voters.iter().all(|voter| *voter == us) {
            return Ok(());
        }
        if group.is_leader()
            && let Some(heir) = self.heir()
            && let Err(error) = group.transfer_leader(heir).await
        {
            tracing::warn!(%error, "the catalogue was not handed over");
        }
        self.forget(us).await
    }

    /// The voter that is to lead the catalogue's group when this node goes.
    fn heir(&self) -> Option<NodeId> {
        let status = self.catalogue().status();
        let others = status.voters.iter().filter(|node| **node != self.nodes.us());
        let alive = others.filter(|node| self.nodes.is_alive(**node));
        alive
            .max_by_key(|node| status.matched.get(node).copied().flatten())
            .copied()
    }

    /// The members of the cluster changed.
    pub(in crate::broker) fn on_nodes(self: &Arc<Self>, catalog: &Catalog) {
        self.look_around(catalog);
        let Some(cluster) = self.nodes.cluster().cloned() else {
            return;
        };
        for (node, known) in catalog.nodes() {
            cluster.know(*node, &known.name, &[&known.address]);
        }
        let is_member = self.belongs() && catalog.nodes().contains_key(&self.nodes.us());
        let was_one = |peer: &PeerView| peer.introduction.as_ref().is_none_or(|who| who.cluster.is_some());
        let mut gone: Vec<_> = cluster
            .peers()
            .into_iter()
            .filter(was_one)
            .map(|peer| peer.id)
            .collect();
        gone.retain(|peer| is_member && !catalog.nodes().contains_key(peer));
        if gone.is_empty() {
            return;
        }
        let broker = self.clone();
        tasks::spawn("farewell", async move {
            // A node that leaves has yet to hear that it has.
            tokio::time::sleep(FAREWELL).await;
            gone.retain(|peer| !broker.catalog().nodes().contains_key(peer));
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
        self.on_nodes(&self.catalog());
        for peer in cluster.peers() {
            self.peers.meet(&cluster, peer.id, input.clone());
        }
        loop {
            match events.recv().await {
                Ok(Event::Up { node, .. }) => {
                    self.peers.meet(&cluster, node, input.clone());
                    self.on_node_up(node);
                }
                Ok(Event::Restarted { node, incarnation }) => {
                    self.peers.meet(&cluster, node, input.clone());
                    self.alarms.forget_unless(|other| other != node);
                    self.elections.on_suspect(node, true);
                    self.on_node_restarted(node, incarnation);
                    self.on_node_up(node);
                }
                Ok(Event::Suspect { node, why }) => {
                    self.elections.on_suspect(node, why != Suspicion::Silence);
                    self.on_node_suspect(node, why);
                }
                Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {
                    for peer in cluster.peers() {
                        self.peers.meet(&cluster, peer.id, input.clone());
                        self.ask_what_is_short(peer.id);
                    }
                }
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
            }
            self.look_around(&self.catalog());
        }
    }

    /// What was declared for a run of a node goes when that has ended or is away for long, until the
    /// task is dropped. The leader of the catalogue's group sees to that.
    pub async fn run_absences(self: Arc<Self>) {
        let us = self.nodes.us();
        let mut away: BTreeMap<NodeId, Instant> = BTreeMap::new();
        loop {
            tokio::time::sleep(LOOK_FOR_ABSENT).await;
            let members: Vec<_> = self.catalog().nodes().keys().copied().collect();
            away.retain(|node, _| members.contains(node) && !self.nodes.is_alive(*node));
            for node in members
                .into_iter()
                .filter(|node| *node != us && !self.nodes.is_alive(*node))
            {
                let since = *away.entry(node).or_insert_with(Instant::now);
                if since.elapsed() >= self.grace(node)
                    && self.leads_catalogue()
                    && self.has_left(node)
                    && let Err(error) = self.command(Command::EndRun(node)).await
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

    /// Ends every group on this node. The links to other nodes have ended.
    pub async fn end_groups(&self) {
        let replicas = self.replicas.all();
        futures_util::future::join_all(replicas.iter().map(|(_, group)| group.shutdown())).await;
        self.catalogue().shutdown().await;
    }

    /// The followers on that node hear from their leaders here, at a pace.
    fn on_node_up(self: &Arc<Self>, node: NodeId) {
        self.ask_what_is_short(node);
        self.announce_to(node);
        for (queue, group) in self.replicas.all() {
            if group.leadership().leader == Some(node) {
                self.elections.on_leader(queue, Some(node));
            }
        }
        let broker = self.clone();
        tasks::spawn("heartbeats", async move {
            for (_, group) in broker.replicas.all() {
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
        let broker = self.clone();
        tasks::spawn("grace", async move {
            tokio::time::sleep(GRACE).await;
            if !broker.nodes.is_alive(node) {
                broker.on_node_gone(node);
            }
        });
    }
}
