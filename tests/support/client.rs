//! A client with one connection and one channel in confirm mode, and the steps a test takes on a
//! channel: each waits until it is done, so that the next one finds what it did.

use std::ops::Deref;

use futures_lite::StreamExt;
use futures_lite::future::poll_once;
use lapin::message::{BasicGetMessage, Delivery};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, ChannelState, Confirmation, Connection, Consumer, ErrorKind, ExchangeKind};
use tokio::time::timeout;

use super::{PATIENCE, table};

/// A connection and its first channel, which confirms.
pub struct Client {
    pub connection: Connection,
    pub channel: Channel,
}

impl Client {
    pub async fn new(connection: Connection) -> Self {
        let channel = connection.create_channel().await.expect("a channel");
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .expect("confirm mode");
        Self { connection, channel }
    }

    /// Another channel, without confirms.
    pub async fn another(&self) -> Channel {
        self.connection.create_channel().await.expect("a channel")
    }

    /// Another channel that confirms, for after the first was closed by an error.
    pub async fn again(&mut self) {
        self.channel = self.another().await;
        let select = ConfirmSelectOptions::default();
        self.channel.confirm_select(select).await.expect("confirm mode");
    }
}

impl Deref for Client {
    type Target = Channel;

    fn deref(&self) -> &Channel {
        &self.channel
    }
}

/// What a test does on a channel.
pub trait Steps {
    fn at(&self) -> &Channel;

    /// Declares a durable queue.
    async fn queue(&self, name: &str, arguments: FieldTable) -> lapin::Queue {
        let durable = QueueDeclareOptions::durable();
        self.at()
            .queue_declare(name.into(), durable, arguments)
            .await
            .expect("a queue")
    }

    /// Declares a durable queue without arguments.
    async fn plain_queue(&self, name: &str) {
        self.queue(name, FieldTable::default()).await;
    }

    /// Looks at a queue without making it: its ready messages and its consumers.
    async fn look(&self, name: &str) -> lapin::Result<(u32, u32)> {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let queue = self
            .at()
            .queue_declare(name.into(), passive, FieldTable::default())
            .await?;
        Ok((queue.message_count(), queue.consumer_count()))
    }

    /// How many messages are ready in a queue.
    async fn ready(&self, name: &str) -> u32 {
        self.look(name).await.expect("the queue").0
    }

    /// Declares a durable exchange.
    async fn exchange(&self, name: &str, kind: ExchangeKind, arguments: FieldTable) {
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        self.at()
            .exchange_declare(name.into(), kind, durable, arguments)
            .await
            .expect("an exchange");
    }

    /// Binds a queue.
    async fn bind(&self, queue: &str, exchange: &str, key: &str, arguments: FieldTable) {
        let options = QueueBindOptions::default();
        let bound = self
            .at()
            .queue_bind(queue.into(), exchange.into(), key.into(), options, arguments);
        bound.await.expect("a binding");
    }

    /// Publishes to a queue by its name and waits for the confirm.
    async fn send(&self, queue: &str, body: &str) -> Confirmation {
        self.publish("", queue, body, BasicProperties::default()).await
    }

    /// Publishes to a queue several times.
    async fn send_all<const N: usize>(&self, queue: &str, bodies: [&str; N]) {
        for body in bodies {
            assert!(self.send(queue, body).await.is_ack(), "{body} was refused");
        }
    }

    /// Publishes and waits for the confirm (where there are confirms).
    async fn publish(&self, exchange: &str, key: &str, body: &str, properties: BasicProperties) -> Confirmation {
        let options = BasicPublishOptions::default();
        self.publish_as(options, exchange, key, body, properties).await
    }

    /// The same as mandatory.
    async fn publish_mandatory(
        &self,
        exchange: &str,
        key: &str,
        body: &str,
        properties: BasicProperties,
    ) -> Confirmation {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        self.publish_as(options, exchange, key, body, properties).await
    }

    async fn publish_as(
        &self,
        options: BasicPublishOptions,
        exchange: &str,
        key: &str,
        body: &str,
        properties: BasicProperties,
    ) -> Confirmation {
        let published = self
            .at()
            .basic_publish(exchange.into(), key.into(), options, body.as_bytes(), properties);
        let confirm = published.await.expect("published");
        let confirm = timeout(PATIENCE, confirm).await.expect("a confirm in time");
        confirm.expect("a confirm")
    }

    /// Takes one message, which is then outstanding.
    async fn get(&self, queue: &str) -> Option<BasicGetMessage> {
        let options = BasicGetOptions { no_ack: false };
        self.at()
            .basic_get(queue.into(), options)
            .await
            .expect("an answer to basic.get")
    }

    /// Takes one message that must be there.
    async fn got(&self, queue: &str) -> BasicGetMessage {
        self.get(queue).await.unwrap_or_else(|| panic!("{queue} is empty"))
    }

    /// Takes every ready message for good, as [`story`].
    async fn take(&self, queue: &str) -> Vec<String> {
        let mut taken = Vec::new();
        let options = BasicGetOptions { no_ack: true };
        while let Some(message) = self
            .at()
            .basic_get(queue.into(), options)
            .await
            .expect("an answer to basic.get")
        {
            taken.push(story(&message));
        }
        taken
    }

