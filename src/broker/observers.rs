//! What observers of the broker are told: events, and copies of messages of vhosts that are traced (RabbitMQ's
//! event exchange and its firehose).
//!
//! ```text
//! session, queue, catalogue → Observers::event, ::message → inbox → Vhosts::run_observers → exchanges
//! ```
//! Whoever has something to tell hands it in and goes on, whatever locks it holds. The inbox is bounded, and
//! nobody who serves clients waits for an observer: what finds no room is lost, counted, and told in the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashSet;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::logging::recent::Recent;
use crate::metadata::json;
use crate::spans::{Parent, Spans, What};
use crate::types::{ConnectionId, FieldTable, FieldValue, Message, QueueName, Timestamp, UserName, VhostName};

/// Where copies of messages are published.
pub const TRACE: &str = "amq.rabbitmq.trace";
/// Where events are published.
pub const EVENTS: &str = "amq.rabbitmq.event";

/// Things that wait to be published.
const PLACES: usize = 16 * 1024;
/// Bytes of messages among them.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// See the head of this file.
pub struct Observers {
    /// Something is bound to the exchange of events.
    is_bound: AtomicBool,
    /// Until when somebody reads events over the HTTP API, in milliseconds; 0 for nobody.
    followed_until: AtomicU64,
    /// The last events, as JSON, while somebody reads them there.
    recent: Recent,
    /// Where spans of messages are handed in, if anybody is told of them.
    spans: Option<Arc<Spans>>,
    /// Some vhost is traced, or spans are made: all that is looked at for each message while neither is.
    is_tracing: AtomicBool,
    traced: RwLock<FxHashSet<VhostName>>,
    inbox: mpsc::Sender<Observed>,
    outlet: Mutex<Option<mpsc::Receiver<Observed>>>,
    waiting_bytes: AtomicU64,
    lost: AtomicU64,
}

/// What is to be published.
pub enum Observed {
    Event(Event),
    Message(Traced),
}

/// Something that happened.
pub struct Event {
    /// RabbitMQ's name of it, and the routing key: `queue.created`.
    pub kind: &'static str,
    pub fields: FieldTable,
    pub at: Timestamp,
}

/// A message that went in or out.
pub struct Traced {
    pub vhost: VhostName,
    pub message: Message,
    pub direction: Direction,
    pub client: Client,
}

/// Which direction it went.
pub enum Direction {
    /// To an exchange, and on to these queues.
    In { routed: Vec<QueueName> },
    /// From a queue to a client.
    Out { queue: QueueName, redelivered: bool },
}

impl Direction {
    fn what(&self) -> What {
        match self {
            Self::In { routed } => What::Published { queues: routed.len() },
            Self::Out { queue, redelivered } => What::Delivered {
                queue: queue.clone(),
                redelivered: *redelivered,
            },
        }
    }
}

/// Who sent it or got it.
pub struct Client {
    pub connection: ConnectionId,
    pub channel: u16,
    pub user: UserName,
}

