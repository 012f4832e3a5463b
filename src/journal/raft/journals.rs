//! The Raft groups of this node: whose owner in the store is which log, and who a message from
//! another node is for.
//!
//! The broker's [`crate::store::Owners`] hands on what the store calls back, and the node's links
//! what they receive.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use openraft::Config;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;

use super::apply::Applier;
use super::group::{Group, Kept};
use super::guarded::Guarded;
use super::log::{LogShared, RaftLog};
use super::network::Transport;
use super::open_groups::{OpenGroups, Owner};
use super::receive::Inbox;
use super::recovery::{Damage, rebuild};
use super::snapshots::Snapshots;
use super::source::GroupSource;
use super::spec::{GroupId, GroupSpec, Ledgers, Pace};
use super::types::Types;
use super::wire::Response;
use crate::machine::{Machine, Source};
use crate::store::{OwnerId, Store, StoreError};
use crate::tasks;
use crate::types::NodeId;

/// Why a group cannot be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// This member cannot vote for what it has forgotten: it must leave the group and join it
    /// again under new owners.
    #[error("the log of group {0} is damaged: {1}")]
    Damaged(GroupId, #[source] Damage),
    /// It is whole, and this program cannot make out of it what it should.
    #[error("the machine of group {0} panicked over its log")]
    Panicked(GroupId),
    #[error("group {0} is open")]
    Open(GroupId),
    #[error("group {0} does not start: {1}")]
    Raft(GroupId, String),
}

/// The groups; clones are the same.
#[derive(Clone)]
pub struct RaftJournals(Arc<OpenGroups>);

/// The groups as their transport holds them, which they hold.
#[derive(Clone)]
pub struct WeakJournals(Weak<OpenGroups>);

impl WeakJournals {
    /// The groups, unless nobody holds them any more.
    pub fn upgrade(&self) -> Option<RaftJournals> {
        self.0.upgrade().map(RaftJournals)
    }
}

impl RaftJournals {
    /// None yet. Whoever starts the store lets its [`crate::store::Owners`] delegate to this.
    pub fn new(node: NodeId, store: Store, transport: Arc<dyn Transport>) -> Self {
        Self(Arc::new(OpenGroups {
            node,
            store,
            transport,
            refusals: Arc::default(),
            makers: Arc::new(Semaphore::new(SNAPSHOTS_AT_A_TIME)),
            tails: Arc::default(),
            owners: Mutex::default(),
            groups: RwLock::default(),
            shut: RwLock::default(),
            ticking: Arc::new(config(Pace::Ticking)),
            joining: Arc::new(config(Pace::Joining)),
            quiet: Arc::new(config(Pace::Quiet)),
        }))
    }

    /// What does not keep them, nor the store.
    pub fn downgrade(&self) -> WeakJournals {
        WeakJournals(Arc::downgrade(&self.0))
    }

    /// For [`crate::store::Owners::durable`]; whether the owner belongs to a group.
    pub fn durable(&self, owner: OwnerId, up_to_seq: u64) -> bool {
        let log = match self.0.owners.lock().get(&owner) {
            Some(Owner::Log(log)) => Arc::clone(log),
            Some(Owner::Snapshots) => return true,
            None => return false,
        };
        log.durable(up_to_seq);
        true
    }

    /// For [`crate::store::Owners::failed`]: every group stops with its next write, and its
    /// waiting ones fail.
    pub fn failed(&self, error: &StoreError) {
        let logs: Vec<_> = self.0.owners.lock().values().filter_map(Owner::log).collect();
        for log in logs {
            log.failed(error);
        }
    }

