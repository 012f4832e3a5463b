//! What nodes ask one another about the cluster: commands for the catalogue's leader, who belongs
//! to which cluster, who wants to join.

use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Broker, BrokerError};
use crate::cluster::CallError;
use crate::cluster::rpc::{Answer, Failed, Flow, Handler, Origin};
use crate::journal::raft::ProposeError;
use crate::metadata::{CatalogError, Command};
use crate::types::{NodeId, Refusal, Reply, ReplyCode, Scope};

/// The service of these questions.
pub const CONTROL: u16 = 3;

/// A question.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Of the leader: have these applied, in this order.
    Propose(Vec<Command>),
    /// Of the leader: how far the log is applied that has everything committed by now.
    CaughtUp,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Told {
    Proposed { index: u64, refused: Vec<Option<Refused>> },
    Index(u64),
    NotLeader(Option<NodeId>),
    NoQuorum,
    Failed(String),
}

/// Why the catalogue refused a command, as it goes between nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refused {
    /// Look again.
    Raced,
    Reply {
        code: u16,
        is_connection: bool,
        text: String,
    },
}

impl From<CatalogError> for Refused {
    fn from(error: CatalogError) -> Self {
        if matches!(error, CatalogError::Raced(_)) {
            return Self::Raced;
        }
        let reply = error.reply();
        Self::Reply {
            code: reply.code.code(),
            is_connection: reply.scope == Scope::Connection,
            text: reply.text,
        }
    }
}

impl From<Refused> for BrokerError {
    fn from(refused: Refused) -> Self {
        let Refused::Reply {
            code,
            is_connection,
            text,
        } = refused
        else {
            return Self::NoMajority;
        };
        let code = ReplyCode::of(code).unwrap_or(ReplyCode::InternalError);
        Self::Reply(match is_connection {
            true => Reply::connection(code, text),
            false => Reply::channel(code, text),
        })
    }
}

impl Broker {
    /// Asks a node.
    pub(super) async fn ask(&self, node: NodeId, ask: &Ask, deadline: Instant) -> Result<Told, CallError> {
        let cluster = self.nodes.cluster().ok_or(CallError::Unreachable(node))?;
        let question = serde_json::to_vec(ask).map_err(|error| CallError::Failed(error.to_string()))?;
        let answer = cluster.call(node, CONTROL, question.into(), deadline).await?;
        serde_json::from_slice(&answer).map_err(|error| CallError::Failed(error.to_string()))
    }

    async fn answer(self: Arc<Self>, ask: Ask) -> Told {
        match ask {
            Ask::Propose(commands) => match self.propose_here(&commands).await {
                Ok(proposed) => Told::Proposed {
                    index: proposed.index,
                    refused: proposed.refused,
                },
                Err(error) => error.into(),
            },
            Ask::CaughtUp => match self.catalogue().barrier().await {
                Ok(()) => Told::Index(self.catalogue().status().applied.unwrap_or(0)),
                Err(error) => error.into(),
            },
        }
    }
}

impl From<ProposeError> for Told {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { leader } | ProposeError::Unknown { leader } => Self::NotLeader(leader),
            ProposeError::NoQuorum => Self::NoQuorum,
            error => Self::Failed(error.to_string()),
        }
    }
}

/// The service [`CONTROL`].
pub(super) struct ControlService(pub Weak<Broker>);

impl Handler for ControlService {
    fn call(&self, _from: Origin, request: Bytes) -> Answer {
        let broker = self.0.upgrade();
        Box::pin(async move {
            let failed = |what: String| Failed(what);
            let broker = broker.ok_or_else(|| failed("the node stops".to_owned()))?;
            let ask = serde_json::from_slice(&request).map_err(|error| failed(error.to_string()))?;
            let told = broker.answer(ask).await;
            let answer = serde_json::to_vec(&told).map_err(|error| failed(error.to_string()))?;
            Ok(answer.into())
        })
    }

    fn messages(&self, _from: &Origin, messages: &mut Vec<Bytes>) -> Flow {
        messages.clear();
        Flow::Ready
    }
}
