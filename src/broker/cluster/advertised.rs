//! Where clients of the stream protocol find the nodes: they connect to whichever leads what they publish to.

use crate::broker::Broker;
use crate::types::NodeId;

impl Broker {
    /// The host and port of this node for clients with or without TLS, if it listens for them.
    pub(in crate::broker) fn own_stream_address(&self, with_tls: bool) -> Option<(String, u16)> {
        let protocol = if with_tls { "stream/ssl" } else { "stream" };
        let listeners = self.listeners.lock();
        let listener = listeners.iter().find(|listener| listener.protocol == protocol)?;
        let config = self.config();
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
