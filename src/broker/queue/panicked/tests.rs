//! Machines that are made to panic in the middle of a command, as no client can make them.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::broker::Broker;
use crate::broker::delivery::channel_out::Outstanding;
use crate::broker::delivery::form::{ChannelForm, ConsumerForm};
use crate::broker::delivery::pairs::Pairs;
use crate::broker::publish::{Body, From, Publisher, Publishing};
use crate::broker::queue::claims::{ChannelClaim, ConfirmToken};
use crate::broker::queue::clients::Consumer;
use crate::broker::queue::clients::Outbox;
use crate::broker::queue::handle::LiveQueue;
use crate::channel::{Confirm, ConfirmOutcome, Confirms, Tags};
use crate::codec::Method;
use crate::codec::Properties;
use crate::codec::content::PublishRef;
use crate::codec::deliver::{DeliverTemplate, write_ack, write_nack};
use crate::codec::method::BasicCancel;
use crate::config::Config;
use crate::handover::ConsumerKey;
use crate::metadata::Command;
use crate::queue::{Get, Outcome, Publish, Slot};
use crate::spec::{QueueSpec, QueueType};
use crate::tasks;
use crate::types::{ConnectionId, FieldTable, Message, MessageParts, NodeId, Output, QueueId};

const DELIVER: (u16, u16) = (60, 60);
const CANCEL: (u16, u16) = (60, 30);
const ACK: (u16, u16) = (60, 80);
const NACK: (u16, u16) = (60, 120);

/// How long anything that must happen may take.
const PATIENCE: Duration = Duration::from_secs(20);

async fn broker(directory: &Path) -> Arc<Broker> {
    let mut config = Config::default();
    config.node.data_dir = directory.to_owned();
    config.node.name = "node@here".into();
    let broker = Broker::open(Arc::new(config)).await.expect("a broker");
    broker
        .membership()
        .found("node@here")
        .await
        .expect("a cluster of its own");
    broker.catch_up().await;
    tasks::spawn("elections", broker.replicas().clone().run_elections());
    tasks::spawn("leader lookups", broker.queues().clone().run_leader_lookups());
    broker
}

async fn declare(broker: &Arc<Broker>, queue_type: QueueType, durable: bool) -> Arc<QueueHandle> {
    let spec = QueueSpec {
        id: QueueId(0),
        vhost: "/".into(),
        name: "orders".into(),
        queue_type,
        durable,
        auto_delete: false,
        exclusive_owner: None,
        home: NodeId(0),
        members: Vec::new(),
        generations: 0,
        arguments: FieldTable::new(),
        user: "guest".into(),
    };
    broker
        .declarations()
        .command(Command::DeclareQueue(spec))
        .await
        .expect("declared");
    let vhost = broker.vhost("/").expect("the vhost");
    vhost.queue("orders").expect("the queue")
}

/// What the client hears, as methods on channel 1.
struct Methods;

impl ConsumerForm for Methods {
    fn consuming(&self, _: &mut Output, _: &str) {}

    fn deliver(&self, out: &mut Output, delivery_tag: u64, redelivered: bool, message: &Message) {
        DeliverTemplate::new(1, "tag").write(out, delivery_tag, redelivered, message, 4096);
    }

    fn cancelled(&self, out: &mut Output, tag: &str) {
        let cancel = BasicCancel {
            consumer_tag: tag.to_owned(),
            nowait: true,
        };
        Method::from(cancel).encode_frame(1, out.bytes());
    }
}

impl ChannelForm for Methods {
    fn confirm(&self, out: &mut Output, confirm: Confirm) {
        match confirm.outcome {
            ConfirmOutcome::Ack => write_ack(out, 1, confirm.seq, confirm.multiple),
            ConfirmOutcome::Nack => write_nack(out, 1, confirm.seq, confirm.multiple),
        }
    }

    fn returned(&self, _: &mut Output, _: &Message) {}
}

/// A connection with one channel in confirm mode, which consumes.
struct Client {
    broker: Arc<Broker>,
    queue: Arc<QueueHandle>,
    outbox: Arc<Outbox>,
    published: u64,
}

impl Client {
    fn of(broker: &Arc<Broker>, queue: &Arc<QueueHandle>) -> Self {
        let outbox = Arc::new(Outbox::new(ConnectionId(7)));
        let mut out = outbox.lock();
        out.open_channel(1, 1, Pairs::default(), Box::new(Methods));
        if let Some(channel) = out.channel(1) {
            channel.confirms = Some(Confirms::new());
        }
        out.finish();
        Self {
            broker: broker.clone(),
            queue: queue.clone(),
            outbox,
            published: 0,
        }
    }

