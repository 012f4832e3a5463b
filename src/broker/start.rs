//! A broker out of what survived: the catalogue's group is opened, and what it says is declared is
//! made live, each queue from what the store kept of it. What the store says afterwards
//! goes to `owners`.

mod owners;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::RwLock;
use rand::random;
use tokio::sync::watch;
use tokio::time::Instant;

use self::owners::{StoreOwners, check_metas};
use super::alarms::Alarms;
use super::catalogue::declarations::{self, Declarations};
use super::cluster::{self, Membership};
use super::nodes::Nodes;
use super::observers::Observers;
use super::publish::delayed;
use super::publish::vhosts::Vhosts;
use super::queue::owners::group_owners;
use super::queue::queues::Queues;
use super::recovered::Recovered;
use super::replicas::Replicas;
use super::reports::{self, Reports};
use super::{Access, Broker, Clock, Connections, Failure, Jobs, Logins, NodeInfo, StartError};
use crate::backends::{BackendError, Backends};
use crate::cluster::identity::{CatalogueMember, Identity};
use crate::cluster::knows_others;
use crate::config::Config;
use crate::journal::raft::{Group, GroupId, GroupSpec, LeaderWatch, Ledgers, OpenError, Pace, Role};
use crate::metadata::replicated::Replicated;
use crate::metadata::{Catalogue, Command};
use crate::spans::Exporter;
use crate::statistics::Statistics;
use crate::store::{Store, StoreOptions};
use crate::tasks;
use crate::types::QueueId;

/// How long a step of a node's start may take before it is said again that it waits.
const PATIENCE: Duration = Duration::from_secs(10);

