//! Where a message goes: the queues of a vhost by exchange and routing keys.

use rand::RngCore;

use super::vhosts::{QueueRef, Vhost};
use crate::codec::PropertyScan;
use crate::router::{Headers, RouteInput, Routed};

/// What of a message decides its way.
pub struct Way<'a> {
    pub exchange: &'a str,
    /// The routing key, then those of the CC and BCC headers.
    pub keys: &'a [&'a [u8]],
    pub properties: &'a PropertyScan<'a>,
    /// The message comes back from waiting in an `x-delayed-message` exchange.
    pub delayed: bool,
}

impl Vhost {
    /// Finds the queues of a message. False when the exchange does not exist.
    pub fn route(&self, way: &Way<'_>, out: &mut Routed<QueueRef>) -> bool {
        if way.exchange.is_empty() {
            out.clear();
            for key in way.keys {
                let queue = std::str::from_utf8(key).ok().and_then(|name| self.queue(name));
                if let Some(queue) = queue
                    && !out.queues.iter().any(|other| other.0.spec.id == queue.spec.id)
                {
                    out.queues.push(QueueRef(queue));
                }
            }
            return true;
        }
        let input = RouteInput {
            exchange: way.exchange,
            keys: way.keys,
            headers: Headers::new(way.properties.headers),
            message_id: way.properties.message_id,
            correlation_id: way.properties.correlation_id,
            timestamp: way.properties.timestamp,
            delayed: way.delayed,
        };
        self.router.read().route(&input, &mut || rand::rng().next_u64(), out)
    }
}
