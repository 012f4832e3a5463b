//! Where clients of the stream protocol find the nodes: they connect to whichever leads what they publish to.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Membership;
use crate::types::NodeId;

/// Where a node listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listener {
    /// RabbitMQ's name of the protocol.
    pub protocol: String,
    pub address: SocketAddr,
}

impl Membership {
    /// This node listens there from now on.
    pub(in crate::broker) fn listens(&self, listeners: Vec<Listener>) {
        *self.listeners.lock() = listeners;
    }

    /// Where this node listens.
    pub(in crate::broker) fn listeners(&self) -> Vec<Listener> {
        self.listeners.lock().clone()
    }

    /// The host and port of this node for clients with or without TLS, if it listens for them.
    pub(super) fn own_stream_address(&self, with_tls: bool) -> Option<(String, u16)> {
        let protocol = if with_tls { "stream/ssl" } else { "stream" };
        let listeners = self.listeners.lock();
        let listener = listeners.iter().find(|listener| listener.protocol == protocol)?;
        let config = &self.config;
        Some(
            config
                .stream
                .advertised(&config.node.name, with_tls, listener.address.port()),
        )
    }

    /// The same of another node, which is asked.
    pub async fn stream_address_of(&self, node: NodeId, with_tls: bool) -> Option<(String, u16)> {
        match node == self.us() {
            true => self.own_stream_address(with_tls),
            false => self.ask_for_stream_address(node, with_tls).await,
        }
    }
}
