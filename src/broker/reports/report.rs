//! What a node says of its queues and clients when another asks.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::broker::cluster::advertised::Listener;
use crate::broker::cluster::majority::Reach;
use crate::broker::delivery::connections::{ConnectionReport, connection_name};
use crate::broker::replicas::report::ReplicaReport;
use crate::queue::{ConsumerStatus, Counts, Health};
use crate::statistics::{Figures, Windows};
use crate::types::{ConnectionId, ExchangeName, FieldTable, Millis, NodeId, QueueId, Timestamp, UserName, VhostName};

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum About {
    /// One queue, with its consumers.
    Queue(QueueId),
    /// All of them, and how many clients there are, and where the nodes listen.
    Queues,
    /// Connections and their channels.
    Clients,
    /// The last two.
    All,
    /// What was counted of exchanges.
    Exchanges,
    /// How each node itself is.
    Nodes,
}

/// What is asked for, and of which time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wanted {
    pub about: About,
    pub windows: Windows,
}

impl From<About> for Wanted {
    fn from(about: About) -> Self {
        Self {
            about,
            windows: Windows::default(),
        }
    }
}

/// A thing whose history is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Subject {
    Queue(QueueId),
    Exchange(VhostName, ExchangeName),
    Connection(NodeId, ConnectionId),
    /// By its number on the connection.
    Channel(NodeId, ConnectionId, u16),
    Vhost(VhostName),
    Node(NodeId),
    Cluster,
}

impl Subject {
    /// The only node that knows it, where one does.
    pub(super) fn node(&self) -> Option<NodeId> {
        match self {
            Self::Connection(node, _) | Self::Channel(node, ..) | Self::Node(node) => Some(*node),
            Self::Queue(_) | Self::Exchange(..) | Self::Vhost(_) | Self::Cluster => None,
        }
    }
}

/// What was counted on a node, of each thing of which anything was.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Counted {
    pub(super) queues: Vec<(QueueId, Figures)>,
    /// In which second anything moved in a queue last; `None` where it still does.
    #[serde(default)]
    pub(super) idle: Vec<(QueueId, Option<u64>)>,
    pub(super) exchanges: Vec<(VhostName, ExchangeName, Figures)>,
    /// How many messages each exchange holds back.
    #[serde(default)]
    pub(super) delayed: Vec<(VhostName, ExchangeName, u64)>,
    pub(super) vhosts: Vec<(VhostName, Figures)>,
    pub(super) node: Figures,
    /// What of a queue came from which exchange, where that is counted.
    #[serde(default)]
    pub(super) incoming: Vec<(QueueId, ExchangeName, Figures)>,
    /// Which channel consumes from the queue that is asked about.
    #[serde(default)]
    pub(super) deliveries: Vec<(ChannelPlace, Figures)>,
    /// Which channel publishes to which exchange.
    #[serde(default)]
    pub(super) publishes: Vec<(VhostName, ExchangeName, ChannelPlace, Figures)>,
}

/// A channel as it is named where it is not the subject.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChannelPlace {
    pub node: NodeId,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub number: u16,
    pub user: UserName,
}

impl About {
    pub(super) fn has_clients(self) -> bool {
        matches!(self, Self::Clients | Self::All)
    }

    pub(super) fn has_nodes(self) -> bool {
        matches!(self, Self::Queues | Self::All)
    }
}

/// What one node says.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct NodeReport {
    pub(super) queues: Vec<QueueReport>,
    pub(super) consumers: Vec<ConsumerReport>,
    pub(super) clients: Vec<ClientsReport>,
    pub(super) connections: Vec<ConnectionReport>,
    #[serde(default)]
    pub(super) listeners: Vec<Listener>,
    /// Queues of which the node's member has lost its data or has yet to get it.
    #[serde(default)]
    pub(super) incomplete: Vec<QueueId>,
    #[serde(default)]
    pub(super) counted: Counted,
    #[serde(default)]
    pub(super) facts: Option<NodeFacts>,
}

/// What a node says of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NodeFacts {
    /// Since when it is short of something; what it is short of is told apart, and at once.
    pub short_since: Option<Timestamp>,
    /// When the certificates end that it uses: the key and the file, and the last second.
    pub certificates: Vec<(String, PathBuf, u64)>,
    /// What its configuration says that has no effect, or may not be what was meant.
    pub warnings: Vec<String>,
    /// Queues of which records are damaged.
    pub damaged: Vec<QueueId>,
    /// The way to each other node and back, in microseconds, where it is known.
    pub links: Vec<(NodeId, Option<u64>)>,
    /// It hears so few of the others that it serves nobody, or that nothing can be agreed on.
    pub reach: Reach,
    /// It is out of service.
    pub is_drained: bool,
    /// Its member of the group that has what is declared.
    #[serde(default)]
    pub catalogue: Option<ReplicaReport>,
}

/// A queue, as the node that has its machine sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueueReport {
    pub queue: QueueId,
    /// In which the node leads it; 0 for a queue that is not replicated.
    pub(super) term: u64,
    pub counts: Counts,
    pub health: Health,
    pub delivery_limit: Option<u32>,
    pub consumer_timeout: Option<Millis>,
    /// The tag of the consumer that has the queue for itself.
    pub exclusive_tag: Option<String>,
    /// Which part of the time its consumers could have had more; `None` where there are none.
    #[serde(default)]
    pub capacity: Option<f64>,
    /// The tag of the consumer that is served, where only one is.
    pub active_tag: Option<String>,
    /// Of a queue that is replicated: through how many nodes it was published to.
    #[serde(default)]
    pub publishers: Option<usize>,
    /// Where the client is, and where it came to, whose connection has the queue for itself.
    pub owner: Option<(SocketAddr, SocketAddr)>,
    /// By the node and the key of the consumer.
    pub(super) statuses: Vec<(NodeId, u64, ConsumerStatus)>,
}

/// A consumer, as the node of its connection sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConsumerReport {
    pub(super) queue: QueueId,
    pub node: NodeId,
    pub(super) key: u64,
    pub tag: String,
    pub arguments: FieldTable,
    pub no_ack: bool,
    pub exclusive: bool,
    /// `None` is no limit.
    pub prefetch: Option<u32>,
    pub channel: u16,
    pub user: UserName,
    /// Where only its own node knows it. Other versions do not tell.
    #[serde(default)]
    pub(in crate::broker) status: Option<ConsumerStatus>,
    /// Where the client is, and where it came to; `None` once it is gone.
    pub connection: Option<(SocketAddr, SocketAddr)>,
}

impl ConsumerReport {
    /// Its channel, as RabbitMQ names it; `None` once its connection is gone.
    pub(super) fn channel_name(&self) -> Option<String> {
        let (peer, local) = self.connection?;
        Some(format!("{} ({})", connection_name(peer, local), self.channel))
    }
}

/// How many connections and channels a user has on a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientsReport {
    pub user: UserName,
    pub connections: u64,
    pub channels: u64,
}
