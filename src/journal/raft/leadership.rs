//! Who leads a group, as far as this node knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openraft::ServerState;
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::{RaftMetrics, RaftServerMetrics};

use super::types::Types;
use crate::types::NodeId;

/// Who leads, as far as this node knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leadership {
    pub term: u64,
    pub leader: Option<NodeId>,
    /// What this node is.
    pub role: Role,
}

/// What a member is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Leader,
    Follower,
    Candidate,
    /// No voter, or no longer a member.
    Learner,
    Stopped,
}

/// Hears of changes of leadership.
pub struct LeaderWatch {
    server: WatchReceiverOf<Types, RaftServerMetrics<Types>>,
    /// Changes with every entry, and is the only one that tells of the end.
    all: WatchReceiverOf<Types, RaftMetrics<Types>>,
    has_ended: Arc<AtomicBool>,
}

impl LeaderWatch {
    pub(super) fn new(
        server: WatchReceiverOf<Types, RaftServerMetrics<Types>>,
        all: WatchReceiverOf<Types, RaftMetrics<Types>>,
        has_ended: Arc<AtomicBool>,
    ) -> Self {
        Self { server, all, has_ended }
    }

    /// As of now; what is seen here is no change later.
    pub fn now(&mut self) -> Leadership {
        let has_stopped = self.all.borrow_watched().running_state.is_err() || self.has_ended.load(Ordering::Acquire);
        let now = self.server.borrow_and_update();
        Leadership {
            term: now.vote.leader_id.term,
            leader: now.current_leader,
            role: match now.state {
                _ if has_stopped => Role::Stopped,
                ServerState::Leader => Role::Leader,
                ServerState::Follower => Role::Follower,
                ServerState::Candidate => Role::Candidate,
                ServerState::Learner => Role::Learner,
                ServerState::Shutdown => Role::Stopped,
            },
        }
    }

    /// Waits for a change; `None` when the group is stopped.
    pub async fn changed(&mut self) -> Option<Leadership> {
        if self.server.changed().await.is_err() {
            self.has_ended.store(true, Ordering::Release);
            return None;
        }
        Some(self.now())
    }

    /// Waits until it is so; false when the group is stopped first.
    pub async fn until(&mut self, is_so: impl Fn(&Leadership) -> bool) -> bool {
        let mut now = Some(self.now());
        while let Some(leadership) = now {
            if is_so(&leadership) {
                return true;
            }
            now = self.changed().await;
        }
        false
    }
}
