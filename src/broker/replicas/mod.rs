//! The members of replicated queues: opened, led, changed and mended.
//!
//! ```text
//! the catalogue says who is a member → open → the group's log and ledger → elected: its queue leads here
//!                                        └ damaged → mending: a new member in its place
//! ```
//! `elections` says who leads when a leader is gone, [`members`] changes who is in a group, and `spread`
//! keeps groups complete and leaders apart. [`quarantine`] is for queues that have lost records and nobody else has,
//! [`report`] says how members are. The room's handle is [`Replicas`].

pub(in crate::broker) mod elections;
pub mod members;
pub(in crate::broker) mod mending;
mod open;
mod opened;
pub mod quarantine;
mod questions;
pub mod report;
mod spread;

use std::sync::Arc;

use tokio::sync::{Notify, Semaphore};

use self::elections::Elections;
use self::mending::AT_ONCE;
use self::opened::OpenMembers;
use super::alarms::Alarms;
use super::catalogue::declarations::Declarations;
use super::nodes::Nodes;
use super::queue::contents::Contents;
use super::queue::queues::Queues;
use super::recovered::Recovered;
use crate::config::Config;
use crate::journal::raft::Group;
use crate::store::Store;
use crate::types::{NodeId, QueueId};

/// The members of groups on this node, and what they need of it.
pub struct Replicas {
    config: Arc<Config>,
    store: Store,
    nodes: Arc<Nodes>,
    alarms: Arc<Alarms>,
    recovered: Arc<Recovered>,
    queues: Arc<Queues>,
    declarations: Arc<Declarations>,
    members: OpenMembers,
    pub(super) elections: Elections,
    /// The nodes of the cluster are others: queues may need members.
    repair: Notify,
    /// Members that are replaced side by side.
    turns: Semaphore,
}

impl Replicas {
    /// None is open yet.
    pub(super) fn new(
        config: Arc<Config>,
        store: Store,
        nodes: Arc<Nodes>,
        alarms: Arc<Alarms>,
        recovered: Arc<Recovered>,
        queues: Arc<Queues>,
        declarations: Arc<Declarations>,
    ) -> Self {
        Self {
            config,
            store,
            nodes,
            alarms,
            recovered,
            queues,
            declarations,
            members: OpenMembers::default(),
            elections: Elections::default(),
            repair: Notify::new(),
            turns: Semaphore::new(AT_ONCE),
        }
    }

    /// All that are open.
    pub(super) fn all(&self) -> Vec<(QueueId, Group<Contents>)> {
        self.members.all()
    }

    /// The task of this node's member of the queue's group looks at it again.
    pub(super) fn look_again(&self, queue: QueueId) {
        self.members.look_again(queue);
    }

    /// Nodes have come or gone: queues may need members.
    pub(super) fn repair(&self) {
        self.repair.notify_one();
    }

    fn us(&self) -> NodeId {
        self.nodes.us()
    }

    fn drained(&self) -> Vec<NodeId> {
        self.alarms.drained(self.us())
    }
}
