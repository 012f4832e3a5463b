//! What is counted of a queue: what this node's clients do with it, and how long it is where its machine is here.

use std::sync::Arc;
use std::time::Duration;

use super::handle::QueueHandle;
use crate::queue::Counts;
use crate::spec::QueueType;
use crate::statistics::{Delay, Measure, Stats, Tally};
use crate::types::{ExchangeName, Timestamp};

/// What was counted of queues that are deleted, by their type: totals of a node do not count back.
#[derive(Default)]
pub(in crate::broker) struct DeletedQueues([Tally; 3]);

impl DeletedQueues {
    /// A queue is deleted.
    pub(super) fn add(&mut self, queue: &QueueHandle) {
        self.0[queue.spec.queue_type as usize].add(&queue.stats.totals());
    }

    /// What was counted of those of that type.
    pub fn of_type(&self, queue_type: QueueType) -> Tally {
        self.0[queue_type as usize].clone()
    }
}

impl QueueHandle {
    /// Counts for the queue, its vhost and the node.
    pub fn count(&self, counter: Measure, count: u64) {
        if count > 0 {
            self.stats.add(counter, count);
            self.scope.add(counter, count);
        }
    }

    /// So many messages of an exchange come to it.
    pub fn came_from(&self, exchange: &ExchangeName, count: u64) {
        let mut incoming = self.incoming.lock();
        let stats = incoming.entry(exchange.clone());
        stats
            .or_insert_with(|| Arc::new(Stats::of_client()))
            .add(Measure::Publish, count);
    }

    /// What of it came from which exchange.
    pub(in crate::broker) fn incoming(&self) -> Vec<(ExchangeName, Arc<Stats>)> {
        let incoming = self.incoming.lock();
        incoming
            .iter()
            .map(|(exchange, stats)| (exchange.clone(), stats.clone()))
            .collect()
    }

    /// Counts anew.
    pub(in crate::broker) fn reset_counts(&self, second: u64) {
        self.stats.reset(second);
        self.incoming.lock().clear();
    }

    /// Something took so long.
    pub fn took(&self, delay: Delay, took: Duration, now: Timestamp) {
        self.latencies.record(delay, took, now.seconds());
        self.scope.statistics().latencies().record(delay, took, now.seconds());
    }

    /// Notes how long it is, and by how much its vhost's queues are longer together. None where it is elsewhere.
    pub(in crate::broker) fn measure(&self) {
        let of_stream = (self.spec.queue_type == QueueType::Stream).then(|| self.counts_here());
        // The machine is locked until it is noted, so that what is noted last is what came last.
        let state = self.state.lock();
        let counts = match of_stream {
            // The bytes of its log are none of bodies.
            Some(counts) => counts.map(|counts| Counts {
                ready: counts.ready,
                ..Counts::default()
            }),
            None => state.machine.queue().map(|queue| queue.counts()),
        };
        self.note(counts.filter(|_| !self.is_deleted()).unwrap_or_default());
    }

    /// It is deleted: its messages are no part of what there is.
    pub(in crate::broker) fn uncount(&self) {
        let _state = self.state.lock();
        self.note(Counts::default());
    }

    fn note(&self, counts: Counts) {
        for (gauge, value) in [
            (Measure::Ready, counts.ready),
            (Measure::Unacked, counts.unacked),
            (Measure::ReadyBytes, counts.ready_bytes),
            (Measure::UnackedBytes, counts.unacked_bytes),
        ] {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            self.scope.change(gauge, self.stats.set(gauge, value));
        }
    }
}