impl Observers {
    /// Of a node that tells of spans there.
    pub fn new(spans: Option<Arc<Spans>>) -> Self {
        let (inbox, outlet) = mpsc::channel(PLACES);
        Self {
            is_bound: AtomicBool::new(false),
            followed_until: AtomicU64::new(0),
            recent: Recent::default(),
            is_tracing: AtomicBool::new(spans.is_some()),
            spans,
            traced: RwLock::default(),
            inbox,
            outlet: Mutex::new(Some(outlet)),
            waiting_bytes: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// Begins or ends tracing a vhost on this node. As with RabbitMQ it need not be there, and ends with the
    /// process.
    pub fn trace(&self, vhost: &str, on: bool) {
        let mut traced = self.traced.write();
        match on {
            true => traced.insert(vhost.into()),
            false => traced.remove(vhost),
        };
        let is_on = !traced.is_empty() || self.spans.is_some();
        self.is_tracing.store(is_on, Ordering::Relaxed);
    }

    /// Whether any vhost is traced, or spans are made; cheap enough to ask for every message.
    pub fn is_tracing(&self) -> bool {
        self.is_tracing.load(Ordering::Relaxed)
    }

    /// Whether that vhost is.
    pub fn is_traced(&self, vhost: &str) -> bool {
        self.is_tracing() && self.traced.read().contains(vhost)
    }

    /// Notes a span, if the publisher traces the message; copies it, if its vhost is traced. Copies are not copied.
    pub fn message(&self, vhost: &VhostName, message: &Message, observed: impl FnOnce() -> (Direction, Client)) {
        if message.exchange() == TRACE.as_bytes() {
            return;
        }
        let is_traced = self.is_traced(vhost);
        let parent = self.spans.as_ref().and_then(|_| Parent::of(message));
        if !is_traced && parent.is_none() {
            return;
        }
        let (direction, client) = observed();
        if let (Some(spans), Some(parent)) = (&self.spans, parent) {
            spans.note(parent, vhost, message, direction.what());
        }
        if !is_traced {
            return;
        }
        let bytes = message.memory() as u64;
        if self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) > MOST_BYTES {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let traced = Traced {
            vhost: vhost.clone(),
            message: message.clone(),
            direction,
            client,
        };
        if !self.hand_in(Observed::Message(traced)) {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// A message is out of the inbox.
    pub fn taken(&self, traced: &Traced) {
        let bytes = traced.message.memory() as u64;
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether anybody wants to hear of events: nobody need make one else.
    pub fn wants_events(&self) -> bool {
        self.is_bound.load(Ordering::Relaxed) || self.followed_until.load(Ordering::Relaxed) > 0
    }

    /// Whether something is bound to their exchange.
    pub fn set_bound(&self, on: bool) {
        self.is_bound.store(on, Ordering::Relaxed);
    }

    /// The last events, a line of JSON each, for somebody who asks again before `until`; they are kept that long.
    pub fn follow(&self, until: Timestamp) -> &Recent {
        self.followed_until.fetch_max(until.0, Ordering::Relaxed);
        &self.recent
    }

    /// Keeps an event for those who follow them, if there are any still.
    pub fn keep(&self, event: &Event) {
        let until = self.followed_until.load(Ordering::Relaxed);
        if event.at.0 > until {
            // An error is somebody who came meanwhile.
            let _ = self
                .followed_until
                .compare_exchange(until, 0, Ordering::Relaxed, Ordering::Relaxed);
            return;
        }
        let mut line = serde_json::Map::new();
        line.insert("event".to_owned(), event.kind.into());
        if let Value::Object(fields) = json::from_table(&event.fields) {
            line.extend(fields);
        }
        self.recent.keep(Value::from(line).to_string().as_bytes());
    }

    /// Tells of something that happened.
    pub fn event(&self, at: Timestamp, kind: &'static str, fields: &[(&str, FieldValue)]) {
        if self.wants_events() {
            self.hand_in_event(Event {
                kind,
                fields: FieldTable::of(fields),
                at,
            });
        }
    }

    /// The same of an event that is made already.
    pub fn hand_in_event(&self, event: Event) {
        self.hand_in(Observed::Event(event));
    }

    fn hand_in(&self, observed: Observed) -> bool {
        let is_in = self.inbox.try_send(observed).is_ok();
        if !is_in {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        is_in
    }

    /// What could not be told since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// The end where things come out, for the one who publishes them.
    pub fn outlet(&self) -> Option<mpsc::Receiver<Observed>> {
        self.outlet.lock().take()
    }
}

/// A name or another text in an event.
pub fn text(text: &str) -> FieldValue {
    FieldValue::text(text)
}

/// A number in an event.
pub fn number(number: impl TryInto<i64>) -> FieldValue {
    FieldValue::I64(number.try_into().unwrap_or(i64::MAX))
}

/// Field tables in events are lists of texts, as RabbitMQ writes them.
pub fn arguments(table: &FieldTable) -> FieldValue {
    let items = table.iter().map(|(name, value)| {
        let pair = format!("{{<<\"{name}\">>,{},{}}}", value.type_name(), term(value));
        text(&pair)
    });
    FieldValue::Array(items.collect())
}

/// A value in Erlang's notation.
fn term(value: &FieldValue) -> String {
    let joined = |items: Vec<String>| format!("[{}]", items.join(","));
    match value {
        FieldValue::Boolean(value) => value.to_string(),
        FieldValue::Table(table) => joined(
            table
                .iter()
                .map(|(name, value)| format!("{{<<\"{name}\">>,{},{}}}", value.type_name(), term(value)))
                .collect(),
        ),
        FieldValue::Array(items) => joined(
            items
                .iter()
                .map(|item| format!("{{{},{}}}", item.type_name(), term(item)))
                .collect(),
        ),
        FieldValue::Void => "undefined".to_owned(),
        other => match (other.as_int(), other.as_float(), other.as_bytes()) {
            (Some(number), ..) => number.to_string(),
            (_, Some(number), _) => number.to_string(),
            (_, _, Some(octets)) => format!("<<\"{}\">>", String::from_utf8_lossy(octets)),
            _ => "undefined".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::MessageParts;

    fn message(exchange: &str) -> Message {
        let parts = MessageParts {
            exchange: exchange.as_bytes(),
            routing_key: b"k",
            properties: &[0, 0],
            traits: Default::default(),
        };
        Message::new(parts, b"body", &mut Vec::new())
    }

    fn copy(observers: &Observers, exchange: &str) {
        observers.message(&"v".into(), &message(exchange), || {
            let direction = Direction::In { routed: Vec::new() };
            let client = Client {
                connection: ConnectionId(1),
                channel: 1,
                user: "u".into(),
            };
            (direction, client)
        });
    }

    #[test]
    fn messages_are_copied_while_their_vhost_is_traced_and_copies_are_not() {
        let observers = Observers::new(None);
        let mut outlet = observers.outlet().expect("not taken");
        copy(&observers, "x");
        observers.trace("v", true);
        copy(&observers, "x");
        copy(&observers, TRACE);
        observers.trace("v", false);
        copy(&observers, "x");
        assert!(matches!(outlet.try_recv(), Ok(Observed::Message(_))));
        assert!(outlet.try_recv().is_err());
    }

    #[test]
    fn what_finds_no_room_is_lost_and_counted() {
        let observers = Observers::new(None);
        observers.trace("v", true);
        for _ in 0..PLACES + 3 {
            copy(&observers, "x");
        }
        assert_eq!(observers.lost(), 3);
        let mut outlet = observers.outlet().expect("not taken");
        while let Ok(Observed::Message(traced)) = outlet.try_recv() {
            observers.taken(&traced);
        }
        assert_eq!(observers.waiting_bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn arguments_are_written_as_terms() {
        let table = FieldTable::of(&[("x-max-length", FieldValue::I32(7)), ("a", text("b"))]);
        let FieldValue::Array(items) = arguments(&table) else {
            unreachable!("a list");
        };
        let items: Vec<_> = items.iter().filter_map(FieldValue::as_str).collect();
        assert_eq!(
            items,
            ["{<<\"x-max-length\">>,signedint,7}", "{<<\"a\">>,longstr,<<\"b\">>}"]
        );
    }
}
