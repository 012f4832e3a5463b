//! The numbers of one moment, as the table of metrics reads them. Plain values: the broker fills them in.

use std::time::Duration;

use crate::statistics::{LatencyTotals, SizeTally, Tally};

/// Up to which times samples of latencies are counted.
pub const BOUNDS: [Duration; 14] = {
    let us = [
        100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000, 10_000_000, 60_000_000,
    ];
    let mut bounds = [Duration::ZERO; 14];
    let mut at = 0;
    while at < us.len() {
        bounds[at] = Duration::from_micros(us[at]);
        at += 1;
    }
    bounds
};

/// Names and values of labels, in the order in which they are shown.
pub type Labels = Vec<(&'static str, String)>;

/// What this node knows of itself. Lists hold only what a page asks for (see [`super::Needs`]).
#[derive(Debug, Default)]
pub struct Facts {
    pub node: Node,
    /// The queues that this node serves.
    pub queues: Vec<Queue>,
    /// Of all queues, what this node's clients have done with them.
    pub queue_traffic: Vec<Traffic>,
    /// The same by type of queue, with what queues had that are deleted.
    pub type_traffic: Vec<Traffic>,
    pub exchange_traffic: Vec<Traffic>,
    pub connections: Vec<Connection>,
    pub channels: Vec<Channel>,
    /// Members of Raft groups on this node.
    pub groups: Vec<Group>,
    /// Of the whole cluster.
    pub exchanges: Vec<Exchange>,
    pub vhosts: Vec<Vhost>,
    /// The other nodes.
    pub links: Vec<Link>,
    /// Streams of which clients of this node read over the stream protocol.
    pub streams: Vec<Stream>,
    /// What clients of that were refused.
    pub stream_errors: Vec<StreamErrors>,
    /// By protocol.
    pub protocols: Vec<Protocol>,
    pub logins: Vec<Logins>,
    pub certificates: Vec<Certificate>,
    /// By type of queue and what was done with them.
    pub deaths: Vec<Deaths>,
}

/// The node as a whole.
#[derive(Debug, Default)]
pub struct Node {
    pub name: String,
    pub cluster: String,
    pub cluster_id: String,
    pub rabbitmq_version: String,
    pub warren_version: String,
    pub uptime_ms: u64,
    /// Unix time.
    pub started_at_ms: u64,
    pub open_files: u64,
    pub open_files_limit: u64,
    pub open_sockets: u64,
    pub threads: u64,
    pub processor_seconds: Option<f64>,
    /// Bytes.
    pub resident_memory: u64,
    pub memory_limit: u64,
    pub disk_free: u64,
    pub disk_limit: u64,
    pub disk_written: Option<u64>,
    pub disk_read: Option<u64>,
    pub memory_alarm: bool,
    pub disk_alarm: bool,
    pub unreachable_peers: u64,
    pub hears_majority: bool,
    pub connections: u64,
    pub channels: u64,
    pub consumers: u64,
    /// Messages behind the subscription of the stream protocol that is furthest behind.
    pub stream_max_lag: u64,
    pub tasks: u64,
    pub observers_lost: u64,
    /// All that was counted since it started.
    pub tally: Tally,
    /// What clients of this node have done with queues, also with those that are deleted.
    pub queue_tally: Tally,
    /// How long messages waited, consumers took to acknowledge, and confirms took; counted up to [`BOUNDS`].
    pub waits: LatencyTotals,
    pub acks: LatencyTotals,
    pub confirms: LatencyTotals,
    pub log: Log,
}

/// The write-ahead log and what is at rest.
#[derive(Debug, Default)]
pub struct Log {
    pub syncs: u64,
    /// Seconds that they took together.
    pub sync_seconds: f64,
    pub writes: u64,
    /// Bytes.
    pub written: u64,
    pub waiting: u64,
    pub at_rest: u64,
    pub segment_bytes: u64,
    pub segments: u64,
}

/// A queue that this node serves. Bytes are those of bodies unless said otherwise.
#[derive(Debug, Default)]
pub struct Queue {
    /// `vhost` and `queue`.
    pub labels: Labels,
    pub ready: u64,
    pub unacked: u64,
    /// Dead letters that are kept until their targets have them.
    pub discarded: u64,
    pub ready_bytes: u64,
    pub unacked_bytes: u64,
    pub discarded_bytes: u64,
    pub persistent: u64,
    pub persistent_bytes: u64,
    /// Ready messages whose body is on disk only.
    pub paged_out: u64,
    /// Bytes of memory, names and properties included.
    pub memory: u64,
    pub consumers: u64,
    /// Which part of the time its consumers could have had more; none without consumers.
    pub capacity: Option<f64>,
}

impl Queue {
    /// All messages.
    pub fn messages(&self) -> u64 {
        self.ready + self.unacked + self.discarded
    }

    /// Bytes of all bodies.
    pub fn bytes(&self) -> u64 {
        self.ready_bytes + self.unacked_bytes + self.discarded_bytes
    }

    /// About how many bytes of ready messages are on disk only; what is counted are messages.
    pub fn paged_out_bytes(&self) -> u64 {
        let bytes = u128::from(self.ready_bytes) * u128::from(self.paged_out);
        bytes.checked_div(u128::from(self.ready)).unwrap_or(0) as u64
    }

    /// Ready messages whose body is in memory.
    pub fn ready_in_memory(&self) -> u64 {
        self.ready.saturating_sub(self.paged_out)
    }
}

/// What was counted of one thing.
#[derive(Debug, Default)]
pub struct Traffic {
    /// `vhost` and `queue`, or `exchange`; `protocol` and `queue_type` of a type of queue.
    pub labels: Labels,
    pub tally: Tally,
    /// To consumers, whatever the way.
    pub delivered: u64,
}

/// A stream that clients of this node read over the stream protocol.
#[derive(Debug, Default)]
pub struct Stream {
    /// `vhost` and `queue`.
    pub labels: Labels,
    /// Messages behind the subscription that is furthest behind.
    pub max_lag: u64,
}

/// How often clients of the stream protocol heard a code.
#[derive(Debug, Default)]
pub struct StreamErrors {
    /// `protocol`.
    pub labels: Labels,
    /// By the protocol's code.
    pub counts: Vec<u64>,
}

impl StreamErrors {
    /// Of one code.
    pub fn of(&self, code: usize) -> u64 {
        self.counts.get(code).copied().unwrap_or(0)
    }
}

/// The clients that speak one protocol.
#[derive(Debug, Default)]
pub struct Protocol {
    /// `protocol`.
    pub labels: Labels,
    pub tally: Tally,
    /// Channels over which something was published.
    pub publishers: u64,
    pub consumers: u64,
    /// How large messages were, where that is counted.
    pub sizes: Option<SizeTally>,
}

/// A client's connection.
#[derive(Debug, Default)]
pub struct Connection {
    /// `channel`, as RabbitMQ names it: here the connection's name.
    pub labels: Labels,
    pub tally: Tally,
    pub channels: u64,
}

/// A channel of it.
#[derive(Debug, Default)]
pub struct Channel {
    /// `channel`: its name.
    pub labels: Labels,
    pub tally: Tally,
    pub consumers: u64,
    pub unacked: u64,
    pub unconfirmed: u64,
    /// What its transaction holds back.
    pub uncommitted: u64,
    pub uncommitted_acks: u64,
    /// Of each consumer to come, and of the channel; 0 is no limit.
    pub prefetch: u64,
    pub channel_prefetch: u64,
}

/// A member of a Raft group on this node.
#[derive(Debug, Default)]
pub struct Group {
    /// `vhost` and `queue`, or `raft_cluster`.
    pub labels: Labels,
    pub term: u64,
    pub is_leader: bool,
    pub snapshot: u64,
    pub applied: u64,
    pub committed: u64,
    pub written: u64,
    /// Bytes of bodies in the log.
    pub log_bytes: u64,
    /// On the leader: how far the member that is furthest behind is, in entries.
    pub lag: Option<u64>,
    /// On the leader: how long the last batch took to be committed.
    pub commit_seconds: f64,
}

/// An exchange of the cluster.
#[derive(Debug, Default)]
pub struct Exchange {
    /// `vhost`, `exchange` and `type`.
    pub labels: Labels,
    /// Bindings from it.
    pub bindings: u64,
}

/// A virtual host.
#[derive(Debug, Default)]
pub struct Vhost {
    /// `vhost`.
    pub labels: Labels,
    pub is_running: bool,
}

/// The way to another node.
#[derive(Debug, Default)]
pub struct Link {
    /// `peer`.
    pub labels: Labels,
    pub is_up: bool,
    pub round_trip_seconds: Option<f64>,
}

/// A certificate in use.
#[derive(Debug, Default)]
pub struct Certificate {
    /// `key` of the configuration, and `file`.
    pub labels: Labels,
    /// Unix time.
    pub expires_at: u64,
}

/// Messages that died.
#[derive(Debug, Default)]
pub struct Deaths {
    /// `queue_type` and `dead_letter_strategy`.
    pub labels: Labels,
    pub rejected: u64,
    pub expired: u64,
    pub max_length: u64,
    pub delivery_limit: u64,
    /// Of those that their queue has kept: they are where they were to get to.
    pub confirmed: u64,
}

/// Logins over one protocol.
#[derive(Debug, Default)]
pub struct Logins {
    /// `protocol`.
    pub labels: Labels,
    pub succeeded: u64,
    pub failed: u64,
}