    fn publish(&mut self, body: &str, is_persistent: bool) {
        self.published += 1;
        let by = Publishing {
            vhost: self.broker.vhost("/").expect("the vhost"),
            user: "guest".into(),
            rights: crate::auth::Rights::Internal,
            impersonator: false,
        };
        let from = From {
            channel: 1,
            incarnation: 1,
            seq: Some(self.published),
            reply_token: None,
        };
        let publish = PublishRef {
            exchange: b"",
            routing_key: b"orders",
            mandatory: false,
            immediate: false,
        };
        let properties = Properties {
            delivery_mode: is_persistent.then_some(2),
            ..Properties::default()
        };
        let mut publisher = Publisher::new(self.outbox.clone());
        let body = Body::Read(body.as_bytes());
        let ready = publisher.prepare(&self.broker.vhosts, &by, from, publish, &properties.encode(), body);
        publisher.publish(&self.broker.vhosts, &by, ready.expect("a good message"), None);
        publisher.flush(&self.broker.queues);
    }

    /// The claim to the confirm of one more publish, which a test hands to the machine itself.
    fn claim(&mut self) -> ConfirmToken {
        self.published += 1;
        let mut out = self.outbox.lock();
        if let Some(confirms) = out.channel(1).and_then(|channel| channel.confirms.as_mut()) {
            confirms.publish(1);
        }
        out.finish();
        ConfirmToken::Channel(ChannelClaim {
            outbox: self.outbox.clone(),
            channel: 1,
            incarnation: 1,
            seq: self.published,
        })
    }

    async fn consume(&self) {
        let queue_index = match self.outbox.lock().channel(1) {
            Some(channel) => channel.queue_index(&self.queue),
            None => panic!("the channel is open"),
        };
        let consumer = Arc::new(Consumer {
            key: ConsumerKey(1),
            outbox: self.outbox.clone(),
            channel: 1,
            incarnation: 1,
            tag: "tag".to_owned(),
            no_ack: false,
            exclusive: false,
            prefetch: Some(1),
            priority: 0,
            arguments: FieldTable::new(),
            user: "guest".into(),
            form: Box::new(Methods),
            queue_index,
            queue: Arc::downgrade(&self.queue),
            wants_cancel: true,
        });
        self.broker
            .queues()
            .consume(&self.queue, &consumer, false)
            .await
            .expect("taken on");
    }

    /// Methods until this one has come.
    async fn until(&self, method: (u16, u16)) -> Vec<(u16, u16)> {
        let mut heard = Vec::new();
        let hear = async {
            while !heard.contains(&method) {
                assert!(self.outbox.ready().await);
                heard.extend(self.heard());
            }
        };
        let heard_it = tokio::time::timeout(PATIENCE, hear).await;
        assert!(heard_it.is_ok(), "waited for {method:?}");
        heard
    }

    /// The ids of the methods that were written since this was last asked.
    fn heard(&self) -> Vec<(u16, u16)> {
        let mut out = self.outbox.lock();
        let bytes: Vec<u8> = out.output.pieces().flatten().copied().collect();
        out.output.clear();
        out.finish();
        let mut methods = Vec::new();
        let mut rest = &bytes[..];
        while let Some((head, after)) = rest.split_first_chunk::<7>() {
            let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
            if head[0] == 1 {
                let id = |at: usize| u16::from_be_bytes([after[at], after[at + 1]]);
                methods.push((id(0), id(2)));
            }
            rest = &after[size + 1..];
        }
        methods
    }

    /// What the channel holds, taken out of it.
    fn held(&self) -> Vec<Slot> {
        let mut held = Vec::new();
        if let Some(channel) = self.outbox.lock().channel(1) {
            let settled = channel.settle(Tags::All, |_, one: Outstanding| held.push(one.slot));
            settled.expect("any number");
        }
        held
    }
}

fn message(body: &str) -> Message {
    let parts = MessageParts {
        exchange: b"",
        routing_key: b"orders",
        properties: &Properties {
            delivery_mode: Some(2),
            ..Properties::default()
        }
        .encode(),
        traits: crate::types::Traits {
            persistent: true,
            ..Default::default()
        },
    };
    Message::new(parts, body.as_bytes(), &mut Vec::new())
}

/// Panics after half a command: the first message is gone from the machine, and nobody has it.
fn panic_in(queue: &Arc<QueueHandle>, broker: &Arc<Broker>) {
    let done = queue.with(&broker.queues, |machine, now, sink| {
        let _ = machine.get(now, false, sink);
        panic!("made to, in the middle of a command");
    });
    assert_eq!(done, None::<()>);
}

/// Waits until the queue is served and `holds` holds of its machine.
async fn until_served(queue: &Arc<QueueHandle>, what: &str, holds: impl Fn(&LiveQueue) -> bool) {
    let served = async {
        loop {
            let changed = queue.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !queue.is_quarantined() && queue.read(&holds) == Some(true) {
                return;
            }
            changed.await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, served).await.is_ok(), "{what}");
}

