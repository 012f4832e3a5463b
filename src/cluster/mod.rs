//! Links between the nodes of a cluster.
//!
//! A node is who its data directory says ([`identity`]), proves that it belongs by the shared
//! secret ([`handshake`], inside of [`tls`] where that is configured), and keeps one connection per class to every node it knows ([`links`],
//! [`dialling`], [`link`], [`connection`]). Over these go calls and messages of numbered services ([`rpc`]).
//! [`liveness`] watches who answers; [`peers`] remembers who there is.
//!
//! [`Cluster`] is the handle that everybody else holds. It decides nothing about membership: who
//! is a member is told to it.

mod calls;
mod connection;
mod dialling;
mod frame;
pub mod handshake;
pub mod hello;
pub mod identity;
pub mod line;
mod link;
mod links;
pub mod liveness;
mod outbox;
mod pace;
pub mod peers;
pub mod rpc;
pub mod secret;
mod settings;
mod shared;
pub mod ticket;
pub mod tls;

#[cfg(test)]
pub(crate) mod tests;
mod traffic;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};

use crate::tasks;
use crate::types::NodeId;
use connection::Connection;
use hello::Introduction;
use identity::{ClusterId, Identity};
use links::Links;
use liveness::Liveness;
use peers::Book;
use rpc::{Origin, Services};
use secret::SharedSecret;
use shared::Shared;

pub use connection::Ending;
pub use hello::{Class, Span, Versions};
pub use liveness::{Event, Health, Suspicion};
pub use rpc::{CallError, CallFuture, Failed, Flow, Handler, SendError};
pub use settings::{LINK, OUTBOX_BYTES, Settings, Timing};

/// Events that a slow subscriber may be behind before it loses some and must look for itself.
const EVENTS: usize = 1024;
/// How long a node that stops waits for its last words to be written.
const GOODBYE: Duration = Duration::from_millis(500);

/// This node's links to the others. A handle: clones share them.
#[derive(Clone)]
pub struct Cluster(Arc<Shared>);

/// A node as the links see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerView {
    pub id: NodeId,
    pub name: String,
    pub addresses: Vec<String>,
    pub health: Health,
    pub round_trip: Option<Duration>,
    /// As the node told it, while it is connected.
    pub introduction: Option<Introduction>,
}

/// Whether the node of a data directory has met others.
pub fn knows_others(directory: &Path) -> bool {
    Book::open(directory).is_ok_and(|book| book.peers().next().is_some())
}

impl Cluster {
    /// Starts the links: accepts at `listener`, dials the seeds and every node that is remembered.
    /// Needs a runtime.
    ///
    /// # Errors
    /// When the data directory cannot be read.
    pub fn start(
        settings: Settings,
        identity: &Identity,
        secret: SharedSecret,
        services: Services,
        listener: TcpListener,
        directory: &Path,
    ) -> io::Result<Self> {
        let introduction = Introduction {
            id: identity.id(),
            incarnation: identity.incarnation(),
            cluster: identity.cluster(),
            name: identity.name().to_owned(),
            address: settings.advertise.clone(),
            versions: settings.versions,
        };
        let book = Book::open(directory)?;
        let known: Vec<NodeId> = book
            .peers()
            .map(|(id, _)| id)
            .filter(|id| *id != identity.id())
            .collect();
        let shared = Arc::new(Shared {
            us: identity.id(),
            introduction: RwLock::new(introduction),
            secret,
            tickets: ticket::Tickets::default(),
            services,
            links: Links::of(identity.id()),
            liveness: RwLock::new(Liveness::new(settings.timing.pulse.clone())),
            events: broadcast::Sender::new(EVENTS),
            book: Mutex::new(book),
            saving: Mutex::default(),
            book_changed: tokio::sync::Notify::new(),
            kept: Mutex::default(),
            stop: watch::Sender::new(false),
            settings,
        });
        tasks::spawn("link listener", link::accept(shared.clone(), listener));
        tasks::spawn("liveness", shared.clone().run_liveness());
        tasks::spawn("peers", shared.clone().run_book());
        for id in known {
            shared.keep(id);
        }
        for seed in &shared.settings.seeds {
            tasks::spawn("link seed", dialling::seek(shared.clone(), seed.clone()));
        }
        if let Some((name, port)) = shared.settings.dns.clone() {
            tasks::spawn("link discovery", shared.clone().run_dns(name, port));
        }
        Ok(Self(shared))
    }

