//! Records made safe: on this node's disk, or on a majority of a group of nodes.
//!
//! The disk alone is `store`, which the broker uses directly for what lives on one node. What is
//! replicated goes through [`raft`]: a group per quorum queue, and one for the catalogue.

pub mod raft;
