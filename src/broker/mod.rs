//! What a node can be asked to do: the machines joined to their journals.
//!
//! [`Broker`] holds what is declared (the catalogue, behind one lock, changed by commands only),
//! the live virtual hosts with their routers and queues, and the connections. Locks are taken in
//! the order catalogue → vhost → router → queue → store → outbox, and none is held over an await.
//!
//! What it does stands in rooms, each of which imports only those before it: [`delivery`], [`queue`],
//! [`publish`], [`catalogue`], [`replicas`], [`cluster`], [`reports`], [`jobs`]; `tests/layers.rs` holds that.
//!
//! ```text
//! publish → Publisher (routes, batches) → QueueHandle::publish → ClusteredQueue decides → QueueSink
//!                                              │ records → Store, or the queue's group
//!                                              └ effects → outboxes, other nodes, Deferred → effects.rs
//! ```

pub mod alarms;
mod clock;
mod error;
mod logins;
mod nodes;
pub mod observers;
mod start;
mod timers;

pub mod catalogue;
pub mod cluster;
pub mod delivery;
pub mod jobs;
pub mod publish;
pub mod queue;
pub mod replicas;
pub mod reports;

#[cfg(test)]
mod simulation;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use alarms::Alarms;
pub use catalogue::new_vhost;
pub use cluster::control::FORMAT as REQUESTS;
pub use cluster::formation::JoinError;
pub use cluster::links::LinksError;
pub use cluster::majority::Reach;
pub use cluster::report;
pub use cluster::streams::StreamMember;
pub use delivery::connections;
pub use delivery::outbox::{Control, Outstanding, Uncommitted};
pub use error::{BrokerError, Failure, Forced, LimitError, StartError};
pub use logins::Logins;
pub use nodes::NodeInfo;
pub use observers::Observers;
pub use publish::route::Explained;
pub use publish::vhosts::{Vhost, Vhosts};
pub use publish::{moving, reply_to};
pub use queue::asking::DEADLINE;
pub use queue::clients::{ChannelOut, ConnectionInfo, Connections, Consumer, OutGuard, Outbox};
pub use queue::delivery_count::with_delivery_count;
pub use queue::handle::QueueHandle;
pub use queue::{joint, leaving, matching, peeking};
pub use replicas::members;
pub use replicas::quarantine;
pub use reports::{diagnosis, gather, notices, process};

// Words of what lies below that whoever serves clients needs.
pub use crate::exchange::Why;
pub use crate::metadata::{CatalogueError, Command};
pub use crate::queue::{Get, Outcome, Slot};

use crate::auth::Rights;
use crate::auth::rights::Verdict;
pub use crate::backends::Admitted;
use crate::backends::{Attempt, Backends};
use crate::cluster::identity::Identity;
pub use crate::cluster::ticket::SCHEME as TICKET;
use crate::config::Config;
use crate::declare::QueueRules;
use crate::journal::raft::Group;
use crate::listen::Tls;
pub use crate::metadata::Catalogue;
use crate::metadata::replicated::Replicated;
use crate::pem::Certificate;
use crate::spec::QueueType;
use crate::statistics::Statistics;
use crate::store::{OwnerId, OwnerLedger, Store, StoreError};
use crate::types::{ConnectionId, NodeId, QueueId, Timestamp, UserName, VhostName};
use clock::Clock;
use nodes::Nodes;
use publish::reply_to::ReplyTo;
use queue::contents::Contents;
use queue::effects::{DeadLetter, Work};
use queue::queues::{Above, Queues};
use replicas::elections::Elections;
use replicas::open::Replicas;

/// How often something is done again because a question came up.
pub const ROUNDS: usize = 8;

/// The broker of this node.
pub struct Broker {
    config: Arc<Config>,
    node: NodeInfo,
    clock: Clock,
    store: Store,
    nodes: Arc<Nodes>,
    queues: Arc<Queues>,
    vhosts: Arc<Vhosts>,
    identity: Mutex<Identity>,
    /// Whom this node lets begin a cluster, and since when.
    /// Members of the cluster change one at a time.
    admitting: tokio::sync::Mutex<()>,
    promised: Mutex<Option<(NodeId, tokio::time::Instant)>>,
    /// What is declared: written by the catalogue's group only.
    catalogue: Arc<RwLock<Catalogue>>,
    catalogue_group: OnceLock<Group<Replicated>>,
    /// What is declared is live; changed while the catalogue is locked.
    live: watch::Sender<bool>,
    /// What the store kept, until its owner is declared.
    recovered: Mutex<HashMap<OwnerId, OwnerLedger>>,
    damage: replicas::mending::Damage,
    replicas: Replicas,
    /// The nodes of the cluster are others: queues may need members.
    repair: tokio::sync::Notify,
    elections: Elections,
    jobs: jobs::Jobs,
    connections: Arc<Connections>,
    statistics: Arc<Statistics>,
    /// Where this node listens, as other nodes are told.
    listeners: Mutex<Vec<report::Listener>>,
    /// How it is, as they are told; none while it does not serve clients.
    describe: Mutex<Option<gather::Describe>>,
    /// How its listeners speak TLS, those that do.
    logins: Logins,
    /// Who knows users besides the catalogue.
    backends: Backends,
    /// How TLS is spoken with clients, by kind of listener.
    tls: Mutex<Vec<Tls>>,
    observers: Arc<Observers>,
    alarms: Alarms,
    reach: watch::Sender<Reach>,
    /// What the operator wants of the node.
    duty: watch::Sender<cluster::maintenance::Duty>,
    /// What follows from both.
    takes_clients: watch::Sender<bool>,
    /// It was told to stop, and serves its clients a little longer.
    draining: AtomicBool,
    next_connection: AtomicU64,
    /// Why nothing more can be promised.
    failed: watch::Sender<Option<Failure>>,
}

