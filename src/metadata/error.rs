//! Why the catalogue refuses a command.

use thiserror::Error;

use crate::spec::arguments::SpecError;
use crate::spec::policy::PolicyError;
use crate::types::{ExchangeName, QueueName, Refusal, Reply, ReplyCode, UserName, VhostName};

/// A refusal, in RabbitMQ's words where AMQP clients hear it.
#[derive(Debug, Error)]
pub enum CatalogueError {
    #[error("vhost '{0}' not found")]
    NoVhost(VhostName),
    #[error("vhost '{0}' is protected from deletion")]
    ProtectedVhost(VhostName),
    #[error("user '{0}' not found")]
    NoUser(UserName),
    #[error("no exchange '{1}' in vhost '{0}'")]
    NoExchange(VhostName, ExchangeName),
    #[error("no queue '{1}' in vhost '{0}'")]
    NoQueue(VhostName, QueueName),
    /// Somebody else declared it otherwise, or deleted it, in the same moment: whoever wanted to looks
    /// again.
    #[error("'{0}' was declared or deleted by another client in the same moment")]
    Raced(String),
    #[error("operation not permitted on the default exchange")]
    DefaultExchange,
    #[error("deletion of system exchange '{1}' in vhost '{0}' not allowed")]
    SystemExchange(VhostName, ExchangeName),
    #[error("exchange '{1}' in vhost '{0}' in use")]
    ExchangeInUse(VhostName, ExchangeName),
    #[error("cannot declare queue '{name}': queue limit in vhost '{vhost}' ({limit}) is reached")]
    QueueLimit {
        vhost: VhostName,
        name: QueueName,
        limit: i64,
    },
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("Validation failed\n\n{0}\n")]
    Policy(#[from] PolicyError),
    #[error("{{invalid_regexp,\"{pattern}\",{0}}}", pattern = String::from_utf8_lossy(&.0.pattern))]
    Pattern(#[from] crate::pattern::BadPattern),
}

impl CatalogueError {
    /// Whether a pattern is none.
    pub fn is_bad_pattern(&self) -> bool {
        matches!(self, Self::Pattern(_) | Self::Policy(PolicyError::BadPattern(_)))
    }
}

impl Refusal for CatalogueError {
    fn reply(&self) -> Reply {
        let code = match self {
            Self::NoVhost(_) | Self::NoUser(_) | Self::NoExchange(..) | Self::NoQueue(..) => ReplyCode::NotFound,
            Self::DefaultExchange | Self::SystemExchange(..) => ReplyCode::AccessRefused,
            Self::Raced(_)
            | Self::ProtectedVhost(_)
            | Self::ExchangeInUse(..)
            | Self::QueueLimit { .. }
            | Self::Policy(_)
            | Self::Pattern(_) => ReplyCode::PreconditionFailed,
            Self::Spec(error) => return error.reply(),
        };
        Reply::channel(code, self.to_string())
    }
}
