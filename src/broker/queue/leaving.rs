//! Clients that go, with a channel or a connection, or because they cancel a consumer: what a queue does then.
//!
//! Each queue loses its consumers and gets back what they held in one step, see
//! [`crate::queue::Queue::give_back`], wherever its machine is. What follows takes its time: an auto-delete
//! queue goes with its last consumer, another node is told. Whoever is to answer the client waits for
//! that with [`undone`].

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::clients::{Consumer, Leaving};
use super::handle::{Call, QueueHandle};
use super::queues::Queues;
use crate::broker::delivery::leaving::PATIENCE;
use crate::handover::{CallResult, ConsumerKey, Ended};

/// Something that is not done yet when a client has gone.
#[must_use = "whoever is answered finds it done"]
pub enum Undoing {
    /// A queue is being deleted; if that task panicked it has said so.
    Deletion(JoinHandle<()>),
    /// The node that has the machine was told; that it is not to be reached is no answer to wait for.
    There(Telling),
}

/// A node with a queue's machine that was told of an end.
pub struct Telling {
    queues: Arc<Queues>,
    queue: Arc<QueueHandle>,
    answer: oneshot::Receiver<CallResult>,
}

impl Telling {
    async fn done(self) {
        let Self { queues, queue, answer } = self;
        // This node may hear of the deletion before the one that has it deleted.
        if answer.await.is_err()
            && queue.is_deleted()
            && let Some(above) = queues.above()
        {
            drop(above.delete(&queue).await);
        }
    }
}

impl Undoing {
    async fn done(self) {
        match self {
            Self::Deletion(task) => drop(task.await),
            Self::There(telling) => telling.done().await,
        }
    }
}

/// Waits until all of it is done, side by side, or has had its time.
pub async fn undone(all: impl IntoIterator<Item = Undoing>) {
    let all: Vec<_> = all.into_iter().map(Undoing::done).collect();
    if !all.is_empty() && tokio::time::timeout(PATIENCE, join_all(all)).await.is_err() {
        tracing::info!("a client is answered before all that it leaves behind is gone");
    }
}

impl Queues {
    /// A queue loses a client.
    pub fn leave(self: &Arc<Self>, leaving: Leaving) -> Option<Undoing> {
        let Leaving {
            queue,
            consumers,
            slots,
        } = leaving;
        let keys: Vec<ConsumerKey> = consumers.iter().map(|consumer| consumer.key).collect();
        if let Some(stream) = self.streams.of(&queue) {
            stream.cancel(keys);
            return None;
        }
        let (call, answer) = Call::new(None);
        let ended = queue.input(self, |machine, now, sink| {
            machine.leave(now, &keys, slots, || call, sink)
        });
        self.undoing(&queue, ended, answer)
    }

    /// Ends a consumer. What its client holds stays with the channel.
    pub fn cancel(self: &Arc<Self>, consumer: &Arc<Consumer>) -> Option<Undoing> {
        let queue = consumer.queue.upgrade()?;
        if let Some(stream) = self.streams.of(&queue) {
            stream.cancel([consumer.key]);
            return None;
        }
        let (call, answer) = Call::new(None);
        let ended = queue.input(self, |machine, now, sink| {
            machine.cancel(now, consumer.key, || call, sink)
        });
        self.undoing(&queue, ended, answer)
    }

    /// What is waited for when consumers have ended.
    fn undoing(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        ended: Ended,
        answer: oneshot::Receiver<CallResult>,
    ) -> Option<Undoing> {
        match ended {
            Ended::Here(left) => left
                .and_then(|left| self.delete_if_left(queue, left))
                .map(Undoing::Deletion),
            Ended::There => Some(Undoing::There(Telling {
                queues: self.clone(),
                queue: queue.clone(),
                answer,
            })),
            Ended::NobodyWaits => None,
        }
    }

    /// An exclusive queue goes with its connection.
    pub fn delete_exclusive(&self, queue: &Arc<QueueHandle>) -> Option<Undoing> {
        self.delete(queue, "its connection is closed").map(Undoing::Deletion)
    }

    /// A consumer has ended, and so many are left: an auto-delete queue goes with the last.
    pub(super) fn delete_if_left(&self, queue: &Arc<QueueHandle>, left: usize) -> Option<JoinHandle<()>> {
        let is_left = left == 0 && queue.spec.auto_delete && !queue.is_deleted();
        is_left.then(|| self.delete(queue, "its last consumer is gone"))?
    }

    /// The queue goes by itself. Nobody waits for this to be on disk: after a crash it is there again, unused.
    pub(super) fn delete(&self, queue: &Arc<QueueHandle>, why: &str) -> Option<JoinHandle<()>> {
        let spec = &queue.spec;
        tracing::debug!(queue = %spec.name, vhost = %spec.vhost, why, "queue deleted");
        queue.mark_deleted();
        Some(self.above()?.delete(queue))
    }
}
