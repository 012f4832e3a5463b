//! Clients of all nodes: closed wherever they are, and counted where a limit needs it.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::Membership;
use crate::broker::Forced;
use crate::broker::delivery::connections::{ClientCounts, close};
use crate::metadata::{Catalogue, UserLimit, VhostLimit};
use crate::types::{ConnectionId, NodeId, Refusal, UserName, VhostName};

impl Membership {
    /// Closes connections, whichever nodes they are at: the clients hear the reason with 320.
    ///
    /// # Errors
    /// The nodes that did not answer.
    pub async fn close_connections(
        &self,
        connections: impl IntoIterator<Item = (NodeId, ConnectionId)>,
        reason: &str,
    ) -> Result<(), Vec<NodeId>> {
        let mut by_node = BTreeMap::<NodeId, Vec<ConnectionId>>::new();
        for (node, connection) in connections {
            by_node.entry(node).or_default().push(connection);
        }
        let here = by_node.remove(&self.us()).unwrap_or_default();
        let asked = by_node
            .into_iter()
            .map(|(node, ids)| async move { (node, self.ask_to_close(node, ids, reason).await) });
        let ((), asked) = tokio::join!(self.close_here(&here, reason), join_all(asked));
        let silent = asked.into_iter().filter(|(_, closes)| !closes);
        let silent: Vec<_> = silent.map(|(node, _)| node).collect();
        match silent.is_empty() {
            true => Ok(()),
            false => Err(silent),
        }
    }

    /// The same on this node only.
    pub(super) async fn close_here(&self, connections: &[ConnectionId], reason: &str) {
        let mut all = self.connections.all();
        all.retain(|connection| connections.contains(&connection.id));
        close(&all, &Forced::Ordered(reason.to_owned()).reply()).await;
    }

    /// How many clients other nodes have of a user and in a vhost. Nobody is asked where no limit needs it,
    /// and nodes that do not answer have none.
    pub async fn clients_elsewhere(&self, user: &UserName, vhost: &VhostName) -> ClientCounts {
        let others = match is_limited(&self.declarations.catalogue(), user, vhost) {
            true => self.nodes.others_alive(),
            false => Vec::new(),
        };
        let counts = others.into_iter().map(|node| self.ask_for_clients(node, user, vhost));
        let counts = join_all(counts).await.into_iter().flatten();
        counts.fold(ClientCounts::default(), |sum, more| ClientCounts {
            connections_in_vhost: sum.connections_in_vhost + more.connections_in_vhost,
            connections_of_user: sum.connections_of_user + more.connections_of_user,
            channels_of_user: sum.channels_of_user + more.channels_of_user,
        })
    }
}

/// Whether there is a limit that clients of other nodes count for.
fn is_limited(catalogue: &Catalogue, user: &UserName, vhost: &VhostName) -> bool {
    let vhost = catalogue.vhost(vhost).map(|vhost| &vhost.limits);
    let user = catalogue.user(user).map(|user| &user.limits);
    let in_vhost = vhost.and_then(|limits| limits.get(&VhostLimit::MaxConnections));
    let of_user = [UserLimit::MaxConnections, UserLimit::MaxChannels]
        .into_iter()
        .filter_map(|limit| user?.get(&limit));
    of_user.chain(in_vhost).any(|limit| *limit >= 0)
}
