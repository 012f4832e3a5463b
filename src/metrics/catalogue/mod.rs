//! The table of metrics.
//!
//! A family is what `/metrics/detailed?family=…` can be asked for; its rows also stand on `/metrics` and
//! `/metrics/per-object` unless it says otherwise.

mod clients;
mod cluster;
mod family;
mod global;
mod node;
mod own;
mod queues;
mod raft;
mod streams;

use super::facts::{
    Certificate, Channel, Connection, Deaths, Exchange, Group, Labels, Link, Logins, Protocol, Queue, Stream,
    StreamErrors, Traffic, Vhost,
};
pub use family::{Family, Metric, Read, Where};

/// All families, in the order in which they are shown.
pub static FAMILIES: &[&[Family]] = &[
    node::FAMILIES,
    raft::FAMILIES,
    queues::FAMILIES,
    clients::FAMILIES,
    global::FAMILIES,
    streams::FAMILIES,
    cluster::FAMILIES,
    own::FAMILIES,
];

/// What stands on every page.
pub static ALWAYS: &[Metric] = node::ALWAYS;

/// The rows of a subject.
pub trait Row {
    fn labels(&self) -> &Labels;
}

macro_rules! rows {
    ($($subject:ty),*) => {
        $(impl Row for $subject {
            fn labels(&self) -> &Labels {
                &self.labels
            }
        })*
    };
}

rows!(
    Queue,
    Traffic,
    Protocol,
    Stream,
    StreamErrors,
    Connection,
    Channel,
    Group,
    Exchange,
    Vhost,
    Link,
    Logins,
    Deaths,
    Certificate
);
