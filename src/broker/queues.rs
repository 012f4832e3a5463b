//! What happens to live queues: consumers come and go, messages are fetched and settled, the
//! queue is purged, deleted, or deletes itself.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::consumer::Consumer;
use super::declare::DeclareError;
use super::outbox::Control;
use super::runner::{QueueHandle, requeue};
use super::{Broker, BrokerError};
use crate::codec::method::{BasicConsumeOk, Method};
use crate::metadata::{Catalog, CatalogError, Command};
use crate::queue::{Consume, ConsumeError, Get, Outcome, Slot, Tick};
use crate::tasks;
use crate::types::{Millis, Reply, ReplyCode};

/// How a consumer wants to be served.
#[derive(Clone, Copy, Debug)]
pub struct ConsumeWish {
    /// Most messages it may hold unsettled; `None` is no limit.
    pub prefetch: Option<u32>,
    pub exclusive: bool,
    /// `x-priority`: higher ones are served first.
    pub priority: i32,
    /// Whether the client waits for `consume-ok`.
    pub answer: bool,
}

impl Broker {
    /// Takes a consumer on. The client hears `consume-ok` before the first delivery.
    ///
    /// # Errors
    /// When the queue is in exclusive use, or was deleted meanwhile.
    pub fn consume(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        consumer: &Arc<Consumer>,
        wish: ConsumeWish,
    ) -> Result<(), BrokerError> {
        let names = || (queue.spec.vhost.clone(), queue.spec.name.clone());
        queue.with(self, |machine, now, sink| {
            let (vhost, name) = names();
            if queue.is_deleted() {
                return Err(CatalogError::NoQueue(vhost, name).into());
            }
            match machine.check_consume(wish.exclusive) {
                Ok(()) => {}
                Err(ConsumeError::ExclusiveUse) => return Err(DeclareError::ExclusiveUse(vhost, name).into()),
                Err(error @ ConsumeError::TooMany) => {
                    let reply = Reply::channel(ReplyCode::ResourceError, error.to_string());
                    return Err(BrokerError::Reply(reply));
                }
            }
            let out = sink.outbox(&consumer.outbox);
            if let Some(channel) = out.channel_as(consumer.channel, consumer.incarnation) {
                channel.consumers.insert(consumer.tag.clone(), consumer.clone());
            }
            if wish.answer {
                let answer = BasicConsumeOk {
                    consumer_tag: consumer.tag.clone(),
                };
                Method::from(answer).encode_frame(consumer.channel, out.output.bytes());
            }
            let consume = Consume {
                handle: consumer.clone(),
                prefetch: wish.prefetch,
                no_ack: consumer.no_ack,
                exclusive: wish.exclusive,
                priority: wish.priority,
            };
            // It was asked for under this lock whether the queue takes it.
            if let Ok(id) = machine.consume(now, consume, sink) {
                let _ = consumer.id.set(id);
            }
            Ok(())
        })
    }

    /// Ends a consumer; an auto-delete queue goes with its last one, which can be waited for.
    pub fn cancel(self: &Arc<Self>, consumer: &Arc<Consumer>) -> Option<JoinHandle<()>> {
        let queue = consumer.queue.upgrade()?;
        let id = consumer.id.get().copied()?;
        let left = queue.with(self, |machine, now, sink| {
            machine.cancel(now, id, sink);
            machine.consumer_count()
        });
        let goes = left == 0 && queue.spec.auto_delete && !queue.is_deleted();
        goes.then(|| self.delete_itself(&queue, "its last consumer is gone"))
    }

    /// Serves consumers again whose client had no room.
    pub fn unstall(self: &Arc<Self>, consumers: Vec<Arc<Consumer>>) {
        for consumer in consumers {
            let Some(queue) = consumer.queue.upgrade() else {
                continue;
            };
            queue.with(self, |machine, now, sink| {
                // It is set under this lock, and the consumer may have stalled before that.
                if let Some(id) = consumer.id.get() {
                    machine.unstall(now, *id, sink);
                }
            });
        }
    }

    /// Fetches one message, waiting for its body where it is on disk.
    pub async fn get(self: &Arc<Self>, queue: &Arc<QueueHandle>, no_ack: bool) -> Get {
        if queue.is_quarantined() {
            return Get::Empty;
        }
        loop {
            let fetched = queue.fetched.notified();
            tokio::pin!(fetched);
            fetched.as_mut().enable();
            match queue.with(self, |machine, now, sink| machine.get(now, no_ack, sink)) {
                Get::NeedsFetch => fetched.await,
                got => return got,
            }
        }
    }

    /// Ends the outstanding state of messages.
    pub fn settle(self: &Arc<Self>, queue: &Arc<QueueHandle>, slots: impl IntoIterator<Item = Slot>, outcome: Outcome) {
        queue.with(self, |machine, now, sink| machine.settle(now, slots, outcome, sink));
    }

