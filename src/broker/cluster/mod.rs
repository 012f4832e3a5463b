//! The nodes of the cluster: who is one, who comes and goes, what they tell each other of themselves.
//!
//! ```text
//! formation: begin (first) or join → admission: in and out of the catalogue's group → presence: who comes and goes → majority
//! questions: what nodes ask of each other about all this      shortages: who is short of memory or disk
//! maintenance: out of service by the operator's wish, and back
//! mending: what is declared is lost here, and had again from the others
//! sessions: browsers that are signed in, known to all nodes      attempts: who tried to log in
//! clients: closed and counted on all nodes                        advertised: where they find nodes
//! links: what is served over them      remote: links that come and go, and what queues hear of it
//! ```
//! The room's handle is [`Membership`].

mod admission;
pub mod advertised;
mod attempts;
mod clients;
mod first;
pub(in crate::broker) mod formation;
pub(in crate::broker) mod links;
pub mod maintenance;
pub(in crate::broker) mod majority;
mod mending;
mod presence;
mod questions;
mod remote;
pub mod sessions;
mod shortages;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use self::advertised::Listener;
use self::maintenance::Duty;
use self::majority::Reach;
use super::alarms::Alarms;
use super::catalogue::declarations::Declarations;
use super::logins::Logins;
use super::nodes::{NodeInfo, Nodes};
use super::publish::vhosts::Vhosts;
use super::queue::clients::Connections;
use super::queue::queues::Queues;
use super::replicas::Replicas;
use crate::cluster::identity::{CatalogueMember, Identity};
use crate::config::Config;
use crate::types::NodeId;

/// This node as a member of its cluster.
pub struct Membership {
    config: Arc<Config>,
    node: Arc<NodeInfo>,
    nodes: Arc<Nodes>,
    alarms: Arc<Alarms>,
    logins: Arc<Logins>,
    connections: Arc<Connections>,
    queues: Arc<Queues>,
    vhosts: Arc<Vhosts>,
    declarations: Arc<Declarations>,
    replicas: Arc<Replicas>,
    identity: Mutex<Identity>,
    /// What takes the place of this node's member of the catalogue's group, once the others do without it.
    renewed: Mutex<Option<CatalogueMember>>,
    /// Members of the cluster change one at a time.
    admitting: tokio::sync::Mutex<()>,
    /// Whom this node lets begin a cluster, and since when.
    promised: Mutex<Option<(NodeId, Instant)>>,
    /// Where this node listens, as other nodes are told.
    listeners: Mutex<Vec<Listener>>,
    reach: watch::Sender<Reach>,
    /// What the operator wants of the node.
    duty: watch::Sender<Duty>,
    /// What follows from both.
    takes_clients: watch::Sender<bool>,
    /// It was told to stop, and serves its clients a little longer.
    draining: AtomicBool,
}

/// What [`Membership`] is made of.
pub struct Parts {
    pub config: Arc<Config>,
    pub node: Arc<NodeInfo>,
    pub nodes: Arc<Nodes>,
    pub alarms: Arc<Alarms>,
    pub logins: Arc<Logins>,
    pub connections: Arc<Connections>,
    pub queues: Arc<Queues>,
    pub vhosts: Arc<Vhosts>,
    pub declarations: Arc<Declarations>,
    pub replicas: Arc<Replicas>,
    pub identity: Identity,
}

impl Membership {
    /// As who it `identity` says it is.
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            config: parts.config,
            node: parts.node,
            nodes: parts.nodes,
            alarms: parts.alarms,
            logins: parts.logins,
            connections: parts.connections,
            queues: parts.queues,
            vhosts: parts.vhosts,
            declarations: parts.declarations,
            replicas: parts.replicas,
            identity: Mutex::new(parts.identity),
            renewed: Mutex::default(),
            admitting: tokio::sync::Mutex::default(),
            promised: Mutex::default(),
            listeners: Mutex::default(),
            reach: watch::Sender::default(),
            duty: watch::Sender::default(),
            takes_clients: watch::Sender::new(true),
            draining: AtomicBool::new(false),
        }
    }

    /// Whether the node belongs to a cluster, be it of its own.
    pub fn belongs(&self) -> bool {
        self.identity.lock().cluster().is_some()
    }

    /// The cluster's id as RabbitMQ writes one; `None` before there is a cluster.
    pub fn cluster_id(&self) -> Option<String> {
        let cluster = self.identity.lock().cluster()?;
        Some(format!("rabbitmq-cluster-id-{:016x}", cluster.0))
    }

    /// How many of the cluster's nodes this one hears.
    pub(super) fn reach(&self) -> Reach {
        *self.reach.borrow()
    }

    fn us(&self) -> NodeId {
        self.nodes.us()
    }
}
