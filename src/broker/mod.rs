//! What a node can be asked to do: the machines joined to their journals.
//!
//! What is declared is one catalogue behind one lock, changed by commands only; the rest follows from it. Locks are
//! taken in the order catalogue → vhost → router → queue → store → outbox, and none is held over an await.
//!
//! What it does stands in rooms, each of which imports only those before it, and has a handle that owns what the
//! room needs; `tests/layers.rs` holds both. [`Broker`] holds the handles, and knows no more than how they stand together.
//!
//! | room | handle |
//! |---|---|
//! | [`delivery`] | none: what waits for each client, without a queue |
//! | [`queue`] | [`Queues`] |
//! | [`publish`] | [`Vhosts`] |
//! | [`catalogue`] | [`Declarations`] |
//! | [`access`] | [`Access`] |
//! | [`replicas`] | [`Replicas`] |
//! | [`cluster`] | [`Membership`] |
//! | [`reports`] | [`Reports`] |
//! | [`jobs`] | [`Jobs`] |
//!
//! Beside the rooms: `start` builds them out of what survived (`recovered`); `clock`, `timers`, `nodes` (who answers),
//! `questions` (how nodes ask each other), `alarms`, `observers` (events and copies of messages), `logins` and `error` are
//! for all of them.
//!
//! ```text
//! publish → Publisher (routes, batches) → QueueHandle::publish → ClusteredQueue decides → QueueSink
//!                                              │ records → Store, or the queue's group
//!                                              └ effects → outboxes, other nodes, Deferred → effects.rs
//! ```

mod access;
pub mod alarms;
mod clock;
mod error;
mod logins;
mod nodes;
pub mod observers;
mod questions;
mod recovered;
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

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::RwLockReadGuard;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use access::{Access, ROUNDS};
pub use alarms::Alarms;
pub use catalogue::declarations::Declarations;
pub use catalogue::new_vhost;
pub use cluster::Membership;
pub use cluster::advertised;
pub use cluster::formation::JoinError;
pub use cluster::links::LinksError;
pub use cluster::majority::Reach;
pub use delivery::channel_out::{Outstanding, Uncommitted};
pub use delivery::connections;
pub use delivery::control::Control;
pub use error::{BrokerError, Failure, Forced, LimitError, StartError};
pub use jobs::Jobs;
pub use logins::Logins;
pub use nodes::NodeInfo;
pub use observers::Observers;
pub use publish::route::Explained;
pub use publish::vhosts::{Vhost, Vhosts};
pub use publish::{moving, reply_to};
pub use questions::FORMAT as QUESTIONS;
pub use queue::asking::DEADLINE;
pub use queue::clients::{ChannelOut, ConnectionInfo, Connections, Consumer, OutGuard, Outbox};
pub use queue::delivery_count::with_delivery_count;
pub use queue::handle::QueueHandle;
pub use queue::{joint, leaving, matching, peeking};
pub use replicas::report::ReplicaState;
pub use replicas::{Replicas, members, quarantine};
pub use reports::{Reports, diagnosis, gathered, notices, process, report};

// Words of what lies below that whoever serves clients needs.
pub use crate::exchange::Why;
pub use crate::metadata::{CatalogueError, Command};
pub use crate::queue::{Get, Outcome, Slot};

pub use crate::backends::Admitted;
use crate::cluster::Settings;
pub use crate::cluster::ticket::SCHEME as TICKET;
use crate::config::Config;
use crate::declare::QueueRules;
use crate::journal::raft::Group;
pub use crate::metadata::Catalogue;
use crate::spec::QueueType;
use crate::statistics::{Statistics, Windows};
use crate::store::{Store, StoreError};
use crate::types::{ConnectionId, NodeId, QueueId, Timestamp};
use clock::Clock;
use nodes::Nodes;
use publish::reply_to::ReplyTo;
use questions::Answers;
use queue::contents::Contents;
use queue::deferred::{DeadLetter, Work};
use queue::queues::Queues;
use recovered::Recovered;

/// The broker of this node.
pub struct Broker {
    config: Arc<Config>,
    node: Arc<NodeInfo>,
    clock: Clock,
    store: Store,
    nodes: Arc<Nodes>,
    alarms: Arc<Alarms>,
    observers: Arc<Observers>,
    logins: Arc<Logins>,
    connections: Arc<Connections>,
    statistics: Arc<Statistics>,
    recovered: Arc<Recovered>,
    queues: Arc<Queues>,
    vhosts: Arc<Vhosts>,
    declarations: Arc<Declarations>,
    access: Arc<Access>,
    replicas: Arc<Replicas>,
    membership: Arc<Membership>,
    reports: Arc<Reports>,
    jobs: Arc<Jobs>,
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
        self.declarations.catalogue()
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

