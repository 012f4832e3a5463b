//! The numbers of this node for Prometheus.
//!
//! Only what is here is told, as by RabbitMQ: a scraper asks every node, and sums.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Reports;
use super::process::{open_files, threads};
use crate::broker::cluster::majority::Reach;
use crate::broker::delivery::channel_out::Uncommitted;
use crate::broker::queue::handle::QueueHandle;
use crate::cluster::{Health, PeerView};
use crate::journal::raft::{GroupStatus, Role};
use crate::metrics::facts::{
    BOUNDS, Certificate, Channel, Connection, Deaths, Exchange, Facts, Group, Labels, Link, Log, Logins, Node,
    Protocol, Queue, Stream, StreamErrors, Traffic, Vhost,
};
use crate::metrics::{Page, process};
use crate::queue::{DeathReason, Dying};
use crate::spec::QueueType;
use crate::spec::arguments::type_name;
use crate::statistics::{Delay, Measure, Tally};
use crate::types::NodeId;

/// What the group of the catalogue is called beside those of queues.
const CATALOGUE: &str = "catalogue";
/// RabbitMQ's name of the protocol.
const AMQP: &str = "amqp091";
const STREAM: &str = "stream";
/// Codes of the stream protocol that have a counter.
const LAST_CODE: u16 = 18;

impl Reports {
    /// What a page of metrics is made of. Reads files of the system.
    pub fn scrape(&self, page: &Page, cluster_name: String) -> Facts {
        let needs = page.needs();
        let mut facts = Facts {
            node: self.node_facts(cluster_name),
            links: self.link_facts(),
            ..Facts::default()
        };
        let logins = self.logins.attempts().into_iter();
        facts.logins = logins
            .map(|(protocol, counts)| Logins {
                labels: vec![("protocol", protocol)],
                succeeded: counts.succeeded,
                failed: counts.failed,
            })
            .collect();
        let certificates = self.certificates().into_iter();
        facts.certificates = certificates
            .map(|certificate| Certificate {
                labels: vec![
                    ("key", certificate.key),
                    ("file", certificate.file.display().to_string()),
                ],
                expires_at: certificate.valid_until,
            })
            .collect();
        if needs.queues {
            facts.queues = self.queue_facts(page);
        }
        if needs.traffic {
            self.traffic_facts(page, &mut facts);
        }
        if needs.connections || needs.channels {
            (facts.connections, facts.channels) = self.client_facts(page);
            let mut protocol = protocol_facts(&facts);
            protocol.sizes = Some(self.statistics.sizes().read());
            facts.node.consumers = protocol.consumers;
            facts.protocols = vec![protocol, self.stream_protocol_facts()];
        }
        facts.deaths = self.death_facts();
        self.stream_facts(page, &mut facts);
        if needs.groups {
            facts.groups = self.group_facts(page);
        }
        if needs.exchanges {
            facts.exchanges = self.exchange_facts(page);
        }
        if needs.vhosts {
            facts.vhosts = self.vhost_facts(page);
        }
        facts
    }