    /// Gives messages back that no client holds any more.
    pub fn give_back(self: &Arc<Self>, queue: &Arc<QueueHandle>, slots: Vec<Slot>) {
        requeue(queue, self, slots);
    }

    /// Drops all ready messages and says how many there were.
    pub fn purge(self: &Arc<Self>, queue: &Arc<QueueHandle>) -> u64 {
        if queue.is_quarantined() {
            return 0;
        }
        queue.with(self, |machine, _, sink| machine.purge(sink))
    }

    /// Deletes a queue and says how many messages were ready; a missing one is no error.
    ///
    /// # Errors
    /// When it is in use or not empty and that was to be checked, or when the store failed.
    pub async fn delete_queue(
        self: &Arc<Self>,
        vhost: &str,
        name: &str,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<u64, BrokerError> {
        let Some(queue) = self.vhost(vhost).and_then(|vhost| vhost.queue(name)) else {
            return Ok(0);
        };
        let names = || (queue.spec.vhost.clone(), queue.spec.name.clone());
        // From the moment it was looked at nothing more may come into it.
        let ready = queue.read(|machine| {
            let counts = machine.counts();
            let (vhost, name) = names();
            if if_empty && counts.ready > 0 {
                return Err(DeclareError::NotEmpty(vhost, name));
            }
            if if_unused && counts.consumers > 0 {
                return Err(DeclareError::InUse(vhost, name));
            }
            queue.mark_deleted();
            Ok(counts.ready)
        })?;
        let deleted = self.decide(|catalog| {
            let command = deletion_of(catalog, &queue);
            let is_there = command.is_some();
            Ok::<_, BrokerError>((command, is_there))
        });
        // If it is not there somebody else was faster.
        match deleted.await {
            Ok(is_there) => Ok(if is_there { ready } else { 0 }),
            Err(error) => {
                queue.mark_kept();
                Err(error)
            }
        }
    }

    /// Deletes these queues for certain: nothing more comes into them, and it is tried until a
    /// majority of the nodes has heard it. It can be waited for.
    pub fn delete_queues(self: &Arc<Self>, queues: Vec<Arc<QueueHandle>>) -> JoinHandle<()> {
        queues.iter().for_each(|queue| queue.mark_deleted());
        let broker = self.clone();
        tasks::spawn("deletion", async move {
            while !broker.has_failed() {
                let commands = {
                    let catalog = broker.catalog();
                    queues.iter().filter_map(|queue| deletion_of(&catalog, queue)).collect()
                };
                let Err(error) = broker.commands(commands).await else {
                    return;
                };
                // One that is missing by now was deleted by somebody else.
                if !matches!(error, BrokerError::NoMajority) {
                    return;
                }
                tracing::warn!(queues = queues.len(), %error, "queues that are to go are not deleted yet");
            }
        })
    }

    /// A queue's deadline has come.
    pub(super) fn tick_queue(self: &Arc<Self>, queue: &Arc<QueueHandle>) {
        let Tick { expire_queue, overdue } = queue.with(self, |machine, now, sink| machine.tick(now, sink));
        for consumer in overdue {
            let timeout = self.consumer_timeout(queue).unwrap_or_default();
            let text = format!(
                "delivery acknowledgement on channel {} timed out. Timeout value used: {timeout} ms. This timeout \
                 value can be configured, see consumers doc guide to learn more",
                consumer.channel
            );
            consumer.outbox.control(Control::CloseChannel {
                channel: consumer.channel,
                incarnation: consumer.incarnation,
                reply: Reply::channel(ReplyCode::PreconditionFailed, text),
            });
        }
        if expire_queue && !queue.is_deleted() {
            // Nobody waits for it.
            drop(self.delete_itself(queue, "it was not used for its time to live"));
        }
    }

    /// How long a consumer of the queue may hold a message.
    pub(super) fn consumer_timeout(&self, queue: &QueueHandle) -> Option<Millis> {
        let own = queue.read(|machine| machine.settings().consumer_timeout);
        own.or(self.config.queues.consumer_timeout)
    }

    fn delete_itself(self: &Arc<Self>, queue: &Arc<QueueHandle>, why: &str) -> JoinHandle<()> {
        let spec = &queue.spec;
        tracing::debug!(queue = %spec.name, vhost = %spec.vhost, why, "queue deleted");
        self.delete_queues(vec![queue.clone()])
    }
}

/// The command that deletes this very queue, and not another that has taken its name.
fn deletion_of(catalog: &Catalog, queue: &QueueHandle) -> Option<Command> {
    let spec = &queue.spec;
    let known = catalog.vhost(&spec.vhost)?.queue(&spec.name)?;
    (known.id == spec.id).then(|| Command::DeleteQueue {
        vhost: spec.vhost.clone(),
        name: spec.name.clone(),
    })
}
