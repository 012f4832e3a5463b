//! Subscriptions of a connection: each reads in a task of its own and puts chunks into the outbox.
//!
//! A chunk costs a credit of the client's. Chunks that its filter passes over cost none. A client that does not
//! take what waits for it gets no more for now. Of a group of single active consumers only the one whose turn it is
//! reads, from where its client says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::single_active::Membership;
use super::streams::Stream;
use crate::broker::delivery::streaming::SubscriptionCounts;
use crate::broker::{Broker, ConnectionInfo, Outbox};
use crate::queue::ConsumerStatus;
use crate::stream::{Chunk, Matcher};
use crate::stream_protocol::codec::StartAt;
use crate::stream_protocol::codec::response::{self, DeliverVersion};
use crate::tasks;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;
/// A chunk of fewer bytes is copied rather than written as a piece of its own.
const COPIED: usize = 4096;

/// A subscription that was taken.
pub(super) struct Subscription {
    /// Tells it from earlier ones of the same id.
    pub incarnation: u64,
    reading: Reading,
    info: Arc<ConnectionInfo>,
    credit: Arc<Credit>,
    /// What reads.
    task: Option<AbortHandle>,
    /// Where it has to wait for its turn.
    membership: Option<Membership>,
}

/// What is read, and how.
#[derive(Clone)]
pub(super) struct Reading {
    pub id: u8,
    pub name: String,
    pub stream: Stream,
    pub start: StartAt,
    pub filter: Option<Matcher>,
    pub version: DeliverVersion,
    pub outbox: Arc<Outbox>,
    pub counts: Arc<SubscriptionCounts>,
    pub broker: Arc<Broker>,
}

/// Chunks that the client still takes.
#[derive(Debug)]
struct Credit {
    counts: Arc<SubscriptionCounts>,
    given: Notify,
}

impl Subscription {
    /// A subscription of that connection, which does not read yet.
    pub fn new(reading: Reading, incarnation: u64, info: Arc<ConnectionInfo>) -> Self {
        let counts = reading.counts.clone();
        if let Some(client) = info.streaming.get() {
            client.set_subscription(reading.id, Some(counts.clone()));
        }
        reading.stream.subscribe(counts.clone());
        Self {
            incarnation,
            reading,
            info,
            credit: Arc::new(Credit {
                counts,
                given: Notify::new(),
            }),
            task: None,
            membership: None,
        }
    }

    /// The name of its stream.
    pub fn stream(&self) -> &str {
        &self.reading.name
    }

    /// It waits for its turn.
    pub fn wait(&mut self, membership: Membership) {
        self.reading.counts.set_status(ConsumerStatus::Waiting);
        self.membership = Some(membership);
    }

    /// Whether it waits for its turn.
    pub fn is_waiting(&self) -> bool {
        self.task.is_none()
    }

    /// Begins to deliver from there, or from where it was asked for first.
    pub fn begin(&mut self, start: Option<StartAt>) {
        self.stop();
        if self.membership.is_some() {
            self.reading.counts.set_status(ConsumerStatus::SingleActive);
        }
        let mut reading = self.reading.clone();
        reading.start = start.unwrap_or(reading.start);
        let task = tasks::spawn("subscription", reading.run(self.credit.clone()));
        self.task = Some(task.abort_handle());
    }

    /// Delivers no more for now.
    pub fn stop(&mut self) {
        if self.membership.is_some() {
            self.reading.counts.set_status(ConsumerStatus::Waiting);
        }
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    /// The client has answered that it reads, or does not any more.
    pub fn answered(&self) {
        if let Some(membership) = &self.membership {
            membership.answered();
        }
    }

    /// The client takes so many more chunks, or fewer.
    pub fn give(&self, credit: i16) {
        self.credit.counts.credit.fetch_add(credit.into(), Ordering::Relaxed);
        self.credit.given.notify_one();
    }
}

/// Nothing more is delivered to it.
impl Drop for Subscription {
    fn drop(&mut self) {
        self.stop();
        if let Some(client) = self.info.streaming.get() {
            client.set_subscription(self.reading.id, None);
        }
        self.reading.stream.unsubscribe(&self.reading.counts);
    }
}

impl Credit {
    /// Waits until there is some.
    async fn any(&self) {
        while self.counts.credit.load(Ordering::Relaxed) <= 0 {
            self.given.notified().await;
        }
    }

    /// Takes one, if there is one.
    fn take(&self) -> bool {
        let less = |left| (left > 0).then_some(left - 1);
        self.counts
            .credit
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }
}

impl Reading {
    /// Delivers until the client has gone; the session hears in another way that the stream has.
    async fn run(self, credit: Arc<Credit>) {
        let Some(mut next) = self.stream.attach(self.start).await else {
            return;
        };
        self.counts.goes_on_at(next);
        let mut ready = VecDeque::new();
        loop {
            credit.any().await;
            if !self.outbox.has_room().await {
                return;
            }
            if ready.is_empty() {
                for piece in self.stream.read(next, READ_BYTES).await {
                    next = piece.chunk.end();
                    if self.filter.as_ref().is_none_or(|filter| piece.is_for(filter)) {
                        ready.push_back(piece.chunk);
                    }
                }
            }
            self.deliver(&mut ready, &credit);
        }
    }

    /// Puts as many chunks into the outbox as there is credit for.
    fn deliver(&self, ready: &mut VecDeque<Chunk>, credit: &Credit) {
        if ready.is_empty() {
            return;
        }
        let committed = self.stream.bounds().and_then(|bounds| bounds.last_chunk);
        let mut entries = 0;
        let mut out = self.outbox.lock();
        while !ready.is_empty() && credit.take() {
            let Some(chunk) = ready.pop_front() else { break };
            entries += u64::from(chunk.count().entries);
            self.counts.goes_on_at(chunk.end());
            let bytes = chunk.bytes();
            let output = &mut out.output;
            let committed = committed.unwrap_or_default();
            response::deliver_head(output.bytes(), self.version, self.id, committed, bytes.len() as u32);
            match bytes.len() < COPIED {
                true => output.bytes().extend_from_slice(bytes),
                false => output.chain(bytes.clone()),
            }
        }
        out.finish();
        self.counts.consumed.fetch_add(entries, Ordering::Relaxed);
        self.broker.statistics().streaming().deliver(entries);
    }
}
