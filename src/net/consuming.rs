//! Consumers and single fetches.

use std::sync::{Arc, Weak};

use super::error::SessionError;
use super::form::ConsumerMethods;
use super::session::Session;
use crate::broker::CatalogueError;
use crate::broker::Consumer;
use crate::broker::Outstanding;
use crate::broker::QueueHandle;
use crate::broker::leaving::undone;
use crate::broker::observers::Client;
use crate::broker::reply_to::Token;
use crate::broker::with_delivery_count;
use crate::broker::{Get, Slot};
use crate::codec::deliver::write_get_ok;
use crate::codec::method::{BasicCancel, BasicCancelOk, BasicConsume, BasicConsumeOk, BasicGet, BasicGetEmpty};
use crate::declare::{ConsumePlan, ConsumerSpec, ConsumingChannel, basic_consume, basic_get};
use crate::statistics::Measure;
use crate::types::{FieldTable, Reply};

impl Session {
    pub(super) async fn consume(&mut self, number: u16, method: BasicConsume) -> Result<(), Reply> {
        let actor = self.actor()?;
        let channel = self.channel(number)?;
        let (last, prefetch) = (channel.last_queue.clone(), channel.prefetch);
        let has_reply_consumer = channel.reply.is_some();
        let is_reply_tag = channel
            .reply
            .as_ref()
            .is_some_and(|(_, tag)| *tag == method.consumer_tag);
        let (tag_in_use, global_prefetch) = match self.connection.outbox.lock().channel(number) {
            Some(held) => (
                is_reply_tag || held.consumers.contains_key(&method.consumer_tag),
                held.prefetch.is_some(),
            ),
            None => return Ok(()),
        };
        let state = ConsumingChannel {
            last_queue: last.as_deref(),
            tag_in_use,
            has_reply_consumer,
            global_prefetch,
            prefetch,
        };
        let look = |catalogue: &_| basic_consume(catalogue, &actor.who(), state, &method, rand::random);
        match self.connection.broker.declarations().look(look).await? {
            ConsumePlan::ReplyTo { tag } => self.consume_replies(number, tag, method.nowait),
            ConsumePlan::Queue(spec) => self.consume_queue(number, spec, method.nowait).await,
        }
    }

    async fn consume_queue(&mut self, number: u16, spec: ConsumerSpec, nowait: bool) -> Result<(), Reply> {
        let actor = self.actor()?;
        let queue = self.live_queue(&actor.vhost, &spec.queue)?;
        let channel = self.channel(number)?;
        let (incarnation, prefetch) = (channel.incarnation, channel.prefetch);
        let limit = self.connection.broker.config().limits.consumer_max_per_channel;
        let queue_index = match self.connection.outbox.lock().channel(number) {
            Some(held) => {
                if let Some(limit) = limit.filter(|limit| held.consumers.len() as u64 >= *limit) {
                    return Err(SessionError::ConsumerLimit(limit).into());
                }
                held.queue_index(&queue)
            }
            None => return Ok(()),
        };
        let consumer = Arc::new(Consumer {
            key: self.connection.broker.queues().next_consumer(),
            outbox: self.connection.outbox.clone(),
            channel: number,
            incarnation,
            form: Box::new(ConsumerMethods::new(number, &spec.tag, self.machine.frame_max())),
            tag: spec.tag,
            no_ack: spec.no_ack,
            exclusive: spec.exclusive,
            prefetch,
            priority: spec.priority,
            arguments: spec.arguments,
            user: actor.user.clone(),
            queue_index,
            queue: Arc::downgrade(&queue),
            wants_cancel: self.machine.client().capabilities.consumer_cancel_notify,
        });
        self.connection
            .broker
            .queues()
            .consume(&queue, &consumer, !nowait)
            .await?;
        self.tell_of_consumer("consumer.created", &consumer);
        Ok(())
    }

