//! Tells the other nodes what this one is short of, and asks those that come.
//!
//! ```text
//! a change here   → told to every node that lives, until it has heard it or is gone
//! a node comes up → asked, for it may have said it while it was not heard
//! a node goes     → forgotten
//! ```
//! A node that restarts numbers its notices anew; what its last run said is forgotten before.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::Membership;
use crate::broker::alarms::Notice;
use crate::tasks;
use crate::types::NodeId;

/// Before a node is told or asked again that did not answer.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

impl Membership {
    /// Tells the others of each change, until the task is dropped.
    pub async fn run_shortages(self: Arc<Self>) {
        let mut notices = self.alarms.notices();
        // There may be one already that nobody was told.
        notices.mark_changed();
        // An error is the broker dropped, which cannot be while we are here.
        while notices.changed().await.is_ok() {
            let notice = *notices.borrow_and_update();
            let mut untold = self.nodes.others_alive();
            while !untold.is_empty() && !notices.has_changed().unwrap_or(false) {
                let told = untold.iter().map(|node| self.ask_to_note(*node, notice));
                let told = join_all(told).await;
                let mut told = told.into_iter();
                untold.retain(|node| told.next() != Some(true) && self.nodes.is_alive(*node));
                if !untold.is_empty() {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// A node is short of something, or not any more.
    pub(super) fn note(&self, node: NodeId, notice: Notice) {
        if self.nodes.is_alive(node) {
            self.alarms.heard(node, notice);
        }
    }

    /// A node is heard that was not: whatever it said before, it is asked.
    pub(super) fn ask_what_is_short(self: &Arc<Self>, node: NodeId) {
        // A node that has been stopped sees the others as it saw them last: it is not held while we wait.
        let membership = Arc::downgrade(self);
        tasks::spawn("shortage", async move {
            while let Some(membership) = membership.upgrade().filter(|here| here.nodes.is_alive(node)) {
                if let Some(notice) = membership.ask_for_notice(node).await {
                    return membership.note(node, notice);
                }
                drop(membership);
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        });
    }
}
