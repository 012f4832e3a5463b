//! Links over real sockets on loopback, and the handshake without any.

#[path = "../../../tests/support/authority.rs"]
mod authority;
mod calls;
mod flow;
mod handshake;
mod linking;
mod partitions;
mod proxy;
mod speed;
mod support;
mod tls;
