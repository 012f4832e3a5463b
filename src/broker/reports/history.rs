//! How things were, on all nodes together, and statistics that begin anew.

use futures_util::future::join_all;

use crate::broker::Broker;
use crate::broker::report::Subject;
use crate::statistics::{Figures, Stats, Window, Windows};
use crate::types::{ConnectionId, NodeId};

impl Broker {
    /// How a thing was, and the names of the nodes that did not say.
    pub async fn series(&self, subject: &Subject, window: Window) -> (Figures, Vec<String>) {
        let names = self.node_names();
        let asked = names
            .keys()
            .copied()
            .filter(|node| subject.node().is_none_or(|only| only == *node));
        let answers = asked.map(async |node| {
            let figures = match node == self.us() {
                true => Some(self.series_here(subject, window)),
                false if !self.nodes().is_alive(node) => None,
                false => self.ask_for_series(node, subject, window).await,
            };
            (node, figures)
        });
        let mut sum = Figures::default();
        let mut silent = Vec::new();
        for (node, figures) in join_all(answers).await {
            match figures {
                Some(figures) => sum.add(&figures),
                None => silent.extend(names.get(&node).cloned()),
            }
        }
        (sum, silent)
    }

    /// The part of it that this node knows.
    pub(in crate::broker) fn series_here(&self, subject: &Subject, window: Window) -> Figures {
        let now = self.second();
        let figures = |stats: &Stats| self.statistics.figures(stats, now, Windows::all(window));
        let found = match subject {
            Subject::Queue(id) => self.queue_by_id(*id).map(|queue| figures(&queue.stats)),
            Subject::Exchange(vhost, name) => {
                let stats = self.vhost(vhost).and_then(|vhost| vhost.exchange_stats(name));
                stats.map(|stats| figures(&stats))
            }
            Subject::Connection(_, id) => {
                let connection = self.connections.get(*id);
                connection.map(|connection| figures(&connection.outbox.stats))
            }
            Subject::Channel(_, id, number) => self.channel_figures(*id, *number, figures),
            Subject::Vhost(name) => self.vhost(name).map(|vhost| figures(vhost.scope.vhost())),
            Subject::Node(_) | Subject::Cluster => Some(figures(self.statistics.node())),
        };
        found.unwrap_or_default()
    }

    fn channel_figures(&self, id: ConnectionId, number: u16, figures: impl Fn(&Stats) -> Figures) -> Option<Figures> {
        let connection = self.connections.get(id)?;
        let mut out = connection.outbox.lock();
        let stats = out.channel(number).map(|channel| channel.stats.clone());
        out.finish();
        Some(figures(&*stats?))
    }

    /// Has nodes begin their statistics anew. The names of those that did not.
    pub async fn reset_statistics(&self, nodes: &[NodeId]) -> Vec<String> {
        let names = self.node_names();
        let answers = nodes.iter().map(async |node| {
            if *node == self.us() {
                self.reset_here();
                return None;
            }
            (!self.ask_to_reset(*node).await).then(|| names.get(node).cloned())?
        });
        join_all(answers).await.into_iter().flatten().collect()
    }

    /// Begins this node's statistics anew.
    pub(in crate::broker) fn reset_here(&self) {
        let second = self.second();
        self.statistics.node().reset(second);
        let vhosts: Vec<_> = self.vhosts.read().values().cloned().collect();
        for vhost in vhosts {
            vhost.scope.vhost().reset(second);
            vhost
                .counted_exchanges()
                .iter()
                .for_each(|(_, stats)| stats.reset(second));
            vhost.queues().iter().for_each(|queue| queue.stats.reset(second));
        }
        for connection in self.connections.all() {
            connection.outbox.stats.reset(second);
            let mut out = connection.outbox.lock();
            for number in out.channel_numbers() {
                if let Some(channel) = out.channel(number) {
                    channel.stats.reset(second);
                }
            }
            out.finish();
        }
    }
}
