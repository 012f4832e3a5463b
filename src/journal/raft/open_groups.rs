//! The groups that are open on this node, and what they share.

use std::sync::Arc;

use openraft::Config;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use tokio::sync::Semaphore;

use super::log::{LogShared, Tails};
use super::network::{Network, Transport};
use super::receive::Receiver;
use super::refusals::Refusals;
use super::spec::{GroupId, GroupSpec, Pace};
use crate::store::{OwnerId, Store};
use crate::types::NodeId;

/// See the head of this file.
pub(super) struct OpenGroups {
    pub node: NodeId,
    pub store: Store,
    pub transport: Arc<dyn Transport>,
    pub refusals: Arc<Refusals>,
    /// Snapshots made at a time.
    pub makers: Arc<Semaphore>,
    pub tails: Arc<Tails>,
    pub owners: Mutex<FxHashMap<OwnerId, Owner>>,
    pub groups: RwLock<FxHashMap<GroupId, Arc<dyn Receiver>>>,
    /// Those that hear nobody yet.
    pub shut: RwLock<FxHashMap<GroupId, Arc<dyn Receiver>>>,
    pub ticking: Arc<Config>,
    pub joining: Arc<Config>,
    pub quiet: Arc<Config>,
}

impl OpenGroups {
    /// What carries the group's messages to its members.
    pub(super) fn network(&self, spec: GroupSpec) -> Network {
        Network {
            transport: Arc::clone(&self.transport),
            node: self.node,
            group: spec.id,
            tells_commits: spec.pace != Pace::Quiet,
            refusals: Arc::clone(&self.refusals),
        }
    }

    /// The group is no longer on this node.
    pub(super) fn close(&self, spec: GroupSpec) {
        self.groups.write().remove(&spec.id);
        self.refusals.forget(spec.id);
        self.shut.write().remove(&spec.id);
        let mut owners = self.owners.lock();
        owners.remove(&spec.log);
        owners.remove(&spec.snapshots);
    }

    /// What the store has of the group is no more.
    pub(super) fn forget(&self, spec: GroupSpec) {
        self.store.forget(spec.log);
        self.store.forget(spec.snapshots);
    }
}

/// Whose an owner's records are.
pub(super) enum Owner {
    Log(Arc<LogShared>),
    Snapshots,
}

impl Owner {
    pub fn log(&self) -> Option<Arc<LogShared>> {
        match self {
            Self::Log(log) => Some(Arc::clone(log)),
            Self::Snapshots => None,
        }
    }
}
