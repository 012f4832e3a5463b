//! Why something is not declared, bound, deleted or consumed.

use thiserror::Error;

use super::access::AccessError;
use crate::metadata::CatalogueError;
use crate::spec::arguments::SpecError;
use crate::types::{ExchangeName, QueueName, Refusal, Reply, ReplyCode, VhostName};

/// A refusal, in RabbitMQ's words. Those about messages and consumers are for whoever asks the
/// live queue.
#[derive(Debug, Error)]
pub enum DeclareError {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error("no previously declared queue")]
    NoLastQueue,
    #[error("{what} name '{name}' contains reserved prefix 'amq.*'")]
    Reserved { what: &'static str, name: String },
    #[error("cannot publish to internal exchange '{1}' in vhost '{0}'")]
    InternalExchange(VhostName, ExchangeName),
    #[error(
        "cannot obtain exclusive access to locked queue '{1}' in vhost '{0}'. It could be originally declared on \
         another connection or the exclusive property value does not match that of the original declaration."
    )]
    Exclusive(VhostName, QueueName),
    /// Another consumer is exclusive, or this one wants to be and is not alone, or cannot be where
    /// there is a single active consumer.
    #[error("queue '{1}' in vhost '{0}' in exclusive use")]
    ExclusiveUse(VhostName, QueueName),
    #[error("cannot declare queue '{queue}': queue limit in cluster ({limit}) is reached")]
    ClusterLimit { queue: QueueName, limit: u64 },
    #[error("queue '{1}' in vhost '{0}' not empty")]
    NotEmpty(VhostName, QueueName),
    #[error("queue '{1}' in vhost '{0}' in use")]
    InUse(VhostName, QueueName),
    #[error(
        "cannot delete queue '{queue}' in vhost '{vhost}'. queue.delete operations with {flag} flag set are not \
         supported by quorum queues"
    )]
    QuorumDelete {
        vhost: VhostName,
        queue: QueueName,
        flag: &'static str,
    },
    #[error(
        "cannot obtain access to locked queue '{1}' in vhost '{0}'. basic.get operations are not supported by quorum \
         queues with single active consumer"
    )]
    SingleActiveGet(VhostName, QueueName),
    #[error("queue '{1}' in vhost '{0}' does not support global qos")]
    GlobalPrefetch(VhostName, QueueName),
    /// Nothing is taken out of a stream.
    #[error("{operation} not supported by stream queues queue '{queue}' in vhost '{vhost}'")]
    StreamKeeps {
        vhost: VhostName,
        queue: QueueName,
        operation: &'static str,
    },
    #[error("consumer prefetch count is not set for stream queue '{1}' in vhost '{0}'")]
    StreamPrefetch(VhostName, QueueName),
    #[error("automatic acknowledgement not supported by stream queue '{1}' in vhost '{0}'")]
    StreamNoAck(VhostName, QueueName),
    #[error("attempt to reuse consumer tag '{0}'")]
    TagInUse(String),
    #[error("reply consumer cannot acknowledge")]
    ReplyConsumerAcknowledges,
    #[error("reply consumer already set")]
    ReplyConsumerSet,
    /// A request asks for answers to [`REPLY_TO`](super::REPLY_TO), which nobody consumes.
    #[error("fast reply consumer does not exist")]
    NoReplyConsumer,
}

impl Refusal for DeclareError {
    fn reply(&self) -> Reply {
        let (scope, code): (fn(ReplyCode, String) -> Reply, _) = match self {
            Self::Access(error) => return error.reply(),
            Self::Spec(error) => return error.reply(),
            Self::Catalogue(error) => return error.reply(),
            Self::NoLastQueue => (Reply::channel, ReplyCode::NotFound),
            Self::Reserved { .. } | Self::InternalExchange(..) | Self::ExclusiveUse(..) => {
                (Reply::channel, ReplyCode::AccessRefused)
            }
            Self::Exclusive(..) | Self::SingleActiveGet(..) => (Reply::channel, ReplyCode::ResourceLocked),
            Self::NotEmpty(..)
            | Self::InUse(..)
            | Self::ClusterLimit { .. }
            | Self::StreamPrefetch(..)
            | Self::ReplyConsumerAcknowledges
            | Self::ReplyConsumerSet
            | Self::NoReplyConsumer => (Reply::channel, ReplyCode::PreconditionFailed),
            Self::QuorumDelete { .. } | Self::GlobalPrefetch(..) | Self::StreamKeeps { .. } | Self::StreamNoAck(..) => {
                (Reply::connection, ReplyCode::NotImplemented)
            }
            Self::TagInUse(_) => (Reply::connection, ReplyCode::NotAllowed),
        };
        scope(code, self.to_string())
    }
}
