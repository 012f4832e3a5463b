//! The other nodes, as far as queues are concerned: what is said to them and what they say.

mod out;
pub mod wire;

pub use crate::cluster::line::{Line, Way};
pub use out::{PeerInput, Peers, QUEUES, QueueService};
