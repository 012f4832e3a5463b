//! This node's members of the groups of replicated queues: opened, watched, closed.
//!
//! A task for each waits for a change of leadership. When this node leads and knows all that is
//! committed, the queue's machine is made; when it does not lead any more, it is thrown away.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::Replicas;
use super::opened::OpenMember;
use crate::broker::queue::contents::Contents;
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::owners::group_owners;
use crate::broker::queue::stream::LiveStream;
use crate::journal::raft::{Archiving, Election, Group, GroupId, GroupSpec, Ledgers, OpenError, Pace, Role};
use crate::logging::Said;
use crate::queue::ledger::{IN_MEMORY, Ledger};
use crate::spec::{Member, QueueSpec};
use crate::stream::Log;
use crate::tasks;
use crate::types::NodeId;

/// Bytes that a file of a stream has at least before the next begins.
const LEAST_FILE_BYTES: u64 = 1024 * 1024;
/// How long a leader that could not reach a majority waits before it tries again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// How long a founder waits for its first term before it asks for votes again.
const FIRST_VOTE_PAUSE: Duration = Duration::from_millis(30);
/// How often logs are looked at.
const RECLAIM_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes that are worth a snapshot.
const WORTH: u64 = 8 * 1024 * 1024;

impl Replicas {
    /// Opens this node's member of the queue's group, if it is to have one, and watches it.
    pub(in crate::broker) fn open_member(self: &Arc<Self>, queue: &Arc<QueueHandle>) {
        let us = self.nodes.us();
        let member = queue.members.read().iter().find(|member| member.node == us).copied();
        let Some(member) = member else { return };
        if !self.members.want(queue.spec.id, member.generation) {
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
            log: self.recovered.take(log),
            snapshots: self.recovered.take(snapshots),
            archiving: None,
            founders: founders_of(&queue.spec, member),
        };
        if ledgers.log.is_none() && self.recovered.has_lost_records() {
            return self.member_is_damaged(queue, spec, member.generation, &"its log may be lost");
        }
        let (replicas, queue) = (self.clone(), queue.clone());
        tasks::spawn("replica", async move {
            replicas
                .run_member(queue, spec, ledgers, member.generation, is_founder)
                .await;
        });
    }

