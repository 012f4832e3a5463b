//! Why the broker refuses, and why it closes connections: enums that know what the peer hears.

use thiserror::Error;

use crate::backends::BackendError;
use crate::cluster::identity::IdentityError;
use crate::declare::DeclareError;
use crate::journal::raft::{GroupError, OpenError};
use crate::metadata::CatalogueError;
use crate::queue::UnknownMeta;
use crate::store::StoreError;
use crate::types::{Millis, QueueName, Refusal, Reply, ReplyCode, UserName, VhostName};

/// Why a node ends by itself. The next start may find all as it should be, or have it from others.
#[derive(Clone, Debug, Error)]
pub enum Failure {
    /// The store takes no more writes.
    #[error("the node cannot write to its disk: {0}")]
    Disk(StoreError),
    /// The node's member of the catalogue's group has stopped.
    #[error("the node does not know what is declared any more: {0}")]
    Catalogue(&'static str),
}

/// Why a node cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(
        "the catalogue cannot be read ({0}): it is not known what was declared; restore the data directory, or start with an empty one"
    )]
    Catalogue(#[from] OpenError),
    #[error("messages cannot be read: {0}; the data directory belongs to a newer version")]
    Message(#[from] UnknownMeta),
    #[error("the cluster of this node cannot be begun: {0}")]
    Found(#[from] GroupError),
    #[error(transparent)]
    Backends(#[from] BackendError),
    #[error("the first vhost and user cannot be made: {0}")]
    First(#[from] BrokerError),
}

/// A refusal by the broker.
#[derive(Debug, Error)]
pub enum BrokerError {
    #[error(transparent)]
    Declare(#[from] DeclareError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error("the node cannot write to its disk: {0}")]
    Store(#[from] StoreError),
    /// Nothing can be declared; it is not known whether this was.
    #[error("a majority of the cluster's nodes cannot be reached")]
    NoMajority,
    #[error("the catalogue cannot take this: {0}")]
    Unreadable(String),
    #[error("too many consumers")]
    TooManyConsumers,
    /// A client has held a message for too long.
    #[error(
        "delivery acknowledgement on channel {channel} timed out. Timeout value used: {timeout} ms. This timeout \
         value can be configured, see consumers doc guide to learn more"
    )]
    Overdue { channel: u16, timeout: Millis },
    /// The queue's node, or its leader, cannot be reached.
    #[error("queue '{queue}' in vhost '{vhost}' process is stopped by supervisor")]
    QueueAway { queue: QueueName, vhost: VhostName },
    /// What another node has refused, in its words.
    #[error("{}", .0.text)]
    Reply(Reply),
}

impl Refusal for BrokerError {
    fn reply(&self) -> Reply {
        let (scope, code): (fn(ReplyCode, String) -> Reply, _) = match self {
            Self::Declare(error) => return error.reply(),
            Self::Catalogue(error) => return error.reply(),
            Self::Reply(reply) => return reply.clone(),
            Self::Store(_) | Self::NoMajority => (Reply::connection, ReplyCode::InternalError),
            Self::QueueAway { .. } => (Reply::channel, ReplyCode::NotFound),
            Self::Unreadable(_) => (Reply::channel, ReplyCode::InternalError),
            Self::TooManyConsumers => (Reply::channel, ReplyCode::ResourceError),
            Self::Overdue { .. } => (Reply::channel, ReplyCode::PreconditionFailed),
        };
        scope(code, self.to_string())
    }
}

/// A limit on clients that does not let one more in, in RabbitMQ's words.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum LimitError {
    #[error("access to vhost '{vhost}' refused for user '{user}': connection limit ({limit}) is reached")]
    ConnectionsInVhost {
        vhost: VhostName,
        user: UserName,
        limit: i64,
    },
    #[error("connection refused for user '{user}': user connection limit ({limit}) is reached")]
    ConnectionsOfUser { user: UserName, limit: i64 },
    #[error("number of channels opened on node '{node}' has reached the maximum allowed limit of ({limit})")]
    ChannelsOfNode { node: String, limit: u64 },
    #[error("number of channels opened for user '{user}' has reached the maximum allowed user limit of ({limit})")]
    ChannelsOfUser { user: UserName, limit: i64 },
}

impl Refusal for LimitError {
    fn reply(&self) -> Reply {
        Reply::connection(ReplyCode::NotAllowed, self.to_string())
    }
}

/// Why a connection is closed that did nothing wrong.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum Forced {
    #[error("vhost '{0}' is down")]
    VhostDeleted(VhostName),
    #[error("user '{0}' is deleted")]
    UserDeleted(UserName),
    /// The node stops, or pauses: RabbitMQ's pauses by stopping.
    #[error("broker forced connection closure with reason 'shutdown'")]
    Shutdown,
    /// In the words of whoever ordered it.
    #[error("{0}")]
    Ordered(String),
}

impl Refusal for Forced {
    fn reply(&self) -> Reply {
        Reply::connection(ReplyCode::ConnectionForced, self.to_string())
    }
}
