//! Where a message goes: the queues of a vhost by exchange and routing keys.

use rand::RngCore;

use super::vhosts::{QueueRef, Vhost};
use crate::codec::PropertyScan;
use crate::exchange::ExchangeKind;
use crate::exchange::{Headers, RouteInput};
use crate::router::Routed;
use crate::router::explain::{self, Step, Tried, Verdict};
use crate::spec::{BindingSpec, Destination};
use crate::types::FieldTable;

/// The route of a message, and why it goes there.
pub type Explained = explain::Explained<QueueRef>;

/// What of a message decides its route.
pub struct RouteRequest<'a> {
    pub exchange: &'a str,
    /// The routing key, then those of the CC and BCC headers.
    pub keys: &'a [&'a [u8]],
    pub properties: &'a PropertyScan<'a>,
    /// The message comes back from waiting in an `x-delayed-message` exchange.
    pub delayed: bool,
}

impl<'a> RouteRequest<'a> {
    fn input(&self) -> RouteInput<'a> {
        RouteInput {
            exchange: self.exchange,
            keys: self.keys,
            headers: Headers::new(self.properties.headers),
            message_id: self.properties.message_id,
            correlation_id: self.properties.correlation_id,
            timestamp: self.properties.timestamp,
            delayed: self.delayed,
        }
    }
}

impl Vhost {
    /// Finds the queues of a message. False when the exchange does not exist.
    pub fn route(&self, request: &RouteRequest<'_>, out: &mut Routed<QueueRef>) -> bool {
        if request.exchange.is_empty() {
            out.clear();
            for key in request.keys {
                let queue = std::str::from_utf8(key).ok().and_then(|name| self.queue(name));
                if let Some(queue) = queue
                    && !out.queues.iter().any(|other| other.0.spec.id == queue.spec.id)
                {
                    out.queues.push(QueueRef(queue));
                }
            }
            return true;
        }
        self.router
            .read()
            .route(&request.input(), &mut || rand::rng().next_u64(), out)
    }

    /// Where a message would go and why; `None` when the exchange does not exist.
    pub fn explain(&self, request: &RouteRequest<'_>) -> Option<Explained> {
        if !request.exchange.is_empty() {
            return self.router.read().explain(&request.input());
        }
        let mut routed = Routed::default();
        self.route(request, &mut routed);
        let by_name = |queue: &QueueRef| Tried {
            binding: BindingSpec {
                source: "".into(),
                destination: Destination::Queue(queue.0.spec.name.clone()),
                key: queue.0.spec.name.to_string(),
                arguments: FieldTable::new(),
            },
            verdict: Verdict::Takes,
        };
        let step = Step {
            exchange: "".into(),
            kind: ExchangeKind::Direct,
            tried: routed.queues.iter().map(by_name).collect(),
            alternate: None,
            delay: None,
        };
        Some(Explained {
            queues: routed.queues.into_iter().map(|queue| (queue, "".into())).collect(),
            steps: vec![step],
            is_certain: true,
            is_delayed: false,
        })
    }
}