    /// What is declared: commands, and what they change made live.
    pub fn declarations(&self) -> &Arc<Declarations> {
        &self.declarations
    }

    /// The members of replicated queues on this node.
    pub fn replicas(&self) -> &Arc<Replicas> {
        &self.replicas
    }

    /// This node as a member of its cluster.
    pub fn membership(&self) -> &Arc<Membership> {
        &self.membership
    }

    /// What all nodes know of queues and clients.
    pub fn reports(&self) -> &Arc<Reports> {
        &self.reports
    }

    /// Who comes in, and what they may.
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// Work that outlives the request that began it.
    pub fn jobs(&self) -> &Arc<Jobs> {
        &self.jobs
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

    /// Fires what is due until the task is dropped: queue deadlines and delayed messages.
    pub async fn run_timers(self: Arc<Self>) {
        // Before that, what expires would be routed past bindings that are not there yet.
        self.declarations.lives().await;
        tokio::join!(self.queues.run_timers(), self.vhosts.run_timers());
    }

    /// Watches memory and disk until the task is dropped.
    pub async fn run_alarms(self: Arc<Self>) {
        let (alarms, data_dir) = (&*self.alarms, &self.config.node.data_dir);
        let is_alive = |node| self.nodes.is_alive(node);
        alarms::watch(alarms, data_dir, &self.store, || self.now(), is_alive).await;
    }

    /// Writes everything down and stops the store. Blocks. No client is served any more.
    pub fn stop(self: &Arc<Self>) {
        self.queues.stop();
        self.store.stop();
    }

    /// Starts the links to other nodes.
    ///
    /// # Errors
    /// [`LinksError`].
    pub fn start_links(self: &Arc<Self>, settings: Settings, listener: TcpListener) -> Result<(), LinksError> {
        let answering: [Weak<dyn Answers>; 7] = [
            Arc::downgrade(&self.declarations) as _,
            Arc::downgrade(&self.membership) as _,
            Arc::downgrade(&self.reports) as _,
            Arc::downgrade(&self.replicas) as _,
            Arc::downgrade(&self.queues) as _,
            Arc::downgrade(&self.vhosts) as _,
            Arc::downgrade(&self.jobs) as _,
        ];
        self.membership.start_links(settings, listener, Arc::new(answering))
    }

    /// Clients are served from now on: other nodes are told where, and how this node is described.
    pub fn serves(
        self: &Arc<Self>,
        listeners: Vec<advertised::Listener>,
        describe: impl Fn(&Self, Windows) -> Value + Send + Sync + 'static,
    ) {
        self.membership.listens(listeners);
        let broker = Arc::downgrade(self);
        let describe = move |windows| Some(describe(&*broker.upgrade()?, windows));
        self.reports.described_by(Arc::new(describe));
    }
}

impl queue::queues::Above for Broker {
    fn dead_letter(self: Arc<Self>, queue: &Arc<QueueHandle>, dead_letters: Vec<DeadLetter>, work: &mut Work) {
        self.vhosts.dead_letter(queue, dead_letters, work);
    }

    fn delete(self: Arc<Self>, queue: &Arc<QueueHandle>) -> JoinHandle<()> {
        self.declarations.delete_marked(queue)
    }

    fn look_again(&self, queue: QueueId) {
        self.replicas.look_again(queue);
    }

    fn member_fails(self: Arc<Self>, queue: &Arc<QueueHandle>, group: &Group<Contents>) {
        self.replicas.on_failing_member(queue, group);
    }
}

impl catalogue::declarations::Above for Broker {
    fn on_nodes(self: Arc<Self>, catalogue: &Catalogue) {
        self.membership.on_nodes(catalogue);
        // Not when the log is only read again.
        if self.declarations.is_live() {
            self.replicas.repair();
        }
    }

    fn open_member(self: Arc<Self>, queue: &Arc<QueueHandle>) {
        self.replicas.open_member(queue);
    }

    fn on_members(self: Arc<Self>, queue: &Arc<QueueHandle>) {
        self.replicas.on_members(queue);
    }

    fn drop_member(&self, queue: &QueueHandle) {
        self.replicas.drop_member(queue);
    }
}
