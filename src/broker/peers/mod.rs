//! The other nodes, as far as queues are concerned: what is said to them and what they say.

mod out;

pub use crate::cluster::line::Line;
pub use out::{PeerInput, Peers, QUEUES, QueueService};
