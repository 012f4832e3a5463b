//! A consumer of a stream over AMQP 0-9-1: its own place in the stream, and credit for messages.
//!
//! ```text
//! read chunks → passed over by the filter, or its messages from the place on → credit and room? → outbox
//!                                                                                └ waits: settled, drained, ended
//! ```
//! A task for each: it reads ahead of its client by a chunk. What is settled gives its credit back whatever is said
//! of it, and nothing comes a second time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::sync::Notify;

use super::live::LiveStream;
use super::reader::{Reading, consumer_of};
use super::reading::Unreachable;
use crate::broker::BrokerError;
use crate::broker::delivery::channel_out::Outstanding;
use crate::broker::observers::Client;
use crate::broker::queue::clients::Consumer;
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::queues::Queues;
use crate::codec::sections;
use crate::declare::DeclareError;
use crate::handover::ConsumerKey;
use crate::metadata::CatalogueError;
use crate::queue::Slot;
use crate::spec::error::queue_in_vhost;
use crate::spec::{SpecError, age};
use crate::statistics::Measure;
use crate::stream::chunk::{Chunk, Entries, Entry};
use crate::stream::{Matcher, OffsetSpec};
use crate::tasks;
use crate::types::{FieldTable, FieldValue, Message, Timestamp};

/// Bytes of chunks that are read at a time.
const READ_BYTES: usize = 256 * 1024;

/// What the arguments of a consumer say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub from: OffsetSpec,
    pub matcher: Matcher,
}

impl Subscription {
    /// Reads the arguments, at that time.
    ///
    /// # Errors
    /// An offset that is none. Filters that are none are as if they were not there.
    pub fn of(arguments: &FieldTable, now: Timestamp, vhost: &str, queue: &str) -> Result<Self, SpecError> {
        let offset = arguments
            .get("x-stream-offset")
            .map(|value| offset(value, now))
            .transpose();
        let from = offset.map_err(|reason| SpecError::BadValue {
            name: "x-stream-offset".into(),
            queue: queue_in_vhost(vhost, queue),
            reason,
        })?;
        let text = |value: &FieldValue| match value {
            FieldValue::LongString(text) => Some(text.clone()),
            _ => None,
        };
        let values: Vec<_> = match arguments.get("x-stream-filter") {
            Some(FieldValue::Array(values)) => values.iter().filter_map(text).collect(),
            Some(value) => text(value).into_iter().collect(),
            None => Vec::new(),
        };
        let unfiltered = arguments.get("x-stream-match-unfiltered") == Some(&FieldValue::Boolean(true));
        Ok(Self {
            from: from.unwrap_or(OffsetSpec::Next),
            matcher: Matcher {
                // Whoever wants messages with an empty value wants those without one.
                unfiltered: unfiltered || values.iter().any(Vec::is_empty),
                values,
            },
        })
    }
}

/// Where a value says to begin, or RabbitMQ's term for one that says nothing.
fn offset(value: &FieldValue, now: Timestamp) -> Result<OffsetSpec, String> {
    if let Some(offset) = value.as_int() {
        return Ok(match u64::try_from(offset) {
            Ok(offset) => OffsetSpec::Offset(offset),
            Err(_) => OffsetSpec::First,
        });
    }
    match value {
        FieldValue::Timestamp(seconds) => Ok(OffsetSpec::Time(Timestamp(seconds.saturating_mul(1000)))),
        FieldValue::LongString(text) => match text.as_slice() {
            b"first" => Ok(OffsetSpec::First),
            b"last" => Ok(OffsetSpec::Last),
            b"next" => Ok(OffsetSpec::Next),
            text => match age(text) {
                Some(ago) if ago.0 > 0 => Ok(OffsetSpec::Time(Timestamp(now.0.saturating_sub(ago.0)))),
                _ => {
                    let text = String::from_utf8_lossy(text);
                    Err(format!("{{invalid_stream_offset_arg,{{longstr,<<\"{text}\">>}}}}"))
                }
            },
        },
        other => Err(format!("{{invalid_stream_offset_arg,{}}}", other.type_name())),
    }
}

impl LiveStream {
    /// Takes a consumer on, which its channel knows. The client hears `consume-ok` before the first delivery, if it
    /// waits for that.
    ///
    /// # Errors
    /// When an argument is none, no member can be asked where it begins, or the stream was deleted meanwhile.
    pub(in crate::broker) async fn consume(
        self: &Arc<Self>,
        queues: &Arc<Queues>,
        queue: &Arc<QueueHandle>,
        consumer: &Arc<Consumer>,
        wants_answer: bool,
    ) -> Result<(), BrokerError> {
        let spec = &queue.spec;
        let subscription = Subscription::of(&consumer.arguments, queues.now(), &spec.vhost, &spec.name);
        let subscription = subscription.map_err(DeclareError::Spec)?;
        let place = self.resolve(queues, queue, subscription.from).await;
        let place = place.map_err(|Unreachable| BrokerError::QueueAway {
            queue: spec.name.clone(),
            vhost: spec.vhost.clone(),
        })?;
        let reading = Arc::new(Reading {
            consumer: consumer.clone(),
            credit: AtomicU32::new(consumer.prefetch.unwrap_or(u32::MAX)),
            wake: Notify::new(),
            end: Notify::new(),
            ended: AtomicBool::new(false),
        });
        {
            // Whoever deletes the stream says so before it cancels those who are here.
            let mut readers = self.readers.lock();
            if self.is_ended() {
                return Err(CatalogueError::NoQueue(spec.vhost.clone(), spec.name.clone()).into());
            }
            readers.insert(consumer.key, reading.clone());
            if wants_answer {
                consumer.outbox.write(|out| consumer.form.consuming(out, &consumer.tag));
            }
        }
        let (stream, queues, queue) = (self.clone(), Arc::downgrade(queues), Arc::downgrade(queue));
        let matcher = subscription.matcher;
        tasks::spawn("stream consumer", async move {
            stream.run_consumer(queues, queue, reading, place, matcher).await;
        });
        Ok(())
    }

