//! The catalogue as a replicated machine: one log of commands for the whole cluster.
//!
//! A record is an encoded [`Command`]. Everything is in it, also what ends with a connection or with
//! a run of a node: any node may route to it. The id of a queue is given here, when its declare is
//! applied: two nodes may propose at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use parking_lot::RwLock;

use super::{Catalogue, CatalogueError, Change, Command};
use crate::machine::{Machine, Parts, Unreadable};

/// Bytes of a snapshot's piece.
const PIECE: usize = 256 * 1024;

/// What a node hears of every record that was applied, also of those it did not propose.
pub enum News {
    /// What follows, in this order.
    Changed(Vec<Change>),
    /// The whole catalogue is another one than this.
    Replaced(Catalogue),
}

/// Carries out what is declared. Called in the order of the log while the catalogue is locked, so
/// that nobody sees a thing in it that is not live yet. What it gives is called when the lock is
/// free again.
pub type Listener = Box<dyn FnMut(&Catalogue, News) -> Afterwards + Send + Sync>;

/// What is left to do.
pub type Afterwards = Option<Box<dyn FnOnce()>>;

/// See the head of this file.
pub struct Replicated {
    /// Others read it and change nothing.
    catalogue: Arc<RwLock<Catalogue>>,
    listener: Listener,
    /// Bytes of the last snapshot.
    snapshot_bytes: AtomicU64,
}

impl Replicated {
    /// Nothing declared.
    pub fn new(listener: Listener) -> Self {
        Self::over(Arc::new(RwLock::new(Catalogue::new())), listener)
    }

    /// Nothing declared, in a place where others read it.
    pub fn over(catalogue: Arc<RwLock<Catalogue>>, listener: Listener) -> Self {
        *catalogue.write() = Catalogue::new();
        Self {
            catalogue,
            listener,
            snapshot_bytes: AtomicU64::default(),
        }
    }

    /// What is declared, to be read.
    pub fn catalogue(&self) -> Arc<RwLock<Catalogue>> {
        Arc::clone(&self.catalogue)
    }

    /// Bytes of the last snapshot that was made or read.
    pub fn snapshot_bytes(&self) -> u64 {
        self.snapshot_bytes.load(Ordering::Relaxed)
    }
}

fn read(record: &[u8]) -> Result<Command, Unreadable> {
    Command::decode(record).map_err(|error| Unreadable(error.to_string()))
}

impl Machine for Replicated {
    /// Why the command was refused; nothing has changed then.
    type Output = Result<(), CatalogueError>;

    fn check(record: &[u8]) -> Result<(), Unreadable> {
        read(record).map(drop)
    }

    fn apply(&mut self, _index: u64, record: Bytes) -> Result<Self::Output, Unreadable> {
        let command = read(&record)?;
        let mut changes = Vec::new();
        let mut catalogue = self.catalogue.write();
        let applied = catalogue.apply(&command, &mut changes);
        let afterwards = match applied {
            Ok(()) => (self.listener)(&catalogue, News::Changed(changes)),
            Err(_) => None,
        };
        drop(catalogue);
        if let Some(afterwards) = afterwards {
            afterwards();
        }
        Ok(applied)
    }

    fn snapshot(&self) -> Parts {
        let mut rest = Bytes::from(self.catalogue.read().snapshot());
        self.snapshot_bytes.store(rest.len() as u64, Ordering::Relaxed);
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
        let catalogue = Catalogue::restore(&whole).map_err(|error| Unreadable(error.to_string()))?;
        let mut current = self.catalogue.write();
        let before = std::mem::replace(&mut *current, catalogue);
        self.snapshot_bytes.store(whole.len() as u64, Ordering::Relaxed);
        let afterwards = (self.listener)(&current, News::Replaced(before));
        drop(current);
        if let Some(afterwards) = afterwards {
            afterwards();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
