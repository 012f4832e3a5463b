//! Exchanges, queues and bindings: looked at by [`crate::declare`], applied as commands.

use super::session::Session;
use crate::broker::{BrokerError, Catalogue, CatalogueError, Command};
use crate::codec::Method;
use crate::codec::method::{
    ExchangeBind, ExchangeDeclare, ExchangeDelete, ExchangeUnbind, QueueBind, QueueDeclare, QueueDeclareOk,
    QueueDelete, QueueDeleteOk, QueuePurge, QueuePurgeOk, QueueUnbind,
};
use crate::declare::{
    self, DeclareError, DeletePlan, ExchangePlan, QueuePlan, queue_declare, queue_delete, queue_purge,
};
use crate::statistics::Measure;
use crate::types::{QueueName, Reply};

impl Session {
    pub(super) async fn declare_exchange(&mut self, channel: u16, method: ExchangeDeclare) -> Result<(), Reply> {
        let actor = self.actor()?;
        self.connection
            .broker
            .declarations()
            .decide_by(Some(&actor.user), |catalogue| {
                let plan = declare::exchange_declare(catalogue, &actor.who(), &method)?;
                Ok::<_, DeclareError>(match plan {
                    ExchangePlan::Existing => (None, ()),
                    ExchangePlan::Create(spec) => (Some(Command::DeclareExchange(spec)), ()),
                })
            })
            .await?;
        self.answer(channel, method.nowait, Method::ExchangeDeclareOk);
        Ok(())
    }

    pub(super) async fn delete_exchange(&mut self, channel: u16, method: ExchangeDelete) -> Result<(), Reply> {
        let actor = self.actor()?;
        self.decide(|catalogue| declare::exchange_delete(catalogue, &actor.who(), &method))
            .await?;
        self.answer(channel, method.nowait, Method::ExchangeDeleteOk);
        Ok(())
    }

    pub(super) async fn bind_exchange(&mut self, channel: u16, method: ExchangeBind) -> Result<(), Reply> {
        let actor = self.actor()?;
        self.decide(|catalogue| declare::exchange_bind(catalogue, &actor.who(), &method))
            .await?;
        self.answer(channel, method.nowait, Method::ExchangeBindOk);
        Ok(())
    }

    pub(super) async fn unbind_exchange(&mut self, channel: u16, method: ExchangeUnbind) -> Result<(), Reply> {
        let actor = self.actor()?;
        self.decide(|catalogue| declare::exchange_unbind(catalogue, &actor.who(), &method))
            .await?;
        self.answer(channel, method.nowait, Method::ExchangeUnbindOk);
        Ok(())
    }

    pub(super) async fn bind_queue(&mut self, channel: u16, method: QueueBind) -> Result<(), Reply> {
        let actor = self.actor()?;
        let last = self.channel(channel)?.last_queue.clone();
        self.decide(|catalogue| declare::queue_bind(catalogue, &actor.who(), last.as_deref(), &method))
            .await?;
        self.answer(channel, method.nowait, Method::QueueBindOk);
        Ok(())
    }

    pub(super) async fn unbind_queue(&mut self, channel: u16, method: QueueUnbind) -> Result<(), Reply> {
        let actor = self.actor()?;
        let last = self.channel(channel)?.last_queue.clone();
        self.decide(|catalogue| declare::queue_unbind(catalogue, &actor.who(), last.as_deref(), &method))
            .await?;
        self.answer(channel, false, Method::QueueUnbindOk);
        Ok(())
    }

