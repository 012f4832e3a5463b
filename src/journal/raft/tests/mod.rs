//! Whole groups on real stores in one process: three nodes, an in-memory router between them.

mod changing;
mod cluster;
mod failing;
mod ledger;
mod links;
mod log;
mod network;
mod nodes;
pub mod pretending;
mod queues;
mod replicating;
pub mod runtime;
mod speed;
mod streams;
mod suite;
mod wire;
