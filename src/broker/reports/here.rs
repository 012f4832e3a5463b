//! What this node says of its queues, its clients and itself, when it or another asks.
//!
//! What a [`NodeReport`] holds follows from what is asked [`About`]; the rest is empty:
//!
//! | asked about | queues and consumers | connections | clients, listeners, node and vhosts counted | also |
//! |---|---|---|---|---|
//! | `Queue` | that one's | | | who publishes to it and takes from it, with detailed rates |
//! | `Queues` | all | | yes | |
//! | `Clients` | | all | | |
//! | `All` | all | all | yes | |
//! | `Exchanges` | | | | what exchanges counted, and pairs with detailed rates |
//! | `Nodes` | | | | facts of the node; which queues lack members |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustc_hash::FxHashMap;
use serde_json::Value;

use super::Reports;
use super::report::{
    About, ChannelPlace, ClientsReport, ConsumerReport, Counted, NodeFacts, NodeReport, QueueReport, Wanted,
};
use crate::broker::delivery::connections::ConnectionReport;
use crate::broker::delivery::streaming::SubscriptionCounts;
use crate::broker::queue::clients::{ConnectionInfo, Consumer};
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::queues::Queues;
use crate::cluster::{Cluster, Health};
use crate::config::RatesMode;
use crate::queue;
use crate::spec::QueueType;
use crate::statistics::{Figures, Stats, Windows};
use crate::tasks;
use crate::types::sorting::sort_by_key;
use crate::types::{ConnectionId, QueueId, Timestamp, UserName};

impl Reports {
    /// How this node is, as the HTTP API shows it; `None` while it does not serve clients.
    pub(super) async fn own_description(&self, windows: Windows) -> Option<Value> {
        let describe = self.describe.lock().clone()?;
        // It reads files. One that panics describes nothing.
        tasks::blocking(move || describe(windows)).await.ok().flatten()
    }

    /// What this node says.
    pub(super) fn report(&self, wanted: Wanted) -> NodeReport {
        let Wanted { about, windows } = wanted;
        let queues = self.queues_about(about);
        let members = match about {
            About::Nodes => self.queues.all(),
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
                .flat_map(|queue| consumers_here(&self.queues, queue, &connections))
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
                true => self.membership.listeners(),
                false => Vec::new(),
            },
            incomplete: members
                .iter()
                .filter(|queue| self.replicas.is_incomplete(queue))
                .map(|queue| queue.spec.id)
                .collect(),
            counted: self.counted(wanted),
            facts: (about == About::Nodes).then(|| self.facts()),
        }
    }

    /// The open connections of this node's clients.
    pub(super) fn connection_reports(&self, windows: Windows) -> Vec<ConnectionReport> {
        let (us, now) = (self.us(), self.now().seconds());
        let figures = |stats: &Stats| self.statistics.figures(stats, now, windows);
        let idle_since = |stats: &Stats| self.statistics.idle_since(stats, now);
        let ends = |queue: QueueId| self.queues.streams().end(&*self.queues.by_id(queue)?);
        let all = self.connections.all();
        all.iter()
            .filter_map(|connection| connection.report(us, figures, idle_since, ends))
            .collect()
    }

    fn queues_about(&self, about: About) -> Vec<Arc<QueueHandle>> {
        match about {
            About::Queue(id) => self.queues.by_id(id).into_iter().collect(),
            About::Queues | About::All => self.queues.all(),
            About::Clients | About::Exchanges | About::Nodes => Vec::new(),
        }
    }

    /// What this node has counted of what is asked about.
    pub(super) fn counted(&self, Wanted { about, windows }: Wanted) -> Counted {
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
            delayed: match about {
                About::Exchanges => self.vhosts.messages_delayed(),
                _ => Vec::new(),
            },
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
            About::Queue(id) => self.queues.by_id(id).into_iter().collect(),
            About::Exchanges => self.queues.all(),
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
    pub(super) fn facts(&self) -> NodeFacts {
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
        let certificates = self.certificates().into_iter();
        let damaged = self.queues.all().into_iter();
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
            reach: self.membership.reach(),
            is_drained: self.membership.is_drained(),
            catalogue: Some(self.replicas.catalogue_report()),
        }
    }
}

/// What is known where the machine is, if that is here.
pub(super) fn report_of(queue: &QueueHandle, now: Timestamp) -> Option<QueueReport> {
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
pub(super) fn consumers_here(
    queues: &Queues,
    queue: &QueueHandle,
    connections: &FxHashMap<ConnectionId, Arc<ConnectionInfo>>,
) -> Vec<ConsumerReport> {
    let state = queue.state.lock();
    let report = |consumer: &Arc<Consumer>| ConsumerReport {
        queue: queue.spec.id,
        node: queues.us(),
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
    let mut reports: Vec<_> = match queues.streams().of(queue) {
        Some(stream) => {
            let subscribed = stream.subscriptions().into_iter();
            let subscribed = subscribed.map(|one| subscription_report(queues, queue, &one, connections));
            stream.consumers().iter().map(report).chain(subscribed).collect()
        }
        None => state.machine.local_consumers().into_iter().map(report).collect(),
    };
    sort_by_key(&mut reports, |report| report.key);
    reports
}

/// A subscription as the consumer that RabbitMQ shows it as.
fn subscription_report(
    queues: &Queues,
    queue: &QueueHandle,
    one: &SubscriptionCounts,
    connections: &FxHashMap<ConnectionId, Arc<ConnectionInfo>>,
) -> ConsumerReport {
    ConsumerReport {
        queue: queue.spec.id,
        node: queues.us(),
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
