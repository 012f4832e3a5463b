//! Members of Raft groups on this node that have lost their data: each makes way for a new one, which is
//! filled from the others.
//!
//! ```text
//! damaged ──a majority of the others has put it out of the group──→ another member, empty ──→ filled
//!    └──no such majority: it waits, and nothing is thrown away
//! ```
//! A member that has voted, or has said that it has an entry, and does not know it any more must never
//! speak for itself again. So it is not opened, and what takes its place is another member: of another
//! generation, with other owners in the store, which hears nobody before the group has committed that it
//! does without the old one.

use std::fmt::Display;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::Replicas;
use super::members::{MemberChange, MemberError, STEP_HERE_TIMEOUT};
use crate::broker::queue::contents::Contents;
use crate::broker::queue::handle::QueueHandle;
use crate::handover::wire;
use crate::journal::raft::{Group, GroupSpec, Ledgers};
use crate::store::StoreError;
use crate::tasks;
use crate::types::{NodeId, QueueId};

/// The first and the longest rest before the others are asked again.
const RESTS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Queues whose members are replaced side by side.
pub(super) const AT_ONCE: usize = 16;

impl Replicas {
    /// This node's member of a queue's group is damaged, and is replaced when the others can do without.
    pub(super) fn member_is_damaged(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        spec: GroupSpec,
        generation: u32,
        why: &dyn Display,
    ) {
        if self.members.wanted(queue.spec.id) == Some(generation) {
            self.store.note_damage([spec.log]);
            self.member_is_unusable(queue, spec, generation, why);
        }
    }

    /// The same for one that may be opened at the next start.
    pub(super) fn member_is_unusable(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        spec: GroupSpec,
        generation: u32,
        why: &dyn Display,
    ) {
        if !self.members.set_damaged(queue.spec.id, generation, spec) {
            return;
        }
        tracing::error!(queue = %queue.spec.name, vhost = %queue.spec.vhost, %why, "this node's member of the queue cannot be opened, and is to be filled again from the others");
        let (replicas, queue) = (Arc::downgrade(self), Arc::downgrade(queue));
        tasks::spawn("mending", renew(replicas, queue, generation));
    }

    /// A member has stopped; nobody here may have closed it.
    pub(super) fn member_has_stopped(self: &Arc<Self>, queue: &Arc<QueueHandle>, group: &Group<Contents>) {
        if !self.nodes.journals().is_open(group.id()) {
            return;
        }
        if group.has_lost() {
            self.on_failing_member(queue, group);
        } else if group.has_panicked() {
            self.member_panicked(queue, group);
        }
    }

    /// A member that is open cannot read what it has: it leaves its place as one that is damaged. One
    /// without others goes on, for nobody else has more.
    pub(in crate::broker) fn on_failing_member(self: &Arc<Self>, queue: &Arc<QueueHandle>, group: &Group<Contents>) {
        let Some(generation) = self.members.wanted(queue.spec.id) else {
            return;
        };
        if queue.member_nodes().len() < 2 {
            return;
        }
        let (replicas, queue, group) = (self.clone(), queue.clone(), group.clone());
        tasks::spawn("failing member", async move {
            replicas.step_down_from(&queue, &group).await;
            group.shutdown().await;
            let why = "what it has cannot be read";
            replicas.member_is_damaged(&queue, group.spec(), generation, &why);
        });
    }

    /// The ledger of a member that is open has panicked, or openraft's task. What is on the disk is whole:
    /// the member is made anew out of that. Where it panics once more the member is filled from the others; nothing is
    /// noted on the disk, for a later version may make of it what it should.
    fn member_panicked(self: &Arc<Self>, queue: &Arc<QueueHandle>, group: &Group<Contents>) {
        let id = queue.spec.id;
        let Some(generation) = self.members.wanted(id) else {
            return;
        };
        let is_first = self.members.note_panic(id, Instant::now());
        let (replicas, queue, group) = (self.clone(), queue.clone(), group.clone());
        tasks::spawn("panicked member", async move {
            replicas.step_down_from(&queue, &group).await;
            group.shutdown().await;
            let spec = group.spec();
            if !is_first && queue.member_nodes().len() < 2 {
                replicas.members.set_damaged(id, generation, spec);
                tracing::error!(queue = %queue.spec.name, vhost = %queue.spec.vhost, "this node's member of the queue panicked again, and nobody else has the queue: it is not served before the node starts again");
                return;
            }
            if !is_first {
                let why = "its ledger panicks again and again";
                return replicas.member_is_unusable(&queue, spec, generation, &why);
            }
            tracing::error!(queue = %queue.spec.name, vhost = %queue.spec.vhost, "this node's member of the queue panicked; it is made anew out of its log");
            let store = replicas.store.clone();
            let read = tasks::blocking(move || {
                Ok::<_, StoreError>(Ledgers {
                    log: Some(store.ledger(spec.log)?),
                    snapshots: Some(store.ledger(spec.snapshots)?),
                    ..Ledgers::default()
                })
            });
            let ledgers = match read.await {
                Ok(Ok(ledgers)) => ledgers,
                Ok(Err(error)) => return replicas.member_is_unusable(&queue, spec, generation, &error),
                Err(error) => return replicas.member_is_unusable(&queue, spec, generation, &error),
            };
            if replicas.members.reopens(id, generation) {
                replicas.run_member(queue, spec, ledgers, generation, false).await;
            }
        });
    }