    fn node_facts(&self, cluster: String) -> Node {
        let (alarms, own, store) = (&self.alarms, self.alarms.own(), self.store.stats());
        let (files, sockets) = open_files();
        let disk = process::disk_bytes();
        let clients = self.connections.all();
        let open = clients.iter().filter(|client| client.vhost().is_some());
        let (connections, channels) = open.fold((0, 0), |(connections, channels), client| {
            let more = client.channels.load(Ordering::Relaxed);
            (connections + 1, channels + u64::from(more))
        });
        let peers = self.catalogue().nodes().keys().copied().collect::<Vec<NodeId>>();
        let is_silent = |node: &&NodeId| **node != self.us() && !self.nodes.is_alive(**node);
        Node {
            name: self.node.name.clone(),
            cluster,
            cluster_id: self.membership.cluster_id().unwrap_or_default(),
            rabbitmq_version: self.config.product.version.clone(),
            warren_version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: self.now().since(self.node.started_at).0,
            started_at_ms: self.node.started_at.0,
            open_files: files as u64,
            open_files_limit: process::open_files_limit(),
            open_sockets: sockets as u64,
            threads: threads() as u64,
            processor_seconds: process::processor_seconds(),
            resident_memory: alarms.memory_used().0,
            memory_limit: alarms.memory_limit().0,
            disk_free: alarms.disk_free().0,
            disk_limit: alarms.disk_limit().0,
            disk_written: disk.map(|(written, _)| written),
            disk_read: disk.map(|(_, read)| read),
            memory_alarm: own.memory,
            disk_alarm: own.disk,
            unreachable_peers: peers.iter().filter(is_silent).count() as u64,
            hears_majority: self.membership.reach() == Reach::Majority,
            connections,
            channels,
            waits: self.statistics.latencies().totals(Delay::Wait, &BOUNDS),
            acks: self.statistics.latencies().totals(Delay::Ack, &BOUNDS),
            confirms: self.statistics.latencies().totals(Delay::Confirm, &BOUNDS),
            observers_lost: self.observers.lost(),
            tally: self.statistics.totals(),
            tasks: self.queues.runtime().metrics().num_alive_tasks() as u64,
            log: Log {
                syncs: store.syncs,
                sync_seconds: store.sync_micros as f64 / 1e6,
                writes: store.writes,
                written: store.log_bytes_written,
                waiting: store.pending_bytes,
                at_rest: store.rest_bytes,
                segment_bytes: store.segment_bytes,
                segments: store.segments,
            },
            ..Node::default()
        }
    }

    fn queue_facts(&self, page: &Page) -> Vec<Queue> {
        let mut queues = self.queues.all();
        queues.retain(|queue| page.shows_vhost(&queue.spec.vhost));
        queues.iter().filter_map(|queue| queue_facts(queue)).collect()
    }

    fn client_facts(&self, page: &Page) -> (Vec<Connection>, Vec<Channel>) {
        let (mut connections, mut channels) = (Vec::new(), Vec::new());
        for client in self.connections.all() {
            if !client.vhost().is_some_and(|vhost| page.shows_vhost(&vhost)) {
                continue;
            }
            let name = client.name();
            let mut out = client.outbox.lock();
            let numbers = out.channel_numbers();
            connections.push(Connection {
                labels: vec![("channel", name.clone())],
                tally: client.outbox.stats.totals(),
                channels: numbers.len() as u64,
            });
            channels.extend(numbers.into_iter().filter_map(|number| {
                let channel = out.channel(number)?;
                let confirms = channel.confirms.as_ref();
                let uncommitted = channel.uncommitted.as_deref();
                let held_back = |of: fn(&Uncommitted) -> &AtomicU64| {
                    uncommitted.map_or(0, |uncommitted| of(uncommitted).load(Ordering::Relaxed))
                };
                Some(Channel {
                    labels: vec![("channel", format!("{name} ({number})"))],
                    tally: channel.stats.totals(),
                    consumers: channel.consumers.len() as u64,
                    unacked: channel.unacked() as u64,
                    unconfirmed: confirms.map_or(0, |confirms| confirms.waiting() as u64),
                    uncommitted: held_back(|uncommitted| &uncommitted.messages),
                    uncommitted_acks: held_back(|uncommitted| &uncommitted.acks),
                    prefetch: channel.consumer_prefetch.unwrap_or(0).into(),
                    channel_prefetch: channel.prefetch.unwrap_or(0).into(),
                })
            }));
            out.finish();
        }
        (connections, channels)
    }

