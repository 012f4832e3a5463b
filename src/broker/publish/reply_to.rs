//! Direct reply-to (RabbitMQ, "Direct Reply-to"): answers that go to a channel without a queue.
//!
//! A client consumes from the pseudo-queue `amq.rabbitmq.reply-to`; what it then publishes with
//! that name in `reply-to` carries the name of its channel, a token nobody can guess. Answers
//! published to the token through the default exchange are written to the client at once, are
//! never stored and never acknowledged.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use crate::broker::queue::clients::Consumer;
pub use crate::declare::REPLY_TO as PSEUDO_QUEUE;
use crate::types::{Message, NodeId};

/// The name of one channel's reply queue, without its prefix: its node, and a secret. In RabbitMQ's form,
/// which some clients check: two parts in base64, of which the second has 16 bytes and ends with `==`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Token {
    pub node: NodeId,
    pub secret: u128,
}

impl Token {
    /// A token of a channel of that node, drawn by chance.
    pub fn random(node: NodeId) -> Self {
        Self {
            node,
            secret: rand::random(),
        }
    }

    /// The token in a routing key, if it has the form of one.
    pub fn of(key: &[u8]) -> Option<Self> {
        let encoded = key.strip_prefix(PSEUDO_QUEUE.as_bytes())?.strip_prefix(b".")?;
        let dot = encoded.iter().position(|byte| *byte == b'.')?;
        let decode = |part| STANDARD.decode(part).ok();
        Some(Self {
            node: NodeId(u64::from_be_bytes(decode(&encoded[..dot])?.try_into().ok()?)),
            secret: u128::from_be_bytes(decode(&encoded[dot + 1..])?.try_into().ok()?),
        })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = STANDARD.encode(self.node.0.to_be_bytes());
        let secret = STANDARD.encode(self.secret.to_be_bytes());
        write!(f, "{PSEUDO_QUEUE}.{node}.{secret}")
    }
}

/// The channels that wait for answers.
#[derive(Default)]
pub struct ReplyTo {
    channels: RwLock<FxHashMap<Token, Arc<Consumer>>>,
}

impl ReplyTo {
    /// A channel begins to wait for answers.
    pub fn register(&self, token: Token, consumer: Arc<Consumer>) {
        self.channels.write().insert(token, consumer);
    }

    /// A channel no longer waits.
    pub fn forget(&self, token: Token) {
        self.channels.write().remove(&token);
    }

    /// Whether somebody on this node waits under that token.
    pub fn is_waiting(&self, token: Token) -> bool {
        self.channels.read().contains_key(&token)
    }

    /// Writes an answer to the client that waits for it. False when nobody does. An answer to a
    /// client that does not read is dropped, as RabbitMQ may.
    pub fn deliver(&self, token: Token, message: &Message) -> bool {
        let Some(consumer) = self.channels.read().get(&token).cloned() else {
            return false;
        };
        let mut out = consumer.outbox.lock();
        let room = out.output.len() < crate::broker::delivery::outbox::HIGH_WATER * 2;
        if let Some((output, channel)) = out.parts(consumer.channel, consumer.incarnation)
            && room
        {
            let tag = channel.skip();
            consumer.form.deliver(output, tag, false, message);
        }
        out.finish();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_from_its_name_and_nothing_else_does() {
        let token = Token::random(NodeId(7));
        assert_eq!(Token::of(token.to_string().as_bytes()), Some(token));
        let name = token.to_string();
        let (_, secret) = name.rsplit_once('.').expect("two parts");
        assert!(secret.len() == 24 && secret.ends_with("=="), "{name}");
        let forged = format!("{name}=");
        for other in [
            "amq.rabbitmq.reply-to",
            "amq.rabbitmq.reply-to.forged",
            "amq.rabbitmq.reply-to..",
            &forged,
            "queue",
            "",
        ] {
            assert_eq!(Token::of(other.as_bytes()), None);
        }
    }
}
