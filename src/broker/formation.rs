//! How a node comes to its cluster: it founds one, or is a member of one already.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::random;
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;

use super::Broker;
use super::control::{CONTROL, ControlService};
use super::recovery::StartError;
use crate::cluster::hello::{Class, Span, Versions};
use crate::cluster::identity::ClusterId;
use crate::cluster::rpc::Services;
use crate::cluster::secret::SharedSecret;
use crate::cluster::{Cluster, LINK, Settings};
use crate::journal::raft::{Election, GroupError, RAFT, RaftService, Role};
use crate::metadata::Command;
use crate::types::NodeId;

/// How long a node that starts waits for the others before it says that it does.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the catalogue's log and the other nodes are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The smallest log of the catalogue that is worth a snapshot, in bytes.
const SNAPSHOT_FROM: u64 = 1024 * 1024;

/// What this version's nodes exchange.
fn versions() -> Versions {
    Versions {
        link: LINK,
        entries: Span::only(1),
        snapshots: Span::only(1),
        catalogue: Span::only(1),
    }
}

impl Broker {
    /// Links this node to the others.
    ///
    /// # Errors
    /// When there is no secret, or what is known of the others cannot be read.
    pub fn link(self: &Arc<Self>, listener: TcpListener) -> Result<(), StartError> {
        let failed = |error: &dyn std::fmt::Display| StartError::Links(error.to_string());
        let directory = &self.config.node.data_dir;
        let listening = listener.local_addr().map_err(|error| failed(&error))?;
        let secret = SharedSecret::find(&self.config.cluster, directory, |bytes| rand::fill(bytes));
        let secret = secret.map_err(|error| failed(&error))?;
        let settings = Settings::of(&self.config, listening, versions());
        // What else nodes ask of one another is added here.
        let services = Services::default()
            .serve(RAFT, Class::Data, Arc::new(RaftService(self.nodes.links().clone())))
            .serve(CONTROL, Class::Control, Arc::new(ControlService(Arc::downgrade(self))));
        self.nodes.at(&settings.advertise);
        let identity = self.identity.lock();
        let cluster = Cluster::start(settings, &identity, secret, services, listener, directory);
        drop(identity);
        self.nodes.join(cluster.map_err(|error| failed(&error))?);
        Ok(())
    }

    /// Finds the cluster, learns what is declared, and makes it live.
    ///
    /// # Errors
    /// When the group of the catalogue cannot be founded, or the node cannot write.
    pub async fn start(self: &Arc<Self>) -> Result<(), StartError> {
        self.belong().await?;
        while let Err(error) = self.catch_up(Instant::now() + PATIENCE).await {
            if self.has_failed() {
                return Err(error.into());
            }
            tracing::warn!(%error, "waiting for the other nodes of the cluster");
        }
        self.begin_run().await?;
        self.go_live();
        Ok(())
    }

    /// A node without a cluster founds one.
    async fn belong(&self) -> Result<(), StartError> {
        let group = self.catalogue();
        let is_member = self.identity.lock().cluster().is_some();
        let alone = group.status().voters.iter().eq([&self.nodes.us()]);
        if !is_member && !alone {
            self.found().await?;
        }
        if !is_member {
            let cluster = ClusterId(random::<u64>().max(1));
            self.identity.lock().belong_to(Some(cluster))?;
            if let Some(links) = self.nodes.cluster() {
                links.belong_to(Some(cluster));
            }
        }
        if alone && is_member || alone {
            self.elect_itself().await?;
        }
        Ok(())
    }

    async fn found(&self) -> Result<(), StartError> {
        match self.catalogue().found([self.nodes.us()]).await {
            Ok(()) => Ok(()),
            Err(error) => Err(StartError::Links(error.to_string())),
        }
    }

    /// The only voter needs nobody's leave.
    async fn elect_itself(&self) -> Result<(), StartError> {
        let group = self.catalogue();
        let mut watch = group.watch();
        if watch.now().role == Role::Leader {
            return Ok(());
        }
        let failed = |error: GroupError| StartError::Links(error.to_string());
        group.elect(Election::LeaderSilent).await.map_err(failed)
    }

    /// What ended with the run before this one goes; a new cluster gets what it begins with.
    async fn begin_run(self: &Arc<Self>) -> Result<(), StartError> {
        let us = self.nodes.us();
        let known = self.catalog.read().nodes().get(&us).cloned();
        let is_first = self.catalog.read().nodes().is_empty();
        let mut commands = match is_first {
            true => self.first_commands(),
            false => vec![Command::EndRun(us)],
        };
        let address = self.nodes.address();
        if known.is_none_or(|known| known.name != self.node.name || known.address != address) {
            commands.push(Command::PutNode {
                node: us,
                name: self.node.name.clone(),
                address,
            });
        }
        Ok(self.commands(commands).await?)
    }

    /// Looks after the catalogue's log, until the task is dropped.
    pub async fn run_catalogue(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let log = self.catalogue().log_bytes();
            let last = self.snapshot_bytes.load(std::sync::atomic::Ordering::Relaxed);
            if log > SNAPSHOT_FROM
                && log > 2 * last
                && let Err(error) = self.catalogue().snapshot().await
            {
                tracing::error!(%error, "no snapshot of the catalogue");
            }
        }
    }

    /// Leaves the other nodes in order: no group of this node goes on.
    pub async fn leave(&self) {
        let group = self.catalogue();
        if group.is_leader()
            && let Some(other) = self.heir()
            && let Err(error) = group.transfer_leader(other).await
        {
            tracing::warn!(%error, "the catalogue was not handed over");
        }
        group.shutdown().await;
        if let Some(cluster) = self.nodes.cluster() {
            cluster.stop().await;
        }
    }

    /// The voter that is to lead when this node goes.
    fn heir(&self) -> Option<NodeId> {
        let status = self.catalogue().status();
        let others = status.voters.iter().filter(|node| **node != self.nodes.us());
        let alive = others.filter(|node| self.nodes.is_alive(**node));
        alive
            .max_by_key(|node| status.matched.get(node).copied().flatten())
            .copied()
    }
}
