//! What all nodes say of queues and clients, for whoever shows them.
//!
//! The numbers of a queue are known where its machine is, and consumers, connections and channels where
//! their sockets are. So whoever is asked for any of them asks the other nodes first, all at once and once
//! for a request. What does not come at once is left out, and [`Gathered::silent`] says whose. A node
//! alone asks nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use rustc_hash::FxHashMap;
use serde_json::Value;
use tokio::time::Instant;

use crate::broker::Broker;
use crate::broker::cluster::report::{
    About, ChannelPlace, ClientsReport, ConsumerReport, Counted, Listener, NodeFacts, NodeReport, QueueReport,
    ReplicaReport, Wanted,
};
use crate::broker::delivery::connections::ConnectionReport;
use crate::broker::delivery::streaming::SubscriptionCounts;
use crate::broker::queue::clients::ConnectionInfo;
use crate::broker::queue::clients::Consumer;
use crate::broker::queue::handle::QueueHandle;
use crate::cluster::{Cluster, Health};
use crate::config::RatesMode;
use crate::journal::raft::{GroupStatus, Role};
use crate::queue::{self, ConsumerStatus, Counts};
use crate::spec::QueueType;
use crate::statistics::{Figures, Stats, Windows};
use crate::types::{ConnectionId, ExchangeName, NodeId, QueueId, Timestamp, UserName, VhostName};

/// Describes a node to the others, in the words of its HTTP API.
pub type Describe = Arc<dyn Fn(&Broker, Windows) -> Value + Send + Sync>;

/// How long the other nodes have.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the member that leads says it is.
const LEADER: &str = "leader";

/// What is gathered for one request.
#[derive(Default)]
pub struct Gathered {
    names: BTreeMap<NodeId, String>,
    queues: FxHashMap<QueueId, QueueReport>,
    consumers: FxHashMap<QueueId, Vec<ConsumerReport>>,
    clients: Vec<ClientsReport>,
    /// Of this node too.
    connections: Vec<ConnectionReport>,
    listeners: Vec<(String, Listener)>,
    /// Of the time that is asked for; of this node too.
    counted_queues: FxHashMap<QueueId, Figures>,
    /// In which second anything moved last; `None` where it still does.
    idle: FxHashMap<QueueId, Option<u64>>,
    counted_exchanges: FxHashMap<(VhostName, ExchangeName), Figures>,
    counted_vhosts: FxHashMap<VhostName, Figures>,
    counted: Figures,
    pairs: Counted,
    /// Of each node that answers, this one too, where nodes are asked about themselves.
    pub(super) facts: BTreeMap<NodeId, NodeFacts>,
    /// Members that have lost their data or have yet to get it.
    pub(super) incomplete: FxHashMap<QueueId, Vec<NodeId>>,
    silent: Vec<NodeId>,
    /// When it was gathered.
    at: Timestamp,
}

/// What is known of one member of a group.
#[derive(Clone, Debug)]
pub enum ReplicaState {
    Known {
        report: ReplicaReport,
        /// Its vote counts, as the leader knows where there is one.
        is_voter: bool,
    },
    /// The node answers and has no member of it, or not yet.
    Missing,
    /// The node does not answer.
    Away,
}

/// What a consumer is called.
#[derive(Clone, Debug)]
pub struct ConsumerName {
    pub tag: String,
    /// Its channel, as RabbitMQ names it; `None` once its connection is gone.
    pub channel: Option<String>,
}

impl Gathered {
    /// A node's name; one that is no member of the cluster is named by its number.
    pub fn name(&self, node: NodeId) -> String {
        self.names.get(&node).cloned().unwrap_or_else(|| node.to_string())
    }

    /// A queue's numbers; `None` when the node that has them does not say.
    pub fn counts(&self, queue: &QueueHandle) -> Option<Counts> {
        let here = queue.counts_here();
        here.or_else(|| Some(self.queues.get(&queue.spec.id)?.counts))
    }