    /// Waits for so many messages, takes them for good and no more, as [`story`]. For what comes a
    /// moment later, such as what a channel held that ended.
    async fn wait_for(&self, queue: &str, count: u16) -> Vec<String> {
        let channel = self.at();
        channel.prefetch(count).await;
        let mut consumer = channel.consume(queue).await;
        let mut stories = Vec::new();
        for _ in 0..count {
            let delivery = next(&mut consumer).await;
            ack(&delivery).await;
            stories.push(story(&delivery));
        }
        channel.cancel(&consumer).await;
        channel.prefetch(0).await;
        stories
    }

    /// Sets the prefetch of the consumers to come.
    async fn prefetch(&self, count: u16) {
        let options = BasicQosOptions { global: false };
        self.at().basic_qos(count, options).await.expect("qos");
    }

    /// Consumes with acks.
    async fn consume(&self, queue: &str) -> Consumer {
        self.consume_with(queue, FieldTable::default()).await
    }

    /// Consumes with acks and arguments.
    async fn consume_with(&self, queue: &str, arguments: FieldTable) -> Consumer {
        let options = BasicConsumeOptions::default();
        self.at()
            .basic_consume(queue.into(), "".into(), options, arguments)
            .await
            .expect("a consumer")
    }

    /// Consumes without acks.
    async fn consume_unacked(&self, queue: &str) -> Consumer {
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let consumer = self
            .at()
            .basic_consume(queue.into(), "".into(), options, FieldTable::default());
        consumer.await.expect("a consumer")
    }

    /// Ends a consumer.
    async fn cancel(&self, consumer: &Consumer) {
        self.at()
            .basic_cancel(consumer.tag(), Default::default())
            .await
            .expect("cancelled");
    }

    /// Fails if the consumer has anything to read once the broker has done what was asked of it.
    /// What this channel or a confirmed publish caused before is then on its way in front of the
    /// answers; the second question is for brokers whose channel and queue run side by side.
    async fn quiet(&self, consumer: &mut Consumer) {
        let queue = consumer.queue();
        for _ in 0..2 {
            self.look(queue.as_str()).await.expect("the queue");
        }
        let delivery = poll_once(consumer.next()).await;
        assert!(delivery.is_none(), "unexpected: {delivery:?}");
    }
}

impl Steps for Channel {
    fn at(&self) -> &Channel {
        self
    }
}

impl Steps for Client {
    fn at(&self) -> &Channel {
        &self.channel
    }
}

/// The next message of a consumer.
pub async fn next(consumer: &mut Consumer) -> Delivery {
    let delivery = timeout(PATIENCE, consumer.next()).await.expect("a delivery in time");
    delivery.expect("the consumer was cancelled").expect("a delivery")
}

/// The next messages of a consumer, as [`story`], left outstanding.
pub async fn next_many(consumer: &mut Consumer, count: usize) -> Vec<String> {
    let mut stories = Vec::new();
    for _ in 0..count {
        stories.push(story(&next(consumer).await));
    }
    stories
}

/// Waits until the consumer is ended by the broker.
pub async fn ended(consumer: &mut Consumer) {
    let end = timeout(PATIENCE, consumer.next()).await.expect("an end in time");
    assert!(end.is_none(), "not the end: {end:?}");
}

/// What came: the body, and whether it had been out before.
pub fn story(delivery: &Delivery) -> String {
    let body = body(delivery);
    match delivery.redelivered {
        true => format!("{body} (redelivered)"),
        false => body,
    }
}

/// The body as text.
pub fn body(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.data).into_owned()
}

pub async fn ack(delivery: &Delivery) {
    delivery.ack(BasicAckOptions::default()).await.expect("acked");
}

/// Gives a message back.
pub async fn requeue(delivery: &Delivery) {
    settle(delivery, true).await;
}

/// Drops or dead-letters a message.
pub async fn discard(delivery: &Delivery) {
    settle(delivery, false).await;
}

async fn settle(delivery: &Delivery, requeue: bool) {
    let options = BasicNackOptions {
        multiple: false,
        requeue,
    };
    delivery.nack(options).await.expect("nacked");
}

/// Code and text of the refusal that this must be.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: lapin::Result<T>) -> String {
    let error = result.expect_err("this had to be refused");
    match error.kind() {
        ErrorKind::ProtocolError(error) => format!("{} {}", error.get_id(), error.get_message()),
        other => panic!("not a refusal: {other:?}"),
    }
}

/// The refusal of a publish on a channel that confirms.
pub async fn refused_publish(publish: impl Future<Output = lapin::Result<lapin::PublisherConfirm>>) -> String {
    refused(publish.await.expect("sent").await)
}

/// The refusal that ends a channel by something that has no answer, such as an ack: the next question on the
/// channel brings it. That is asked together with it, for afterwards the channel may be closed already, and lapin
/// says no more why.
pub async fn closed_by<T>(channel: &Channel, offence: impl Future<Output = T>) -> String {
    futures_lite::future::zip(offence, closed(channel)).await.1
}

async fn closed(channel: &Channel) -> String {
    let passive = ExchangeDeclareOptions {
        passive: true,
        ..ExchangeDeclareOptions::default()
    };
    loop {
        let asked = channel.exchange_declare("amq.direct".into(), ExchangeKind::Direct, passive, table([]));
        match asked.await {
            // The refusal has come; what it says is to be had when lapin has answered it.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidChannelState(ChannelState::Closing, _)) => {
                tokio::task::yield_now().await;
            }
            asked => return refused(asked),
        }
    }
}
