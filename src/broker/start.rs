//! A broker out of what survived: the catalogue's group is opened, and what it says is declared is
//! made live, each queue from what the store kept of it. How a cluster begins is in `first`, what the store
//! says afterwards goes to `owners`.

mod first;
mod owners;

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rand::random;
use tokio::sync::watch;
use tokio::time::Instant;

use self::owners::{StoreOwners, check_metas};
use super::alarms::Alarms;
use super::nodes::Nodes;
use super::observers::Observers;
use super::publish::delayed;
use super::publish::vhosts::Vhosts;
use super::queue::owners::group_owners;
use super::queue::queues::Queues;
use super::replicas::mending::Damage;
use super::{Broker, Clock, Connections, Failure, NodeInfo, StartError};
use crate::cluster;
use crate::cluster::identity::{CatalogueMember, Identity};
use crate::config::Config;
use crate::journal::raft::{Election, Group, GroupId, GroupSpec, LeaderWatch, Ledgers, OpenError, Pace, Role};
use crate::metadata::replicated::Replicated;
use crate::metadata::{Catalogue, Command};
use crate::statistics::Statistics;
use crate::store::{OwnerId, OwnerLedger, Store, StoreOptions};
use crate::tasks;
use crate::types::{NodeId, QueueId};

/// How long a step of a node's start may take before it is said again that it waits.
const PATIENCE: Duration = Duration::from_secs(10);

impl Broker {
    /// Opens the data directory. What was declared is live as far as this node knows it.
    ///
    /// # Errors
    /// [`StartError`]; the data directory is as it was.
    pub async fn open(config: Arc<Config>) -> Result<Arc<Self>, StartError> {
        let has_others = cluster::knows_others(&config.node.data_dir);
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
        let heard = Arc::new(OnceLock::<Weak<Self>>::new());
        let listening = heard.clone();
        let catalogue = Arc::new(RwLock::new(Catalogue::new()));
        let place = catalogue.clone();
        let machine = move || {
            let listening = listening.clone();
            let listener = Box::new(move |catalogue: &Catalogue, news| {
                let broker = listening.get()?.upgrade()?;
                broker.on_news(catalogue, news)
            });
            Replicated::over(place.clone(), listener)
        };
        let nodes = Arc::new(Nodes::new(identity.id(), store.clone()));
        let observers = Arc::new(Observers::default());
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
        let broker = Arc::new(Self {
            node: NodeInfo {
                cluster_name: config.cluster.name.clone().unwrap_or_else(|| name.clone()),
                name,
                started_at: clock.now(),
            },
            clock,
            queues,
            vhosts,
            nodes,
            identity: Mutex::new(identity),
            admitting: tokio::sync::Mutex::default(),
            promised: Mutex::default(),
            store,
            catalogue,
            catalogue_group: OnceLock::new(),
            live: watch::Sender::new(false),
            recovered: Mutex::new(recovered.owners),
            damage: Damage::new(recovered.unknown_damage, has_others),
            replicas: Default::default(),
            repair: Default::default(),
            elections: Default::default(),
            jobs: Default::default(),
            connections,
            observers,
            statistics: Arc::new(Statistics::new(
                u64::from(config.management.rate_interval_ms) / 1000,
                !config.management.keep_no_statistics,
            )),
            listeners: Mutex::default(),
            describe: Mutex::default(),
            logins: Default::default(),
            alarms: Alarms::new(&config.resources),
            reach: watch::Sender::default(),
            duty: watch::Sender::default(),
            takes_clients: watch::Sender::new(true),
            // Unique in the cluster: exclusive queues are known by their connection everywhere.
            next_connection: AtomicU64::new((u64::from(random::<u32>()) << 32) | 1),
            failed: watch::Sender::new(None),
            draining: AtomicBool::new(false),
            config,
        });
        let above: Weak<Self> = Arc::downgrade(&broker);
        broker.queues.stand_below(above);
        broker.store.start(Arc::new(StoreOwners(Arc::downgrade(&broker))));
        // It is empty until here.
        let _ = heard.set(Arc::downgrade(&broker));
        let group = broker.open_catalogue(machine).await?;
        // It was empty until now.
        let _ = broker.catalogue_group.set(group);
        Ok(broker)
    }

