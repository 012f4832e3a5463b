//! What is declared as this node knows it: the catalogue, its group's member here, and what it needs to have
//! changes live.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{RwLock, RwLockReadGuard};
use tokio::sync::watch;

use crate::broker::alarms::Alarms;
use crate::broker::nodes::Nodes;
use crate::broker::observers::Observers;
use crate::broker::publish::vhosts::Vhosts;
use crate::broker::queue::clients::Connections;
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::queues::Queues;
use crate::broker::recovered::Recovered;
use crate::config::Config;
use crate::journal::raft::Group;
use crate::metadata::Catalogue;
use crate::metadata::replicated::Replicated;
use crate::statistics::Statistics;
use crate::store::Store;
use crate::types::NodeId;
use crate::types::sorting::map_of;

/// What follows from the catalogue in the rooms above. All of it is asked while the catalogue is locked.
pub trait Above: Send + Sync {
    /// The members of the cluster are others.
    fn on_nodes(self: Arc<Self>, catalogue: &Catalogue);
    /// A replicated queue is declared: this node's member of its group is opened, if it is to have one.
    fn open_member(self: Arc<Self>, queue: &Arc<QueueHandle>);
    /// The nodes that are to have the queue are others.
    fn on_members(self: Arc<Self>, queue: &Arc<QueueHandle>);
    /// The queue is deleted: its group ends on this node.
    fn drop_member(&self, queue: &QueueHandle);
}

/// See the head of this file.
pub struct Declarations {
    pub(super) config: Arc<Config>,
    pub(super) store: Store,
    pub(super) nodes: Arc<Nodes>,
    pub(super) alarms: Arc<Alarms>,
    pub(super) connections: Arc<Connections>,
    pub(super) statistics: Arc<Statistics>,
    pub(super) observers: Arc<Observers>,
    pub(super) recovered: Arc<Recovered>,
    pub(super) queues: Arc<Queues>,
    pub(super) vhosts: Arc<Vhosts>,
    /// Written by its group only.
    pub(super) catalogue: Arc<RwLock<Catalogue>>,
    group: OnceLock<Group<Replicated>>,
    /// What is declared is live; changed while the catalogue is locked.
    pub(super) live: watch::Sender<bool>,
    above: OnceLock<Weak<dyn Above>>,
}

/// What [`Declarations`] are made of.
pub struct Parts {
    pub config: Arc<Config>,
    pub store: Store,
    pub nodes: Arc<Nodes>,
    pub alarms: Arc<Alarms>,
    pub connections: Arc<Connections>,
    pub statistics: Arc<Statistics>,
    pub observers: Arc<Observers>,
    pub recovered: Arc<Recovered>,
    pub queues: Arc<Queues>,
    pub vhosts: Arc<Vhosts>,
    pub catalogue: Arc<RwLock<Catalogue>>,
}

impl Declarations {
    /// None is live yet, and the group's member is not open.
    pub(in crate::broker) fn new(parts: Parts) -> Self {
        Self {
            config: parts.config,
            store: parts.store,
            nodes: parts.nodes,
            alarms: parts.alarms,
            connections: parts.connections,
            statistics: parts.statistics,
            observers: parts.observers,
            recovered: parts.recovered,
            queues: parts.queues,
            vhosts: parts.vhosts,
            catalogue: parts.catalogue,
            group: OnceLock::new(),
            live: watch::Sender::new(false),
            above: OnceLock::new(),
        }
    }

    /// Who is told from now on.
    pub(in crate::broker) fn stand_below(&self, above: Weak<dyn Above>) {
        // It is said once, when the node starts.
        let _ = self.above.set(above);
    }

    /// The rooms above; none while the node starts or ends.
    pub(super) fn above(&self) -> Option<Arc<dyn Above>> {
        self.above.get()?.upgrade()
    }

    /// This node's member of the catalogue's group is open.
    pub(in crate::broker) fn set_group(&self, group: Group<Replicated>) {
        // It is said once, when the node starts.
        let _ = self.group.set(group);
    }

    /// This node's member of the catalogue's group.
    pub(in crate::broker) fn group(&self) -> &Group<Replicated> {
        self.group
            .get()
            .expect("the catalogue is opened before anybody is served")
    }

    /// What is declared; not to be held over an await or while a command is sent.
    pub fn catalogue(&self) -> RwLockReadGuard<'_, Catalogue> {
        self.catalogue.read()
    }

    /// Whether what is declared is live on this node.
    pub fn is_live(&self) -> bool {
        *self.live.borrow()
    }

    /// Waits until it is.
    pub(in crate::broker) async fn lives(&self) {
        let mut live = self.live.subscribe();
        // An error is the sender dropped, which cannot be while we are here.
        let _ = live.wait_for(|live| *live).await;
    }

    /// The names of the cluster's nodes.
    pub fn node_names(&self) -> BTreeMap<NodeId, String> {
        let catalogue = self.catalogue();
        let nodes = catalogue.nodes().iter();
        map_of(nodes.map(|(node, known)| (*node, known.name.clone())))
    }

    /// The node of that name, if it is a member of the cluster.
    pub fn node_named(&self, name: &str) -> Option<NodeId> {
        let catalogue = self.catalogue();
        let mut nodes = catalogue.nodes().iter();
        nodes.find(|(_, known)| known.name == name).map(|(node, _)| *node)
    }

    /// Whether anything is declared for a run of that node.
    pub(in crate::broker) fn has_left(&self, node: NodeId) -> bool {
        let catalogue = self.catalogue();
        catalogue.vhosts().any(|vhost| {
            vhost.queues().any(|spec| spec.home == node && spec.is_transient())
                || vhost.exchanges().any(|spec| spec.home == node && !spec.durable)
        })
    }
}
