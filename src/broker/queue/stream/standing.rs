//! Where a stream stands: who leads it, which nodes have members, and when that changes.

use std::time::{Duration, Instant};

use super::live::{LiveStream, replica};
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::queues::Queues;
use crate::journal::raft::{Leadership, Role};
use crate::types::NodeId;

/// Between two looks whether a member is open, or its leader has all that is committed: neither is told.
const LOOK: Duration = Duration::from_millis(5);
/// How long a stream may be without a leader until whoever asks for it is answered.
const FIRST_LEADER: Duration = Duration::from_secs(5);

impl LiveStream {
    /// Who leads, as far as it is known and lives, and the other members that live.
    pub fn place(&self, queues: &Queues, queue: &QueueHandle) -> (Option<NodeId>, Vec<NodeId>) {
        let is_there = |node: &NodeId| queues.nodes.is_alive(*node);
        let known = match replica(queue) {
            Some(group) => group.leadership().leader,
            None => self.leader().or_else(|| self.leader_of(queues, queue)),
        };
        let leader = known.filter(is_there);
        let mut others = queue.member_nodes();
        others.retain(|node| Some(*node) != leader && is_there(node));
        (leader, others)
    }

    /// Waits a while until the stream is led: here, with all that is committed, or elsewhere. Ends also when it is
    /// deleted. Whoever waits looks for itself then.
    pub async fn led(&self, queues: &Queues, queue: &QueueHandle) {
        let until = Instant::now() + FIRST_LEADER;
        while !self.is_ended() && Instant::now() < until {
            let is_led = match replica(queue).map(|group| group.leadership()) {
                Some(now) if now.role == Role::Leader => self.leads(now.term),
                Some(now) => now.leader.is_some(),
                // Its member is yet to be opened, or on other nodes only.
                None => !queue.member_nodes().contains(&queues.us()),
            };
            if is_led {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until this node does not lead the stream any more, or it is deleted.
    pub async fn deposed(&self, queue: &QueueHandle) {
        let term = replica(queue).map(|group| group.leadership().term);
        self.until(queue, |now| now.role != Role::Leader || Some(now.term) != term)
            .await;
    }

    /// Waits until this node has no member of the stream any more, or it is deleted.
    pub async fn gone(&self, queue: &QueueHandle) {
        self.until(queue, |now| now.role == Role::Stopped).await;
    }

    async fn until(&self, queue: &QueueHandle, is_so: impl Fn(&Leadership) -> bool) {
        let Some(group) = replica(queue) else { return };
        let mut watch = group.watch();
        let mut now = watch.now();
        loop {
            let ended = self.end.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.is_ended() || is_so(&now) {
                return;
            }
            tokio::select! {
                () = ended => return,
                changed = watch.changed() => match changed {
                    Some(changed) => now = changed,
                    None => return,
                },
            }
        }
    }
}