    /// How a queue gets on, as far as it can tell; `None` when the node that has it does not say.
    pub(super) fn own_health(&self, queue: &QueueHandle) -> Option<queue::Health> {
        let here = queue.read(|machine| machine.health(self.at));
        here.or_else(|| Some(self.queues.get(&queue.spec.id)?.health))
    }

    /// All that is known of a queue where its machine is.
    pub fn queue(&self, queue: &QueueHandle) -> Option<QueueReport> {
        let here = report_of(queue, self.at);
        here.or_else(|| self.queues.get(&queue.spec.id).cloned())
    }

    /// The consumers of a queue, of all nodes.
    pub fn consumers(
        &self,
        broker: &Broker,
        queue: &QueueHandle,
        connections: &FxHashMap<ConnectionId, Arc<ConnectionInfo>>,
    ) -> Vec<(ConsumerReport, ConsumerStatus)> {
        let report = self.queue(queue);
        let statuses = report.map(|report| report.statuses).unwrap_or_default();
        let statuses: FxHashMap<_, _> = statuses
            .into_iter()
            .map(|(node, key, status)| ((node, key), status))
            .collect();
        let all = self.consumer_reports(broker, queue, connections);
        all.map(|consumer| {
            // One that its queue has yet to hear of stands as most do.
            let status = statuses.get(&(consumer.node, consumer.key)).copied();
            let status = status.or(consumer.status);
            (consumer, status.unwrap_or(ConsumerStatus::Up))
        })
        .collect()
    }

    /// The consumers of this node's clients, and those that other nodes have told of.
    fn consumer_reports(
        &self,
        broker: &Broker,
        queue: &QueueHandle,
        connections: &FxHashMap<ConnectionId, Arc<ConnectionInfo>>,
    ) -> impl Iterator<Item = ConsumerReport> {
        let others = self.consumers.get(&queue.spec.id).into_iter().flatten().cloned();
        consumers_here(broker, queue, connections).into_iter().chain(others)
    }

    /// What was counted of a queue, on all nodes.
    pub fn figures_of_queue(&self, queue: QueueId) -> Figures {
        self.counted_queues.get(&queue).cloned().unwrap_or_default()
    }

    /// Since which second nothing has moved in a queue, on any node; `None` while something does.
    pub fn idle_since(&self, queue: QueueId) -> Option<Timestamp> {
        let second = self.idle.get(&queue).copied().flatten()?;
        Some(Timestamp(second * 1000))
    }

    /// What was counted of an exchange, on all nodes.
    pub fn figures_of_exchange(&self, vhost: &VhostName, name: &ExchangeName) -> Figures {
        let figures = self.counted_exchanges.get(&(vhost.clone(), name.clone()));
        figures.cloned().unwrap_or_default()
    }

    /// What of a queue came from which exchange.
    pub fn incoming(&self) -> &[(QueueId, ExchangeName, Figures)] {
        &self.pairs.incoming
    }

    /// Which channels consume from the queue that was asked about.
    pub fn deliveries(&self) -> &[(ChannelPlace, Figures)] {
        &self.pairs.deliveries
    }

    /// Which channels publish to which exchange.
    pub fn publishes(&self) -> &[(VhostName, ExchangeName, ChannelPlace, Figures)] {
        &self.pairs.publishes
    }

    /// What was counted in a vhost, on all nodes.
    pub fn figures_of_vhost(&self, vhost: &VhostName) -> Figures {
        self.counted_vhosts.get(vhost).cloned().unwrap_or_default()
    }

    /// What was counted on all nodes.
    pub fn figures(&self) -> &Figures {
        &self.counted
    }

    /// What the consumers of a queue are called, by their nodes and keys.
    pub fn consumer_names(&self, broker: &Broker, queue: &QueueHandle) -> FxHashMap<(NodeId, u64), ConsumerName> {
        let connections = broker.connections.all().into_iter();
        let connections = connections.map(|connection| (connection.id, connection)).collect();
        let named = self.consumer_reports(broker, queue, &connections).map(|one| {
            let channel = one.channel_name();
            ((one.node, one.key), ConsumerName { tag: one.tag, channel })
        });
        named.collect()
    }