impl Broker {
    /// The node's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the configuration says about declaring queues.
    pub fn queue_rules(&self) -> QueueRules {
        let queues = &self.config.queues;
        let default_type = match queues.default_type.as_str() {
            "quorum" => QueueType::Quorum,
            "stream" => QueueType::Stream,
            _ => QueueType::Classic,
        };
        QueueRules {
            default_type,
            relaxed_redeclaration: queues.relaxed_redeclaration,
            limit: self.config.limits.cluster_queue_limit,
        }
    }

    /// This node as others see it.
    pub fn node(&self) -> &NodeInfo {
        &self.node
    }

    /// What is declared; not to be held over an await or while a command is sent.
    pub fn catalogue(&self) -> RwLockReadGuard<'_, Catalogue> {
        self.catalogue.read()
    }

    /// The live virtual host of that name.
    pub fn vhost(&self, name: &str) -> Option<Arc<Vhost>> {
        self.vhosts.get(name)
    }

    /// The nodes of the cluster, as this one sees them.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// The queues, as this node knows them.
    pub fn queues(&self) -> &Arc<Queues> {
        &self.queues
    }

    /// The virtual hosts that are live, in which clients publish.
    pub fn vhosts(&self) -> &Arc<Vhosts> {
        &self.vhosts
    }

    /// The client connections.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// What was counted on this node, and how it was.
    pub fn statistics(&self) -> &Arc<Statistics> {
        &self.statistics
    }

    /// Who is signed in, and who tried.
    pub fn logins(&self) -> &Logins {
        &self.logins
    }

    /// Those who are told of events and of messages.
    pub fn observers(&self) -> &Observers {
        &self.observers
    }

    /// Memory and disk.
    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// Reply queues of clients that consume from `amq.rabbitmq.reply-to`.
    pub fn reply_to(&self) -> &ReplyTo {
        &self.vhosts.reply_to
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether the node has failed and no longer takes anything.
    pub fn has_failed(&self) -> bool {
        self.failed.borrow().is_some()
    }

    /// Waits until the node has failed. It is to end then: it is of no use to anybody, and others
    /// lead in its place.
    pub async fn failed(&self) -> Failure {
        let mut failed = self.failed.subscribe();
        // An error is the broker dropped, which cannot be while we are here.
        match failed.wait_for(Option::is_some).await.map(|failed| failed.clone()) {
            Ok(Some(failure)) => failure,
            _ => std::future::pending().await,
        }
    }

    /// This node's id in the cluster.
    pub fn us(&self) -> NodeId {
        self.nodes.us()
    }

    /// The queue of that id, as this node knows it.
    fn queue_by_id(&self, id: QueueId) -> Option<Arc<QueueHandle>> {
        self.queues.by_id(id)
    }

    /// All queues, as this node knows them.
    pub fn all_queues(&self) -> Vec<Arc<QueueHandle>> {
        self.queues.all()
    }

    /// A number for a connection that was just accepted.
    pub fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether the disk is so far behind that producers should pause.
    pub fn store_is_behind(&self) -> bool {
        self.store.pressure()
    }

    /// Nothing can be promised any more. No group leads when the other nodes hear of it, which they do
    /// first, so that they lead what this one led.
    fn fail(&self, failure: Failure) {
        let error = match &failure {
            Failure::Disk(error) => error,
            Failure::Catalogue(_) => &StoreError::Stopped,
        };
        self.nodes.journals().failed(error);
        if let Some(links) = self.nodes.cluster() {
            links.leave();
        }
        tracing::error!("{failure}: it ends");
        self.failed.send_replace(Some(failure));
    }

    /// Waits while the disk is behind; at once when it is not.
    pub async fn store_drained(&self) {
        if self.store.pressure() {
            self.store.drained().await;
        }
    }

    /// Waits until everything that was handed to the store so far survives a crash.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn synced(&self) -> Result<(), StoreError> {
        self.queues.synced().await
    }

    /// Clients are served over TLS so.
    pub fn speaks(&self, tls: impl IntoIterator<Item = Tls>) {
        *self.tls.lock() = tls.into_iter().collect();
    }

    /// The certificates that are in use, for clients and between nodes.
    pub fn all_certificates(&self) -> Vec<Certificate> {
        let mut all = self.certificates();
        for certificate in self.tls.lock().iter().flat_map(Tls::certificates) {
            // Listeners of a kind share theirs.
            let is_known = |known: &Certificate| (&known.key, &known.file) == (&certificate.key, &certificate.file);
            if !all.iter().any(is_known) {
                all.push(certificate);
            }
        }
        all
    }

    /// Who knows users besides the catalogue.
    pub fn backends(&self) -> &Backends {
        &self.backends
    }

    /// Lets a user in that a backend knows.
    ///
    /// # Errors
    /// Why nobody does, for the log.
    pub async fn log_in(&self, user: &str, password: Option<&[u8]>, from: IpAddr) -> Result<Admitted, String> {
        let attempt = Attempt {
            user,
            password,
            from: Some(from),
            now: self.now(),
        };
        self.backends
            .log_in(attempt, |user, password| self.internal_tags(user, password))
            .await
    }

    /// The tags of a user of the catalogue, if that is the password or none is asked for.
    fn internal_tags(&self, user: &str, password: Option<&[u8]>) -> Option<Vec<String>> {
        let spec = self.catalogue().user(user).map(|user| user.spec.clone())?;
        let is_right = password.is_none_or(|password| spec.password.matches(password));
        is_right.then_some(spec.tags)
    }

    /// Whether a user may come into a vhost that is there; asks whoever has to be asked.
    pub async fn may_enter(&self, user: &UserName, rights: &Rights, vhost: &VhostName) -> bool {
        let has_permission = || {
            let catalogue = self.catalogue();
            let vhost = catalogue.vhost(vhost);
            vhost.is_some_and(|vhost| vhost.permissions.contains_key(user))
        };
        let Rights::Granted(granted) = rights else {
            return rights.is_operator() || has_permission();
        };
        granted.pass_time(self.now());
        for _ in 0..ROUNDS {
            match granted.enters(vhost, has_permission) {
                Verdict::Allowed => return true,
                Verdict::Refused => return false,
                Verdict::Failed(why) => {
                    tracing::error!(%user, %vhost, "access to a vhost refused: {why}");
                    return false;
                }
                Verdict::Unknown => self.find_answers(rights).await,
            };
        }
        false
    }

    /// Has questions answered that came up when somebody acted. Whether there were any: then it is done again.
    pub async fn find_answers(&self, rights: &Rights) -> bool {
        match rights {
            Rights::Granted(granted) => self.backends.answer_all(granted, self.now()).await,
            Rights::Internal | Rights::Operator => false,
        }
    }

    /// Fires what is due until the task is dropped: queue deadlines and delayed messages.
    pub async fn run_timers(self: Arc<Self>) {
        // Before that, what expires would be routed past bindings that are not there yet.
        let mut live = self.live.subscribe();
        // An error is the broker dropped, which cannot be while we are here.
        let _ = live.wait_for(|live| *live).await;
        tokio::join!(self.queues.run_timers(), self.vhosts.run_timers());
    }

    /// Watches memory and disk until the task is dropped.
    pub async fn run_alarms(self: Arc<Self>) {
        let (alarms, data_dir) = (&self.alarms, &self.config.node.data_dir);
        let is_alive = |node| self.nodes.is_alive(node);
        alarms::watch(alarms, data_dir, &self.store, || self.now(), is_alive).await;
    }

    /// Writes everything down and stops the store. Blocks. No client is served any more.
    pub fn stop(self: &Arc<Self>) {
        self.queues.stop();
        self.store.stop();
    }
}

impl Above for Broker {
    fn dead_letter(self: Arc<Self>, queue: &Arc<QueueHandle>, dead_letters: Vec<DeadLetter>, work: &mut Work) {
        self.vhosts.dead_letter(queue, dead_letters, work);
    }

    fn delete(self: Arc<Self>, queue: &Arc<QueueHandle>) -> JoinHandle<()> {
        self.delete_marked(queue)
    }

    fn look_again(&self, queue: QueueId) {
        self.replicas.look_again(queue);
    }

    fn member_fails(self: Arc<Self>, queue: &Arc<QueueHandle>, group: &Group<Contents>) {
        self.on_failing_member(queue, group);
    }
}
