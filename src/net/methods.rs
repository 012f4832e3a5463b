//! What a client asks for on a channel, method by method; what they do is in the files beside.

use super::channel::{Channel, Mode};
use super::error::SessionError;
use super::session::Session;
use super::transaction::Transaction;
use crate::channel::Confirms;
use crate::codec::Method;
use crate::codec::method::BasicQos;
use crate::connection::ProtocolError;
use crate::declare::Actor;
use crate::types::Reply;

impl Session {
    /// Carries a method out and answers it.
    ///
    /// # Errors
    /// The refusal; the channel or the connection is to be closed with it.
    pub(super) async fn on_method(&mut self, channel: u16, method: Method) -> Result<(), Reply> {
        if let Some(Mode::Transaction(transaction)) = self.channels.get(&channel).map(|channel| &channel.mode)
            && transaction.is_committing()
        {
            return Err(SessionError::Committing.into());
        }
        match method {
            Method::ExchangeDeclare(method) => self.declare_exchange(channel, method).await,
            Method::ExchangeDelete(method) => self.delete_exchange(channel, method).await,
            Method::ExchangeBind(method) => self.bind_exchange(channel, method).await,
            Method::ExchangeUnbind(method) => self.unbind_exchange(channel, method).await,
            Method::QueueDeclare(method) => self.declare_queue(channel, method).await,
            Method::QueueBind(method) => self.bind_queue(channel, method).await,
            Method::QueueUnbind(method) => self.unbind_queue(channel, method).await,
            Method::QueuePurge(method) => self.purge_queue(channel, method).await,
            Method::QueueDelete(method) => self.delete_queue(channel, method).await,
            Method::BasicQos(method) => self.qos(channel, &method),
            Method::BasicConsume(method) => self.consume(channel, method).await,
            Method::BasicCancel(method) => self.cancel(channel, method).await,
            Method::BasicGet(method) => self.get(channel, method).await,
            Method::BasicRecover(method) => {
                self.check_requeue(method.requeue)?;
                // The answer comes before what is delivered again: clients drop what they hold then.
                self.answer(channel, false, Method::BasicRecoverOk);
                self.recover(channel);
                Ok(())
            }
            Method::BasicRecoverAsync(method) => {
                self.check_requeue(method.requeue)?;
                self.recover(channel);
                Ok(())
            }
            Method::ConfirmSelect(method) => {
                self.select_confirms(channel)?;
                self.answer(channel, method.nowait, Method::ConfirmSelectOk);
                Ok(())
            }
            Method::TxSelect => {
                self.select_transactions(channel)?;
                self.answer(channel, false, Method::TxSelectOk);
                Ok(())
            }
            Method::TxCommit => self.commit(channel),
            Method::TxRollback => {
                self.roll_back(channel)?;
                self.answer(channel, false, Method::TxRollbackOk);
                Ok(())
            }
            other => Err(SessionError::NotForClients(other.name()).into()),
        }
    }

    /// Sends the answer unless the client does not want one.
    pub(super) fn answer(&mut self, channel: u16, nowait: bool, method: impl Into<Method>) {
        if !nowait {
            self.send(channel, &method.into());
        }
    }

    /// Writes a method for the client.
    pub(super) fn send(&self, channel: u16, method: &Method) {
        self.connection
            .outbox
            .write(|out| method.encode_frame(channel, out.bytes()));
    }

    /// An open channel.
    pub(super) fn channel(&mut self, number: u16) -> Result<&mut Channel, ProtocolError> {
        let channel = self.channels.get_mut(&number);
        channel.ok_or(ProtocolError::ChannelIsNotOpen)
    }

    /// Who this session acts for.
    pub(super) fn actor(&self) -> Result<Actor, SessionError> {
        let publishing = self.publishing.as_ref().ok_or(SessionError::NotOpen)?;
        Ok(Actor {
            user: publishing.user.clone(),
            vhost: publishing.vhost.name.clone(),
            connection: self.connection.info.id,
            rights: publishing.rights.clone(),
        })
    }

    fn qos(&mut self, number: u16, method: &BasicQos) -> Result<(), Reply> {
        if method.prefetch_size != 0 {
            return Err(SessionError::PrefetchSize(method.prefetch_size).into());
        }
        let prefetch = Some(u32::from(method.prefetch_count)).filter(|count| *count > 0);
        if method.global {
            if let Some(channel) = self.connection.outbox.lock().channel(number) {
                channel.prefetch = prefetch;
            }
            self.connection
                .broker
                .queues()
                .serve_stalled(&self.connection.outbox, Some(number));
        } else {
            self.channel(number)?.prefetch = prefetch;
            if let Some(channel) = self.connection.outbox.lock().channel(number) {
                channel.consumer_prefetch = prefetch;
            }
        }
        self.answer(number, false, Method::BasicQosOk);
        Ok(())
    }

    fn check_requeue(&self, requeue: bool) -> Result<(), SessionError> {
        match requeue {
            true => Ok(()),
            false => Err(SessionError::RecoverInPlace),
        }
    }

    fn select_confirms(&mut self, number: u16) -> Result<(), Reply> {
        let channel = self.channel(number)?;
        match channel.mode {
            Mode::Plain => channel.mode = Mode::Confirm(1),
            Mode::Confirm(_) => return Ok(()),
            Mode::Transaction(_) => {
                return Err(SessionError::Mode {
                    from: "tx",
                    to: "confirm",
                }
                .into());
            }
        }
        if let Some(held) = self.connection.outbox.lock().channel(number) {
            held.confirms = Some(Confirms::new());
        }
        Ok(())
    }

    fn select_transactions(&mut self, number: u16) -> Result<(), Reply> {
        let channel = self.channel(number)?;
        match channel.mode {
            Mode::Plain => {
                let transaction = Box::<Transaction>::default();
                let uncommitted = transaction.uncommitted().clone();
                channel.mode = Mode::Transaction(transaction);
                if let Some(held) = self.connection.outbox.lock().channel(number) {
                    held.uncommitted = Some(uncommitted);
                }
            }
            Mode::Transaction(_) => {}
            Mode::Confirm(_) => {
                return Err(SessionError::Mode {
                    from: "confirm",
                    to: "tx",
                }
                .into());
            }
        }
        Ok(())
    }
}
