//! Links over real sockets on loopback, and the handshake without any.

#[path = "../../../tests/support/authority.rs"]
mod authority;
mod calls;
mod flow;
mod handshake;
mod line;
mod linking;
mod partitions;
pub mod proxy;
mod speed;
pub mod support;
mod tls;
