//! Publishes in a row, counted together.

use std::sync::Arc;

use super::route_cache::{Found, Route};
use crate::broker::queue::clients::Outbox;
use crate::statistics::Measure;

/// Publishes in a row of one channel to one exchange, not counted yet.
pub(super) struct Run {
    pub(super) route: Route,
    channel: u16,
    incarnation: u64,
    pub(super) publishes: u64,
    /// To queues.
    pub(super) out: u64,
    pub(super) returned: u64,
    pub(super) dropped: u64,
}

impl Run {
    /// None yet, of that channel.
    pub(super) fn of(route: &Route, (channel, incarnation): (u16, u64)) -> Self {
        Self {
            route: route.clone(),
            channel,
            incarnation,
            publishes: 0,
            out: 0,
            returned: 0,
            dropped: 0,
        }
    }

    /// Whether the next one of that channel is of this run.
    pub(super) fn has(&self, route: &Route, channel: (u16, u64)) -> bool {
        let is_same = match route.0.is_detailed {
            true => Arc::ptr_eq(&self.route.0, &route.0),
            false => Arc::ptr_eq(&self.route.0.exchange, &route.0.exchange),
        };
        is_same && (self.channel, self.incarnation) == channel
    }

    /// Counts them for their exchange, channel and vhost, and the node.
    pub(super) fn count(self, outbox: &Outbox) {
        let Found {
            exchange,
            scope,
            name,
            queues,
            is_detailed,
        } = &*self.route.0;
        if *is_detailed {
            queues.iter().for_each(|queue| queue.came_from(name, self.publishes));
        }
        exchange.add(Measure::PublishIn, self.publishes);
        exchange.add(Measure::PublishOut, self.out);
        exchange.add(Measure::ReturnUnroutable, self.returned);
        exchange.add(Measure::DropUnroutable, self.dropped);
        scope.statistics().touch(exchange);
        let of_channel = [
            (Measure::Publish, self.publishes),
            (Measure::ReturnUnroutable, self.returned),
            (Measure::DropUnroutable, self.dropped),
        ];
        let some = |counts: &(Measure, u64)| counts.1 > 0;
        let of_vhost = [(Measure::PublishIn, self.publishes), (Measure::PublishOut, self.out)];
        for (counter, count) in of_channel.into_iter().chain(of_vhost).filter(some) {
            scope.add(counter, count);
        }
        let mut out = outbox.lock();
        if let Some(channel) = out.channel_as(self.channel, self.incarnation) {
            for (counter, count) in of_channel.into_iter().filter(some) {
                channel.stats.add_alone(counter, count);
                channel.pairs.publish(name, counter, count);
            }
            if channel.confirms.is_some() {
                scope.statistics().node().add(Measure::PublishToConfirm, self.publishes);
            }
        }
        out.finish();
    }
}