    pub(super) async fn declare_queue(&mut self, channel: u16, method: QueueDeclare) -> Result<(), Reply> {
        let actor = self.actor()?;
        let rules = self.connection.broker.queue_rules();
        let plan = |catalogue: &_| queue_declare(catalogue, &actor.who(), rules, &method, rand::random);
        // Most declares are of queues that are there: those need no turn at the catalogue.
        let found = self.connection.broker.declarations().look(plan).await?;
        let name = match &found {
            QueuePlan::ReplyTo => return self.declared(channel, &method, declare::REPLY_TO.into(), (0, 1)),
            QueuePlan::ReplyConsumer(name) => {
                if !self.connection.broker.vhosts().is_reply_waiting(name).await {
                    let vhost = actor.vhost.clone();
                    return Err(CatalogueError::NoQueue(vhost, name.clone()).into());
                }
                return self.declared(channel, &method, name.clone(), (0, 1));
            }
            QueuePlan::Existing(name) => name.clone(),
            QueuePlan::Create(_) => {
                let (name, exclusive) = self
                    .connection
                    .broker
                    .declarations()
                    .decide_by(Some(&actor.user), |catalogue| {
                        Ok::<_, DeclareError>(match plan(catalogue)? {
                            QueuePlan::Create(spec) => {
                                let answer = (spec.name.clone(), spec.exclusive_owner.is_some());
                                (Some(Command::DeclareQueue(spec)), answer)
                            }
                            QueuePlan::Existing(name) | QueuePlan::ReplyConsumer(name) => (None, (name, false)),
                            QueuePlan::ReplyTo => (None, (declare::REPLY_TO.into(), false)),
                        })
                    })
                    .await?;
                if exclusive {
                    self.own(name.clone());
                }
                name
            }
        };
        let created = matches!(found, QueuePlan::Create(_));
        let queue = match self.live_queue(&actor.vhost, &name) {
            Ok(queue) => queue,
            // Its time to live is so short that it is gone again; it was there.
            Err(_) if created => return self.declared(channel, &method, name, (0, 0)),
            Err(reply) => return Err(reply),
        };
        let (ready, _, consumers) = self.connection.broker.queues().count(&queue).await?;
        // A passive declare is a use too.
        queue.touch(self.connection.broker.now());
        self.declared(channel, &method, name, (ready, consumers))
    }

    pub(super) async fn purge_queue(&mut self, channel: u16, method: QueuePurge) -> Result<(), Reply> {
        let actor = self.actor()?;
        let last = self.channel(channel)?.last_queue.clone();
        let look = |catalogue: &_| queue_purge(catalogue, &actor.who(), last.as_deref(), &method);
        let name = self.connection.broker.declarations().look(look).await?;
        let queue = self.live_queue(&actor.vhost, &name)?;
        let message_count = self.connection.broker.queues().purge(&queue).await? as u32;
        self.answer(channel, method.nowait, QueuePurgeOk { message_count });
        Ok(())
    }

    pub(super) async fn delete_queue(&mut self, channel: u16, method: QueueDelete) -> Result<(), Reply> {
        let actor = self.actor()?;
        let last = self.channel(channel)?.last_queue.clone();
        let plan = queue_delete(
            &self.connection.broker.catalogue(),
            &actor.who(),
            last.as_deref(),
            &method,
        )?;
        let message_count = match plan {
            DeletePlan::Missing => 0,
            DeletePlan::Delete {
                queue,
                if_unused,
                if_empty,
            } => {
                self.connection.outbox.lock().hold_cancels(channel);
                let who = actor.who();
                let deleted = self
                    .connection
                    .broker
                    .declarations()
                    .delete_queue(&who, &queue, if_unused, if_empty);
                let message_count = deleted.await? as u32;
                self.exclusive.retain(|own| *own != queue);
                message_count
            }
        };
        self.answer(channel, method.nowait, QueueDeleteOk { message_count });
        let mut out = self.connection.outbox.lock();
        out.send_cancels(channel);
        out.finish();
        Ok(())
    }

    /// Looks at the catalogue and applies the command that follows.
    async fn decide(
        &self,
        mut plan: impl FnMut(&Catalogue) -> Result<Command, DeclareError>,
    ) -> Result<(), BrokerError> {
        self.connection
            .broker
            .declarations()
            .decide_by(self.connection.user.as_ref(), |catalogue| {
                Ok::<_, DeclareError>((Some(plan(catalogue)?), ()))
            })
            .await
    }

    /// Answers a declare; the queue becomes the channel's last one.
    fn declared(
        &mut self,
        channel: u16,
        method: &QueueDeclare,
        queue: QueueName,
        (messages, consumers): (u64, u64),
    ) -> Result<(), Reply> {
        if !method.passive {
            self.connection
                .broker
                .statistics()
                .node()
                .add(Measure::QueueDeclared, 1);
        }
        let answer = QueueDeclareOk {
            queue: queue.as_str().to_owned(),
            message_count: messages as u32,
            consumer_count: consumers as u32,
        };
        self.channel(channel)?.last_queue = Some(queue);
        self.answer(channel, method.nowait, answer);
        Ok(())
    }
}
