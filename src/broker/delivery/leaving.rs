//! What a client leaves behind, queue by queue, when a channel or its connection ends.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::QueueIdentity;
use super::consumer::Consumer;
use crate::queue::Slot;
use crate::types::QueueId;

/// How long an answer to a client waits for what it says is done: a node or a majority that does not
/// answer holds up nobody for ever.
pub(in crate::broker) const PATIENCE: Duration = Duration::from_secs(3);

/// What one queue loses with a client.
pub struct Leaving<Q, O> {
    pub queue: Arc<Q>,
    pub consumers: Vec<Arc<Consumer<Q, O>>>,
    /// What the client holds of the queue, oldest first.
    pub slots: Vec<Slot>,
}

/// What several channels of a connection leave, each queue once.
pub fn by_queue<Q: QueueIdentity, O>(all: Vec<Leaving<Q, O>>) -> Vec<Leaving<Q, O>> {
    let mut places: FxHashMap<QueueId, usize> = FxHashMap::default();
    let mut joined: Vec<Leaving<Q, O>> = Vec::new();
    for one in all {
        match places.get(&one.queue.id()) {
            Some(place) => {
                let same = &mut joined[*place];
                same.consumers.extend(one.consumers);
                same.slots.extend(one.slots);
                same.slots.sort_unstable_by_key(|slot| slot.seq());
            }
            None => {
                places.insert(one.queue.id(), joined.len());
                joined.push(one);
            }
        }
    }
    joined
}
