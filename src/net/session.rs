//! One client connection: bytes in → protocol machine → broker; what comes out goes to the outbox.
//!
//! [`Session::process`] takes steps as long as nothing must be waited for: publishes are put into
//! batches, acks are grouped. It ends with a [`Pause`] that says what to wait for or to do next,
//! after the batches were handed to their queues. So the hot path is one synchronous loop per
//! read, and nothing is locked over an await.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::channel::{Channel, Mode};
use super::error::SessionError;
use super::form::ChannelMethods;
use super::settling::Settling;
use crate::auth::Login;
use crate::broker::Outcome;
use crate::broker::delivery::leaving::by_queue;
use crate::broker::delivery::pairs::Pairs;
use crate::broker::leaving::{Undoing, undone};
use crate::broker::publish::{Body, From, Publisher, Publishing};
use crate::broker::{Broker, QueueHandle, ROUNDS};
use crate::channel::Tags;
use crate::codec::Method;
use crate::codec::content::PublishRef;
use crate::config::RatesMode;
use crate::connection::{Connection, Content, Ending, Ids, Settings, Step};
use crate::front::connection::{self, ClientConnection};
use crate::front::protocol::AMQP;
use crate::listen::{Opened, ReadBuffer};
use crate::statistics::Measure;
use crate::types::{QueueName, Refusal, Reply, ReplyCode};

/// Ids of `basic.publish`, for refusals.
const PUBLISH: Ids = (60, 40);
/// The reading side of a connection.
pub(super) struct Session {
    pub connection: ClientConnection,
    pub machine: Connection,
    /// What a backend has said of its tags.
    pub tags: Vec<String>,
    pub channels: FxHashMap<u16, Channel>,
    /// Set once the connection is open.
    pub publishing: Option<Publishing>,
    pub publisher: Publisher,
    pub settling: Settling,
    /// Queues that go with the connection.
    pub exclusive: Vec<QueueName>,
    /// The client was told that it is blocked.
    pub blocked: bool,
    incarnations: u64,
    /// Nothing was read since buffers were given back.
    pub is_rested: bool,
}

/// Why the session stopped taking steps.
enum Pause {
    /// At least so many bytes are wanted.
    Read(usize),
    Login(Login),
    Open(String),
    OpenChannel(u16),
    CloseChannel(u16),
    Method(u16, Method),
    UpdateSecret(Vec<u8>),
    /// The client closed the connection.
    Closing,
    Refused(Option<u16>, Ids, Reply),
    /// A backend has to be asked before the next publish.
    Ask,
    /// And before this one, which is out of the buffer.
    AskFor(u16, Box<Content>),
    /// An alarm holds publishers.
    Blocked,
    End(Ending),
}

/// Serves a connection until it ends.
pub(super) async fn serve(broker: Arc<Broker>, settings: Arc<Settings>, opened: Opened) {
    let begin = |connection: ClientConnection| Session {
        machine: Connection::new(settings, connection.broker.now()),
        publisher: Publisher::new(connection.outbox.clone()),
        connection,
        tags: Vec::new(),
        channels: FxHashMap::default(),
        publishing: None,
        settling: Settling::default(),
        exclusive: Vec::new(),
        blocked: false,
        incarnations: 0,
        is_rested: false,
    };
    connection::serve(broker, &AMQP, opened, begin).await;
}

impl connection::Session for Session {
    fn connection(&self) -> &ClientConnection {
        &self.connection
    }

    async fn run(&mut self) {
        let mut input = ReadBuffer::default();
        let ending = loop {
            let pause = self.process(&mut input);
            self.connection.send_own();
            let ended = match pause {
                Pause::Read(least) => self.read(&mut input, least).await,
                Pause::Blocked => self.wait_unblocked().await,
                Pause::End(ending) => Some(ending),
                other => {
                    self.carry_out(other).await;
                    self.wait_taken().await
                }
            };
            self.connection.send_own();
            if let Some(ending) = ended {
                break ending;
            }
        };
        self.connection.log_end(&ending, &Ending::Closed);
    }

    async fn clean_up(&mut self) {
        self.end_all().await;
    }

    fn was_open(&self) -> bool {
        self.publishing.is_some()
    }

    fn tell_of_end(&self) {
        self.tell_of_closing();
    }
}

