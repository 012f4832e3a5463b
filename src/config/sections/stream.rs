//! Listeners of the stream protocol.

use std::net::SocketAddr;

use super::SocketOptions;
use crate::config::Named;

/// The stream protocol.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct StreamProtocol {
    /// Plain listeners.
    pub tcp: Named<SocketAddr>,
    /// Listeners over TLS, with the certificates of AMQP.
    pub tls: Named<SocketAddr>,
    pub socket: SocketOptions,
    /// Connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Where clients find this node; what is not set is found.
    pub advertised: Advertised,
    /// The same for clients that speak TLS.
    pub advertised_tls: Advertised,
    /// Largest frame in bytes.
    pub frame_max: u32,
    /// Seconds; 0 offers none.
    pub heartbeat_s: u32,
    /// Entries of a connection that may be unconfirmed.
    pub initial_credits: u32,
    /// A connection that had none left is read again with more than so many.
    pub unblocking_credits: u32,
}

impl StreamProtocol {
    /// The host and port that clients of a listener are told: what is configured, else the host of the node's
    /// name and the port that is listened on.
    pub fn advertised(&self, node: &str, with_tls: bool, port: u16) -> (String, u16) {
        let said = if with_tls {
            &self.advertised_tls
        } else {
            &self.advertised
        };
        let own_host = || node.rsplit_once('@').map_or(node, |(_, host)| host).to_owned();
        (said.host.clone().unwrap_or_else(own_host), said.port.unwrap_or(port))
    }
}

/// A host and a port for clients to connect to.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Advertised {
    pub host: Option<String>,
    pub port: Option<u16>,
}
