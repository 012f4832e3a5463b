//! Why a connection does not take a frame, or a login.

use thiserror::Error;

use crate::types::{Refusal, Reply, ReplyCode};

/// A refusal by the protocol machine, in RabbitMQ's words. Each closes the connection; what is wrong
/// with a frame, a method or a content in itself has enums of its own.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum ProtocolError {
    #[error("unexpected method in connection state {0}")]
    UnexpectedMethod(&'static str),
    #[error("active=false")]
    Flow,
    #[error("second 'channel.open' seen")]
    ChannelIsOpen,
    #[error("expected 'channel.open'")]
    ChannelIsNotOpen,
    #[error("unimplemented method")]
    Unimplemented,
    #[error("number of channels opened ({count}) has reached the negotiated channel_max ({limit})")]
    ChannelMax { count: usize, limit: u16 },
    #[error("expected method frame, got non method frame instead")]
    NoMethod,
    #[error("Login was refused using authentication mechanism {mechanism}. For details see the broker logfile.")]
    Login { mechanism: String },
}

impl Refusal for ProtocolError {
    fn reply(&self) -> Reply {
        let code = match self {
            Self::UnexpectedMethod(_) | Self::ChannelIsOpen | Self::ChannelIsNotOpen => ReplyCode::ChannelError,
            Self::Flow => ReplyCode::NotImplemented,
            Self::Unimplemented => ReplyCode::CommandInvalid,
            Self::ChannelMax { .. } => ReplyCode::NotAllowed,
            Self::NoMethod => ReplyCode::UnexpectedFrame,
            Self::Login { .. } => ReplyCode::AccessRefused,
        };
        Reply::connection(code, self.to_string())
    }
}
