//! Where queues are, and how they fare.

use std::sync::Arc;

use super::Reports;
use super::gathered::Gathered;
use crate::broker::queue::handle::QueueHandle;
use crate::types::NodeId;
use crate::types::sorting::sort_by_key;

/// Where a queue is, and how it fares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The node that has the machine, or had it last.
    pub leader: NodeId,
    pub members: Vec<NodeId>,
    /// Members that answer and have what the others have.
    pub online: Vec<NodeId>,
    /// Members that have lost their data or have yet to get it.
    pub incomplete: Vec<NodeId>,
    pub health: QueueHealth,
}

/// Whether a queue serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueHealth {
    Running,
    /// Too few members answer for a leader.
    Minority,
    /// No member answers.
    Down,
    /// Its records are damaged.
    Crashed,
}

impl QueueHealth {
    /// The word of the HTTP API's `state`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Minority => "minority",
            Self::Down => "down",
            Self::Crashed => "crashed",
        }
    }
}

impl Reports {
    /// Where a queue is, and how it fares.
    pub fn standing(&self, queue: &QueueHandle, gathered: &Gathered) -> Standing {
        let members = queue.member_nodes();
        let others = gathered.incomplete.get(&queue.spec.id).into_iter().flatten().copied();
        let mut incomplete: Vec<_> = others.filter(|node| members.contains(node)).collect();
        if members.contains(&self.us()) && self.replicas.is_incomplete(queue) {
            incomplete.push(self.us());
        }
        let online = self.replicas.online_of(&members, &incomplete);
        let health = match online.len() {
            _ if queue.is_quarantined() => QueueHealth::Crashed,
            0 => QueueHealth::Down,
            some if 2 * some <= members.len() => QueueHealth::Minority,
            _ => QueueHealth::Running,
        };
        Standing {
            leader: queue.leader(),
            members,
            online,
            incomplete,
            health,
        }
    }

    /// Replicated queues with a member on this node that would lose their majority with it.
    pub fn critical_queues(&self, gathered: &Gathered) -> Vec<Arc<QueueHandle>> {
        let mut queues = self.queues.all();
        queues.retain(|queue| {
            let standing = self.standing(queue, gathered);
            queue.is_replicated()
                && standing.online.contains(&self.us())
                && standing.online.len() <= standing.members.len() / 2 + 1
        });
        sort_by_key(&mut queues, |queue| queue.spec.id);
        queues
    }
}