    /// The channel is to get the answers to its own requests.
    fn consume_replies(&mut self, number: u16, tag: String, nowait: bool) -> Result<(), Reply> {
        let actor = self.actor()?;
        let outbox = self.connection.outbox.clone();
        let token = Token::random(self.connection.broker.us());
        let key = self.connection.broker.queues().next_consumer();
        let form = ConsumerMethods::new(number, &tag, self.machine.frame_max());
        let channel = self.channel(number)?;
        let consumer = Consumer {
            key,
            outbox,
            channel: number,
            incarnation: channel.incarnation,
            form: Box::new(form),
            tag: tag.clone(),
            no_ack: true,
            exclusive: false,
            prefetch: None,
            priority: 0,
            arguments: FieldTable::new(),
            user: actor.user.clone(),
            queue_index: 0,
            queue: Weak::new(),
            wants_cancel: false,
        };
        channel.reply = Some((token, tag.clone()));
        self.answer(number, nowait, BasicConsumeOk { consumer_tag: tag });
        self.connection.broker.reply_to().register(token, Arc::new(consumer));
        Ok(())
    }

    pub(super) async fn cancel(&mut self, number: u16, method: BasicCancel) -> Result<(), Reply> {
        let channel = self.channel(number)?;
        if channel
            .reply
            .as_ref()
            .is_some_and(|(_, tag)| *tag == method.consumer_tag)
            && let Some((token, _)) = channel.reply.take()
        {
            self.connection.broker.reply_to().forget(token);
        }
        let consumer = {
            let mut out = self.connection.outbox.lock();
            let consumer = out
                .channel(number)
                .and_then(|held| held.consumers.remove(&method.consumer_tag));
            if let Some(consumer) = &consumer {
                out.forget_stalled(consumer);
            }
            consumer
        };
        if let Some(consumer) = consumer {
            self.tell_of_consumer("consumer.deleted", &consumer);
            // An auto-delete queue is gone when its last consumer hears that it is cancelled.
            undone(self.connection.broker.queues().cancel(&consumer)).await;
        }
        let consumer_tag = method.consumer_tag;
        self.answer(number, method.nowait, BasicCancelOk { consumer_tag });
        Ok(())
    }

    pub(super) async fn get(&mut self, number: u16, method: BasicGet) -> Result<(), Reply> {
        let actor = self.actor()?;
        let last = self.channel(number)?.last_queue.clone();
        let look = |catalogue: &_| basic_get(catalogue, &actor.who(), last.as_deref(), &method);
        let name = self.connection.broker.declarations().look(look).await?;
        let queue = self.live_queue(&actor.vhost, &name)?;
        let Get::Message {
            message,
            slot,
            redelivered,
            delivery_count,
            remaining,
        } = self.connection.broker.queues().get(&queue, method.no_ack).await?
        else {
            if let Some(held) = self.connection.outbox.lock().channel(number) {
                held.got(queue.spec.id, Measure::GetEmpty, false);
            }
            self.answer(number, false, BasicGetEmpty::default());
            return Ok(());
        };
        let message = with_delivery_count(&queue, &message, delivery_count).unwrap_or(message);
        queue.trace_out(self.connection.broker.queues(), &message, redelivered, || Client {
            connection: self.connection.info.id,
            channel: number,
            user: actor.user.clone(),
        });
        let mut out = self.connection.outbox.lock();
        let Some(held) = out.channel(number) else {
            return Ok(());
        };
        let how = match method.no_ack {
            true => Measure::GetNoAck,
            false => Measure::Get,
        };
        held.got(queue.spec.id, how, redelivered);
        let tag = match slot {
            Slot::NONE => held.skip(),
            slot => {
                let queue = held.queue_index(&queue);
                held.hold(Outstanding {
                    queue,
                    slot,
                    consumed: false,
                })
            }
        };
        let remaining = u32::try_from(remaining).unwrap_or(u32::MAX);
        write_get_ok(
            &mut out.output,
            number,
            tag,
            redelivered,
            remaining,
            &message,
            self.machine.frame_max(),
        );
        out.finish();
        Ok(())
    }

    /// A queue that the catalogue knows, ready to be used.
    pub(super) fn live_queue(&self, vhost: &str, name: &str) -> Result<Arc<QueueHandle>, Reply> {
        let queue = self.connection.broker.vhost(vhost).and_then(|vhost| vhost.queue(name));
        match queue {
            Some(queue) if queue.is_quarantined() => Err(SessionError::Crashed(vhost.into(), name.into()).into()),
            Some(queue) => Ok(queue),
            None => Err(CatalogueError::NoQueue(vhost.into(), name.into()).into()),
        }
    }
}