impl Broker {
    /// Opens the data directory. What was declared is live as far as this node knows it.
    ///
    /// # Errors
    /// [`StartError`]; the data directory is as it was.
    pub async fn open(config: Arc<Config>) -> Result<Arc<Self>, StartError> {
        let backends = Backends::of(&config.auth.backends)?;
        let has_others = knows_others(&config.node.data_dir);
        let open = match has_others {
            true => Store::open_with_others,
            false => Store::open,
        };
        let (store, recovered) = open(&config.node.data_dir, StoreOptions::default())?;
        for (owner, ledger) in &recovered.owners {
            check_metas(*owner, &ledger.entries)?;
        }
        if recovered.unknown_damage {
            tracing::error!(
                "part of the log is damaged and cannot be told to belong to any queue: all may have lost some of theirs"
            );
        }
        let identity = Identity::open(&config.node.data_dir, &config.node.name, random)?;
        let clock = Clock::start();
        let name = config.node.name.clone();
        let heard = Arc::new(OnceLock::<Weak<Declarations>>::new());
        let listening = heard.clone();
        let catalogue = Arc::new(RwLock::new(Catalogue::new()));
        let place = catalogue.clone();
        let machine = move || {
            let listening = listening.clone();
            let listener = Box::new(move |catalogue: &Catalogue, news| {
                let declarations = listening.get()?.upgrade()?;
                declarations.on_news(catalogue, news)
            });
            Replicated::over(place.clone(), listener)
        };
        let nodes = Arc::new(Nodes::new(identity.id(), store.clone()));
        let (spans, exporter) = Exporter::of(&config).map_err(BackendError::from)?.unzip();
        if let Some(exporter) = exporter {
            // It ends when nobody hands in spans any more.
            tasks::spawn("spans", exporter.run());
        }
        let observers = Arc::new(Observers::new(spans));
        let queues = Arc::new(Queues::new(
            config.clone(),
            clock,
            store.clone(),
            nodes.clone(),
            catalogue.clone(),
            observers.clone(),
        ));
        let connections = Arc::new(Connections::default());
        let vhosts = Arc::new(Vhosts::new(
            config.clone(),
            store.clone(),
            nodes.clone(),
            catalogue.clone(),
            connections.clone(),
            observers.clone(),
            queues.clone(),
        ));
        let node = Arc::new(NodeInfo {
            cluster_name: config.cluster.name.clone().unwrap_or_else(|| name.clone()),
            name,
            started_at: clock.now(),
        });
        let recovered = Arc::new(Recovered::new(
            store.clone(),
            recovered.owners,
            recovered.unknown_damage,
            has_others,
        ));
        let alarms = Arc::new(Alarms::new(&config.resources));
        let logins = Arc::new(Logins::default());
        let statistics = Arc::new(Statistics::new(
            u64::from(config.management.rate_interval_ms) / 1000,
            !config.management.keep_no_statistics,
        ));
        let declarations = Arc::new(Declarations::new(declarations::Parts {
            config: config.clone(),
            store: store.clone(),
            nodes: nodes.clone(),
            alarms: alarms.clone(),
            connections: connections.clone(),
            statistics: statistics.clone(),
            observers: observers.clone(),
            recovered: recovered.clone(),
            queues: queues.clone(),
            vhosts: vhosts.clone(),
            catalogue,
        }));
        let access = Arc::new(Access::new(backends, clock, declarations.clone()));
        let replicas = Arc::new(Replicas::new(
            config.clone(),
            store.clone(),
            nodes.clone(),
            alarms.clone(),
            recovered.clone(),
            queues.clone(),
            declarations.clone(),
        ));
        let membership = Arc::new(Membership::new(cluster::Parts {
            config: config.clone(),
            node: node.clone(),
            nodes: nodes.clone(),
            alarms: alarms.clone(),
            logins: logins.clone(),
            connections: connections.clone(),
            queues: queues.clone(),
            vhosts: vhosts.clone(),
            declarations: declarations.clone(),
            replicas: replicas.clone(),
            identity,
        }));
        let reports = Arc::new(Reports::new(reports::Parts {
            config: config.clone(),
            node: node.clone(),
            store: store.clone(),
            nodes: nodes.clone(),
            alarms: alarms.clone(),
            logins: logins.clone(),
            observers: observers.clone(),
            connections: connections.clone(),
            statistics: statistics.clone(),
            queues: queues.clone(),
            vhosts: vhosts.clone(),
            declarations: declarations.clone(),
            replicas: replicas.clone(),
            membership: membership.clone(),
        }));
        let jobs = Arc::new(Jobs::new(
            node.clone(),
            nodes.clone(),
            queues.clone(),
            vhosts.clone(),
            declarations.clone(),
        ));
        let broker = Arc::new(Self {
            config,
            node,
            clock,
            store,
            nodes,
            alarms,
            observers,
            logins,
            connections,
            statistics,
            recovered,
            queues,
            vhosts,
            declarations,
            access,
            replicas,
            membership,
            reports,
            jobs,
            // Unique in the cluster: exclusive queues are known by their connection everywhere.
            next_connection: AtomicU64::new((u64::from(random::<u32>()) << 32) | 1),
            failed: watch::Sender::new(None),
        });
        let above: Weak<Self> = Arc::downgrade(&broker);
        broker.queues.stand_below(above.clone());
        broker.declarations.stand_below(above);
        broker.store.start(Arc::new(StoreOwners(Arc::downgrade(&broker))));
        // It is empty until here.
        let _ = heard.set(Arc::downgrade(&broker.declarations));
        let group = broker.open_catalogue(machine).await?;
        broker.declarations.set_group(group);
        Ok(broker)
    }

