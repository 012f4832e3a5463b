//! Three nodes as one broker: from any node to any other, and while nodes are killed, paused,
//! stopped, cut off and started again.
//!
//! These run real processes of the built binary. Those that cut the network need to be root (or to
//! have `CAP_NET_ADMIN`) and say so by name where they cannot run.

#[path = "../support/mod.rs"]
mod support;

mod across;
mod alarms;
mod at_once;
mod checker;
mod damage;
mod disks;
mod done;
mod failover;
mod formation;
mod glance;
mod kept_letters;
mod load;
mod maintenance;
mod majority;
mod members;
mod membership;
mod minority;
mod network;
mod one_broker;
mod outstanding;
mod partitions;
mod redrive;
mod signed_in;
mod single_active;
mod statistics;
mod tls;
