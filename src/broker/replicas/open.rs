//! This node's members of the groups of replicated queues: opened, watched, closed.
//!
//! A task for each waits for a change of leadership. When this node leads and knows all that is
//! committed, the queue's machine is made; when it does not lead any more, it is thrown away.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::elections::Elections;
use crate::broker::Broker;
use crate::broker::queue::contents::Contents;
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::owners::group_owners;
use crate::broker::queue::stream::LiveStream;
use crate::journal::raft::{Archiving, Election, Group, GroupId, GroupSpec, Ledgers, OpenError, Pace, Role};
use crate::queue::ledger::{IN_MEMORY, Ledger, Memory};
use crate::spec::{Member, QueueSpec};
use crate::stream::Log;
use crate::tasks;
use crate::types::{NodeId, QueueId};

/// Bytes that a file of a stream has at least before the next begins.
const LEAST_FILE_BYTES: u64 = 1024 * 1024;
/// How long a leader that could not reach a majority waits before it tries again.
const AGAIN: Duration = Duration::from_millis(50);
/// How long a founder waits for its first term before it asks for votes again.
const FOUND_AGAIN: Duration = Duration::from_millis(30);
/// How often logs are looked at.
const RECLAIM: Duration = Duration::from_secs(1);
/// Bytes that are worth a snapshot.
const WORTH: u64 = 8 * 1024 * 1024;
/// Panics within this time of each other belong together.
const TOGETHER: Duration = Duration::from_secs(60);
/// Groups that are opened at a time.
const OPENING: usize = 16;

/// The groups' members on this node.
pub struct Replicas {
    open: Mutex<Open>,
    opening: Arc<Semaphore>,
    /// What the ledgers keep of bodies, together.
    memory: Arc<Memory>,
}

#[derive(Default)]
struct Open {
    replicas: FxHashMap<QueueId, Replica>,
    /// The generation of each member that is to be open, or is being opened.
    wanted: FxHashMap<QueueId, u32>,
    /// What was wanted and cannot be opened, or not be used any more.
    damaged: FxHashMap<QueueId, GroupSpec>,
    /// When the ledger of one last panicked.
    panicked: FxHashMap<QueueId, Instant>,
}

#[derive(Clone)]
struct Replica {
    group: Group<Contents>,
    /// Wakes its task.
    look: Arc<Notify>,
}

impl Default for Replicas {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            opening: Arc::new(Semaphore::new(OPENING)),
            memory: Arc::default(),
        }
    }
}

impl Replicas {
    /// The member of that queue's group.
    pub fn group(&self, queue: QueueId) -> Option<Group<Contents>> {
        self.open
            .lock()
            .replicas
            .get(&queue)
            .map(|replica| replica.group.clone())
    }

    /// Whether that is the member of the queue's group, and not one before it.
    fn has(&self, queue: QueueId, group: &Group<Contents>) -> bool {
        let open = self.open.lock();
        open.replicas.get(&queue).is_some_and(|replica| replica.group.is(group))
    }

    /// All of them.
    pub fn all(&self) -> Vec<(QueueId, Group<Contents>)> {
        let open = self.open.lock();
        open.replicas
            .iter()
            .map(|(id, replica)| (*id, replica.group.clone()))
            .collect()
    }

    /// Its task looks at it again.
    pub fn look_again(&self, queue: QueueId) {
        if let Some(replica) = self.open.lock().replicas.get(&queue) {
            replica.look.notify_one();
        }
    }
}

impl Replicas {
    /// The generation of the member that is to be open.
    pub(in crate::broker) fn wanted(&self, queue: QueueId) -> Option<u32> {
        self.open.lock().wanted.get(&queue).copied()
    }

    /// False when it is wanted already.
    fn want(&self, queue: QueueId, generation: u32) -> bool {
        self.open.lock().wanted.insert(queue, generation) != Some(generation)
    }

    /// False when it is not wanted any more.
    fn opened(&self, queue: QueueId, generation: u32, replica: Replica) -> bool {
        let mut open = self.open.lock();
        let is_wanted = open.wanted.get(&queue) == Some(&generation);
        if is_wanted {
            open.replicas.insert(queue, replica);
        }
        is_wanted
    }

    /// Lets the member take part in elections, unless it is not wanted any more: its founder may have
    /// waited for the others while the queue was deleted, and then nobody would take it out again.
    fn takes_part(
        &self,
        elections: &Elections,
        queue: QueueId,
        generation: u32,
        voters: &[NodeId],
        first: Option<NodeId>,
    ) {
        let open = self.open.lock();
        if open.wanted.get(&queue) == Some(&generation) {
            elections.on_group(queue, voters, first);
        }
    }

