//! Where a node listens, as the API and its health checks show it.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::listen::Tls;

/// One listener.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// RabbitMQ's name: `amqp`, `amqp/ssl`, `http`, `https`, `http/prometheus`, `clustering`.
    pub protocol: &'static str,
    pub address: SocketAddr,
    /// How TLS is spoken there, if it is.
    pub tls: Option<Tls>,
}

impl Endpoint {
    /// A listener of the overview.
    pub fn view(&self, node: &str) -> Value {
        view(node, self.protocol, self.address)
    }
}

/// A listener of a node as the overview has it.
pub fn view(node: &str, protocol: &str, address: SocketAddr) -> Value {
    json!({
        "node": node,
        "protocol": protocol,
        "ip_address": address.ip().to_string(),
        "port": address.port(),
        "socket_opts": [],
    })
}