    /// Opens this node's member of the catalogue's group. Where it is damaged and there are others, a
    /// new one in its place, which hears nobody yet ([`Membership::mend_catalogue`]).
    async fn open_catalogue(
        self: &Arc<Self>,
        machine: impl Fn() -> Replicated,
    ) -> Result<Group<Replicated>, StartError> {
        let spec = |CatalogueMember { generation, is_out }, is_shut| {
            let (log, snapshots) = group_owners(QueueId(0), generation);
            GroupSpec {
                id: GroupId(0),
                log,
                snapshots,
                pace: match is_out {
                    true => Pace::Joining,
                    false => Pace::Ticking,
                },
                is_shut,
            }
        };
        let member = self.membership.catalogue_member();
        let can_be_had_again = self.membership.belongs() && self.recovered.has_others();
        let own = spec(member, false);
        let mut ledgers = Ledgers {
            log: self.recovered.take(own.log),
            snapshots: self.recovered.take(own.snapshots),
            ..Ledgers::default()
        };
        if !can_be_had_again && self.recovered.has_lost_records() {
            // It may be whole all the same, and nobody has more of it.
            for (owner, ledger) in [(own.log, &mut ledgers.log), (own.snapshots, &mut ledgers.snapshots)] {
                self.store.accept_damage(owner);
                if let Some(ledger) = ledger {
                    ledger.damaged = false;
                }
            }
        }
        let is_missing = ledgers.log.is_none() && self.recovered.has_lost_records();
        let journals = self.nodes.journals();
        if !(is_missing && can_be_had_again) {
            match journals.open(own, ledgers, machine()).await {
                Err(OpenError::Damaged(..) | OpenError::Panicked(_)) if can_be_had_again => {}
                opened => return Ok(opened?),
            }
        }
        let next = CatalogueMember {
            generation: member.generation + 1,
            is_out: true,
        };
        self.membership.renew_as(next);
        let opened = journals.open(spec(next, true), Ledgers::default(), machine());
        Ok(opened.await?)
    }

    /// Waits until this node knows all that was declared anywhere before, and what its last run
    /// left behind is gone. Then clients may be served.
    pub async fn catch_up(self: &Arc<Self>) {
        self.membership.mend_catalogue().await;
        tasks::spawn(
            "catalogue",
            watch_catalogue(Arc::downgrade(self), self.declarations.group().watch()),
        );
        self.declarations.lead_alone().await;
        let mut since = Instant::now();
        while !self
            .declarations
            .is_caught_up(Instant::now() + Duration::from_secs(2))
            .await
        {
            if since.elapsed() > PATIENCE {
                tracing::warn!("waiting for a majority of the cluster's nodes");
                since = Instant::now();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let us = self.nodes.us();
        while self.declarations.has_left(us) && self.declarations.command(Command::EndRun(us)).await.is_err() {
            tracing::warn!("waiting for a majority of the cluster's nodes");
        }
        self.declarations.go_live();
        self.recovered.lost_records_are_known();
        self.membership.look_around(&self.catalogue());
        for (owner, ledger) in self.recovered.take_rest() {
            if ledger.damaged && !self.recovered.has_others() {
                tracing::error!(
                    owner = owner.0,
                    "damaged records are kept of which is not known what they were: that may be lost, too"
                );
            } else if delayed::is_exchange(owner) {
                self.vhosts.delayed.recover(None, owner, ledger);
            } else {
                // Its queue was deleted, and the node stopped before the store had heard of it.
                self.store.forget(owner);
            }
        }
    }
}

/// Ends the node when its member of the catalogue's group has stopped by itself: what it knows may be
/// half of a change, or what it has cannot be read. The next start reads it again, or has it from the
/// other nodes. While it would only lack it, and nobody else has it, the node goes on with what it knows.
async fn watch_catalogue(broker: Weak<Broker>, mut group: LeaderWatch) {
    // It returns when the group stops, whatever that is called.
    group.until(|now| now.role == Role::Stopped).await;
    let Some(broker) = broker.upgrade() else { return };
    let group = broker.declarations.group();
    if !broker.nodes.journals().is_open(group.id()) || broker.has_failed() {
        return;
    }
    if group.has_panicked() {
        return broker.fail(Failure::Catalogue("the catalogue panicked over a change"));
    }
    if group.has_lost() && group.status().voters.len() > 1 {
        broker.store.note_damage([group.spec().log]);
        // Where even this fails the node ends all the same.
        let _ = broker.synced().await;
        broker.fail(Failure::Catalogue("part of its log cannot be read"));
    }
}
