//! A log that a group of nodes agrees on: openraft, on the store and on the links between nodes.
//!
//! ```text
//! propose → pack: what waits becomes one entry → openraft → log: entries of an owner of the store
//!                                                   │                     │ synced with everybody's
//!                          Transport ← network ─────┤                     ↓
//!                          (links)   → receive      └──── committed → apply → Machine → answers
//! ```
//! [`RaftJournals`] is the node's side: which group is whose owner in the store and who a message
//! from another node is for. [`Group`] is one group on this node. This folder alone names
//! openraft's types.

mod apply;
mod election;
mod group;
mod guarded;
mod journals;
mod leadership;
mod links;
mod log;
mod membership;
mod network;
mod open_groups;
mod pack;
mod pause;
mod propose;
mod receive;
mod recovery;
mod refusals;
mod snapshots;
mod source;
mod spec;
mod storage;
mod types;
mod wire;

#[cfg(test)]
pub(crate) mod tests;

pub use election::Election;
pub use group::{Group, GroupError, GroupStatus};
pub use journals::{OpenError, RaftJournals, WeakJournals};
pub use leadership::{LeaderWatch, Leadership, Role};
pub use links::{Links, RAFT, RaftService};
pub use log::Archiving;
pub use network::{Transport, TransportError};
pub use pack::VERSION as ENTRIES;
pub use propose::{Applied, ProposeError, RECORD_BYTES};
pub use spec::{GroupId, GroupSpec, Ledgers, Pace};
pub use wire::VERSION as MESSAGES;
