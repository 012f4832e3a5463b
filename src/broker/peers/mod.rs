//! The other nodes, as far as queues are concerned: what is said to them and what they say.

mod out;
pub mod wire;

pub use out::{PeerInput, PeerOut, Peers, QUEUES, QueueService};
