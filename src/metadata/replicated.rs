//! The catalogue as a replicated machine: one log of commands for the whole cluster.
//!
//! A record is an encoded [`Command`]. All members must answer it alike, so the log holds only what
//! all of them see alike:
//!
//! * Transient exchanges, transient or exclusive queues, and bindings from or to such are not in
//!   it: they end with a connection or with a run of their node, are in no snapshot, and a member
//!   that began with one would know less than the others. Each node has them in a [`Catalog`] of
//!   its own. [`Machine::check`] refuses the declares; a binding to one fails, because its end is
//!   unknown here.
//! * For the same reason nothing is concluded from what is bound. That a durable auto-delete
//!   exchange goes with its last binding is for the node to say where that went, with the
//!   `DeleteExchange` that [`Catalog::apply`] gives as [`Survives::also`](super::Survives::also);
//!   `if_unused` is decided by the proposer, for here only durable bindings count. The limit of a
//!   vhost's queues counts durable ones.
//! * The id of a queue is given here, when its declare is applied: two nodes may propose at once.
//!   Ids of a node's own queues must come from another range.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::RwLock;

use super::{Catalog, CatalogError, Change, Command};
use crate::machine::{Machine, Parts, Unreadable};

/// Bytes of a snapshot's piece.
const PIECE: usize = 256 * 1024;

/// What a node hears of every record that was applied, also of those it did not propose.
pub enum News<'a> {
    /// What follows, in this order.
    Changed(&'a [Change]),
    /// The whole catalogue is another one.
    Replaced,
}

/// Carries out what is declared. Called in the order of the log, the catalogue not locked.
pub type Listener = Box<dyn FnMut(News<'_>) + Send + Sync>;

/// See the head of this file.
pub struct Replicated {
    /// Others read it and change nothing.
    catalog: Arc<RwLock<Catalog>>,
    listener: Listener,
}

impl Replicated {
    /// Nothing declared.
    pub fn new(listener: Listener) -> Self {
        Self {
            catalog: Arc::new(RwLock::new(Catalog::replaying())),
            listener,
        }
    }

    /// What is declared, to be read.
    pub fn catalog(&self) -> Arc<RwLock<Catalog>> {
        Arc::clone(&self.catalog)
    }
}

fn read(record: &[u8]) -> Result<Command, Unreadable> {
    Command::decode(record).map_err(|error| Unreadable(error.to_string()))
}

impl Machine for Replicated {
    /// What follows from the command, or why it was refused; nothing has changed then.
    type Output = Result<Vec<Change>, CatalogError>;

    fn check(record: &[u8]) -> Result<(), Unreadable> {
        let ends_with_its_node = match read(record)? {
            Command::DeclareExchange(spec) => !spec.durable,
            Command::DeclareQueue(spec) => !spec.durable || spec.exclusive_owner.is_some(),
            _ => false,
        };
        match ends_with_its_node {
            true => Err(Unreadable::new(
                "what ends with a node or a connection is not replicated",
            )),
            false => Ok(()),
        }
    }

    fn apply(&mut self, _index: u64, record: Bytes) -> Result<Self::Output, Unreadable> {
        let mut command = read(&record)?;
        let mut changes = Vec::new();
        let applied = {
            let mut catalog = self.catalog.write();
            if let Command::DeclareQueue(spec) = &mut command {
                let vhost = catalog.vhost(&spec.vhost);
                let same = vhost.and_then(|vhost| vhost.queue(&spec.name));
                spec.id = same.map_or(catalog.next_queue_id(), |same| same.id);
            }
            catalog.apply(&command, &mut changes)
        };
        if let Err(error) = applied {
            return Ok(Err(error));
        }
        (self.listener)(News::Changed(&changes));
        Ok(Ok(changes))
    }

    fn snapshot(&self) -> Parts {
        let mut rest = Bytes::from(self.catalog.read().snapshot());
        Box::new(std::iter::from_fn(move || {
            let piece = rest.split_to(rest.len().min(PIECE));
            (!piece.is_empty()).then_some(Ok(piece))
        }))
    }

    fn restore(&mut self, parts: Parts) -> Result<(), Unreadable> {
        let mut whole = BytesMut::new();
        for piece in parts {
            whole.extend_from_slice(&piece?);
        }
        let catalog = Catalog::restore(&whole).map_err(|error| Unreadable(error.to_string()))?;
        *self.catalog.write() = catalog;
        (self.listener)(News::Replaced);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