    /// Others lead the queue from now on.
    async fn step_down_from(self: &Arc<Self>, queue: &Arc<QueueHandle>, group: &Group<Contents>) {
        let id = queue.spec.id;
        let voters = group.status().voters;
        let term = group.leadership().term;
        if group.is_leader()
            && let Some(next_leader) = self.next_leader_of(group)
            && self.hand_queue_over(queue, group, next_leader).await.is_none()
        {
            tracing::debug!(queue = id.0, "the others elect");
        }
        queue.step_down(&self.queues);
        queue.state.lock().replica = None;
        if let Some(stream) = self.queues.streams.of(queue) {
            stream.tail.turn();
        }
        self.elections.on_gone(id);
        for voter in voters.into_iter().filter(|voter| *voter != self.us()) {
            self.tell_leaderless(voter, id, term);
        }
    }

    /// Asks the members of a queue's group, of which one leads, for another member in this one's place.
    async fn ask_for_renewal(&self, queue: &QueueHandle, generation: u32) -> Option<Result<(), MemberError>> {
        let us = self.us();
        let members = queue.member_nodes();
        if members == [us] {
            return Some(Err(MemberError::LastMember));
        }
        let _turn = self.turns.acquire().await.ok()?;
        for member in members.into_iter().filter(|member| self.nodes.is_alive(*member)) {
            let change = MemberChange::Renew(us, generation);
            let deadline = Instant::now() + STEP_HERE_TIMEOUT;
            if let Some(changed) = self.ask_for_change(member, queue.spec.id, change, deadline).await {
                return Some(changed);
            }
        }
        None
    }

    /// Whether this node's member of the queue's group has yet to be, or to be filled; until its vote counts even where
    /// the leader is lost in this moment.
    pub(in crate::broker) fn is_incomplete(&self, queue: &QueueHandle) -> bool {
        let id = queue.spec.id;
        if self.members.is_damaged(id) {
            return true;
        }
        let us = self.us();
        let is_new = queue
            .members
            .read()
            .iter()
            .any(|member| member.node == us && member.generation > 0);
        is_new
            && self
                .members
                .group(id)
                .is_none_or(|group| !group.status().settled_voters.contains(&us))
    }

    fn tell_leaderless(&self, voter: NodeId, queue: QueueId, term: u64) {
        self.queues
            .peers
            .tell(voter, |buffer| wire::leaderless(buffer, queue, term));
    }
}

/// Asks for another member until there is one, or the queue is gone.
async fn renew(replicas: Weak<Replicas>, queue: Weak<QueueHandle>, generation: u32) {
    let (mut rest, longest) = RESTS;
    let mut is_said = false;
    while let (Some(replicas), Some(queue)) = (replicas.upgrade(), queue.upgrade()) {
        let id = queue.spec.id;
        if queue.is_deleted() || replicas.members.wanted(id) != Some(generation) {
            return;
        }
        let why = match replicas.ask_for_renewal(&queue, generation).await {
            // The catalogue's change closes it.
            Some(Ok(())) => None,
            Some(Err(MemberError::LastMember)) => {
                tracing::error!(queue = %queue.spec.name, vhost = %queue.spec.vhost, "nobody else has the queue: what can be read of it is served after recover_queue and another start");
                return;
            }
            Some(Err(error)) => Some(error.to_string()),
            None => Some("no majority of them has a leader".to_owned()),
        };
        if let Some(why) = why.filter(|_| rest > Duration::from_secs(1) && !is_said) {
            is_said = true;
            tracing::warn!(queue = %queue.spec.name, vhost = %queue.spec.vhost, why, "the damaged member of the queue waits for the others; nothing of it is thrown away until then");
        }
        drop((replicas, queue));
        tokio::time::sleep(rest).await;
        rest = (2 * rest).min(longest);
    }
}

#[cfg(test)]
pub(in crate::broker) mod tests;
