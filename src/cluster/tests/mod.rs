//! Links over real sockets on loopback, and the handshake without any.

mod calls;
mod flow;
mod handshake;
mod line;
mod linking;
mod partitions;
pub mod proxy;
mod speed;
pub mod support;
