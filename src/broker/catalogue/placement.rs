//! Which nodes get what is declared.

use rand::seq::SliceRandom;

use super::declarations::Declarations;
use crate::broker::queue::settings::settings_of;
use crate::config::LeaderLocator;
use crate::metadata::{Catalogue, Command};
use crate::spec::{Member, QueueSpec, QueueType};
use crate::types::NodeId;
use crate::types::sorting::{map_of, sort_by_key};

/// Members of a replicated queue's group that does not say (RabbitMQ's default).
pub const MEMBERS: usize = 3;

impl Declarations {
    /// Says where what a command declares is to live.
    pub(super) fn place(&self, command: &mut Command) {
        match command {
            Command::DeclareExchange(spec) => spec.home = self.nodes.us(),
            Command::DeclareQueue(spec) => {
                let catalogue = self.catalogue();
                spec.home = self.home_of(&catalogue, spec);
                if spec.queue_type != QueueType::Classic {
                    spec.members = self.members_for(&catalogue, spec);
                }
            }
            _ => {}
        }
    }

    /// The node where the queue lives, or its group begins.
    fn home_of(&self, catalogue: &Catalogue, spec: &QueueSpec) -> NodeId {
        let us = self.nodes.us();
        if spec.home != NodeId::default() {
            // Whoever declared it has said where.
            return spec.home;
        }
        let locator = settings_of(catalogue, spec).leader_locator;
        let is_balanced = locator.unwrap_or(self.config.queues.leader_locator) == LeaderLocator::Balanced;
        let drained = self.alarms.drained(us);
        let is_replicated = spec.queue_type != QueueType::Classic;
        let moves = is_replicated && drained.contains(&us);
        if !(is_balanced || moves) || spec.exclusive_owner.is_some() {
            return us;
        }
        let alive = catalogue.nodes().keys().filter(|node| self.nodes.is_alive(**node));
        let mut homes = map_of(alive.map(|node| (*node, 0_usize)));
        for queue in self.queues.all() {
            if let Some(count) = homes.get_mut(&queue.leader()) {
                *count += 1;
            }
        }
        let least = homes
            .into_iter()
            .min_by_key(|(node, count)| (drained.contains(node), *count, *node != us));
        least.map_or(us, |(node, _)| node)
    }

    /// The first members of a group: its home, then nodes that answer, then others.
    fn members_for(&self, catalogue: &Catalogue, spec: &QueueSpec) -> Vec<Member> {
        let wanted = settings_of(catalogue, spec).initial_group_size;
        let wanted = wanted.and_then(|size| usize::try_from(size).ok());
        let wanted = wanted.unwrap_or(match spec.queue_type {
            QueueType::Stream => usize::MAX,
            QueueType::Classic | QueueType::Quorum => MEMBERS,
        });
        let mut others: Vec<NodeId> = catalogue
            .nodes()
            .keys()
            .copied()
            .filter(|node| *node != spec.home)
            .collect();
        others.shuffle(&mut rand::rng());
        let drained = self.alarms.drained(self.nodes.us());
        sort_by_key(&mut others, |node| {
            (!self.nodes.is_alive(*node), drained.contains(node))
        });
        let nodes = std::iter::once(spec.home).chain(others);
        nodes.take(wanted).map(|node| Member { node, generation: 0 }).collect()
    }
}