    /// These consumers have ended.
    pub(in crate::broker) fn cancel(&self, consumers: impl IntoIterator<Item = ConsumerKey>) {
        let mut readers = self.readers.lock();
        for key in consumers {
            if let Some(reading) = readers.remove(&key) {
                reading.stop();
            }
        }
    }

    /// Deliveries are settled, in whatever way.
    pub(in crate::broker) fn settle(&self, slots: impl IntoIterator<Item = Slot>) {
        let readers = self.readers.lock();
        let mut run: Option<(ConsumerKey, u32)> = None;
        let give_back = |(key, credit): (ConsumerKey, u32)| {
            if let Some(reading) = readers.get(&key) {
                reading.give_back(credit);
            }
        };
        for slot in slots {
            let key = consumer_of(slot);
            match &mut run {
                Some((same, credit)) if *same == key => *credit += 1,
                run => {
                    if let Some(before) = run.replace((key, 1)) {
                        give_back(before);
                    }
                }
            }
        }
        if let Some(last) = run {
            give_back(last);
        }
    }

    /// A consumer whose client had no room has some again.
    pub(in crate::broker) fn unstall(&self, consumer: ConsumerKey) {
        if let Some(reading) = self.readers.lock().get(&consumer) {
            reading.wake.notify_one();
        }
    }

    /// The consumers of this node's clients.
    pub fn consumers(&self) -> Vec<Arc<Consumer>> {
        self.readers
            .lock()
            .values()
            .map(|reading| reading.consumer.clone())
            .collect()
    }

    async fn run_consumer(
        self: Arc<Self>,
        queues: Weak<Queues>,
        queue: Weak<QueueHandle>,
        reading: Arc<Reading>,
        mut place: u64,
        matcher: Matcher,
    ) {
        while !reading.is_ended() {
            let (Some(held_queues), Some(held_queue)) = (queues.upgrade(), queue.upgrade()) else {
                return;
            };
            let pieces = tokio::select! {
                pieces = self.read(&held_queues, &held_queue, place, READ_BYTES) => pieces,
                () = reading.end.notified() => return,
            };
            for piece in pieces {
                let end = piece.chunk.end();
                if piece.is_for(&matcher) {
                    let name = held_queue.spec.name.clone();
                    let mut messages = messages(&piece.chunk, place, &name);
                    while !hand_over(&held_queues, &held_queue, &reading, &mut messages) {
                        if reading.is_ended() {
                            return;
                        }
                        reading.wake.notified().await;
                    }
                }
                place = place.max(end);
            }
        }
    }
}

/// The messages of a chunk from that offset on. Those of a batch that is compressed are its publisher's alone: they
/// are passed over, as whatever cannot be read.
pub(in crate::broker::queue) fn messages(chunk: &Chunk, from: u64, stream: &str) -> VecDeque<(u64, Message)> {
    let mut messages = VecDeque::new();
    let mut add = |offset: u64, bytes: &Bytes| {
        if offset >= from {
            messages.push_back((offset, sections::read(bytes, offset, stream)));
        }
    };
    for (offset, entry) in chunk.entries().map_while(Result::ok) {
        match entry {
            Entry::Message(bytes) => add(offset, &bytes),
            Entry::Batch {
                compression: 0,
                records,
                data,
            } => {
                let within = Entries::of_batch(data, offset).map_while(Result::ok);
                for (offset, entry) in within.take(records.into()) {
                    if let Entry::Message(bytes) = entry {
                        add(offset, &bytes);
                    }
                }
            }
            Entry::Batch { .. } => {}
        }
    }
    messages
}

/// Gives a consumer what it has credit and room for; whether that was all.
fn hand_over(
    queues: &Arc<Queues>,
    queue: &Arc<QueueHandle>,
    reading: &Reading,
    messages: &mut VecDeque<(u64, Message)>,
) -> bool {
    let consumer = &reading.consumer;
    let mut given = 0;
    let mut traced = Vec::new();
    let mut out = consumer.outbox.lock();
    while !messages.is_empty() && !reading.is_ended() {
        if reading.credit.load(Ordering::Acquire) == 0 {
            break;
        }
        // It may have been woken for its credit while it waits for room.
        out.forget_stalled(consumer);
        if !out.room(consumer) {
            break;
        }
        let Some((output, channel)) = out.parts(consumer.channel, consumer.incarnation) else {
            break;
        };
        let Some((offset, message)) = messages.pop_front() else {
            break;
        };
        channel.got(queue.spec.id, Measure::Deliver, false);
        let tag = channel.hold(Outstanding {
            queue: consumer.queue_index,
            slot: reading.slot(offset),
            consumed: true,
        });
        consumer.form.deliver(output, tag, false, &message);
        // Only here it goes down.
        reading.credit.fetch_sub(1, Ordering::AcqRel);
        given += 1;
        if queues.observers.is_tracing() {
            traced.push(message);
        }
    }
    out.finish();
    if given > 0 {
        queues.moves(queue);
    }
    queue.count(Measure::Deliver, given);
    for message in traced {
        queue.trace_out(queues, &message, false, || Client {
            connection: consumer.outbox.id,
            channel: consumer.channel,
            user: consumer.user.clone(),
        });
    }
    messages.is_empty()
}