    /// It is not wanted any more, and takes part in no election.
    fn take(&self, elections: &Elections, queue: QueueId) -> (Option<Replica>, Option<GroupSpec>) {
        let mut open = self.open.lock();
        open.wanted.remove(&queue);
        open.panicked.remove(&queue);
        elections.on_gone(queue);
        (open.replicas.remove(&queue), open.damaged.remove(&queue))
    }

    /// Whether the member of that generation is still wanted, which is closed to be opened again.
    pub(super) fn reopens(&self, queue: QueueId, generation: u32) -> bool {
        let mut open = self.open.lock();
        let is_wanted = open.wanted.get(&queue) == Some(&generation);
        if is_wanted {
            open.replicas.remove(&queue);
        }
        is_wanted
    }

    /// The ledger of a member has panicked; whether it had not for long.
    pub(super) fn note_panic(&self, queue: QueueId, now: Instant) -> bool {
        let before = self.open.lock().panicked.insert(queue, now);
        before.is_none_or(|before| now - before > TOGETHER)
    }

    /// The member of that generation is damaged; false when that is known, or it is not wanted any more.
    pub(super) fn set_damaged(&self, queue: QueueId, generation: u32, spec: GroupSpec) -> bool {
        let mut open = self.open.lock();
        let is_wanted = open.wanted.get(&queue) == Some(&generation);
        is_wanted && {
            open.replicas.remove(&queue);
            open.damaged.insert(queue, spec).is_none()
        }
    }

    /// Whether this node's member of the queue's group is damaged.
    pub(in crate::broker) fn is_damaged(&self, queue: QueueId) -> bool {
        self.open.lock().damaged.contains_key(&queue)
    }
}

impl Broker {
    /// Opens this node's member of the queue's group, if it is to have one, and watches it.
    pub(in crate::broker) fn open_replica(self: &Arc<Self>, queue: &Arc<QueueHandle>) {
        let us = self.nodes.us();
        let member = queue.members.read().iter().find(|member| member.node == us).copied();
        let Some(member) = member else { return };
        if !self.replicas.want(queue.spec.id, member.generation) {
            return;
        }
        let (log, snapshots) = group_owners(queue.spec.id, member.generation);
        let spec = GroupSpec {
            id: GroupId(queue.spec.id.0),
            log,
            snapshots,
            pace: Pace::Quiet,
            is_shut: false,
        };
        let is_founder = queue.spec.home == us && member.generation == 0;
        let ledgers = Ledgers {
            log: self.take_recovered(log),
            snapshots: self.take_recovered(snapshots),
            archiving: None,
            founders: founders_of(&queue.spec, member),
        };
        if ledgers.log.is_none() && self.has_lost_records() {
            return self.member_is_damaged(queue, spec, member.generation, &"its log may be lost");
        }
        let (broker, queue) = (self.clone(), queue.clone());
        tasks::spawn("replica", async move {
            broker
                .run_replica(queue, spec, ledgers, member.generation, is_founder)
                .await;
        });
    }

