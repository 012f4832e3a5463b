//! Who the other nodes are and where they may be reached.
//!
//! Every node that has introduced itself is in the book, with the addresses by which it was
//! reached or calls itself, the latest first; the book lies in the data directory, so that a node
//! finds the others again when no seed of its configuration is there any more. Who votes is the
//! catalogue's to say, not the book's.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::small_file;
use crate::types::NodeId;

const FILE: &str = "peers.json";
const FORMAT: u32 = 1;
/// The largest file that is one of ours.
const MOST_BYTES: u64 = 4 * 1024 * 1024;
/// Nodes in the book; who comes beyond is connected and not remembered.
const MOST_PEERS: usize = 256;
/// Addresses of one node; the oldest goes.
const MOST_ADDRESSES: usize = 4;

/// A node as the book knows it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Known {
    /// `rabbit@host`, as it last called itself.
    pub name: String,
    /// HOST:PORT, the latest first.
    pub addresses: Vec<String>,
}

/// The nodes that are known, without this one.
#[derive(Debug)]
pub struct Book {
    path: PathBuf,
    peers: BTreeMap<NodeId, Known>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    /// By hexadecimal id.
    peers: BTreeMap<String, Known>,
}

impl Book {
    /// Reads the book of a data directory. One that cannot be understood is begun anew: seeds and
    /// the nodes that dial this one fill it again.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(FILE);
        let anew = || {
            tracing::warn!(file = %path.display(), "what is known about other nodes cannot be read and is found out again");
            BTreeMap::new()
        };
        let peers = match small_file::recall(&path, MOST_BYTES) {
            Ok(None) => BTreeMap::new(),
            Ok(Some(contents)) => read(&contents).unwrap_or_else(anew),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => anew(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, peers })
    }

    /// The nodes that are known.
    pub fn peers(&self) -> impl Iterator<Item = (NodeId, &Known)> {
        self.peers.iter().map(|(id, known)| (*id, known))
    }

    pub fn get(&self, id: NodeId) -> Option<&Known> {
        self.peers.get(&id)
    }

    /// A node calls itself so, and may be reached at these addresses, the best last. Whether that
    /// is news, which is to be saved.
    pub fn learn(&mut self, id: NodeId, name: &str, addresses: &[&str]) -> bool {
        if !self.peers.contains_key(&id) && self.peers.len() == MOST_PEERS {
            return false;
        }
        let known = self.peers.entry(id).or_default();
        let before = known.clone();
        name.clone_into(&mut known.name);
        for address in addresses.iter().filter(|address| !address.is_empty()) {
            known.addresses.retain(|old| old != address);
            known.addresses.insert(0, (*address).to_owned());
        }
        known.addresses.truncate(MOST_ADDRESSES);
        *known != before
    }

    /// Another node was found at an address. The last one that is known is kept.
    pub fn moved(&mut self, id: NodeId, address: &str) -> bool {
        let Some(known) = self.peers.get_mut(&id).filter(|known| known.addresses.len() > 1) else {
            return false;
        };
        let before = known.addresses.len();
        known.addresses.retain(|old| old != address);
        known.addresses.len() < before
    }

    pub fn forget(&mut self, id: NodeId) -> bool {
        self.peers.remove(&id).is_some()
    }

    /// What [`Book::open`] reads, and where it belongs.
    pub(super) fn page(&self) -> (PathBuf, Vec<u8>) {
        let peers = self.peers.iter().map(|(id, known)| (id.to_string(), known.clone()));
        let record = Record {
            format: FORMAT,
            peers: peers.collect(),
        };
        let contents = serde_json::to_vec_pretty(&record).expect("texts can be written as JSON");
        (self.path.clone(), contents)
    }
}

fn read(contents: &[u8]) -> Option<BTreeMap<NodeId, Known>> {
    let record: Record = serde_json::from_slice(contents).ok()?;
    if record.format != FORMAT {
        return None;
    }
    let peers = record.peers.into_iter().map(|(id, known)| {
        let id = u64::from_str_radix(&id, 16).ok().filter(|id| *id != 0)?;
        Some((NodeId(id), known))
    });
    peers.collect()
}

/// How long to wait before dialling again: not at all at first, then longer each time, with some
/// chance in it so that nodes do not dial in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
}

const FIRST: Duration = Duration::from_millis(25);
const SLOW: Duration = Duration::from_millis(500);
const MOST: Duration = Duration::from_secs(1);

impl Backoff {
    pub fn new() -> Self {
        Self { next: Duration::ZERO }
    }

    /// Begins with a wait.
    pub fn slow() -> Self {
        Self { next: SLOW }
    }

    /// The next wait; `chance` is any random number.
    pub fn next(&mut self, chance: u32) -> Duration {
        let full = self.next;
        self.next = (full * 2).clamp(FIRST, MOST);
        let half = full / 2;
        half + half.mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_is_found_again_with_the_latest_address_first() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut book = Book::open(directory.path()).expect("opens");
        assert!(book.learn(NodeId(7), "rabbit@b", &["b:1"]));
        assert!(!book.learn(NodeId(7), "rabbit@b", &["b:1"]));
        assert!(book.learn(NodeId(7), "rabbit@c", &["c:1"]));
        let (path, contents) = book.page();
        small_file::replace(&path, &contents).expect("written");
        let book = Book::open(directory.path()).expect("opens");
        let known = book.get(NodeId(7)).expect("known");
        assert_eq!(
            (known.name.as_str(), &known.addresses[..]),
            ("rabbit@c", &["c:1".to_owned(), "b:1".to_owned()][..])
        );
    }

    #[test]
    fn a_book_is_bounded() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut book = Book::open(directory.path()).expect("opens");
        for id in 1..=1000 {
            for port in 1..20 {
                book.learn(NodeId(id), "n", &[&format!("n:{port}")]);
            }
        }
        assert_eq!(book.peers().count(), MOST_PEERS);
        assert!(book.peers().all(|(_, known)| known.addresses.len() == MOST_ADDRESSES));
    }

    #[test]
    fn the_last_address_is_kept() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut book = Book::open(directory.path()).expect("opens");
        book.learn(NodeId(1), "n", &["a:1", "b:1"]);
        assert!(book.moved(NodeId(1), "b:1"));
        assert!(!book.moved(NodeId(1), "a:1"));
        assert_eq!(book.get(NodeId(1)).expect("known").addresses, ["a:1"]);
    }

    #[test]
    fn a_damaged_book_is_begun_anew() {
        let directory = tempfile::tempdir().expect("temporary directory");
        for contents in [
            "",
            "{\"format\":9,\"peers\":{}}",
            "{\"format\":1,\"peers\":{\"x\":{\"name\":\"\",\"addresses\":[]}}}",
        ] {
            std::fs::write(directory.path().join(FILE), contents).expect("written");
            assert_eq!(Book::open(directory.path()).expect("opens").peers().count(), 0);
        }
    }

    #[test]
    fn waits_grow_to_their_limit() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..8).map(|_| backoff.next(u32::MAX).as_millis()).collect();
        assert_eq!(waits, [0, 25, 50, 100, 200, 400, 800, 1000]);
        let mut backoff = Backoff::slow();
        assert_eq!(backoff.next(0), SLOW / 2);
    }
}