    /// The clients of other nodes.
    pub fn clients(&self) -> &[ClientsReport] {
        &self.clients
    }

    /// The open connections of all nodes.
    pub fn connections(&self) -> &[ConnectionReport] {
        &self.connections
    }

    /// The nodes that did not answer, though they may have something to say.
    pub fn silent(&self) -> Vec<String> {
        self.silent.iter().map(|node| self.name(*node)).collect()
    }

    /// The listeners of other nodes, with the names of those.
    pub fn listeners(&self) -> &[(String, Listener)] {
        &self.listeners
    }

    fn count(&mut self, counted: Counted) {
        for (queue, figures) in counted.queues {
            self.counted_queues.entry(queue).or_default().add(&figures);
        }
        for (queue, since) in counted.idle {
            let known = self.idle.entry(queue).or_insert(since);
            *known = known.zip(since).map(|(known, since)| known.max(since));
        }
        for (vhost, exchange, figures) in counted.exchanges {
            self.counted_exchanges
                .entry((vhost, exchange))
                .or_default()
                .add(&figures);
        }
        for (vhost, figures) in counted.vhosts {
            self.counted_vhosts.entry(vhost).or_default().add(&figures);
        }
        self.counted.add(&counted.node);
        for (queue, exchange, figures) in counted.incoming {
            let mut known = self.pairs.incoming.iter_mut();
            match known.find(|known| known.0 == queue && known.1 == exchange) {
                Some((_, _, sum)) => sum.add(&figures),
                None => self.pairs.incoming.push((queue, exchange, figures)),
            }
        }
        self.pairs.deliveries.extend(counted.deliveries);
        self.pairs.publishes.extend(counted.publishes);
    }

    /// What a node says of itself; `None` where it does not answer.
    pub fn facts(&self, node: NodeId) -> Option<&NodeFacts> {
        self.facts.get(&node)
    }

    fn add(&mut self, node: NodeId, report: NodeReport) {
        self.count(report.counted);
        for queue in report.queues {
            let known = self.queues.get(&queue.queue);
            // One that has yet to hear that another leads says so too.
            if known.is_none_or(|known| known.term < queue.term) {
                self.queues.insert(queue.queue, queue);
            }
        }
        for consumer in report.consumers {
            self.consumers.entry(consumer.queue).or_default().push(consumer);
        }
        self.clients.extend(report.clients);
        for queue in report.incomplete {
            self.incomplete.entry(queue).or_default().push(node);
        }
        self.connections.extend(report.connections);
        if let Some(facts) = report.facts {
            self.facts.insert(node, facts);
        }
        let name = self.name(node);
        let listeners = report.listeners.into_iter();
        self.listeners
            .extend(listeners.map(|listener| (name.clone(), listener)));
    }
}

impl Gathered {
    /// The members of the group that has what is declared, by node, where nodes were asked about themselves.
    pub fn catalogue_members(&self) -> Vec<(NodeId, ReplicaState)> {
        let reports = || self.facts.values().filter_map(|facts| facts.catalogue.as_ref());
        let leader = reports()
            .filter(|report| report.role == LEADER)
            .max_by_key(|report| report.term);
        let newest = leader.or_else(|| reports().max_by_key(|report| report.committed));
        let state = |node: &NodeId| match self.facts.get(node) {
            None => ReplicaState::Away,
            Some(facts) => match facts.catalogue.clone() {
                None => ReplicaState::Missing,
                Some(report) => ReplicaState::Known {
                    is_voter: newest.is_some_and(|known| known.voters.contains(node)),
                    report,
                },
            },
        };
        self.names.keys().map(|node| (*node, state(node))).collect()
    }
}