    pub(super) async fn run_replica(
        self: Arc<Self>,
        queue: Arc<QueueHandle>,
        spec: GroupSpec,
        mut ledgers: Ledgers,
        generation: u32,
        is_founder: bool,
    ) {
        let is_new = ledgers.log.is_none();
        // The member that it was before may have yet to close.
        while self.nodes.journals().is_open(spec.id) {
            if self.replicas.wanted(queue.spec.id) != Some(generation) {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
        let group = {
            // It is never closed.
            let _turn = self.replicas.opening.clone().acquire_owned().await;
            let memory = self.replicas.memory.clone();
            let stream = self.queues.streams.of(&queue);
            if let Some(stream) = &stream {
                ledgers.archiving = Some(self.archiving_of(stream, spec));
            }
            let contents = |source| match stream {
                Some(stream) => Contents::stream(Log::over(source, stream.retention()), stream.tail.clone()),
                None => Contents::Queue(Ledger::over(source, IN_MEMORY).sharing(memory)),
            };
            match self.nodes.journals().open_with(spec, ledgers, contents).await {
                Ok(group) => group,
                Err(error @ OpenError::Damaged(..)) => {
                    return self.member_is_damaged(&queue, spec, generation, &error);
                }
                Err(error @ OpenError::Panicked(_)) => {
                    return self.member_is_unusable(&queue, spec, generation, &error);
                }
                Err(error) => {
                    tracing::error!(queue = %queue.spec.name, vhost = %queue.spec.vhost, %error, "this node's member of the queue cannot be opened");
                    return;
                }
            }
        };
        let look = Arc::new(Notify::new());
        let replica = Replica {
            group: group.clone(),
            look: look.clone(),
        };
        if !self.replicas.opened(queue.spec.id, generation, replica) {
            group.delete().await;
            return;
        }
        queue.state.lock().replica = Some(group.clone());
        if is_founder && is_new {
            self.stand_first(&queue, &group).await;
        }
        let voters = self.voters_of(&queue, &group);
        let first = is_new.then_some(queue.spec.home);
        self.replicas
            .takes_part(&self.elections, queue.spec.id, generation, &voters, first);
        let (broker, weak) = (Arc::downgrade(&self), Arc::downgrade(&queue));
        drop((self, queue));
        watch(broker, weak, group, look).await;
    }

    /// Where a stream puts its old chunks. What it drops is at least a segment, and so should a file be no more.
    fn archiving_of(&self, stream: &LiveStream, spec: GroupSpec) -> Archiving {
        let archiving = Archiving::into(self.store.archive(spec.log));
        let segment = stream.retention().segment.map_or(u64::MAX, |segment| segment.0);
        Archiving {
            segment_bytes: archiving.segment_bytes.min(segment.max(LEAST_FILE_BYTES)),
            ..archiving
        }
    }

    /// Asks for votes in a new group until a majority of the others has opened it too, or they elect.
    async fn stand_first(&self, queue: &QueueHandle, group: &Group<Contents>) {
        let mut watch = group.watch();
        let mut wait = FOUND_AGAIN;
        for _ in 0..7 {
            if let Err(error) = group.elect(Election::LeaderSilent).await {
                tracing::debug!(queue = %queue.spec.name, %error, "no election");
            }
            let led = watch.until(|now| now.leader.is_some());
            if tokio::time::timeout(wait, led).await.is_ok() || queue.is_deleted() {
                return;
            }
            wait *= 2;
        }
    }

    /// Gives back what the groups' logs hold and nobody needs, until the task is dropped.
    pub async fn run_reclaiming(self: Arc<Self>) {
        loop {
            tokio::time::sleep(RECLAIM).await;
            let group = self.catalogue_group();
            let last = group.machine().snapshot_bytes();
            if group.log_bytes() > WORTH.max(2 * last)
                && let Err(error) = group.snapshot().await
            {
                tracing::warn!(%error, "the catalogue's log is not given back");
            }
            let now = self.now();
            for (queue, group) in self.replicas.all() {
                if let Some(handle) = self.queues.by_id(queue)
                    && let Some(stream) = self.queues.streams.of(&handle)
                {
                    stream.retain(&group, now);
                }
                if let Err(error) = group.reclaim_if_worth().await {
                    tracing::warn!(queue = queue.0, %error, "a queue's log is not given back");
                }
            }
        }
    }

    /// Leaves every group in order: others lead before this node stops.
    pub async fn hand_over(self: &Arc<Self>) {
        let mut leaving = Vec::new();
        for (id, group) in self.replicas.all() {
            if !group.is_leader() {
                continue;
            }
            let Some(queue) = self.queue_by_id(id) else { continue };
            let other = self.next_leader_of(&group);
            queue.prepare_transfer(&self.queues);
            let turn = self.replicas.opening.clone();
            leaving.push(tasks::spawn("handing over", async move {
                // Its clients are gone: nobody would say it again.
                group.landed().await;
                let Some(other) = other else { return };
                let _turn = turn.acquire_owned().await;
                if let Err(error) = group.transfer_leader(other).await {
                    tracing::warn!(queue = id.0, %error, "leadership was not handed over");
                }
            }));
        }
        self.hand_catalogue_over(self.next_leader_of(self.catalogue_group()))
            .await;
        for one in leaving {
            // A task that panicked has not handed over: the others elect.
            let _ = one.await;
        }
    }

    /// The queue is deleted: its group ends on this node.
    pub(in crate::broker) fn drop_replica(&self, queue: &QueueHandle) {
        queue.state.lock().replica = None;
        if let Some(stream) = self.queues.streams.of(queue) {
            stream.tail.turn();
        }
        let (replica, damaged) = self.replicas.take(&self.elections, queue.spec.id);
        if let Some(replica) = replica {
            tasks::spawn("replica end", async move { replica.group.delete().await });
        }
        if let Some(spec) = damaged {
            self.store.forget(spec.log);
            self.store.forget(spec.snapshots);
        }
    }

    /// The nodes that are to have the queue are others.
    pub(in crate::broker) fn on_members(self: &Arc<Self>, queue: &Arc<QueueHandle>) {
        let us = self.nodes.us();
        let member = queue.members.read().iter().find(|member| member.node == us).copied();
        let wanted = self.replicas.wanted(queue.spec.id);
        if wanted.is_some() && wanted == member.map(|member| member.generation) {
            return self.replicas.look_again(queue.spec.id);
        }
        // It left the group before the catalogue said so, or is to be another member.
        if wanted.is_some() {
            if self.replicas.is_damaged(queue.spec.id) && member.is_some() {
                tracing::info!(queue = %queue.spec.name, vhost = %queue.spec.vhost, "the damaged member of the queue is thrown away, and a new one is filled from the others");
            }
            queue.step_down(&self.queues);
            self.drop_replica(queue);
        }
        self.open_replica(queue);
    }

    /// The nodes whose votes make a leader.
    fn voters_of(&self, queue: &QueueHandle, group: &Group<Contents>) -> Vec<NodeId> {
        let voters = group.status().voters;
        match voters.is_empty() {
            true => queue.member_nodes(),
            false => voters.into_iter().collect(),
        }
    }
}

/// The nodes that a queue's group began with, if this member is one of them: the log of each begins with
/// them, so that they elect even if the first of them ends before it told anybody. Where members have
/// come or gone before this node heard of the queue it is not known any more; a leader fills the log.
fn founders_of(spec: &QueueSpec, member: Member) -> Vec<NodeId> {
    match (spec.generations, member.generation) {
        (0, 0) => spec.members.iter().map(|member| member.node).collect(),
        _ => Vec::new(),
    }
}

/// Follows the group until it stops.
async fn watch(broker: Weak<Broker>, queue: Weak<QueueHandle>, group: Group<Contents>, look: Arc<Notify>) {
    let mut leadership = group.watch();
    loop {
        let now = leadership.now();
        {
            let (Some(broker), Some(queue)) = (broker.upgrade(), queue.upgrade()) else {
                return;
            };
            broker
                .elections
                .on_voters(queue.spec.id, broker.voters_of(&queue, &group));
            // Who led before a start of this node may be gone since.
            let is_there = |leader: &NodeId| *leader == broker.nodes.us() || broker.nodes.is_alive(*leader);
            broker.elections.on_leader(queue.spec.id, now.leader.filter(is_there));
            if let Some(leader) = now.leader {
                queue.last_leader.store(leader.0, Ordering::Relaxed);
            }
            match now.role {
                Role::Stopped => {
                    // Else another may have taken its place.
                    if broker.replicas.has(queue.spec.id, &group) {
                        queue.step_down(&broker.queues);
                        broker.member_has_stopped(&queue, &group);
                    }
                    return;
                }
                Role::Leader if queue.leads(&broker.queues, now.term) => broker.reconcile(&queue, &group),
                Role::Leader => match group.begin().await {
                    Ok(()) => {
                        queue.lead(&broker.queues, &group, now.term);
                        broker.reconcile(&queue, &group);
                    }
                    Err(error) => {
                        queue.step_down(&broker.queues);
                        tracing::debug!(queue = %queue.spec.name, %error, "the leader waits for a majority");
                        drop((broker, queue));
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                },
                _ => queue.step_down(&broker.queues),
            }
        }
        tokio::select! {
            changed = leadership.changed() => {
                let has_failed = group.has_lost() || group.has_panicked();
                if changed.is_none() && !has_failed {
                    return;
                }
            }
            () = look.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_is_gone_before_it_could_take_part_in_elections_never_does() {
        let (replicas, elections) = (Replicas::default(), Elections::default());
        let (queue, members) = (QueueId(7), [NodeId(1), NodeId(2)]);
        replicas.want(queue, 0);
        replicas.takes_part(&elections, queue, 0, &members, None);
        assert!(elections.knows(queue));
        replicas.take(&elections, queue);
        assert!(!elections.knows(queue));
        replicas.takes_part(&elections, queue, 0, &members, None);
        assert!(!elections.knows(queue), "the queue was deleted");
        // The node is a member again.
        replicas.want(queue, 1);
        replicas.takes_part(&elections, queue, 0, &members, None);
        assert!(!elections.knows(queue), "that was the member before");
    }
}
