//! openraft's types as this program uses them.
//!
//! One set for all groups: what differs between machines (what a proposer hears) is boxed in
//! [`Outputs`], so that the core of openraft is compiled for the machines, not the types as well.

use std::any::Any;
use std::fmt;

use openraft::EmptyNode;
use openraft::alias;
use openraft::impls::{BoxedErrorSource, InlineBatch, leader_id_std};
use openraft::vote::RaftLeaderId;

use super::pack::Packed;
use crate::types::NodeId;

#[cfg(test)]
use super::tests::runtime::InOrder as Runtime;
#[cfg(not(test))]
use openraft::impls::TokioRuntime as Runtime;

/// The type configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Types;

impl openraft::RaftTypeConfig for Types {
    type D = Packed;
    type R = Outputs;
    type NodeId = NodeId;
    type Node = EmptyNode;
    type Term = u64;
    type LeaderId = leader_id_std::LeaderId<u64, NodeId>;
    type Vote = openraft::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<Packed, NodeId, EmptyNode>;
    type Entry = openraft::Entry<<Self::LeaderId as RaftLeaderId>::Committed, Self::Payload>;
    type AsyncRuntime = Runtime;
    type Responder<T>
        = OnApplied<T>
    where
        T: Send + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: Send + 'static;
    type ErrorSource = BoxedErrorSource;
}

pub type Vote = alias::VoteOf<Types>;
pub type LogId = alias::LogIdOf<Types>;
pub type Entry = alias::EntryOf<Types>;
pub type Payload = alias::PayloadOf<Types>;
pub type Membership = openraft::Membership<NodeId, EmptyNode>;
pub type StoredMembership = alias::StoredMembershipOf<Types>;
pub type SnapshotMeta = alias::SnapshotMetaOf<Types>;
pub type Snapshot<D> = alias::SnapshotOf<Types, D>;
pub type IOFlushed = openraft::storage::IOFlushed<Types>;
pub type AppendRequest = openraft::raft::AppendEntriesRequest<Types>;
pub type AppendResponse = openraft::raft::AppendEntriesResponse<Types>;
pub type VoteRequest = openraft::raft::VoteRequest<Types>;
pub type VoteResponse = openraft::raft::VoteResponse<Types>;
pub type TransferRequest = openraft::raft::TransferLeaderRequest<Types>;
pub type TransferResponse = openraft::raft::TransferLeaderResponse<Types>;
pub type SnapshotResponse = openraft::raft::SnapshotResponse<Types>;

/// The log position of a term and an index.
pub fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(term.into(), index)
}

/// What the machine said to the records of one entry: a `Vec` of its outputs.
#[derive(Default)]
pub struct Outputs(Option<Box<dyn Any + Send + Sync>>);

impl Outputs {
    /// Of these outputs.
    pub fn of<O: Send + Sync + 'static>(outputs: Vec<O>) -> Self {
        Self(Some(Box::new(outputs)))
    }

    /// The outputs, if there are any and they are of this type.
    pub fn take<O: 'static>(self) -> Option<Vec<O>> {
        self.0?.downcast().ok().map(|outputs| *outputs)
    }
}

impl fmt::Debug for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outputs")
    }
}

/// What to do when an entry is applied or given up.
pub struct OnApplied<T>(Box<dyn FnOnce(T) + Send>);

impl<T> OnApplied<T> {
    /// Calls this.
    pub fn new(then: impl FnOnce(T) + Send + 'static) -> Self {
        Self(Box::new(then))
    }
}

impl<T: Send + 'static> openraft::raft::responder::Responder<Types, T> for OnApplied<T> {
    fn on_complete(self, result: T) {
        (self.0)(result);
    }
}
