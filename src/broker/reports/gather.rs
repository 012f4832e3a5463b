//! All nodes asked for what they know of queues and clients, for whoever shows them.
//!
//! The numbers of a queue are known where its machine is, and consumers, connections and channels where
//! their sockets are. So whoever is asked for any of them asks the other nodes first, all at once and once
//! for a request. What does not come at once is left out, and [`Gathered::silent`] says whose. A node
//! alone asks nobody.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::Reports;
use super::gathered::Gathered;
use super::report::{About, Wanted};

/// How long the other nodes have.
const PATIENCE: Duration = Duration::from_secs(1);

impl Reports {
    /// Asks the other nodes for what they know, and counted in that time.
    pub async fn gather(&self, wanted: impl Into<Wanted>) -> Gathered {
        let wanted = wanted.into();
        let Wanted { about, windows } = wanted;
        let (names, silent) = (self.declarations.node_names(), self.membership.cut_off());
        let mut gathered = Gathered::new(names, silent, self.now());
        if about.has_clients() {
            gathered.add_own(self.connection_reports(windows));
        }
        gathered.count(self.counted(wanted));
        if about == About::Nodes {
            gathered.facts.insert(self.us(), self.facts());
        }
        let mut others = self.nodes.others_alive();
        others.retain(|node| gathered.is_node(*node));
        let deadline = Instant::now() + PATIENCE;
        let reports = others
            .into_iter()
            .map(|node| async move { (node, self.ask_for_report(node, wanted, deadline).await) });
        for (node, report) in join_all(reports).await {
            match report {
                Some(report) => gathered.add(node, report),
                None => gathered.add_silent(node),
            }
        }
        gathered
    }
}
