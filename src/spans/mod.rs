//! Spans: what became of messages that their publishers trace, told to a collector over OTLP.
//!
//! ```text
//! publish, delivery → Observers::message → Spans::note → inbox → Exporter::run → collector
//! ```
//! A message whose header `traceparent` (W3C Trace Context) says that it is sampled has a span when it is published,
//! and one for each delivery. Nothing is looked at where no collector is configured (`otlp.endpoint`). The inbox is
//! bounded: nobody who serves clients waits for a collector, and what finds no room is lost and counted.

mod export;
mod otlp;
mod parent;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;

use crate::types::{Message, QueueName, VhostName};
pub use export::Exporter;
pub use parent::Parent;

/// Spans that wait for the exporter.
const PLACES: usize = 4096;

/// Where spans are handed in.
#[derive(Debug)]
pub struct Spans {
    inbox: mpsc::Sender<Span>,
    lost: AtomicU64,
}

/// What went on with a message.
#[derive(Debug, PartialEq)]
struct Span {
    parent: Parent,
    vhost: VhostName,
    exchange: String,
    routing_key: String,
    body_bytes: usize,
    what: What,
    /// Since 1970.
    at: Duration,
}

/// Which way the message went.
#[derive(Debug, PartialEq)]
pub enum What {
    /// To its exchange, and on to so many queues.
    Published { queues: usize },
    /// From a queue to a client.
    Delivered { queue: QueueName, redelivered: bool },
}

impl Spans {
    /// The place, and what comes out of it.
    fn new() -> (Self, mpsc::Receiver<Span>) {
        let (inbox, outlet) = mpsc::channel(PLACES);
        let lost = AtomicU64::new(0);
        (Self { inbox, lost }, outlet)
    }

    /// Notes that a message went somewhere just now.
    pub fn note(&self, parent: Parent, vhost: &VhostName, message: &Message, what: What) {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let span = Span {
            parent,
            vhost: vhost.clone(),
            exchange: text(message.exchange()),
            routing_key: text(message.routing_key()),
            body_bytes: message.body().len(),
            what,
            at: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        };
        if self.inbox.try_send(span).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Those that found no room so far.
    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
