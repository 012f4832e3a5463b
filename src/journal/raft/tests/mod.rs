//! Whole groups on real stores in one process: three nodes, an in-memory router between them.

mod changing;
mod cluster;
mod failing;
mod ledger;
mod links;
mod log;
mod network;
pub mod pretending;
mod queues;
mod replicating;
pub mod runtime;
mod speed;
mod suite;
mod wire;