impl Session {
    /// Takes steps until one must be waited for.
    fn process(&mut self, input: &mut ReadBuffer) -> Pause {
        let now = self.connection.broker.now();
        self.connection.pass_time(now);
        let pause = loop {
            match self.machine.step(now, input.filled(), &mut self.connection.out) {
                Step::More(least) => break Pause::Read(least),
                Step::Done { consumed } => {
                    input.consume(consumed);
                    if self.is_held() {
                        break Pause::Blocked;
                    }
                }
                Step::Publish(whole) => {
                    if self.connection.broker.alarms().is_short() {
                        break Pause::Blocked;
                    }
                    let consumed = whole.consumed;
                    let channel = whole.channel;
                    let body = Body::Read(whole.body);
                    let published = publish(self, channel, whole.publish, whole.properties, body);
                    if published.is_err() && self.connection.has_questions() {
                        break Pause::Ask;
                    }
                    input.consume(consumed);
                    if let Err(reply) = published {
                        break refused_publish(channel, reply);
                    }
                }
                Step::Content {
                    consumed,
                    channel,
                    content,
                } => {
                    input.consume(consumed);
                    let body = Body::Own(content.body.clone());
                    let published = publish(self, channel, content.publish(), &content.properties, body);
                    if published.is_err() && self.connection.has_questions() {
                        break Pause::AskFor(channel, Box::new(content));
                    }
                    if let Err(reply) = published {
                        break refused_publish(channel, reply);
                    }
                }
                Step::Ack { consumed, channel, ack } => {
                    input.consume(consumed);
                    let tags = Tags::from_wire(ack.delivery_tag, ack.multiple);
                    if let Err(reply) = self.settle(channel, tags, Outcome::Accept) {
                        break Pause::Refused(Some(channel), (60, 80), reply);
                    }
                }
                Step::Nack {
                    consumed,
                    channel,
                    nack,
                } => {
                    input.consume(consumed);
                    let tags = Tags::from_wire(nack.delivery_tag, nack.multiple);
                    if let Err(reply) = self.settle(channel, tags, back(nack.requeue)) {
                        break Pause::Refused(Some(channel), (60, 120), reply);
                    }
                }
                Step::Reject {
                    consumed,
                    channel,
                    reject,
                } => {
                    input.consume(consumed);
                    let tags = Tags::One(reject.delivery_tag);
                    if let Err(reply) = self.settle(channel, tags, back(reject.requeue)) {
                        break Pause::Refused(Some(channel), (60, 90), reply);
                    }
                }
                Step::Login { consumed, login } => {
                    input.consume(consumed);
                    break Pause::Login(login);
                }
                Step::Open { consumed, vhost } => {
                    input.consume(consumed);
                    break Pause::Open(vhost);
                }
                Step::OpenChannel { consumed, channel } => {
                    input.consume(consumed);
                    break Pause::OpenChannel(channel);
                }
                Step::CloseChannel { consumed, channel } => {
                    input.consume(consumed);
                    break Pause::CloseChannel(channel);
                }
                Step::Method {
                    consumed,
                    channel,
                    method,
                } => {
                    input.consume(consumed);
                    break Pause::Method(channel, method);
                }
                Step::UpdateSecret { consumed, secret } => {
                    input.consume(consumed);
                    break Pause::UpdateSecret(secret);
                }
                Step::Closing { consumed } => {
                    input.consume(consumed);
                    break Pause::Closing;
                }
                Step::Refused {
                    consumed,
                    channel,
                    ids,
                    reply,
                } => {
                    input.consume(consumed);
                    break Pause::Refused(channel, ids, reply);
                }
                Step::End(ending) => break Pause::End(ending),
            }
        };
        self.flush();
        pause
    }

    /// Hands what was gathered to the queues.
    pub fn flush(&mut self) {
        self.settling
            .flush(&self.connection.broker, &self.connection.outbox, None);
        self.publisher.flush(self.connection.broker.queues());
    }

