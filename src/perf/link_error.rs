//! What can go wrong with a connection to a broker.

use super::wire::WireError;
use crate::stream_protocol::codec::FrameError;
use crate::tls_client::TlsError;

/// Why a worker stopped.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("cannot connect to {address}: {error}")]
    Connect { address: String, error: std::io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("'{0}' is no name of a server")]
    ServerName(String),
    #[error("connection lost: {0}")]
    Lost(std::io::Error),
    #[error("the broker closed the connection without a reason")]
    Eof,
    #[error("the broker closed the connection: {code} {text}")]
    ConnectionClosed { code: u16, text: String },
    #[error("the broker closed the channel: {code} {text}")]
    ChannelClosed { code: u16, text: String },
    #[error("the broker cancelled consumer {0}")]
    Cancelled(String),
    #[error("the broker's bytes make no sense: {0}")]
    Wire(#[from] WireError),
    #[error(transparent)]
    Confirm(#[from] super::confirms::StrangeConfirm),
    #[error("no answer to {0} within 30 s")]
    NoAnswer(&'static str),
    #[error("the address is of the stream protocol, and AMQP 0-9-1 is needed here")]
    NotAmqp,
    #[error("the broker's bytes make no sense: {0}")]
    Frame(#[from] FrameError),
    #[error("the broker's bytes make no sense: {0}")]
    Strange(&'static str),
    #[error("the broker answers {what} with code {code}")]
    Refused { what: &'static str, code: u16 },
    #[error("stream {0} is not where it was any more")]
    StreamMoved(String),
}