    fn traffic_facts(&self, page: &Page, facts: &mut Facts) {
        let deleted = self.queues.deleted.lock();
        let all = [QueueType::Classic, QueueType::Quorum, QueueType::Stream];
        let mut types = all.map(|kind| (kind, deleted.of_type(kind)));
        let queues = self.queues.all();
        drop(deleted);
        for queue in queues {
            let tally = queue.stats.totals();
            if tally == Tally::default() {
                continue;
            }
            let own = types.iter_mut().find(|(kind, _)| *kind == queue.spec.queue_type);
            if let Some((_, all)) = own {
                all.add(&tally);
            }
            if page.shows_vhost(&queue.spec.vhost) {
                let labels = labels(&queue);
                facts.queue_traffic.push(Traffic {
                    labels,
                    delivered: tally.deliver_get(),
                    tally,
                });
            }
        }
        for (kind, tally) in types {
            facts.node.queue_tally.add(&tally);
            let name = format!("rabbit_{}_queue", type_name(kind));
            let labels = vec![("protocol", AMQP.to_owned()), ("queue_type", name)];
            facts.type_traffic.push(Traffic {
                labels,
                delivered: tally.deliver_get(),
                tally,
            });
        }
        // What the stream protocol delivers has no acknowledgement, and is none of the ways of AMQP.
        let name = format!("rabbit_{}_queue", type_name(QueueType::Stream));
        facts.type_traffic.push(Traffic {
            labels: vec![("protocol", STREAM.to_owned()), ("queue_type", name)],
            delivered: self.statistics.streaming().delivered(),
            tally: Tally::default(),
        });
        let vhosts = self.vhosts.all();
        for vhost in vhosts.iter().filter(|vhost| page.shows_vhost(&vhost.name)) {
            let all = vhost.counted_exchanges().into_iter();
            facts.exchange_traffic.extend(all.map(|(exchange, stats)| Traffic {
                labels: vec![("vhost", vhost.name.to_string()), ("exchange", exchange.to_string())],
                tally: stats.totals(),
                delivered: 0,
            }));
        }
    }

    /// The clients that speak the stream protocol.
    fn stream_protocol_facts(&self) -> Protocol {
        let traffic = self.statistics.streaming();
        let tally = Tally::default()
            .with(Measure::Publish, traffic.received())
            .with(Measure::PublishToConfirm, traffic.received())
            .with(Measure::Confirm, traffic.confirmed());
        let clients = self.connections.all();
        let counts = clients
            .iter()
            .filter_map(|client| Some(client.streaming.get()?.counts()));
        let (publishers, consumers) = counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        Protocol {
            labels: vec![("protocol", STREAM.to_owned())],
            tally,
            publishers,
            consumers,
            sizes: None,
        }
    }

    fn stream_facts(&self, page: &Page, facts: &mut Facts) {
        let traffic = self.statistics.streaming();
        facts.stream_errors = vec![StreamErrors {
            labels: vec![("protocol", STREAM.to_owned())],
            counts: (0..=LAST_CODE).map(|code| traffic.refused(code)).collect(),
        }];
        for live in self.queues.streams().all() {
            let subscriptions = live.subscriptions();
            let queue = self.queues.by_id(live.id).filter(|_| !subscriptions.is_empty());
            let Some(queue) = queue.filter(|queue| page.shows_vhost(&queue.spec.vhost)) else {
                continue;
            };
            let end = live.bounds(&queue).map(|bounds| bounds.next);
            let max_lag = subscriptions.iter().map(|one| one.lag(end)).max().unwrap_or(0);
            facts.node.stream_max_lag = facts.node.stream_max_lag.max(max_lag);
            let labels = labels(&queue);
            facts.streams.push(Stream { labels, max_lag });
        }
    }

    fn death_facts(&self) -> Vec<Deaths> {
        let ways = [
            (QueueType::Classic, Dying::AtMostOnce, "at_most_once"),
            (QueueType::Classic, Dying::Disabled, "disabled"),
            (QueueType::Quorum, Dying::AtLeastOnce, "at_least_once"),
            (QueueType::Quorum, Dying::AtMostOnce, "at_most_once"),
            (QueueType::Quorum, Dying::Disabled, "disabled"),
        ];
        let rows = ways.map(|(kind, way, name)| {
            let died = |reason| self.queues.deaths.read(kind, way, reason);
            Deaths {
                labels: vec![
                    ("queue_type", format!("rabbit_{}_queue", type_name(kind))),
                    ("dead_letter_strategy", name.to_owned()),
                ],
                rejected: died(DeathReason::Rejected),
                expired: died(DeathReason::Expired),
                max_length: died(DeathReason::MaxLen),
                delivery_limit: died(DeathReason::DeliveryLimit),
                confirmed: match way {
                    Dying::AtLeastOnce => self.queues.deaths.confirmed(),
                    Dying::AtMostOnce | Dying::Disabled => 0,
                },
            }
        });
        rows.into()
    }