    async fn carry_out(&mut self, pause: Pause) {
        let now = self.connection.broker.now();
        match pause {
            Pause::Login(login) => self.on_login(login).await,
            Pause::Open(vhost) => self.on_open(&vhost).await,
            Pause::OpenChannel(channel) => self.on_open_channel(channel).await,
            Pause::CloseChannel(channel) => {
                undone(self.drop_channels([channel])).await;
                self.machine.channel_closed(channel, &mut self.connection.out);
            }
            Pause::Method(channel, method) => {
                let ids = method.ids();
                if let Err(reply) = self.on_method_with_answers(channel, method).await {
                    self.refuse(scope(channel, &reply), ids, &reply).await;
                }
            }
            Pause::UpdateSecret(secret) => self.on_update_secret(&secret).await,
            Pause::Ask => {
                self.connection.find_answers().await;
            }
            Pause::AskFor(channel, content) => self.publish_with_answers(channel, *content).await,
            Pause::Closing => {
                self.end_all().await;
                self.machine.close_ok(now, &mut self.connection.out);
            }
            Pause::Refused(channel, ids, reply) => self.refuse(channel, ids, &reply).await,
            Pause::Read(_) | Pause::Blocked | Pause::End(_) => {}
        }
    }

    /// Carries a method out; where a backend has to be asked first, again with its answer. Until then nothing has
    /// changed.
    async fn on_method_with_answers(&mut self, channel: u16, method: Method) -> Result<(), Reply> {
        if self.connection.rights.granted().is_none() {
            return self.on_method(channel, method).await;
        }
        for _ in 0..ROUNDS {
            let done = self.on_method(channel, method.clone()).await;
            if done.is_ok() || !self.connection.find_answers().await {
                return done;
            }
        }
        self.on_method(channel, method).await
    }

    /// The same of a publish.
    async fn publish_with_answers(&mut self, channel: u16, content: Content) {
        let mut rounds = 0..ROUNDS;
        loop {
            let asked = self.connection.find_answers().await;
            let body = Body::Own(content.body.clone());
            let published = publish(self, channel, content.publish(), &content.properties, body);
            match published {
                Ok(()) => return self.flush(),
                Err(_) if asked && self.connection.has_questions() && rounds.next().is_some() => {}
                Err(reply) => {
                    let (scope, ids) = (scope(channel, &reply), publish_ids(&reply));
                    return self.refuse(scope, ids, &reply).await;
                }
            }
        }
    }

    /// Closes a channel, or the connection, with this.
    pub(super) async fn refuse(&mut self, channel: Option<u16>, ids: Ids, reply: &Reply) {
        let who = self.connection.info.name();
        match channel {
            Some(channel) => {
                tracing::info!(connection = who, channel, %reply, "channel refused");
                undone(self.drop_channels([channel])).await;
                self.machine
                    .close_channel(channel, ids, reply, &mut self.connection.out);
            }
            None => {
                tracing::info!(connection = who, %reply, "connection refused");
                self.end_all().await;
                self.machine
                    .close(self.connection.broker.now(), ids, reply, &mut self.connection.out);
            }
        }
    }

    async fn on_open_channel(&mut self, channel: u16) {
        let Some(user) = self.connection.user.clone() else {
            return;
        };
        let elsewhere = match self.connection.info.vhost() {
            Some(vhost) => {
                self.connection
                    .broker
                    .membership()
                    .clients_elsewhere(&user, &vhost)
                    .await
            }
            None => Default::default(),
        };
        let connections = self.connection.broker.connections();
        let limit = self.connection.broker.config().limits.channel_max_per_node;
        let node = (limit, self.connection.broker.node().name.as_str());
        let allowed = connections.open_channel(
            &self.connection.info,
            &self.connection.broker.catalogue(),
            node,
            &user,
            elsewhere,
        );
        if let Err(error) = allowed {
            return self.refuse(None, (0, 0), &error.reply()).await;
        }
        self.connection
            .broker
            .statistics()
            .node()
            .add(Measure::ChannelCreated, 1);
        self.tell_of_channel("channel.created", channel);
        self.incarnations += 1;
        let incarnation = self.incarnations;
        let is_detailed = self.connection.broker.config().management.rates_mode == RatesMode::Detailed;
        let pairs = Pairs::new(is_detailed);
        let form = Box::new(ChannelMethods {
            channel,
            frame_max: self.machine.frame_max(),
        });
        self.connection
            .outbox
            .lock()
            .open_channel(channel, incarnation, pairs, form);
        let state = Channel {
            incarnation,
            last_queue: None,
            prefetch: None,
            mode: Mode::Plain,
            reply: None,
        };
        self.channels.insert(channel, state);
        self.machine.channel_opened(channel, &mut self.connection.out);
    }

