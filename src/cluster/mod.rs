//! Links between the nodes of a cluster.
//!
//! A node is who its data directory says ([`identity`]), proves that it belongs by the shared
//! secret ([`handshake`]), and keeps one connection per class to every node it knows ([`links`],
//! [`link`], [`connection`]). Over these go calls and messages of numbered services ([`rpc`]).
//! [`liveness`] watches who answers; [`peers`] remembers who there is.
//!
//! [`Cluster`] is the handle that everybody else holds. It decides nothing about membership: who
//! is a member is told to it.

mod calls;
mod connection;
mod disk;
mod frame;
pub mod handshake;
pub mod hello;
pub mod identity;
mod link;
mod links;
pub mod liveness;
mod outbox;
mod pace;
pub mod peers;
pub mod rpc;
pub mod secret;
mod settings;

#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::tasks;
use crate::types::NodeId;
use connection::Connection;
use handshake::Cause;
use hello::Introduction;
use identity::{ClusterId, Identity};
use links::Links;
use liveness::Liveness;
use peers::Book;
use rpc::{Origin, Services};
use secret::SharedSecret;

pub use connection::Ending;
pub use hello::{Class, Span, Versions};
pub use liveness::{Event, Health, Suspicion};
pub use rpc::{Answer, CallError, Failed, Flow, Handler, SendError};
pub use settings::{LINK, OUTBOX_BYTES, Settings, Timing};

/// Events that a slow subscriber may be behind before it loses some and must look for itself.
const EVENTS: usize = 1024;
/// How long a node that stops waits for its last words to be written.
const GOODBYE: Duration = Duration::from_millis(500);
/// How often a DNS name is asked for once somebody was found.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// Addresses of a DNS name that are tried.
const MOST_SEEDS: usize = 256;

/// This node's links to the others. A handle: clones share them.
#[derive(Clone)]
pub struct Cluster(Arc<Shared>);

