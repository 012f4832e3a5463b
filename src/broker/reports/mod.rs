//! What is known of queues and clients on all nodes, for the HTTP API and the command line.

pub mod gather;
