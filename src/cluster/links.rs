//! Which connections there are: one for each peer and class.
//!
//! Both sides may dial at once. Both then keep the same connection, because both go by the same
//! rule ([`prefers_new`]): the one that the node with the smaller id dialled, and of two that the
//! same node dialled the later. A connection over which nothing comes any more stands in nobody's
//! way. A peer that was restarted ends all connections with the process before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::watch;

use super::Timing;
use super::connection::{Connection, Ending};
use super::handshake::Cause;
use super::hello::Class;
use super::identity::Incarnation;
use crate::types::NodeId;

pub(super) struct Links {
    us: NodeId,
    peers: RwLock<FxHashMap<NodeId, Arc<PeerLinks>>>,
    forgotten: Mutex<FxHashSet<NodeId>>,
    next: AtomicU64,
}

/// The connections with one peer.
pub(super) struct PeerLinks {
    /// Of its latest process that was seen. Locked while a connection takes its place.
    incarnation: Mutex<Incarnation>,
    current: [watch::Sender<Option<Arc<Connection>>>; 3],
}

impl PeerLinks {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            incarnation: Mutex::new(Incarnation(0)),
            current: std::array::from_fn(|_| watch::Sender::new(None)),
        })
    }

    /// The connection of a class as it comes and goes.
    pub fn watch(&self, class: Class) -> watch::Receiver<Option<Arc<Connection>>> {
        self.current[class as usize].subscribe()
    }

    fn current(&self, class: Class) -> Option<Arc<Connection>> {
        self.current[class as usize].borrow().clone()
    }
}

impl Links {
    pub fn of(us: NodeId) -> Self {
        Self {
            us,
            peers: RwLock::default(),
            forgotten: Mutex::default(),
            next: AtomicU64::new(1),
        }
    }

    /// A number that no connection and no attempt of this process had before.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The connections with a peer, and whether it was not known before.
    pub fn peer(&self, id: NodeId) -> (Arc<PeerLinks>, bool) {
        if let Some(peer) = self.peers.read().get(&id) {
            return (peer.clone(), false);
        }
        let mut new = false;
        let mut peers = self.peers.write();
        let peer = peers.entry(id).or_insert_with(|| {
            new = true;
            PeerLinks::new()
        });
        (peer.clone(), new)
    }

    /// The connection of this class with this peer, if there is one.
    pub fn current(&self, id: NodeId, class: Class) -> Option<Arc<Connection>> {
        self.peers.read().get(&id)?.current(class)
    }

    /// All there are, of one class.
    pub fn all(&self, class: Class) -> Vec<Arc<Connection>> {
        let peers = self.peers.read();
        peers.values().filter_map(|peer| peer.current(class)).collect()
    }

    /// Whether a connection that this node is about to make would only be thrown away.
    pub fn has(&self, id: NodeId, class: Class, timing: &Timing) -> bool {
        let current = self.current(id, class);
        current.is_some_and(|current| !current.has_ended() && !current.is_stale(timing))
    }

    /// Gives a connection its place; what was there before ends. `placed` is called once it has
    /// it, and before any other connection with this peer can take its place.
    ///
    /// # Errors
    /// When it is not wanted.
    pub fn place(&self, connection: &Arc<Connection>, timing: &Timing, placed: impl FnOnce()) -> Result<(), Cause> {
        let id = connection.origin.node;
        let (peer, _) = self.peer(id);
        let mut incarnation = peer.incarnation.lock();
        // Looked at under the peer's lock, which `forget` takes after it has noted the peer.
        if self.forgotten.lock().contains(&id) {
            return Err(Cause::Forgotten);
        }
        let theirs = connection.origin.incarnation;
        if theirs < *incarnation {
            return Err(Cause::Outdated);
        }
        if theirs > *incarnation {
            *incarnation = theirs;
            for class in Class::ALL {
                if let Some(old) = peer.current[class as usize].send_replace(None) {
                    old.end(Ending::Restarted);
                }
            }
        }
        let slot = &peer.current[connection.peer.class as usize];
        let current = slot.borrow().clone();
        if let Some(current) = current {
            let alive = !current.has_ended() && !current.is_stale(timing);
            let (old, new) = (current.rank(), connection.rank());
            if alive && !prefers_new(self.us.min(id), old, new) {
                return Err(Cause::Duplicate);
            }
            current.end(Ending::Replaced);
        }
        slot.send_replace(Some(connection.clone()));
        placed();
        Ok(())
    }

    /// A connection has ended: its place is free, unless another has taken it.
    pub fn remove(&self, connection: &Connection) {
        let (peer, _) = self.peer(connection.origin.node);
        peer.current[connection.peer.class as usize].send_if_modified(|current| {
            let own = current
                .as_ref()
                .is_some_and(|current| current.origin == connection.origin);
            if own {
                *current = None;
            }
            own
        });
    }

    /// Ends everything with a peer and lets it in no more.
    pub fn forget(&self, id: NodeId) {
        self.forgotten.lock().insert(id);
        let (peer, _) = self.peer(id);
        let _placing = peer.incarnation.lock();
        for slot in &peer.current {
            if let Some(connection) = slot.send_replace(None) {
                connection.end(Ending::Forgotten);
            }
        }
    }

    /// The peer may come again.
    pub fn welcome(&self, id: NodeId) {
        self.forgotten.lock().remove(&id);
    }
}

impl Connection {
    fn rank(&self) -> (NodeId, u64) {
        (self.dialled_by, self.peer.attempt)
    }
}

/// Of two living connections, each with who dialled it and its attempt, whether the new one stays.
fn prefers_new(preferred: NodeId, (old_by, old): (NodeId, u64), (new_by, new): (NodeId, u64)) -> bool {
    if old_by == new_by {
        new > old
    } else {
        new_by == preferred
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_comes_first_the_same_connection_stays() {
        let (a, b) = (NodeId(1), NodeId(2));
        let ranks = [(a, 1), (a, 7), (b, 3), (b, 9)];
        for first in ranks {
            for second in ranks.into_iter().filter(|rank| *rank != first) {
                let stays = |old, new| if prefers_new(a, old, new) { new } else { old };
                assert_eq!(stays(first, second), stays(second, first));
            }
        }
    }
}
