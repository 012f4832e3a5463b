//! What is known of queues and clients on all nodes, for the HTTP API and the command line.
//!
//! [`gather`] asks the other nodes, once a request; [`standing`] says where a queue is, and how it fares;
//! `scrape` gathers the numbers of this node alone, for Prometheus.

pub mod diagnosis;
pub mod gather;
mod history;
pub mod notices;
pub mod process;
mod sampler;
mod scrape;
pub mod standing;