impl Broker {
    /// Asks the other nodes for what they know, and counted in that time.
    pub async fn gather(&self, wanted: impl Into<Wanted>) -> Gathered {
        let wanted = wanted.into();
        let Wanted { about, windows } = wanted;
        let mut gathered = Gathered {
            names: self.node_names(),
            silent: self.cut_off(),
            at: self.now(),
            ..Gathered::default()
        };
        if about.has_clients() {
            gathered.connections = self.connection_reports(windows);
        }
        gathered.count(self.counted(wanted));
        if about == About::Nodes {
            gathered.facts.insert(self.us(), self.facts());
        }
        let mut others = self.nodes.others_alive();
        others.retain(|node| gathered.names.contains_key(node));
        let deadline = Instant::now() + PATIENCE;
        let reports = others
            .into_iter()
            .map(|node| async move { (node, self.ask_for_report(node, wanted, deadline).await) });
        for (node, report) in join_all(reports).await {
            match report {
                Some(report) => gathered.add(node, report),
                None => gathered.silent.push(node),
            }
        }
        gathered
    }

    /// The names of the cluster's nodes.
    pub fn node_names(&self) -> BTreeMap<NodeId, String> {
        let catalogue = self.catalogue();
        let nodes = catalogue.nodes().iter();
        nodes.map(|(node, known)| (*node, known.name.clone())).collect()
    }

    /// The node of that name, if it is a member of the cluster.
    pub fn node_named(&self, name: &str) -> Option<NodeId> {
        let catalogue = self.catalogue();
        let mut nodes = catalogue.nodes().iter();
        nodes.find(|(_, known)| known.name == name).map(|(node, _)| *node)
    }

    /// The nodes of the cluster that answer.
    pub fn nodes_running(&self) -> Vec<NodeId> {
        let mut running = self.nodes.others_alive();
        running.push(self.us());
        running.sort_unstable();
        running
    }

    /// Notes where this node listens, and how it is described, for other nodes to tell.
    pub fn serves(&self, listeners: Vec<Listener>, describe: Describe) {
        *self.listeners.lock() = listeners;
        *self.describe.lock() = Some(describe);
    }

    /// How this node is, as the HTTP API shows it; `None` while it does not serve clients.
    pub(in crate::broker) async fn own_description(self: &Arc<Self>, windows: Windows) -> Option<Value> {
        let describe = self.describe.lock().clone()?;
        let broker = self.clone();
        // It reads files. One that panics describes nothing.
        tokio::task::spawn_blocking(move || describe(&broker, windows))
            .await
            .ok()
    }

    /// What this node says.
    pub(in crate::broker) fn report(&self, wanted: Wanted) -> NodeReport {
        let Wanted { about, windows } = wanted;
        let queues = self.queues_about(about);
        let members = match about {
            About::Nodes => self.all_queues(),
            _ => queues.clone(),
        };
        let all = self.connections.all().into_iter();
        let connections: FxHashMap<_, _> = all.map(|connection| (connection.id, connection)).collect();
        let with_owner = |queue: &Arc<QueueHandle>| {
            let owner = queue.spec.exclusive_owner.and_then(|owner| connections.get(&owner));
            let owner = owner.map(|owner| (owner.peer, owner.local));
            Some(QueueReport {
                owner,
                ..report_of(queue, self.now())?
            })
        };
        NodeReport {
            queues: queues.iter().filter_map(with_owner).collect(),
            consumers: queues
                .iter()
                .flat_map(|queue| consumers_here(self, queue, &connections))
                .collect(),
            clients: match about.has_nodes() {
                true => clients(connections.values()),
                false => Vec::new(),
            },
            connections: match about.has_clients() {
                true => self.connection_reports(windows),
                false => Vec::new(),
            },
            listeners: match about.has_nodes() {
                true => self.listeners.lock().clone(),
                false => Vec::new(),
            },
            incomplete: members
                .iter()
                .filter(|queue| self.is_incomplete(queue))
                .map(|queue| queue.spec.id)
                .collect(),
            counted: self.counted(wanted),
            facts: (about == About::Nodes).then(|| self.facts()),
        }
    }

