//! Why a session does not do what its client asks for.

use thiserror::Error;

use crate::types::{QueueName, Refusal, Reply, ReplyCode, VhostName};

/// A refusal by the session itself, in RabbitMQ's words; what the broker refuses has enums of its own.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub(super) enum SessionError {
    #[error("the connection is not open")]
    NotOpen,
    #[error("New secret was refused by one of the backends")]
    SecretRefused,
    #[error("{0} is not a client's method")]
    NotForClients(&'static str),
    #[error("prefetch_size!=0 ({0})")]
    PrefetchSize(u32),
    #[error("requeue=false")]
    RecoverInPlace,
    #[error("reached maximum ({0}) of consumers per channel")]
    ConsumerLimit(u64),
    #[error("queue '{1}' in vhost '{0}' has crashed and failed to restart")]
    Crashed(VhostName, QueueName),
    #[error("cannot switch from {from} to {to} mode")]
    Mode { from: &'static str, to: &'static str },
    #[error("channel is not transactional")]
    NoTransaction,
    /// A queue has refused something of a commit.
    #[error("partial tx completion")]
    PartialCommit,
    /// The client does not wait for the answer to its commit.
    #[error("unexpected command while processing 'tx.commit'")]
    Committing,
}

impl Refusal for SessionError {
    fn reply(&self) -> Reply {
        let (scope, code): (fn(ReplyCode, String) -> Reply, _) = match self {
            Self::NotOpen | Self::SecretRefused | Self::ConsumerLimit(_) => (Reply::connection, ReplyCode::NotAllowed),
            Self::NotForClients(_) | Self::PrefetchSize(_) | Self::RecoverInPlace => {
                (Reply::connection, ReplyCode::NotImplemented)
            }
            Self::Committing => (Reply::connection, ReplyCode::ChannelError),
            Self::Crashed(..) => (Reply::channel, ReplyCode::NotFound),
            Self::Mode { .. } | Self::NoTransaction | Self::PartialCommit => {
                (Reply::channel, ReplyCode::PreconditionFailed)
            }
        };
        scope(code, self.to_string())
    }
}
