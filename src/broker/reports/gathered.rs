//! What was gathered of all nodes for one request, and what follows from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::here::{consumers_here, report_of};
use super::report::{ChannelPlace, ClientsReport, ConsumerReport, Counted, NodeFacts, NodeReport, QueueReport};
use crate::broker::cluster::advertised::Listener;
use crate::broker::delivery::connections::ConnectionReport;
use crate::broker::queue::clients::{ConnectionInfo, Connections};
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::queues::Queues;
use crate::broker::replicas::report::ReplicaState;
use crate::queue::{self, ConsumerStatus, Counts};
use crate::spec::QueueType;
use crate::statistics::Figures;
use crate::types::{ConnectionId, ExchangeName, NodeId, QueueId, Timestamp, VhostName};

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
    delayed: FxHashMap<(VhostName, ExchangeName), u64>,
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

/// What a consumer is called.
#[derive(Clone, Debug)]
pub struct ConsumerName {
    pub tag: String,
    /// Its channel, as RabbitMQ names it; `None` once its connection is gone.
    pub channel: Option<String>,
}

impl Gathered {
    /// Nothing yet, of the nodes of these names, of which those are known to be silent.
    pub(super) fn new(names: BTreeMap<NodeId, String>, silent: Vec<NodeId>, at: Timestamp) -> Self {
        Self {
            names,
            silent,
            at,
            ..Self::default()
        }
    }

    /// The connections of this node.
    pub(super) fn add_own(&mut self, connections: Vec<ConnectionReport>) {
        self.connections.extend(connections);
    }

    /// Whether that is a node of the cluster.
    pub(super) fn is_node(&self, node: NodeId) -> bool {
        self.names.contains_key(&node)
    }

    /// A node did not answer.
    pub(super) fn add_silent(&mut self, node: NodeId) {
        self.silent.push(node);
    }

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
        let here = match queue.spec.queue_type {
            QueueType::Stream => queue.counts_here().map(|_| queue::Health::default()),
            QueueType::Classic | QueueType::Quorum => queue.read(|machine| machine.health(self.at)),
        };
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
        queues: &Queues,
        queue: &QueueHandle,
        connections: &FxHashMap<ConnectionId, Arc<ConnectionInfo>>,
    ) -> Vec<(ConsumerReport, ConsumerStatus)> {
        let report = self.queue(queue);
        let statuses = report.map(|report| report.statuses).unwrap_or_default();
        let statuses: FxHashMap<_, _> = statuses
            .into_iter()
            .map(|(node, key, status)| ((node, key), status))
            .collect();
        let all = self.consumer_reports(queues, queue, connections);
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
        queues: &Queues,
        queue: &QueueHandle,
        connections: &FxHashMap<ConnectionId, Arc<ConnectionInfo>>,
    ) -> impl Iterator<Item = ConsumerReport> {
        let others = self.consumers.get(&queue.spec.id).into_iter().flatten().cloned();
        consumers_here(queues, queue, connections).into_iter().chain(others)
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

    /// How many messages an exchange holds back, on all nodes.
    pub fn messages_delayed(&self, vhost: &VhostName, name: &ExchangeName) -> u64 {
        let delayed = self.delayed.get(&(vhost.clone(), name.clone()));
        delayed.copied().unwrap_or_default()
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
    pub fn consumer_names(
        &self,
        queues: &Queues,
        connections: &Connections,
        queue: &QueueHandle,
    ) -> FxHashMap<(NodeId, u64), ConsumerName> {
        let connections = connections.all().into_iter();
        let connections = connections.map(|connection| (connection.id, connection)).collect();
        let named = self.consumer_reports(queues, queue, &connections).map(|one| {
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

    pub(super) fn count(&mut self, counted: Counted) {
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
        for (vhost, exchange, waiting) in counted.delayed {
            *self.delayed.entry((vhost, exchange)).or_default() += waiting;
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

    pub(super) fn add(&mut self, node: NodeId, report: NodeReport) {
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

    /// The members of the group that has what is declared, by node, where nodes were asked about themselves.
    pub fn catalogue_members(&self) -> Vec<(NodeId, ReplicaState)> {
        let reports = || self.facts.values().filter_map(|facts| facts.catalogue.as_ref());
        let leader = reports()
            .filter(|report| report.leads())
            .max_by_key(|report| report.term);
        let newest = leader.or_else(|| reports().max_by_key(|report| report.committed));
        let state = |node: &NodeId| match self.facts.get(node) {
            None => ReplicaState::Unreachable,
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