    fn queues_about(&self, about: About) -> Vec<Arc<QueueHandle>> {
        match about {
            About::Queue(id) => self.queue_by_id(id).into_iter().collect(),
            About::Queues | About::All => self.all_queues(),
            About::Clients | About::Exchanges | About::Nodes => Vec::new(),
        }
    }

    /// What this node has counted of what is asked about.
    fn counted(&self, Wanted { about, windows }: Wanted) -> Counted {
        let now = self.second();
        let figures = |stats: &Stats| self.statistics.figures(stats, now, windows);
        let queues = self.queues_about(about);
        let idle = queues.iter().map(|queue| {
            let since = self.statistics.idle_since(&queue.stats, now);
            // Of one that never moved, the node's begin.
            (
                queue.spec.id,
                since.map(|second| second.max(self.node.started_at.seconds())),
            )
        });
        let idle = idle.collect();
        let queues = queues.iter().map(|queue| (queue.spec.id, figures(&queue.stats)));
        let vhosts = self.vhosts.all();
        let exchanges = vhosts.iter().filter(|_| about == About::Exchanges).flat_map(|vhost| {
            let exchanges = vhost.counted_exchanges().into_iter();
            exchanges.map(|(name, stats)| (vhost.name.clone(), name, figures(&stats)))
        });
        let exchanges = exchanges.collect();
        let vhosts = vhosts.iter().filter(|_| about.has_nodes());
        Counted {
            idle,
            queues: queues.filter(|(_, figures)| !figures.is_empty()).collect(),
            exchanges,
            vhosts: vhosts
                .map(|vhost| (vhost.name.clone(), figures(vhost.scope.vhost())))
                .collect(),
            node: match about.has_nodes() {
                true => figures(self.statistics.node()),
                false => Figures::default(),
            },
            ..self.pairs(about, windows)
        }
    }

    /// Who does what with what, where the configuration asks for such detail.
    fn pairs(&self, about: About, windows: Windows) -> Counted {
        let mut pairs = Counted::default();
        let queues = match about {
            About::Queue(id) => self.queue_by_id(id).into_iter().collect(),
            About::Exchanges => self.all_queues(),
            _ => return pairs,
        };
        if self.config.management.rates_mode != RatesMode::Detailed {
            return pairs;
        }
        let now = self.second();
        for queue in queues {
            let incoming = queue.incoming().into_iter();
            let figures = |stats: &Stats| self.statistics.figures(stats, now, windows);
            let incoming = incoming.map(|(exchange, stats)| (queue.spec.id, exchange, figures(&stats)));
            pairs.incoming.extend(incoming);
        }
        for connection in self.connection_reports(windows) {
            let (Some(vhost), Some(user)) = (&connection.details.vhost, &connection.details.user) else {
                continue;
            };
            for channel in connection.channels {
                let place = ChannelPlace {
                    node: connection.node,
                    peer: connection.peer,
                    local: connection.local,
                    number: channel.number,
                    user: user.clone(),
                };
                let of_queue = |queue: &QueueId| about == About::Queue(*queue);
                let deliveries = channel.deliveries.into_iter().filter(|(queue, _)| of_queue(queue));
                pairs
                    .deliveries
                    .extend(deliveries.map(|(_, figures)| (place.clone(), figures)));
                let publishes = channel.publishes.into_iter().filter(|_| about == About::Exchanges);
                let publishes = publishes.map(|(exchange, figures)| (vhost.clone(), exchange, place.clone(), figures));
                pairs.publishes.extend(publishes);
            }
        }
        pairs
    }

