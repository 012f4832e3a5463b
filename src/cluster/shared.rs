//! What all tasks of the links share, and what one of them tells the others.
//!
//! Locks are taken in this order: a peer's place in [`Links`], then [`Liveness`] or the book. No
//! lock is held over an await.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use tokio::sync::{broadcast, watch};
use tokio::time::MissedTickBehavior;

use super::Settings;
use super::connection::Connection;
use super::handshake::Cause;
use super::hello::{Class, Introduction};
use super::links::Links;
use super::liveness::{Event, Liveness};
use super::peers::Book;
use super::rpc::{Origin, Services};
use super::secret::SharedSecret;
use super::ticket::Tickets;
use crate::types::NodeId;
use crate::{small_file, tasks};

/// Between two attempts to save the book: the disk may be full.
const SAVE_AGAIN: Duration = Duration::from_secs(2);
/// What all tasks of the links share.
pub(super) struct Shared {
    pub(super) us: NodeId,
    pub(super) introduction: RwLock<Introduction>,
    pub(super) secret: SharedSecret,
    /// Requests that were signed with it.
    pub(super) tickets: Tickets,
    pub(super) settings: Settings,
    pub(super) services: Services,
    pub(super) links: Links,
    pub(super) liveness: RwLock<Liveness>,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) book: Mutex<Book>,
    /// One writes the book at a time.
    pub(super) saving: Mutex<()>,
    /// Wakes the task that saves the book.
    pub(super) book_changed: tokio::sync::Notify,
    /// Peers that are dialled; those who dial stop when the sender goes.
    pub(super) kept: Mutex<FxHashMap<NodeId, watch::Sender<()>>>,
    pub(super) stop: watch::Sender<bool>,
}

impl Shared {
    pub(super) fn introduction(&self) -> Introduction {
        self.introduction.read().clone()
    }

    /// Ends when the node stops.
    pub(super) async fn stopped(&self) {
        // An error is the sender dropped, which cannot be while we are here.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Gives a connection its place, and tells everybody whom that concerns.
    pub(super) fn place(self: &Arc<Self>, connection: &Arc<Connection>, dialled: Option<&str>) -> Result<(), Cause> {
        if *self.stop.borrow() {
            return Err(Cause::Other);
        }
        let who = &connection.peer.who;
        // All of it at once: whoever forgets the peer meanwhile undoes all of it.
        self.links.place(connection, &self.settings.timing, || {
            self.learn(who.id, &who.name, &[&who.address, dialled.unwrap_or_default()]);
            if connection.peer.class == Class::Control {
                self.tell(|liveness, events| liveness.on_linked(&connection.origin, Instant::now(), events));
            }
            self.keep(who.id);
        })?;
        tracing::debug!(peer = %who.name, id = %who.id, class = ?connection.peer.class, "linked");
        Ok(())
    }

    pub(super) fn learn(&self, id: NodeId, name: &str, addresses: &[&str]) {
        if self.book.lock().learn(id, name, addresses) {
            self.book_changed.notify_one();
        }
    }

    pub(super) fn addresses(&self, id: NodeId) -> Vec<String> {
        let book = self.book.lock();
        book.get(id).map(|known| known.addresses.clone()).unwrap_or_default()
    }

    /// What a node called itself last; its id where that is not known.
    fn name_of(&self, id: NodeId) -> String {
        let book = self.book.lock();
        book.get(id).map_or_else(|| id.to_string(), |known| known.name.clone())
    }

    /// A node was reached at an address.
    pub(super) fn reached(&self, id: NodeId, address: &str) {
        let name = self.book.lock().get(id).map(|known| known.name.clone());
        if let Some(name) = name {
            self.learn(id, &name, &[address]);
        }
    }

    /// Somebody else was found at a node's address.
    pub(super) fn moved(&self, id: NodeId, address: &str) {
        if self.book.lock().moved(id, address) {
            self.book_changed.notify_one();
        }
    }

    pub(super) fn on_pong(&self, origin: &Origin, ping: u64) {
        self.tell(|liveness, events| liveness.on_pong(origin, ping, Instant::now(), events));
    }

    pub(super) fn on_goodbye(&self, origin: &Origin) {
        self.tell(|liveness, events| liveness.on_goodbye(origin, events));
    }

    pub(super) fn on_refused(&self, id: NodeId) {
        self.tell(|liveness, events| liveness.on_refused(id, events));
    }

    pub(super) fn on_ended(&self, connection: &Connection) {
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
    pub(super) fn tell<T>(&self, step: impl FnOnce(&mut Liveness, &mut Vec<Event>) -> T) -> T {
        let mut events = Vec::new();
        let mut liveness = self.liveness.write();
        let result = step(&mut liveness, &mut events);
        for event in events {
            match event {
                Event::Up { node, .. } => tracing::info!(node = self.name_of(node), "a node is up"),
                Event::Restarted { node, .. } => tracing::info!(node = self.name_of(node), "a node was restarted"),
                Event::Suspect { node, why } => {
                    tracing::warn!(node = self.name_of(node), ?why, "a node is suspected");
                }
            }
            // Nobody may have subscribed.
            let _ = self.events.send(event);
        }
        result
    }

    pub(super) async fn run_liveness(self: Arc<Self>) {
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
    pub(super) async fn run_book(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.book_changed.notified() => {}
                () = self.stopped() => return,
            }
            let mut is_said = false;
            while let Err(error) = self.save_book().await {
                if !std::mem::replace(&mut is_said, true) {
                    tracing::error!(%error, "what is known about other nodes cannot be saved for now");
                }
                tokio::select! {
                    () = tokio::time::sleep(SAVE_AGAIN) => {}
                    () = self.stopped() => return,
                }
            }
            if is_said {
                tracing::info!("what is known about other nodes is saved again");
            }
        }
    }

    pub(super) async fn save_book(self: &Arc<Self>) -> io::Result<()> {
        let shared = self.clone();
        let save = move || {
            // Held while the page is taken too, so that the latest is written last.
            let _saving = shared.saving.lock();
            let (path, contents) = shared.book.lock().page();
            small_file::replace(&path, &contents)
        };
        let saved = tasks::blocking(save).await;
        saved.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}
