//! How things were, on all nodes together, and statistics that begin anew.

use futures_util::future::join_all;

use super::Reports;
use super::report::Subject;
use crate::statistics::{Delay, Figures, Latencies, Spreads, Stats, Window, Windows};
use crate::types::{ConnectionId, NodeId};

impl Reports {
    /// How a thing was, and the names of the nodes that did not say.
    pub async fn series(&self, subject: &Subject, window: Window) -> (Figures, Vec<String>) {
        let here = || self.series_here(subject, window);
        let there = |node| self.ask_for_series(node, subject, window);
        let mut sum = Figures::default();
        let silent = self
            .gather_from(subject, here, there, |figures| sum.add(&figures))
            .await;
        (sum, silent)
    }

    /// How long things took in the last so many seconds, in the order of [`Delay::ALL`], and the names of the nodes
    /// that did not say.
    pub async fn latencies(&self, subject: &Subject, age: u64) -> (Vec<Spreads>, Vec<String>) {
        let here = || self.latencies_here(subject, age);
        let there = |node| self.ask_for_latencies(node, subject, age);
        let mut sums = vec![Spreads::default(); Delay::ALL.len()];
        let add = |spreads: Vec<Spreads>| {
            for (sum, spreads) in sums.iter_mut().zip(&spreads) {
                sum.add(spreads);
            }
        };
        let silent = self.gather_from(subject, here, there, add).await;
        (sums, silent)
    }

    /// Asks all nodes that may know something of a thing. The names of those that did not answer.
    async fn gather_from<T, F: Future<Output = Option<T>>>(
        &self,
        subject: &Subject,
        here: impl Fn() -> T,
        there: impl Fn(NodeId) -> F,
        mut take: impl FnMut(T),
    ) -> Vec<String> {
        let names = self.declarations.node_names();
        let asked = names.keys().copied();
        let asked = asked.filter(|node| subject.node().is_none_or(|only| only == *node));
        let (us, others): (Vec<_>, Vec<_>) = asked.partition(|node| *node == self.us());
        if !us.is_empty() {
            take(here());
        }
        let (alive, mut silent): (Vec<_>, Vec<_>) = others.into_iter().partition(|node| self.nodes.is_alive(*node));
        let answers = join_all(alive.iter().map(|node| there(*node))).await;
        for (node, answer) in alive.into_iter().zip(answers) {
            match answer {
                Some(answer) => take(answer),
                None => silent.push(node),
            }
        }
        silent.iter().filter_map(|node| names.get(node).cloned()).collect()
    }

    /// How long things took on this node.
    pub(super) fn latencies_here(&self, subject: &Subject, age: u64) -> Vec<Spreads> {
        let second = self.second();
        let last = |latencies: &Latencies| {
            let all = Delay::ALL.iter();
            all.map(|(delay, _)| latencies.last(*delay, age, second)).collect()
        };
        match subject {
            Subject::Queue(id) => self
                .queues
                .by_id(*id)
                .map(|queue| last(&queue.latencies))
                .unwrap_or_default(),
            Subject::Node(_) | Subject::Cluster => last(self.statistics.latencies()),
            _ => Vec::new(),
        }
    }

    /// The part of it that this node knows.
    pub(super) fn series_here(&self, subject: &Subject, window: Window) -> Figures {
        let now = self.second();
        let figures = |stats: &Stats| self.statistics.figures(stats, now, Windows::all(window));
        let found = match subject {
            Subject::Queue(id) => self.queues.by_id(*id).map(|queue| figures(&queue.stats)),
            Subject::Exchange(vhost, name) => {
                let stats = self.vhosts.get(vhost).and_then(|vhost| vhost.exchange_stats(name));
                stats.map(|stats| figures(&stats))
            }
            Subject::Connection(_, id) => {
                let connection = self.connections.get(*id);
                connection.map(|connection| figures(&connection.outbox.stats))
            }
            Subject::Channel(_, id, number) => self.channel_figures(*id, *number, figures),
            Subject::Vhost(name) => self.vhosts.get(name).map(|vhost| figures(vhost.scope.vhost())),
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
        let names = self.declarations.node_names();
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
    pub(super) fn reset_here(&self) {
        let second = self.second();
        self.statistics.node().reset(second);
        let vhosts = self.vhosts.all();
        for vhost in vhosts {
            vhost.scope.vhost().reset(second);
            vhost
                .counted_exchanges()
                .iter()
                .for_each(|(_, stats)| stats.reset(second));
            vhost.queues().iter().for_each(|queue| queue.reset_counts(second));
        }
        for connection in self.connections.all() {
            connection.outbox.stats.reset(second);
            let mut out = connection.outbox.lock();
            for number in out.channel_numbers() {
                if let Some(channel) = out.channel(number) {
                    channel.stats.reset(second);
                    channel.pairs.reset(second);
                }
            }
            out.finish();
        }
    }
}