    /// What this node says of itself.
    fn facts(&self) -> NodeFacts {
        let peers = self.nodes.cluster().map(Cluster::peers).unwrap_or_default();
        let catalogue = self.catalogue();
        let peers = peers
            .into_iter()
            .filter(|peer| peer.id != self.us() && catalogue.nodes().contains_key(&peer.id));
        let links = peers.map(|peer| {
            let known = peer.round_trip.filter(|_| peer.health == Health::Up);
            (peer.id, known.and_then(|time| u64::try_from(time.as_micros()).ok()))
        });
        let links = links.collect();
        drop(catalogue);
        let certificates = self.all_certificates().into_iter();
        let damaged = self.all_queues().into_iter();
        NodeFacts {
            short_since: self.alarms.since(),
            certificates: certificates
                .map(|one| (one.key.clone(), one.file, one.valid_until))
                .collect(),
            warnings: self.config.warnings.clone(),
            damaged: damaged
                .filter(|queue| queue.is_quarantined())
                .map(|queue| queue.spec.id)
                .collect(),
            links,
            reach: *self.reach.borrow(),
            is_drained: self.is_drained(),
            catalogue: self.catalogue_report(),
        }
    }

    /// The members of a queue's group as each of them says.
    pub async fn replicas_of(&self, queue: &QueueHandle) -> Vec<(NodeId, ReplicaState)> {
        let id = queue.spec.id;
        let answers = queue.member_nodes().into_iter().map(async |node| {
            let known = match node == self.us() {
                true => Some(self.replica_report(id)),
                false if !self.nodes.is_alive(node) => None,
                false => self.ask_for_replica(node, id).await,
            };
            (node, known)
        });
        let answers = join_all(answers).await;
        // One that catches up reads in its log of votes that are no more.
        let reports = answers.iter().filter_map(|(_, known)| known.as_ref()?.as_ref());
        let leaders = reports.filter(|report| report.role == LEADER);
        let leader_says = leaders
            .max_by_key(|report| report.term)
            .map(|report| report.voters.clone());
        let states = answers.into_iter().map(|(node, known)| {
            let state = match known {
                Some(Some(report)) => {
                    let voters = leader_says.as_ref().unwrap_or(&report.voters);
                    let is_voter = voters.contains(&node);
                    ReplicaState::Known { report, is_voter }
                }
                Some(None) => ReplicaState::Missing,
                None => ReplicaState::Away,
            };
            (node, state)
        });
        states.collect()
    }

    /// This node's member of a queue's group.
    pub(in crate::broker) fn replica_report(&self, queue: QueueId) -> Option<ReplicaReport> {
        let group = self.replicas.group(queue)?;
        Some(replica_report(&group.status(), group.settled_voters()))
    }

    /// This node's member of the group that has what is declared.
    fn catalogue_report(&self) -> Option<ReplicaReport> {
        let group = self.catalogue_group.get()?;
        Some(replica_report(&group.status(), group.settled_voters()))
    }
}

fn replica_report(status: &GroupStatus, voters: BTreeSet<NodeId>) -> ReplicaReport {
    let role = match status.leadership.role {
        Role::Leader => LEADER,
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Learner => "follower",
        Role::Stopped => "noproc",
    };
    ReplicaReport {
        role: role.to_owned(),
        voters,
        last_index: status.last_index.unwrap_or(0),
        applied: status.applied.unwrap_or(0),
        committed: status.committed.unwrap_or(0),
        snapshot: status.snapshot,
        term: status.leadership.term,
    }
}

/// What is known where the machine is, if that is here.
fn report_of(queue: &QueueHandle, now: Timestamp) -> Option<QueueReport> {
    if queue.spec.queue_type == QueueType::Stream {
        return stream_report(queue);
    }
    let state = queue.state.lock();
    let live = state.machine.queue()?;
    let counts = live.counts();
    let exclusive = live.consumers().find(|consumer| consumer.exclusive);
    // Of a quorum queue that serves all its consumers RabbitMQ tells one of them.
    let is_quorum = queue.spec.queue_type == QueueType::Quorum;
    let any = || Some(live.consumers().find(|_| is_quorum)?.handle);
    let active = live.single_active_consumer().or_else(any);
    let settings = live.settings();
    let statuses = state.machine.statuses();
    Some(QueueReport {
        queue: queue.spec.id,
        term: state.machine.term(),
        segments: None,
        capacity: state.capacity(),
        counts,
        health: live.health(now),
        delivery_limit: settings.delivery_limit,
        consumer_timeout: settings.consumer_timeout,
        exclusive_tag: exclusive.map(|consumer| consumer.handle.tag().to_owned()),
        active_tag: active.map(|active| active.tag().to_owned()),
        publishers: state.machine.publishers(),
        owner: None,
        statuses: statuses.map(|(node, key, status)| (node, key.0, status)).collect(),
    })
}

