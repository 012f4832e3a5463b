//! How often somebody tried to log in, on whichever node.

use super::Membership;
use crate::auth::attempts::Counts;
use crate::types::NodeId;

impl Membership {
    /// How often somebody tried to log in at a node, by protocol; `None` when another does not answer.
    pub async fn attempts_at(&self, node: NodeId) -> Option<Vec<(String, Counts)>> {
        match node == self.us() {
            true => Some(self.logins.attempts()),
            false => self.ask_for_attempts(node).await,
        }
    }

    /// Has a node count them from nothing again; whether it does.
    pub async fn reset_attempts_at(&self, node: NodeId) -> bool {
        if node != self.us() {
            return self.ask_to_reset_attempts(node).await;
        }
        self.logins.reset_attempts();
        true
    }
}
