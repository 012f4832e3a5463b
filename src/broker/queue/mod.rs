//! A queue as this node knows it: the machine behind a lock, and what it decides carried out.
//!
//! ```text
//! an input → input (handle's lock) → ClusteredQueue decides → sink ┬ deliveries → outboxes
//!                                                                 ├ records → store, or the Raft group
//!                                                                 ├ confirms → claims, joint, at_least_once
//!                                                                 └ deferred → effects, after the lock
//! ```
//! [`handle`] is where to begin; [`queues`] has all of them, and what they need of the node; no file imports one that
//! imports it. What clients ask of
//! a queue stands in `using` and `asking`, what they leave behind in [`leaving`]; what its group says to a
//! replicated one in `leading`. A queue whose machine panicked is in `panicked`. `peers` are the lines to the
//! same queue on other nodes, [`stream`] is what is different where a queue is a stream, `leader_lookups` the queues of which it is not known who leads.

pub(in crate::broker) mod asking;
pub(in crate::broker) mod at_least_once;
mod capacity;
pub(in crate::broker) mod claims;
pub mod clients;
pub mod contents;
pub mod counting;
pub(in crate::broker) mod deaths;
pub(in crate::broker) mod deferred;
pub(in crate::broker) mod delivery_count;
mod effects;
pub mod handle;
mod input;
pub mod joint;
pub(in crate::broker) mod kept_dead_letters;
pub(in crate::broker) mod leader_lookups;
mod leading;
pub mod leaving;
pub mod matching;
pub(in crate::broker) mod owners;
mod panicked;
pub mod peeking;
pub(in crate::broker) mod peers;
mod probes;
mod questions;
pub mod queues;
pub(in crate::broker) mod recovery;
mod sampling;
pub(in crate::broker) mod settings;
mod sink;
pub mod stream;
mod using;
pub mod vitals;
