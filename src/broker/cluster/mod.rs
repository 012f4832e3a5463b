//! The nodes, and what they say to each other beside messages and Raft.
//!
//! ```text
//! formation: begin, join, leave → the catalogue's group → nodes: who is a member, who lives → majority
//! control: questions and answers between two nodes      shortages: who is short of memory or disk
//! report: what a node says of its queues and clients
//! remote: links that come and go, and what queues hear of it
//! ```

pub(in crate::broker) mod control;
pub(in crate::broker) mod formation;
pub(in crate::broker) mod majority;
pub mod nodes;
mod remote;
pub mod report;
mod shortages;