    /// Ends channels on the broker's side: their consumers go, and what they held goes back. Returns what
    /// is not done then.
    fn drop_channels(&mut self, numbers: impl IntoIterator<Item = u16>) -> Vec<Undoing> {
        self.flush();
        let mut leaving = Vec::new();
        // All are closed before the first queue hears of it: none serves the next channel that goes.
        for number in numbers {
            let Some(state) = self.channels.remove(&number) else {
                continue;
            };
            if let Some(user) = &self.connection.user {
                self.connection
                    .broker
                    .connections()
                    .close_channel(&self.connection.info, user);
            }
            self.connection
                .broker
                .statistics()
                .node()
                .add(Measure::ChannelClosed, 1);
            self.tell_of_channel("channel.closed", number);
            if let Some((token, _)) = state.reply {
                self.connection.broker.reply_to().forget(token);
            }
            let Some(mut held) = self.connection.outbox.lock().close_channel(number) else {
                continue;
            };
            for (tag, one) in state.mode.into_settled() {
                held.put_back(tag, one);
            }
            leaving.extend(held.leave());
        }
        let leaving = by_queue(leaving).into_iter();
        leaving
            .filter_map(|one| self.connection.broker.queues().leave(one))
            .collect()
    }

    /// A queue goes with the connection. Those that were deleted meanwhile are forgotten now and
    /// then, however they were deleted.
    pub(super) fn own(&mut self, queue: QueueName) {
        if self.exclusive.len() == self.exclusive.capacity() {
            let mut own = std::mem::take(&mut self.exclusive);
            own.retain(|name| self.own_queue(name).is_some());
            own.reserve(own.len().max(8));
            self.exclusive = own;
        }
        self.exclusive.push(queue);
    }

    /// A queue of that name which goes with the connection.
    fn own_queue(&self, name: &str) -> Option<Arc<QueueHandle>> {
        let queue = self.publishing.as_ref()?.vhost.queue(name)?;
        (queue.spec.exclusive_owner == Some(self.connection.info.id)).then_some(queue)
    }

    /// Ends everything of this connection on the broker's side. May be called again.
    async fn end_all(&mut self) {
        let channels: Vec<_> = self.channels.keys().copied().collect();
        let mut undoing = self.drop_channels(channels);
        for name in std::mem::take(&mut self.exclusive) {
            if let Some(queue) = self.own_queue(&name) {
                undoing.extend(self.connection.broker.queues().delete_exclusive(&queue));
            }
        }
        undone(undoing).await;
        // It may be said again.
        let _ = self.connection.info.undone.set(());
    }
}

/// Checks and routes a publish and puts it into its batches, or into its transaction.
fn publish(
    session: &mut Session,
    number: u16,
    publish: PublishRef<'_>,
    properties: &[u8],
    body: Body<'_>,
) -> Result<(), Reply> {
    let (Some(by), Some(channel)) = (&session.publishing, session.channels.get_mut(&number)) else {
        return Ok(());
    };
    if let Mode::Transaction(transaction) = &channel.mode
        && transaction.is_committing()
    {
        return Err(SessionError::Committing.into());
    }
    let from = From {
        channel: number,
        incarnation: channel.incarnation,
        seq: match channel.mode {
            Mode::Confirm(next) => Some(next),
            _ => None,
        },
        reply_token: channel.reply.as_ref().map(|(token, _)| *token),
    };
    let ready = session
        .publisher
        .prepare(session.connection.broker.vhosts(), by, from, publish, properties, body)?;
    match &mut channel.mode {
        Mode::Transaction(transaction) => transaction.publish(ready),
        mode => {
            if let Mode::Confirm(next) = mode {
                *next += 1;
            }
            session
                .publisher
                .publish(session.connection.broker.vhosts(), by, ready, None);
            if session.publisher.is_full() {
                session.publisher.flush(session.connection.broker.queues());
            }
        }
    }
    Ok(())
}

/// A refusal of a publish. What RabbitMQ's channels crash on is about no method.
fn refused_publish(channel: u16, reply: Reply) -> Pause {
    Pause::Refused(scope(channel, &reply), publish_ids(&reply), reply)
}

fn publish_ids(reply: &Reply) -> Ids {
    match reply.code {
        ReplyCode::InternalError => (0, 0),
        _ => PUBLISH,
    }
}

/// What a refusal closes.
fn scope(channel: u16, reply: &Reply) -> Option<u16> {
    (reply.scope == crate::types::Scope::Channel).then_some(channel)
}

fn back(requeue: bool) -> Outcome {
    match requeue {
        true => Outcome::Requeue,
        false => Outcome::Discard,
    }
}