    /// A request from another node; the future is the answer to send back. Requests of one node
    /// are to be handed over in the order in which they came.
    pub fn receive(&self, group: GroupId, request: Bytes) -> BoxFuture<'static, Bytes> {
        let receiver = self.0.groups.read().get(&group).cloned();
        match receiver {
            Some(receiver) => receiver.receive(request),
            None => Box::pin(std::future::ready(Response::Absent.encode())),
        }
    }

    /// Opens a group with what the store kept of it. A new one without founders waits until it is founded
    /// ([`Group::found`]) or a leader adds this node. The machine is empty; it is given the last
    /// snapshot and what is known to be committed.
    pub async fn open<M: Machine>(&self, spec: GroupSpec, ledgers: Ledgers, machine: M) -> Result<Group<M>, OpenError> {
        self.open_with(spec, ledgers, |_| machine).await
    }

    /// The same, for a machine that reads again what it was given.
    pub async fn open_with<M: Machine>(
        &self,
        spec: GroupSpec,
        ledgers: Ledgers,
        machine: impl FnOnce(Arc<dyn Source>) -> M,
    ) -> Result<Group<M>, OpenError> {
        let GroupSpec { id, .. } = spec;
        if self.0.groups.read().contains_key(&id) {
            return Err(OpenError::Open(id));
        }
        let damaged = |damage| OpenError::Damaged(id, damage);
        let archive = ledgers
            .archiving
            .as_ref()
            .map(|archiving| Arc::clone(&archiving.archive));
        let rebuilt = rebuild(ledgers.log, archive.as_deref()).map_err(damaged)?;
        let archived = rebuilt.archived;
        let snapshots = Snapshots::open(self.0.store.clone(), spec.snapshots, ledgers.snapshots).map_err(damaged)?;
        if rebuilt.mark.purged.as_ref().map(|purged| purged.index)
            > snapshots
                .current()
                .and_then(|kept| kept.meta.last_log_id)
                .map(|last| last.index)
        {
            return Err(damaged(Damage::Lost));
        }
        let log = RaftLog::new(
            self.0.node,
            self.0.store.clone(),
            spec.log,
            Arc::clone(&self.0.tails),
            rebuilt,
            ledgers.archiving,
            M::span,
        );
        if log.shared().last().is_none() && !ledgers.founders.is_empty() {
            log.shared().begin(&ledgers.founders);
        }
        let snapshots = Arc::new(snapshots);
        let source = GroupSource {
            log: Arc::clone(log.shared()),
            snapshots: Arc::clone(&snapshots),
        };
        let machine = Arc::new(Guarded::new(machine(Arc::new(source))));
        let makers = Arc::clone(&self.0.makers);
        let mut applier = Applier::new(
            Arc::clone(&machine),
            Arc::clone(&snapshots),
            makers,
            Arc::clone(log.shared()),
        );
        if let Some((archive, archived)) = archive.zip(archived) {
            let resumed = tasks::blocking(move || {
                applier.resume_from(&archive, archived);
                applier
            });
            applier = resumed.await.map_err(|error| OpenError::Raft(id, error.to_string()))?;
        }
        let network = self.0.network(spec);
        let config = match spec.pace {
            Pace::Ticking => Arc::clone(&self.0.ticking),
            Pace::Joining => Arc::clone(&self.0.joining),
            Pace::Quiet => Arc::clone(&self.0.quiet),
        };
        self.register(spec, log.shared());
        let raft = openraft::Raft::<Types, _>::new(self.0.node, config, network, log.clone(), applier).await;
        let raft = match raft {
            Ok(raft) => raft,
            Err(error) => {
                self.0.close(spec);
                let has_lost = log.shared().has_lost() || snapshots.has_lost();
                return Err(match has_lost {
                    true => damaged(Damage::Lost),
                    false if machine.has_panicked() => OpenError::Panicked(id),
                    false => OpenError::Raft(id, error.to_string()),
                });
            }
        };
        let inbox = Arc::new(Inbox::new(raft.clone(), Arc::clone(&snapshots)));
        let receivers = match spec.is_shut {
            true => &self.0.shut,
            false => &self.0.groups,
        };
        receivers.write().insert(id, inbox);
        let kept = Kept { log, snapshots };
        Ok(Group::new(Arc::clone(&self.0), spec, self.0.node, raft, kept, machine))
    }

    /// From now on a group that was opened shut hears the other members.
    pub fn let_in(&self, id: GroupId) {
        if let Some(receiver) = self.0.shut.write().remove(&id) {
            self.0.groups.write().insert(id, receiver);
        }
    }

    /// Whether the group is on this node.
    pub fn is_open(&self, id: GroupId) -> bool {
        self.0.groups.read().contains_key(&id)
    }

    fn register(&self, spec: GroupSpec, log: &Arc<LogShared>) {
        let mut owners = self.0.owners.lock();
        owners.insert(spec.log, Owner::Log(Arc::clone(log)));
        owners.insert(spec.snapshots, Owner::Snapshots);
    }
}

fn config(pace: Pace) -> Config {
    let ticks = pace != Pace::Quiet;
    Config {
        cluster_name: String::new(),
        enable_tick: ticks,
        enable_heartbeat: ticks,
        enable_elect: pace == Pace::Ticking,
        heartbeat_interval: 200,
        election_timeout_min: VOTE_AFTER / 2,
        // Also how long a member that has heard a leader votes for nobody else.
        election_timeout_max: VOTE_AFTER,
        enable_pre_vote: Some(true),
        // An old leader that starts again does not know what was decided meanwhile.
        enable_leader_restore: Some(false),
        allow_log_reversion: Some(false),
        // By reclaimable bytes, which the owner watches.
        snapshot_policy: openraft::SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: 16,
        // A member falls behind by what is purged, never by a count.
        replication_lag_threshold: 1024,
        // Entries are large, and bytes are bounded where they are read.
        max_payload_entries: 256,
        log_stage_capacity: Some(8),
        backoff: "50ms 100ms 200ms ...500ms".to_owned(),
        ..Config::default()
    }
}

/// How long a member that has heard its leader votes for nobody else, in ms: shorter than a silent
/// node takes to be suspected, longer than a lease.
pub const VOTE_AFTER: u64 = 800;
/// Of all groups of the node.
const SNAPSHOTS_AT_A_TIME: usize = 2;
