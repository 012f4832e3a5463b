//! What is known of queues and clients on all nodes, for the HTTP API and the command line.
//!
//! ```text
//! here: what this node says ─┬→ questions → other nodes
//!                            └→ gather: all nodes are asked, once a request → gathered → standing, diagnosis, notices
//! ```
//! [`report`] has the words. [`streams`] says how streams' members are, and sets where readers go on. [`standing`] says where a queue is, and how it fares; `history` how things were;
//! `scrape` gathers the numbers of this node alone, for Prometheus; `sampler` writes down what has moved. The
//! room's handle is [`Reports`].

mod certificates;
pub mod diagnosis;
mod gather;
pub mod gathered;
mod here;
mod history;
pub mod notices;
pub mod process;
mod questions;
pub mod report;
mod sampler;
mod scrape;
pub mod standing;
pub mod streams;

use std::sync::Arc;

use parking_lot::{Mutex, RwLockReadGuard};
use serde_json::Value;

use super::alarms::Alarms;
use super::catalogue::declarations::Declarations;
use super::cluster::Membership;
use super::logins::Logins;
use super::nodes::{NodeInfo, Nodes};
use super::observers::Observers;
use super::publish::vhosts::Vhosts;
use super::queue::clients::Connections;
use super::queue::queues::Queues;
use super::replicas::Replicas;
use crate::config::Config;
use crate::listen::Tls;
use crate::metadata::Catalogue;
use crate::statistics::{Statistics, Windows};
use crate::store::Store;
use crate::types::{NodeId, Timestamp};

/// Describes this node, in the words of its HTTP API; `None` while it stops.
pub type Describe = Arc<dyn Fn(Windows) -> Option<Value> + Send + Sync>;

/// What this node says of itself, and asks of the others.
pub struct Reports {
    config: Arc<Config>,
    node: Arc<NodeInfo>,
    store: Store,
    nodes: Arc<Nodes>,
    alarms: Arc<Alarms>,
    logins: Arc<Logins>,
    observers: Arc<Observers>,
    connections: Arc<Connections>,
    statistics: Arc<Statistics>,
    queues: Arc<Queues>,
    vhosts: Arc<Vhosts>,
    declarations: Arc<Declarations>,
    replicas: Arc<Replicas>,
    membership: Arc<Membership>,
    /// How this node is, as others are told; none while it does not serve clients.
    describe: Mutex<Option<Describe>>,
    /// How TLS is spoken with clients, by kind of listener.
    tls: Mutex<Vec<Tls>>,
}

/// What [`Reports`] are made of.
pub struct Parts {
    pub config: Arc<Config>,
    pub node: Arc<NodeInfo>,
    pub store: Store,
    pub nodes: Arc<Nodes>,
    pub alarms: Arc<Alarms>,
    pub logins: Arc<Logins>,
    pub observers: Arc<Observers>,
    pub connections: Arc<Connections>,
    pub statistics: Arc<Statistics>,
    pub queues: Arc<Queues>,
    pub vhosts: Arc<Vhosts>,
    pub declarations: Arc<Declarations>,
    pub replicas: Arc<Replicas>,
    pub membership: Arc<Membership>,
}

impl Reports {
    /// Of a node that does not serve clients yet.
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            config: parts.config,
            node: parts.node,
            store: parts.store,
            nodes: parts.nodes,
            alarms: parts.alarms,
            logins: parts.logins,
            observers: parts.observers,
            connections: parts.connections,
            statistics: parts.statistics,
            queues: parts.queues,
            vhosts: parts.vhosts,
            declarations: parts.declarations,
            replicas: parts.replicas,
            membership: parts.membership,
            describe: Mutex::default(),
            tls: Mutex::default(),
        }
    }

    /// Other nodes are told so how this one is.
    pub(super) fn described_by(&self, describe: Describe) {
        *self.describe.lock() = Some(describe);
    }

    /// What is declared; not to be held over an await.
    fn catalogue(&self) -> RwLockReadGuard<'_, Catalogue> {
        self.declarations.catalogue()
    }

    fn now(&self) -> Timestamp {
        self.queues.now()
    }

    /// The second that runs.
    pub fn second(&self) -> u64 {
        self.now().seconds()
    }

    fn us(&self) -> NodeId {
        self.nodes.us()
    }
}
