//! Clients of other nodes at a queue whose machine is on this one.
//!
//! Each node is a guest with its consumers. A guest whose link breaks is not served until it has
//! attached itself again; what its consumers hold stays theirs meanwhile. When the node is known to
//! be gone its consumers go, and what they held is given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustc_hash::FxHashMap;

use super::consumer::ConsumerKey;
use super::peers::Line;
use crate::cluster::rpc::Origin;
use crate::queue::record::ProducerId;
use crate::queue::{ConsumerId, Slot};
use crate::types::NodeId;

/// Bytes on their way to one consumer of another node.
pub const WINDOW: u64 = 1024 * 1024;

/// A consumer on another node, as the machine knows it.
pub struct Guest {
    pub key: ConsumerKey,
    pub tag: String,
    pub out: Arc<Line>,
    /// Bytes sent that the other node has not passed on yet.
    pub on_the_way: AtomicU64,
    /// Whether its node has attached itself over the link as it is now.
    pub is_attached: AtomicBool,
}

impl Guest {
    /// Whether it may be sent one more.
    pub fn has_room(&self) -> bool {
        self.is_attached.load(Ordering::Relaxed) && self.on_the_way.load(Ordering::Relaxed) < WINDOW
    }
}

/// A node with clients at the queue.
#[derive(Default)]
pub struct GuestNode {
    /// Known once the node has attached itself.
    pub producer: ProducerId,
    /// The link over which it has; none when that is broken.
    pub attached: Option<Origin>,
    /// The link over which it was asked to attach itself.
    pub asked: Option<Origin>,
    /// The last batch that it settled.
    pub settled: u64,
    pub consumers: FxHashMap<ConsumerKey, (ConsumerId, Arc<Guest>)>,
    /// What it holds by `basic.get`, or of consumers that are cancelled.
    pub gets: FxHashMap<u64, Slot>,
}

impl GuestNode {
    /// Messages that it held are settled.
    pub fn let_go(&mut self, slots: &[Slot]) {
        for slot in slots {
            if self.gets.get(&slot.seq()) == Some(slot) {
                self.gets.remove(&slot.seq());
            }
        }
    }
}

/// By node.
pub type Guests = FxHashMap<NodeId, GuestNode>;