/// What is known of a stream that is led from here. Its consumers are their own nodes' alone.
fn stream_report(queue: &QueueHandle) -> Option<QueueReport> {
    let group = queue.state.lock().replica.clone()?;
    Some(QueueReport {
        queue: queue.spec.id,
        term: group.leadership().term,
        segments: group.machine().log().map(|log| log.bounds().segments as u64),
        capacity: None,
        counts: queue.counts_here()?,
        health: queue::Health::default(),
        delivery_limit: None,
        consumer_timeout: None,
        exclusive_tag: None,
        active_tag: None,
        publishers: None,
        owner: None,
        statuses: Vec::new(),
    })
}

/// The consumers of this node's clients.
fn consumers_here(
    broker: &Broker,
    queue: &QueueHandle,
    connections: &FxHashMap<ConnectionId, Arc<ConnectionInfo>>,
) -> Vec<ConsumerReport> {
    let state = queue.state.lock();
    let report = |consumer: &Arc<Consumer>| ConsumerReport {
        queue: queue.spec.id,
        node: broker.us(),
        key: consumer.key.0,
        tag: consumer.tag.clone(),
        arguments: consumer.arguments.clone(),
        no_ack: consumer.no_ack,
        exclusive: consumer.exclusive && queue.spec.queue_type != QueueType::Quorum,
        prefetch: consumer.prefetch.filter(|_| !consumer.no_ack),
        channel: consumer.channel,
        user: consumer.user.clone(),
        status: None,
        connection: connections
            .get(&consumer.outbox.id)
            .map(|connection| (connection.peer, connection.local)),
    };
    let mut reports: Vec<_> = match broker.queues().streams().of(queue) {
        Some(stream) => {
            let subscribed = stream.subscriptions().into_iter();
            let subscribed = subscribed.map(|one| subscription_report(broker, queue, &one, connections));
            stream.consumers().iter().map(report).chain(subscribed).collect()
        }
        None => state.machine.local_consumers().into_iter().map(report).collect(),
    };
    reports.sort_by_key(|report| report.key);
    reports
}

/// A subscription as the consumer that RabbitMQ shows it as.
fn subscription_report(
    broker: &Broker,
    queue: &QueueHandle,
    one: &SubscriptionCounts,
    connections: &FxHashMap<ConnectionId, Arc<ConnectionInfo>>,
) -> ConsumerReport {
    ConsumerReport {
        queue: queue.spec.id,
        node: broker.us(),
        // No consumer's, so that no status is found under it.
        key: u64::MAX,
        tag: format!("stream.subid-{}", one.id),
        arguments: one.arguments(),
        no_ack: true,
        exclusive: false,
        prefetch: None,
        channel: 0,
        user: one.user.clone(),
        status: Some(one.status()),
        connection: connections
            .get(&one.connection)
            .map(|connection| (connection.peer, connection.local)),
    }
}

/// The clients of connections that are open, by user.
fn clients<'a>(connections: impl Iterator<Item = &'a Arc<ConnectionInfo>>) -> Vec<ClientsReport> {
    let mut users = BTreeMap::<UserName, (u64, u64)>::new();
    for connection in connections {
        let details = connection.details();
        if let (Some(user), Some(_)) = (details.user, details.vhost) {
            let counts = users.entry(user).or_default();
            counts.0 += 1;
            counts.1 += u64::from(connection.channels.load(Ordering::Relaxed));
        }
    }
    users
        .into_iter()
        .map(|(user, (connections, channels))| ClientsReport {
            user,
            connections,
            channels,
        })
        .collect()
}