/// What is fetched until nothing is left, and whether it was delivered before; all of it is acknowledged.
async fn drain(broker: &Arc<Broker>, queue: &Arc<QueueHandle>) -> Vec<(String, bool)> {
    let mut fetched = Vec::new();
    while let Get::Message {
        message,
        slot,
        redelivered,
        ..
    } = broker.queues().get(queue, false).await.expect("the queue is here")
    {
        fetched.push((String::from_utf8_lossy(message.body()).into_owned(), redelivered));
        broker.queues().settle(queue, [slot], Outcome::Accept, None);
    }
    fetched
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_queue_that_panics_is_made_anew_from_its_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = broker(directory.path()).await;
    let queue = declare(&broker, QueueType::Classic, true).await;
    let mut client = Client::of(&broker, &queue);
    for (body, is_persistent) in [("m1", true), ("transient", false), ("m2", true), ("m3", true)] {
        client.publish(body, is_persistent);
        client.until(ACK).await;
    }
    client.consume().await;
    client.until(DELIVER).await;
    panic_in(&queue, &broker);
    assert_eq!(client.heard(), [CANCEL]);
    until_served(&queue, "the queue is served", |machine| machine.ready() == 3).await;
    queue.read(|machine| machine.check());
    let held = client.held();
    assert_eq!(held.len(), 1);
    broker.queues().settle(&queue, held, Outcome::Accept, None);
    assert_eq!(
        queue.counts().ready,
        3,
        "what was held before is another delivery by now"
    );
    client.publish("m4", true);
    client.until(ACK).await;
    let (bodies, redelivered): (Vec<_>, Vec<_>) = drain(&broker, &queue).await.into_iter().unzip();
    assert_eq!(bodies, ["m1", "m2", "m3", "m4"]);
    assert!(redelivered[0] && !redelivered[3], "{redelivered:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_publish_that_a_queue_took_no_more_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = broker(directory.path()).await;
    let queue = declare(&broker, QueueType::Classic, true).await;
    let mut client = Client::of(&broker, &queue);
    let batch: Vec<_> = (0..4)
        .map(|number| Publish {
            message: message(&number.to_string()),
            publish: Some(client.claim()),
        })
        .collect();
    let mut taken = 0;
    let batch = batch.into_iter().inspect(|_| {
        taken += 1;
        assert!(taken != 3, "made to, in the middle of a batch");
    });
    let deferred = queue.publish_deferred(&broker.queues, batch);
    assert!(deferred.is_empty(), "there are no consumers");
    // The third was the test's own when it panicked.
    assert_eq!(client.heard(), [NACK; 3]);
    until_served(&queue, "the queue is served", |machine| machine.ready() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transient_queue_that_panics_is_empty_and_serves_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = broker(directory.path()).await;
    let queue = declare(&broker, QueueType::Classic, false).await;
    let mut client = Client::of(&broker, &queue);
    client.publish("m1", true);
    client.until(ACK).await;
    panic_in(&queue, &broker);
    assert!(!queue.is_quarantined());
    client.publish("m2", true);
    client.until(ACK).await;
    assert_eq!(drain(&broker, &queue).await, [("m2".to_owned(), false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replicated_queue_that_panics_is_made_anew_from_its_ledger() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = broker(directory.path()).await;
    let queue = declare(&broker, QueueType::Quorum, true).await;
    let mut client = Client::of(&broker, &queue);
    for body in ["m1", "m2", "m3"] {
        client.publish(body, true);
        client.until(ACK).await;
    }
    client.consume().await;
    client.until(DELIVER).await;
    let before = queue.state.lock().machine.term();
    panic_in(&queue, &broker);
    until_served(&queue, "the queue is led", |machine| machine.consumer_count() == 1).await;
    assert!(queue.state.lock().machine.term() >= before);
    queue.read(|machine| machine.check());
    // The consumer is one still, and what it holds is its own.
    broker.queues().settle(&queue, client.held(), Outcome::Accept, None);
    assert_eq!(client.until(DELIVER).await, [DELIVER]);
    client.publish("m4", true);
    client.until(ACK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_panics_again_and_again_is_let_be() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = broker(directory.path()).await;
    let queue = declare(&broker, QueueType::Classic, true).await;
    let mut client = Client::of(&broker, &queue);
    client.publish("m1", true);
    client.until(ACK).await;
    for _ in 0..FORGIVEN {
        panic_in(&queue, &broker);
        until_served(&queue, "the queue is served", |machine| machine.ready() == 1).await;
    }
    panic_in(&queue, &broker);
    assert!(queue.is_quarantined());
    client.publish("m2", true);
    client.until(NACK).await;
}