    /// Whether a request to the HTTP API is signed with the cluster's secret, for the first time.
    pub fn takes_ticket(&self, verb: &str, target: &str, ticket: &str) -> bool {
        let shared = &self.0;
        shared
            .tickets
            .take(&shared.secret, verb, target, ticket, SystemTime::now())
    }

    /// How links speak TLS, where they do.
    pub fn tls(&self) -> Option<&tls::Tls> {
        self.0.settings.tls.as_ref()
    }

    /// This node.
    pub fn us(&self) -> NodeId {
        self.0.us
    }

    /// Asks a node. Runs side by side with other calls; answers come in any order.
    ///
    /// # Errors
    /// See [`CallError`]. At the deadline at the latest there is one.
    pub async fn call(
        &self,
        node: NodeId,
        service: u16,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, CallError> {
        let class = self.0.services.class(service).ok_or(CallError::NotServed(service))?;
        let connection = self.0.links.current(node, class);
        let connection = connection.ok_or(CallError::Unreachable(node))?;
        let wait = deadline.saturating_duration_since(Instant::now());
        let call = connection.call(service, payload, wait);
        tokio::time::timeout(wait, call)
            .await
            .unwrap_or(Err(CallError::TimedOut))
    }

    /// Sends a message, when there is room for it at once.
    ///
    /// # Errors
    /// When it is not sent; [`SendError::Full`] is the sign to slow down.
    pub fn try_send(&self, node: NodeId, service: u16, payload: Bytes) -> Result<(), SendError> {
        self.stream(node, service)?.try_send(payload)
    }

    /// Sends a message as soon as there is room for it, or the connection ends.
    ///
    /// # Errors
    /// When it is not sent.
    pub async fn send(&self, node: NodeId, service: u16, payload: Bytes) -> Result<(), SendError> {
        self.stream(node, service)?.send(payload).await
    }

    /// Messages in order without gaps: what reaches the node is a beginning of what is sent here.
    ///
    /// # Errors
    /// When the node is not connected, or the service is not one of ours.
    pub fn stream(&self, node: NodeId, service: u16) -> Result<Stream, SendError> {
        let class = self.0.services.class(service).ok_or(SendError::NotServed(service))?;
        let connection = self.0.links.current(node, class);
        let connection = connection.ok_or(SendError::Unreachable(node))?;
        Ok(Stream { connection, service })
    }

    /// Waits until a node is connected for a class.
    pub async fn linked(&self, node: NodeId, class: Class) {
        let mut current = self.0.links.peer(node).0.watch(class);
        // An error is the links dropped, which cannot be while we are here.
        let _ = current.wait_for(Option::is_some).await;
    }

    /// What happens to nodes from now on. Whoever begins, or is so far behind that it has lost
    /// events, asks [`Cluster::health`] after it has subscribed.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }

    /// Whether a node is to be treated as alive; this one is.
    pub fn health(&self, node: NodeId) -> Health {
        match node == self.0.us {
            true => Health::Up,
            false => self.0.liveness.read().health(node),
        }
    }

    /// Whether the run of a node that something came from is to be treated as alive.
    pub fn lives(&self, origin: &Origin) -> bool {
        let liveness = self.0.liveness.read();
        liveness.is_up(origin.node, origin.incarnation)
    }

    /// The other nodes that are known.
    pub fn peers(&self) -> Vec<PeerView> {
        let known: Vec<_> = {
            let book = self.0.book.lock();
            book.peers().map(|(id, known)| (id, known.clone())).collect()
        };
        let liveness = self.0.liveness.read();
        let view = |(id, known): (NodeId, peers::Known)| PeerView {
            id,
            name: known.name,
            addresses: known.addresses,
            health: liveness.health(id),
            round_trip: liveness.round_trip(id),
            introduction: self.introduction_of(id),
        };
        known.into_iter().map(view).collect()
    }

    /// What a connected node says of itself: its versions among others.
    pub fn introduction_of(&self, node: NodeId) -> Option<Introduction> {
        let connection = self.0.links.current(node, Class::Control)?;
        Some(connection.peer.who.clone())
    }

    /// A node belongs to the cluster and is to be found at these addresses: it is dialled until
    /// it is forgotten.
    pub fn know(&self, node: NodeId, name: &str, addresses: &[&str]) {
        if node == self.0.us {
            return;
        }
        self.0.links.welcome(node);
        self.0.learn(node, name, addresses);
        self.0.keep(node);
    }

    /// Looks for a node at an address, as if it were a seed.
    pub fn seek(&self, address: &str) {
        tasks::spawn("link seed", dialling::seek(self.0.clone(), address.to_owned()));
    }

    /// A node does not belong to the cluster any more: its connections end, it is not dialled,
    /// and refused when it dials.
    pub fn forget(&self, node: NodeId) {
        self.0.links.forget(node);
        self.0.kept.lock().remove(&node);
        self.0.liveness.write().forget(node);
        if self.0.book.lock().forget(node) {
            self.0.book_changed.notify_one();
        }
    }

    /// This node belongs to a cluster now; connections made from here on are refused by others.
    pub fn belong_to(&self, cluster: Option<ClusterId>) {
        self.0.introduction.write().cluster = cluster;
    }

    /// Waits until this node's links are told to end.
    pub async fn stopped(&self) {
        self.0.stopped().await;
    }

    /// Lets the others know at once that this node goes: nobody is let in any more, and what waits to
    /// be sent is the last.
    pub fn leave(&self) {
        self.0.stop.send_replace(true);
        self.connections().iter().for_each(|connection| connection.finish());
    }

    /// Ends everything, and lets the others know that this is in order.
    pub async fn stop(&self) {
        self.leave();
        let connections = self.connections();
        let written = async {
            for connection in &connections {
                connection.ended().await;
            }
        };
        // A peer that does not read is not waited for.
        let _ = tokio::time::timeout(GOODBYE, written).await;
        for connection in &connections {
            connection.end(Ending::Stopped);
        }
        // The task that does so may have stopped before it saw the latest change.
        if let Err(error) = self.0.save_book().await {
            tracing::error!(%error, "what is known about other nodes is not saved");
        }
    }

    fn connections(&self) -> Vec<Arc<Connection>> {
        let classes = Class::ALL.into_iter();
        classes.flat_map(|class| self.0.links.all(class)).collect()
    }
}

/// Messages to one service of one node over one connection. Every error is the last: another
/// stream must be opened, and what the other side has seen be found out.
pub struct Stream {
    connection: Arc<Connection>,
    service: u16,
}

impl Stream {
    /// Sends as soon as there is room.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn send(&self, payload: Bytes) -> Result<(), SendError> {
        self.connection.send(self.service, &[], payload).await
    }

    /// The same for a message in two parts, of which the first is small and the second is not copied.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn send_before(&self, head: &[u8], payload: Bytes) -> Result<(), SendError> {
        self.connection.send(self.service, head, payload).await
    }

    /// Sends if there is room.
    ///
    /// # Errors
    /// When there is no room now ([`SendError::Full`]), or the connection has ended.
    pub fn try_send(&self, payload: Bytes) -> Result<(), SendError> {
        self.connection.try_send(self.service, payload)
    }

    /// Which connection it is.
    pub fn origin(&self) -> Origin {
        self.connection.origin
    }

    /// Bytes that wait to be sent on the connection.
    pub fn waiting(&self) -> usize {
        self.connection.waiting()
    }

    /// Waits for the end of the connection.
    pub async fn ended(&self) -> Ending {
        self.connection.ended().await
    }
}
