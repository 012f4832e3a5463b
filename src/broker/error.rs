//! Why the broker refuses, in one enum that knows what the peer hears.

use thiserror::Error;

use super::access::AccessError;
use super::declare::DeclareError;
use crate::metadata::CatalogError;
use crate::store::StoreError;
use crate::types::{Refusal, Reply, ReplyCode};

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

/// A refusal by the broker.
#[derive(Debug, Error)]
pub enum BrokerError {
    #[error(transparent)]
    Declare(#[from] DeclareError),
    #[error(transparent)]
    Access(#[from] AccessError),
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
            Self::Access(error) => error.reply(),
            Self::Catalog(error) => error.reply(),
            Self::Store(_) | Self::NoMajority => Reply::connection(ReplyCode::InternalError, self.to_string()),
            Self::Reply(reply) => reply.clone(),
        }
    }
}
