//! The nodes, and what they say to each other beside messages and Raft.
//!
//! ```text
//! formation: begin or join → admission: in and out of the catalogue's group → presence: who comes and goes → majority
//! control: questions and answers between two nodes      shortages: who is short of memory or disk
//! maintenance: out of service by the operator's wish, and back
//! report: what a node says of its queues and clients
//! streams: how their members are, and where readers go on
//! sessions: browsers that are signed in, known to all nodes
//! links: what is served over them                       nodes: who lives, as the rest of the broker asks
//! remote: links that come and go, and what queues hear of it
//! ```

mod admission;
mod advertised;
mod clients;
pub(in crate::broker) mod control;
pub(in crate::broker) mod formation;
pub(in crate::broker) mod links;
pub(in crate::broker) mod maintenance;
pub(in crate::broker) mod majority;
mod presence;
mod remote;
pub mod report;
pub mod sessions;
mod shortages;
pub mod streams;
