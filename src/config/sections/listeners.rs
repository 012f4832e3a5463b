//! AMQP listeners, their sockets, and TLS.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::Secret;
use crate::config::{Cipher, Named};
use crate::types::Millis;

/// AMQP listeners and what holds for their sockets.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Listeners {
    /// Plain AMQP.
    pub tcp: Named<SocketAddr>,
    /// AMQP over TLS.
    pub tls: Named<SocketAddr>,
    pub socket: SocketOptions,
    /// Time for everything up to `open-ok`; `None` is no limit.
    pub handshake_timeout: Option<Millis>,
    /// Time for the TLS handshake.
    pub tls_handshake_timeout: Millis,
    /// Connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// From where connections with such a header are taken, on every listener that wants one; empty is from
    /// anywhere.
    pub proxy_sources: Vec<IpNet>,
}

/// Options of accepted and listening sockets; `None` leaves the system's choice.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SocketOptions {
    pub backlog: u32,
    pub nodelay: bool,
    pub keepalive: bool,
    /// Bytes of the send buffer.
    pub sndbuf: Option<u32>,
    /// Bytes of the receive buffer.
    pub recbuf: Option<u32>,
}

/// Versions of TLS that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// A certificate for one name.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SniHost {
    pub certfile: Option<PathBuf>,
    pub keyfile: Option<PathBuf>,
}

/// What is needed to speak TLS on one kind of listener.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Tls {
    pub cacertfile: Option<PathBuf>,
    pub certfile: Option<PathBuf>,
    pub keyfile: Option<PathBuf>,
    /// Password of the private key.
    pub password: Option<Secret>,
    /// Ask the peer for its certificate and check it.
    pub verify_peer: bool,
    pub fail_if_no_peer_cert: bool,
    /// Longest chain of certificates between the peer's and the authority's.
    pub depth: Option<u8>,
    /// Versions offered; empty leaves the default.
    pub versions: Named<TlsVersion>,
    /// Ciphers offered; empty leaves the default.
    pub ciphers: Named<Cipher>,
    /// Certificates for clients that ask for a name.
    pub sni_hosts: BTreeMap<String, SniHost>,
    /// This side's order of ciphers counts, not the client's.
    pub honor_cipher_order: bool,
}
