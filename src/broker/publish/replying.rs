//! Answers to clients that wait for them without a queue, given to whichever node has the client.

use bytes::Bytes;

use super::reply_to::Token;
use super::vhosts::Vhosts;
use crate::handover::wire;
use crate::types::Message;

impl Vhosts {
    /// An answer for a client of this node.
    pub(in crate::broker) fn on_reply(&self, secret: u128, message: &Bytes) {
        if let Ok(message) = Message::from_stored(message) {
            let token = Token {
                node: self.nodes.us(),
                secret,
            };
            self.reply_to.deliver(token, &message);
        }
    }

    /// Hands an answer to the client that waits under the token, on whatever node it is. False when
    /// it is known that nobody does.
    pub(super) fn deliver_reply(&self, token: Token, message: &Message) -> bool {
        if token.node == self.nodes.us() {
            return self.reply_to.deliver(token, message);
        }
        let line = self.queues.peers.open_line(token.node);
        line.is_some_and(|line| {
            line.with(|buffer| wire::reply(buffer, token.secret, message));
            true
        })
    }
}
