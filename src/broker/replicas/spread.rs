//! Keeps replicated queues spread over the nodes: as many members as a queue should have, and as
//! many leaders on each node as on the others.
//!
//! When nodes join or leave, the leader of the catalogue's group looks for queues with too few
//! members and gives each of them more, one at a time, so that copying never takes more than one
//! queue's worth of the links. What an operator took away by hand stays away until then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::Replicas;
use super::members::MemberChange;
use crate::broker::catalogue::placement::MEMBERS;
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::settings::settings_of;
use crate::logging::Said;
use crate::metadata::Catalogue;
use crate::spec::{QueueSpec, QueueType};
use crate::types::sorting::{map_of, sort_by_key};
use crate::types::{NodeId, QueueId};

/// The rest before queues are looked at again for which something could not be done.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// A queue that is to have another member.
struct Short {
    queue: QueueId,
    node: NodeId,
}

impl Replicas {
    /// Gives queues the members that they lack when nodes come or go, until the task is dropped.
    pub async fn run_repair(self: Arc<Self>) {
        let membership = &self.config.queues.membership;
        let interval = Duration::from_millis(membership.interval.0);
        let trigger = Duration::from_millis(membership.trigger_interval.0);
        let mut said = Said::default();
        loop {
            tokio::select! {
                () = self.repair.notified() => tokio::time::sleep(trigger).await,
                () = tokio::time::sleep(interval), if membership.enabled => {}
            }
            while self.declarations.is_leader() && !self.repair_once(&mut said).await {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// False when something is left to do that could not be done.
    async fn repair_once(self: &Arc<Self>, said: &mut Said<QueueId>) -> bool {
        let mut failed = FxHashSet::default();
        while let Some(Short { queue, node }) = self.short_of_members(&failed) {
            if !self.declarations.is_leader() {
                return true;
            }
            match self.change_member(queue, MemberChange::Add(node)).await {
                Ok(()) => {
                    said.is_over(&queue);
                }
                Err(error) => {
                    if said.is_news(queue, &error) {
                        tracing::warn!(queue = queue.0, %node, %error, "the queue does not get another member yet");
                    }
                    failed.insert(queue);
                }
            }
        }
        failed.is_empty()
    }

    /// A queue with too few members, and the node with the fewest of those that could have one.
    fn short_of_members(&self, except: &FxHashSet<QueueId>) -> Option<Short> {
        let catalogue = self.declarations.catalogue();
        let alive = catalogue.nodes().keys().filter(|node| self.nodes.is_alive(**node));
        let mut counts = map_of(alive.map(|node| (*node, 0_usize)));
        let queues = || catalogue.vhosts().flat_map(|vhost| vhost.queues());
        for member in queues().flat_map(|spec| &spec.members) {
            if let Some(count) = counts.get_mut(&member.node) {
                *count += 1;
            }
        }
        queues()
            .filter(|spec| spec.queue_type == QueueType::Quorum && !except.contains(&spec.id))
            .filter(|spec| spec.members.len() < self.wanted_members(&catalogue, spec))
            .find_map(|spec| {
                let is_member = |node: NodeId| spec.members.iter().any(|member| member.node == node);
                let free = counts.iter().filter(|(node, _)| !is_member(**node));
                let (node, _) = free.min_by_key(|(_, count)| **count)?;
                Some(Short {
                    queue: spec.id,
                    node: *node,
                })
            })
    }

    /// How many members the queue should have: the largest wish, else what it began with.
    fn wanted_members(&self, catalogue: &Catalogue, spec: &QueueSpec) -> usize {
        let settings = settings_of(catalogue, spec);
        let configured = self.config.queues.membership.target_group_size.map(u64::from);
        let wanted = settings.target_group_size.max(configured);
        let size = wanted.or(settings.initial_group_size);
        size.and_then(|size| usize::try_from(size).ok()).unwrap_or(MEMBERS)
    }

    /// Which leaders [`Replicas::rebalance`] would move, from where and where to, if every move succeeds.
    pub fn planned_moves(&self, is_meant: impl Fn(&QueueSpec) -> bool) -> Vec<(Arc<QueueSpec>, NodeId, NodeId)> {
        let (queues, mut counts) = self.spread_of(is_meant);
        let mut moves = Vec::new();
        for queue in queues {
            if let Some(next_leader) = self.less_busy(&queue, &counts) {
                let leader = queue.leader();
                *counts.entry(leader).or_default() -= 1;
                *counts.entry(next_leader).or_default() += 1;
                moves.push((queue.spec.clone(), leader, next_leader));
            }
        }
        moves
    }

    /// The replicated queues that are meant, in order, and how many of them each node leads.
    fn spread_of(&self, is_meant: impl Fn(&QueueSpec) -> bool) -> (Vec<Arc<QueueHandle>>, BTreeMap<NodeId, usize>) {
        let mut queues = self.queues.all();
        queues.retain(|queue| queue.is_replicated() && is_meant(&queue.spec));
        sort_by_key(&mut queues, |queue| queue.spec.id);
        let mut counts = BTreeMap::<NodeId, usize>::new();
        for queue in &queues {
            *counts.entry(queue.leader()).or_default() += 1;
        }
        (queues, counts)
    }

    /// Moves leaders of those queues from nodes that have many to nodes that have few.
    pub async fn rebalance(self: &Arc<Self>, is_meant: impl Fn(&QueueSpec) -> bool) {
        let (queues, mut counts) = self.spread_of(is_meant);
        for queue in queues {
            let Some(next_leader) = self.less_busy(&queue, &counts) else {
                continue;
            };
            let leader = queue.leader();
            match self
                .change_member(queue.spec.id, MemberChange::LeadOn(next_leader))
                .await
            {
                Ok(()) => {
                    *counts.entry(leader).or_default() -= 1;
                    *counts.entry(next_leader).or_default() += 1;
                }
                Err(error) => {
                    let spec = &queue.spec;
                    tracing::warn!(queue = %spec.name, vhost = %spec.vhost, %error, "the queue stays with its leader");
                }
            }
        }
    }

    /// The member that leads at least two queues less than the queue's leader.
    fn less_busy(&self, queue: &QueueHandle, counts: &BTreeMap<NodeId, usize>) -> Option<NodeId> {
        let leads = |node: &NodeId| counts.get(node).copied().unwrap_or(0);
        let incomplete = self.is_incomplete(queue).then(|| self.us());
        let online = self.online_of(&queue.member_nodes(), incomplete.as_slice());
        let drained = self.drained();
        let online = online.into_iter().filter(|node| !drained.contains(node));
        let least = online.min_by_key(leads)?;
        (leads(&least) + 1 < leads(&queue.leader())).then_some(least)
    }

    /// Those members of a group that answer and have what the others have.
    pub(in crate::broker) fn online_of(&self, members: &[NodeId], incomplete: &[NodeId]) -> Vec<NodeId> {
        let online = members.iter().copied();
        online
            .filter(|node| self.nodes.is_alive(*node) && !incomplete.contains(node))
            .collect()
    }
}
