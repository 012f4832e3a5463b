//! Where streams are, in the words of this protocol: nodes by the host and port that they advertise.

use rustc_hash::FxHashSet;

use super::requests::text;
use super::session::Session;
use super::streams::Place;
use crate::stream_protocol::codec::Code;
use crate::stream_protocol::codec::response::{self, Address, StreamPlace};
use crate::types::NodeId;

impl Session {
    /// Where clients of this listener find this node.
    pub(super) fn own_address(&self) -> Address {
        self.offer.advertised.clone()
    }

    /// Answers where streams are. Nodes that do not say where they are found are left out.
    pub(super) async fn on_metadata(&mut self, correlation: u32, names: Vec<Vec<u8>>) {
        let mut nodes = Nodes::default();
        let mut streams: Vec<StreamPlace> = Vec::new();
        let mut seen = FxHashSet::default();
        for name in names {
            if !seen.insert(name.clone()) {
                continue;
            }
            let found = text(&name).ok_or(Code::NoStream).and_then(|name| self.find(&name));
            let (code, leader, replicas) = match found {
                Err(code) => (code, None, Vec::new()),
                Ok(stream) => {
                    let Place { leader, replicas } = stream.place();
                    let leader = match leader {
                        Some(node) => nodes.index(self, node).await,
                        None => None,
                    };
                    let mut others = Vec::new();
                    for node in replicas {
                        others.extend(nodes.index(self, node).await);
                    }
                    let is_anywhere = leader.is_some() || !others.is_empty();
                    let code = if is_anywhere { Code::Ok } else { Code::NotAvailable };
                    (code, leader, others)
                }
            };
            streams.push(StreamPlace {
                name,
                code,
                leader,
                replicas,
            });
        }
        response::answer_metadata(&mut self.connection.out, correlation, &nodes.addresses, &streams);
    }

    async fn address_of(&self, node: NodeId) -> Option<Address> {
        if node == self.connection.broker.us() {
            return Some(self.own_address());
        }
        let (host, port) = self
            .connection
            .broker
            .membership()
            .stream_address_of(node, self.connection.info.tls.is_some())
            .await?;
        Some(Address {
            host,
            port: port.into(),
        })
    }
}

/// The nodes of an answer.
#[derive(Default)]
struct Nodes {
    known: Vec<(NodeId, Option<u16>)>,
    addresses: Vec<Address>,
}

impl Nodes {
    /// The place of a node among them.
    async fn index(&mut self, session: &Session, node: NodeId) -> Option<u16> {
        if let Some((_, index)) = self.known.iter().find(|(known, _)| *known == node) {
            return *index;
        }
        let index = session.address_of(node).await.map(|address| {
            self.addresses.push(address);
            (self.addresses.len() - 1) as u16
        });
        self.known.push((node, index));
        index
    }
}
