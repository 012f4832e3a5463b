//! What is known of queues and clients on all nodes, for the HTTP API and the command line.
//!
//! [`gather`] asks the other nodes, once a request; [`standing`] says where a queue is, and how it fares;
//! [`facts`] are the numbers of this node alone, for Prometheus.

pub mod facts;
pub mod gather;
mod sampler;
pub mod standing;
