//! A row of the catalogue: a metric, or several that are shown of the same things.

use prometheus_client::metrics::MetricType;

use crate::metrics::facts::{
    Certificate, Channel, Connection, Deaths, Exchange, Group, Labels, Link, Logins, Node, Protocol, Queue, Stream,
    StreamErrors, Traffic, Vhost,
};
use crate::metrics::number::Number;
use crate::statistics::LatencyTotals;

/// Rows that are asked for together.
pub struct Family {
    /// RabbitMQ's name for it.
    pub name: &'static str,
    /// Before the names of its metrics: on `/metrics`, and on `/metrics/detailed`.
    pub prefix: &'static str,
    pub detailed_prefix: &'static str,
    pub where_shown: Where,
    pub metrics: &'static [Metric],
}

/// The pages on which a family stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Where {
    /// On `/metrics` and `/metrics/per-object`, and in detail where it is asked for.
    Everywhere,
    /// Only in detail.
    Detailed,
    /// Never in detail.
    Plain,
    /// On `/metrics/memory-breakdown`.
    Memory,
}

/// One metric.
pub struct Metric {
    /// Without prefix, and without the `_total` of a counter.
    pub name: &'static str,
    pub kind: MetricType,
    pub help: &'static str,
    pub read: Read,
    /// Where a sum over rows would be less when one of them is gone: what it stands at for all.
    pub sum: Option<fn(&Node) -> Number>,
}

impl Metric {
    pub const fn summed(self, sum: fn(&Node) -> Number) -> Self {
        Self { sum: Some(sum), ..self }
    }
}

/// What it is about, and how it is read.
#[derive(Clone, Copy)]
pub enum Read {
    Node(fn(&Node) -> Number),
    /// Samples of times, on the node as a whole.
    Times(fn(&Node) -> &LatencyTotals),
    /// A constant 1 with labels that describe.
    About(fn(&Node) -> Labels),
    Queue(fn(&Queue) -> Number),
    /// How many rows there are.
    Queues,
    QueueTraffic(fn(&Traffic) -> Number),
    ExchangeTraffic(fn(&Traffic) -> Number),
    Connection(fn(&Connection) -> Number),
    Channel(fn(&Channel) -> Number),
    Group(fn(&Group) -> Number),
    Exchange(fn(&Exchange) -> Number),
    Vhost(fn(&Vhost) -> Number),
    /// These have their labels on every page.
    Link(fn(&Link) -> Number),
    Protocol(fn(&Protocol) -> Number),
    TypeTraffic(fn(&Traffic) -> Number),
    Stream(fn(&Stream) -> Number),
    StreamErrors(fn(&StreamErrors) -> Number),
    Logins(fn(&Logins) -> Number),
    Certificate(fn(&Certificate) -> Number),
    Deaths(fn(&Deaths) -> Number),
    /// How large messages were.
    Sizes,
}

pub(super) const fn counter(name: &'static str, help: &'static str, read: Read) -> Metric {
    metric(name, MetricType::Counter, help, read)
}

pub(super) const fn gauge(name: &'static str, help: &'static str, read: Read) -> Metric {
    metric(name, MetricType::Gauge, help, read)
}

pub(super) const fn histogram(name: &'static str, help: &'static str, read: Read) -> Metric {
    metric(name, MetricType::Histogram, help, read)
}

pub(super) const fn untyped(name: &'static str, help: &'static str, read: Read) -> Metric {
    metric(name, MetricType::Unknown, help, read)
}

const fn metric(name: &'static str, kind: MetricType, help: &'static str, read: Read) -> Metric {
    let sum = None;
    Metric {
        name,
        kind,
        help,
        read,
        sum,
    }
}

/// A family of RabbitMQ's.
pub(super) const fn family(name: &'static str, metrics: &'static [Metric]) -> Family {
    Family {
        name,
        prefix: "rabbitmq",
        detailed_prefix: "rabbitmq_detailed",
        where_shown: Where::Everywhere,
        metrics,
    }
}

/// One that stands on `/metrics` only.
pub(super) const fn plain(name: &'static str, metrics: &'static [Metric]) -> Family {
    Family {
        where_shown: Where::Plain,
        ..family(name, metrics)
    }
}
