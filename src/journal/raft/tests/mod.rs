//! Whole groups on real stores in one process: three nodes, an in-memory router between them.

mod changing;
mod cluster;
mod failing;
mod ledger;
mod log;
mod queues;
mod replicating;
mod speed;
mod suite;
mod wire;