    fn group_facts(&self, page: &Page) -> Vec<Group> {
        let members = self.replicas.all().into_iter();
        let of_queues = members.filter_map(|(id, group)| {
            let queue = self.queues.by_id(id)?;
            page.shows_vhost(&queue.spec.vhost)
                .then(|| group_facts(labels(&queue), &group.status()))
        });
        let labels = vec![("raft_cluster", CATALOGUE.to_owned())];
        let catalogue = group_facts(labels, &self.declarations.group().status());
        std::iter::once(catalogue).chain(of_queues).collect()
    }

    fn exchange_facts(&self, page: &Page) -> Vec<Exchange> {
        let catalogue = self.catalogue();
        let vhosts = catalogue.vhosts().filter(|vhost| page.shows_vhost(vhost.name()));
        let exchanges = vhosts.flat_map(|vhost| {
            let exchanges = vhost.exchanges();
            exchanges.map(|exchange| Exchange {
                labels: vec![
                    ("vhost", vhost.name().to_string()),
                    ("exchange", exchange.name.to_string()),
                    ("type", exchange.kind.name().to_owned()),
                ],
                bindings: vhost.bindings_from(&exchange.name).count() as u64,
            })
        });
        exchanges.collect()
    }

    fn vhost_facts(&self, page: &Page) -> Vec<Vhost> {
        let catalogue = self.catalogue();
        let vhosts = catalogue.vhosts().filter(|vhost| page.shows_vhost(vhost.name()));
        let vhosts = vhosts.map(|vhost| Vhost {
            labels: vec![("vhost", vhost.name().to_string())],
            is_running: self.vhosts.get(vhost.name()).is_some(),
        });
        vhosts.collect()
    }

    fn link_facts(&self) -> Vec<Link> {
        let cluster = self.nodes.cluster();
        let peers = cluster.map(|cluster| cluster.peers()).unwrap_or_default();
        peers.into_iter().map(link_facts).collect()
    }
}

/// A queue's numbers, if it is served here.
fn queue_facts(queue: &QueueHandle) -> Option<Queue> {
    let state = queue.state.lock();
    let counts = state.machine.queue()?.counts();
    let capacity = state.capacity();
    drop(state);
    Some(Queue {
        capacity,
        labels: labels(queue),
        ready: counts.ready,
        unacked: counts.unacked,
        discarded: counts.discarded,
        ready_bytes: counts.ready_bytes,
        unacked_bytes: counts.unacked_bytes,
        discarded_bytes: counts.discarded_bytes,
        persistent: counts.persistent,
        persistent_bytes: counts.persistent_bytes,
        paged_out: counts.paged_out,
        memory: counts.memory_bytes,
        consumers: counts.consumers,
    })
}

fn labels(queue: &QueueHandle) -> Labels {
    vec![
        ("vhost", queue.spec.vhost.to_string()),
        ("queue", queue.spec.name.to_string()),
    ]
}

/// The clients that speak AMQP 0-9-1.
fn protocol_facts(facts: &Facts) -> Protocol {
    let channels = &facts.channels;
    Protocol {
        labels: vec![("protocol", AMQP.to_owned())],
        tally: facts.node.tally.clone(),
        publishers: channels
            .iter()
            .filter(|channel| channel.tally[Measure::Publish] > 0)
            .count() as u64,
        consumers: channels.iter().map(|channel| channel.consumers).sum(),
        sizes: None,
    }
}

fn group_facts(labels: Labels, status: &GroupStatus) -> Group {
    let is_leader = status.leadership.role == Role::Leader;
    let written = status.last_index.unwrap_or(0);
    let behind = status.matched.values().map(|index| index.unwrap_or(0)).min();
    Group {
        labels,
        term: status.leadership.term,
        is_leader,
        snapshot: status.snapshot.unwrap_or(0),
        applied: status.applied.unwrap_or(0),
        committed: status.committed.unwrap_or(0),
        written,
        log_bytes: status.log_bytes,
        commit_seconds: if is_leader {
            status.commit_latency.as_secs_f64()
        } else {
            0.0
        },
        lag: behind.filter(|_| is_leader).map(|index| written.saturating_sub(index)),
    }
}

fn link_facts(peer: PeerView) -> Link {
    Link {
        labels: vec![("peer", peer.name)],
        is_up: peer.health == Health::Up,
        round_trip_seconds: peer.round_trip.map(|time| time.as_secs_f64()),
    }
}
