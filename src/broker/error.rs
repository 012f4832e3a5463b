//! Why the broker refuses, in one enum that knows what the peer hears.

use thiserror::Error;

use crate::declare::DeclareError;
use crate::metadata::CatalogError;
use crate::store::StoreError;
use crate::types::{Refusal, Reply, ReplyCode};

/// A refusal by the broker.
#[derive(Debug, Error)]
pub enum BrokerError {
    #[error(transparent)]
    Declare(#[from] DeclareError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("the node cannot write to its disk: {0}")]
    Store(#[from] StoreError),
    /// Nothing can be declared; it is not known whether this was.
    #[error("a majority of the cluster's nodes cannot be reached")]
    NoMajority,
    /// In words of our own choice, for what has no enum of its own.
    #[error("{}", .0.text)]
    Reply(Reply),
}

impl Refusal for BrokerError {
    fn reply(&self) -> Reply {
        match self {
            Self::Declare(error) => error.reply(),
            Self::Catalog(error) => error.reply(),
            Self::Store(_) | Self::NoMajority => Reply::connection(ReplyCode::InternalError, self.to_string()),
            Self::Reply(reply) => reply.clone(),
        }
    }
}