/// What all tasks of the links share.
pub(crate) struct Shared {
    us: NodeId,
    introduction: RwLock<Introduction>,
    secret: SharedSecret,
    settings: Settings,
    services: Services,
    links: Links,
    liveness: RwLock<Liveness>,
    events: broadcast::Sender<Event>,
    book: Mutex<Book>,
    /// One writes the book at a time.
    saving: Mutex<()>,
    /// Wakes the task that saves the book.
    book_changed: tokio::sync::Notify,
    /// Peers that are dialled; those who dial stop when the sender goes.
    kept: Mutex<FxHashMap<NodeId, watch::Sender<()>>>,
    stop: watch::Sender<bool>,
}

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
            tasks::spawn("link seed", link::seek(shared.clone(), seed.clone()));
        }
        if let Some((name, port)) = shared.settings.dns.clone() {
            tasks::spawn("link discovery", shared.clone().run_dns(name, port));
        }
        Ok(Self(shared))
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

    /// Whether a majority of these nodes has answered something that was sent less than `within`
    /// ago. A leader that holds this delivers.
    pub fn heard_majority(&self, nodes: &[NodeId], within: Duration) -> bool {
        let liveness = self.0.liveness.read();
        liveness.heard_majority(nodes, self.0.us, within, Instant::now())
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
        tasks::spawn("link seed", link::seek(self.0.clone(), address.to_owned()));
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

    /// Ends everything, and lets the others know that this is in order.
    pub async fn stop(&self) {
        self.0.stop.send_replace(true);
        let connections: Vec<_> = Class::ALL
            .into_iter()
            .flat_map(|class| self.0.links.all(class))
            .collect();
        for connection in &connections {
            connection.finish();
        }
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
        self.0.save_book().await;
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
        self.connection.send(self.service, payload).await
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

impl Shared {
    fn introduction(&self) -> Introduction {
        self.introduction.read().clone()
    }

    /// Ends when the node stops.
    async fn stopped(&self) {
        // An error is the sender dropped, which cannot be while we are here.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Gives a connection its place, and tells everybody whom that concerns.
    fn place(self: &Arc<Self>, connection: &Arc<Connection>, dialled: Option<&str>) -> Result<(), Cause> {
        if *self.stop.borrow() {
            return Err(Cause::Other);
        }
        let who = &connection.peer.who;
        // All of it at once: whoever forgets the peer meanwhile undoes all of it.
        self.links.place(connection, &self.settings.timing, || {
            if connection.peer.class == Class::Control {
                self.tell(|liveness, events| liveness.on_linked(&connection.origin, Instant::now(), events));
            }
            self.learn(who.id, &who.name, &[&who.address, dialled.unwrap_or_default()]);
            self.keep(who.id);
        })?;
        tracing::debug!(peer = %who.name, id = %who.id, class = ?connection.peer.class, "linked");
        Ok(())
    }

    /// Sees to it that a peer is dialled whenever it is not connected.
    fn keep(self: &Arc<Self>, id: NodeId) {
        if id == self.us {
            return;
        }
        if let Entry::Vacant(vacant) = self.kept.lock().entry(id) {
            let wanted = vacant.insert(watch::Sender::new(()));
            for class in Class::ALL {
                tasks::spawn("link dialler", link::keep(self.clone(), id, class, wanted.subscribe()));
            }
        }
    }

    fn learn(&self, id: NodeId, name: &str, addresses: &[&str]) {
        if self.book.lock().learn(id, name, addresses) {
            self.book_changed.notify_one();
        }
    }

    fn addresses(&self, id: NodeId) -> Vec<String> {
        let book = self.book.lock();
        book.get(id).map(|known| known.addresses.clone()).unwrap_or_default()
    }

    /// A node was reached at an address.
    fn reached(&self, id: NodeId, address: &str) {
        let name = self.book.lock().get(id).map(|known| known.name.clone());
        if let Some(name) = name {
            self.learn(id, &name, &[address]);
        }
    }

    /// Somebody else was found at a node's address.
    fn moved(&self, id: NodeId, address: &str) {
        if self.book.lock().moved(id, address) {
            self.book_changed.notify_one();
        }
    }

    fn on_pong(&self, origin: &Origin, ping: u64) {
        self.tell(|liveness, events| liveness.on_pong(origin, ping, Instant::now(), events));
    }

    fn on_goodbye(&self, origin: &Origin) {
        self.tell(|liveness, events| liveness.on_goodbye(origin, events));
    }

    fn on_refused(&self, id: NodeId) {
        self.tell(|liveness, events| liveness.on_refused(id, events));
    }

    fn on_ended(&self, connection: &Connection) {
        let class = connection.peer.class;
        if class == Class::Control {
            self.tell(|liveness, _| liveness.on_broken(&connection.origin));
        }
        self.links.remove(connection);
        for handler in self.services.of_class(class) {
            handler.ended(&connection.origin);
        }
    }

    /// Lets the machine say what there is to tell, and tells it in that order.
    fn tell<T>(&self, step: impl FnOnce(&mut Liveness, &mut Vec<Event>) -> T) -> T {
        let mut events = Vec::new();
        let mut liveness = self.liveness.write();
        let result = step(&mut liveness, &mut events);
        for event in events {
            match event {
                Event::Up { node, .. } => tracing::info!(%node, "a node is up"),
                Event::Restarted { node, .. } => tracing::info!(%node, "a node was restarted"),
                Event::Suspect { node, why } => tracing::warn!(%node, ?why, "a node is suspected"),
            }
            // Nobody may have subscribed.
            let _ = self.events.send(event);
        }
        result
    }

    async fn run_liveness(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.settings.timing.pulse.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.stopped() => return,
            }
            let ping = self.tell(|liveness, events| liveness.on_tick(Instant::now(), events));
            for connection in self.links.all(Class::Control) {
                connection.ping(ping);
            }
        }
    }

    /// Saves the book whenever it has changed.
    async fn run_book(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.book_changed.notified() => {}
                () = self.stopped() => return,
            }
            self.save_book().await;
        }
    }

    async fn save_book(self: &Arc<Self>) {
        let shared = self.clone();
        let save = move || {
            // Held while the page is taken too, so that the latest is written last.
            let _saving = shared.saving.lock();
            let (path, contents) = shared.book.lock().page();
            disk::replace(&path, &contents)
        };
        if let Ok(Err(error)) = tokio::task::spawn_blocking(save).await {
            tracing::error!(%error, "what is known about other nodes cannot be saved");
        }
    }

    /// Asks for a name's addresses again and again; each is a seed for as long as the name has it.
    async fn run_dns(self: Arc<Self>, name: String, port: u16) {
        let mut seeds: FxHashMap<SocketAddr, JoinHandle<()>> = FxHashMap::default();
        loop {
            match tokio::net::lookup_host((name.as_str(), port)).await {
                Ok(addresses) => {
                    let found: Vec<_> = addresses.take(MOST_SEEDS).collect();
                    seeds.retain(|address, seeking| {
                        let stays = found.contains(address);
                        if !stays {
                            seeking.abort();
                        }
                        stays
                    });
                    for address in found {
                        let seek = || tasks::spawn("link seed", link::seek(self.clone(), address.to_string()));
                        seeds.entry(address).or_insert_with(seek);
                    }
                }
                Err(error) => tracing::warn!(name, %error, "the nodes of the cluster cannot be looked up"),
            }
            let wait = match self.links.all(Class::Control).is_empty() {
                true => self.settings.timing.discovery,
                false => ASK_AGAIN,
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stopped() => return,
            }
        }
    }
}