    pub(super) async fn run_member(
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
            if self.members.wanted(queue.spec.id) != Some(generation) {
                return;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        let group = {
            // It is never closed.
            let _turn = self.members.opening.clone().acquire_owned().await;
            let memory = self.members.memory.clone();
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
        let member = OpenMember {
            group: group.clone(),
            look: look.clone(),
        };
        if !self.members.opened(queue.spec.id, generation, member) {
            group.delete().await;
            return;
        }
        queue.state.lock().replica = Some(group.clone());
        if is_founder && is_new {
            self.stand_first(&queue, &group).await;
        }
        let voters = self.voters_of(&queue, &group);
        let first = is_new.then_some(queue.spec.home);
        self.members
            .takes_part(&self.elections, queue.spec.id, generation, &voters, first);
        let (replicas, weak) = (Arc::downgrade(&self), Arc::downgrade(&queue));
        drop((self, queue));
        watch(replicas, weak, group, look).await;
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
        let mut wait = FIRST_VOTE_PAUSE;
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
        let mut said = Said::default();
        loop {
            tokio::time::sleep(RECLAIM_INTERVAL).await;
            let group = self.declarations.group();
            let last = group.machine().snapshot_bytes();
            if group.log_bytes() > WORTH.max(2 * last) {
                match group.snapshot().await {
                    Ok(_) => {
                        said.is_over(&None);
                    }
                    Err(error) if said.is_news(None, &error) => {
                        tracing::warn!(%error, "the catalogue's log is not given back");
                    }
                    Err(_) => {}
                }
            }
            let now = self.queues.now();
            for (queue, group) in self.members.all() {
                if let Some(handle) = self.queues.by_id(queue)
                    && let Some(stream) = self.queues.streams.of(&handle)
                {
                    stream.retain(&group, now);
                }
                match group.reclaim_if_worth().await {
                    Ok(_) => {
                        said.is_over(&Some(queue));
                    }
                    Err(error) if said.is_news(Some(queue), &error) => {
                        tracing::warn!(queue = queue.0, %error, "a queue's log is not given back");
                    }
                    Err(_) => {}
                }
            }
        }
    }

    /// Leaves every group in order: others lead before this node stops.
    pub async fn hand_over(self: &Arc<Self>) {
        let mut leaving = Vec::new();
        for (id, group) in self.members.all() {
            if !group.is_leader() {
                continue;
            }
            let Some(queue) = self.queues.by_id(id) else { continue };
            let other = self.next_leader_of(&group);
            queue.prepare_transfer(&self.queues);
            let turn = self.members.opening.clone();
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
        let next_leader = self.next_leader_of(self.declarations.group());
        self.declarations.hand_over(next_leader).await;
        for one in leaving {
            // A task that panicked has not handed over: the others elect.
            let _ = one.await;
        }
    }

    /// Ends every group on this node. The links to other nodes have ended.
    pub async fn end_groups(&self) {
        let members = self.members.all();
        futures_util::future::join_all(members.iter().map(|(_, group)| group.shutdown())).await;
        self.declarations.group().shutdown().await;
    }

    /// The queue is deleted: its group ends on this node.
    pub(in crate::broker) fn drop_member(&self, queue: &QueueHandle) {
        queue.state.lock().replica = None;
        if let Some(stream) = self.queues.streams.of(queue) {
            stream.tail.turn();
        }
        let (member, damaged) = self.members.take(&self.elections, queue.spec.id);
        if let Some(member) = member {
            tasks::spawn("replica end", async move { member.group.delete().await });
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
        let wanted = self.members.wanted(queue.spec.id);
        if wanted.is_some() && wanted == member.map(|member| member.generation) {
            return self.members.look_again(queue.spec.id);
        }
        // It left the group before the catalogue said so, or is to be another member.
        if wanted.is_some() {
            if self.members.is_damaged(queue.spec.id) && member.is_some() {
                tracing::info!(queue = %queue.spec.name, vhost = %queue.spec.vhost, "the damaged member of the queue is thrown away, and a new one is filled from the others");
            }
            queue.step_down(&self.queues);
            self.drop_member(queue);
        }
        self.open_member(queue);
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
async fn watch(replicas: Weak<Replicas>, queue: Weak<QueueHandle>, group: Group<Contents>, look: Arc<Notify>) {
    let mut leadership = group.watch();
    loop {
        let now = leadership.now();
        {
            let (Some(replicas), Some(queue)) = (replicas.upgrade(), queue.upgrade()) else {
                return;
            };
            replicas
                .elections
                .on_voters(queue.spec.id, replicas.voters_of(&queue, &group));
            // Who led before a start of this node may be gone since.
            let is_there = |leader: &NodeId| *leader == replicas.nodes.us() || replicas.nodes.is_alive(*leader);
            replicas.elections.on_leader(queue.spec.id, now.leader.filter(is_there));
            if let Some(leader) = now.leader {
                queue.last_leader.store(leader.0, Ordering::Relaxed);
            }
            match now.role {
                Role::Stopped => {
                    // Else another may have taken its place.
                    if replicas.members.has(queue.spec.id, &group) {
                        queue.step_down(&replicas.queues);
                        replicas.member_has_stopped(&queue, &group);
                    }
                    return;
                }
                Role::Leader if queue.leads(&replicas.queues, now.term) => replicas.reconcile(&queue, &group),
                Role::Leader => match group.begin().await {
                    Ok(()) => {
                        queue.lead(&replicas.queues, &group, now.term);
                        replicas.reconcile(&queue, &group);
                    }
                    Err(error) => {
                        queue.step_down(&replicas.queues);
                        tracing::debug!(queue = %queue.spec.name, %error, "the leader waits for a majority");
                        drop((replicas, queue));
                        tokio::time::sleep(RETRY_PAUSE).await;
                        continue;
                    }
                },
                _ => queue.step_down(&replicas.queues),
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
