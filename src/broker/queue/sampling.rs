//! Queues in which something moves, which the sampler looks at, and at no others.

use std::sync::Arc;

use super::handle::QueueHandle;
use super::queues::Queues;

impl Queues {
    /// Something moves in a queue: the sampler is to look at it.
    pub(in crate::broker) fn moves(&self, queue: &Arc<QueueHandle>) {
        // Nobody would ever take it out.
        if !self.config.management.keep_no_statistics && queue.stats.touch() {
            self.moving.lock().push(queue.clone());
        }
    }

    /// The queue is none of this node's any more; what was counted of it stays in the totals.
    pub(in crate::broker) fn forget(&self, queue: &QueueHandle) {
        // Whoever adds up sees it in one place or in the other.
        let mut deleted = self.deleted.lock();
        if self.by_id.write().remove(&queue.spec.id).is_some() {
            deleted.add(queue);
        }
    }

    /// Looks at the queues in which something has moved, at the end of that second.
    pub(in crate::broker) fn sample(&self, second: u64) {
        // What comes to a stream over the links, or by its own protocol, is seen by its length.
        for stream in self.streams.all() {
            if stream.has_moved()
                && let Some(queue) = self.by_id(stream.id)
            {
                self.moves(&queue);
            }
        }
        let moving = std::mem::take(&mut *self.moving.lock());
        for queue in moving {
            queue.stats.rest();
            queue.measure();
            for (_, stats) in queue.incoming() {
                stats.sample(second);
            }
            if queue.stats.sample(second) && !queue.is_deleted() {
                self.moves(&queue);
            }
        }
    }
}