    /// Opens this node's member of the catalogue's group. Where it is damaged and there are others, a
    /// new one in its place, which hears nobody yet ([`Broker::mend_catalogue`]).
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
        let member = self.identity.lock().catalogue();
        let can_be_had_again = self.belongs() && self.damage.has_others();
        let own = spec(member, false);
        let mut ledgers = Ledgers {
            log: self.take_recovered(own.log),
            snapshots: self.take_recovered(own.snapshots),
            ..Ledgers::default()
        };
        if !can_be_had_again && self.has_lost_records() {
            // It may be whole all the same, and nobody has more of it.
            for (owner, ledger) in [(own.log, &mut ledgers.log), (own.snapshots, &mut ledgers.snapshots)] {
                self.store.accept_damage(owner);
                if let Some(ledger) = ledger {
                    ledger.damaged = false;
                }
            }
        }
        let is_missing = ledgers.log.is_none() && self.has_lost_records();
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
        self.damage.set_catalogue(next);
        let opened = journals.open(spec(next, true), Ledgers::default(), machine());
        Ok(opened.await?)
    }

    /// Whether the node belongs to a cluster, be it of its own.
    pub fn belongs(&self) -> bool {
        self.identity.lock().cluster().is_some()
    }

    /// A node that is the only voter need not wait for its election.
    async fn lead_alone(&self) {
        let group = self.catalogue_group();
        let voters = group.status().voters;
        if voters.len() != 1 || !voters.contains(&self.nodes.us()) {
            return;
        }
        let mut watch = group.watch();
        while watch.now().leader.is_none() {
            if let Err(error) = group.elect(Election::LeaderSilent).await {
                tracing::error!(%error, "the catalogue has no leader");
                return;
            }
            let led = watch.until(|now| now.leader.is_some());
            if matches!(tokio::time::timeout(Duration::from_secs(1), led).await, Ok(false)) {
                return;
            }
        }
    }

    /// Waits until this node knows all that was declared anywhere before, and what its last run
    /// left behind is gone. Then clients may be served.
    pub async fn catch_up(self: &Arc<Self>) {
        self.mend_catalogue().await;
        tasks::spawn(
            "catalogue",
            watch_catalogue(Arc::downgrade(self), self.catalogue_group().watch()),
        );
        self.lead_alone().await;
        let mut since = Instant::now();
        while !self.is_caught_up(Instant::now() + Duration::from_secs(2)).await {
            if since.elapsed() > PATIENCE {
                tracing::warn!("waiting for a majority of the cluster's nodes");
                since = Instant::now();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let us = self.nodes.us();
        while self.has_left(us) && self.command(Command::EndRun(us)).await.is_err() {
            tracing::warn!("waiting for a majority of the cluster's nodes");
        }
        self.go_live();
        self.lost_records_are_known();
        self.look_around(&self.catalogue());
        for (owner, ledger) in std::mem::take(&mut *self.recovered.lock()) {
            if ledger.damaged && !self.damage.has_others() {
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

    /// Whether anything is declared for a run of that node.
    pub(super) fn has_left(&self, node: NodeId) -> bool {
        let catalogue = self.catalogue();
        catalogue.vhosts().any(|vhost| {
            vhost.queues().any(|spec| spec.home == node && spec.is_transient())
                || vhost.exchanges().any(|spec| spec.home == node && !spec.durable)
        })
    }

    /// What the store kept of an owner, once.
    pub(super) fn take_recovered(&self, owner: OwnerId) -> Option<OwnerLedger> {
        self.recovered.lock().remove(&owner)
    }
}

/// Ends the node when its member of the catalogue's group has stopped by itself: what it knows may be
/// half of a change, or what it has cannot be read. The next start reads it again, or has it from the
/// other nodes. While it would only lack it, and nobody else has it, the node goes on with what it knows.
async fn watch_catalogue(broker: Weak<Broker>, mut group: LeaderWatch) {
    // It returns when the group stops, whatever that is called.
    group.until(|now| now.role == Role::Stopped).await;
    let Some(broker) = broker.upgrade() else { return };
    let group = broker.catalogue_group();
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
