//! Publishers of a connection, and the confirms they wait for.
//!
//! What can be read at once of one publisher goes to its stream as one batch. A connection has a number of entries
//! that may be unconfirmed; without any left it is not read until enough are confirmed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use tokio::sync::{Notify, mpsc};

use super::session::{Notice, Session};
use super::streams::Stream;
use crate::broker::delivery::streaming::PublisherCounts;
use crate::broker::queue::stream::direct::{Entries as Batch, EntryAt};
use crate::broker::{Broker, ConnectionInfo, Outbox};
use crate::config::StreamProtocol;
use crate::stream_protocol::codec::{Code, Entries, Entry, response};

/// Entries and bytes with which a batch goes out before the end of what can be read.
const FULL_ENTRIES: usize = 16_384;
const FULL_BYTES: usize = 256 * 1024;

/// Batches kept for the next publisher that has something, so that only those under load hold one.
const POOLED: usize = 4;

static POOL: Mutex<Vec<Batch>> = Mutex::new(Vec::new());

/// A publisher that was declared.
pub(super) struct Publisher {
    /// It is told apart from others by this, if by anything.
    pub reference: Option<String>,
    pub stream: String,
    pub handle: Stream,
    /// Told apart by this from others of its name: the newest writes.
    epoch: u64,
    /// Confirms of it are still wanted.
    is_declared: Arc<AtomicBool>,
    batch: Batch,
    id: u8,
    info: Arc<ConnectionInfo>,
    counts: Arc<PublisherCounts>,
}

/// How much a connection may publish.
#[derive(Debug)]
pub(super) struct Flow {
    left: AtomicI64,
    /// A connection that had none left is read again with more than so many.
    enough: i64,
    freed: Notify,
}

/// The answer that entries of a publisher wait for. Dropped: they are neither on a majority nor waited for.
pub(super) struct Confirms {
    outbox: Arc<Outbox>,
    flow: Arc<Flow>,
    session: mpsc::UnboundedSender<Notice>,
    publisher: u8,
    is_declared: Arc<AtomicBool>,
    ids: Vec<u64>,
    /// Entries that it is for.
    entries: usize,
    counts: Arc<PublisherCounts>,
    broker: Arc<Broker>,
}

/// Where confirms go, what they give back, where a loss is told, and where all is counted.
type Answers<'a> = (
    &'a Arc<Outbox>,
    &'a Arc<Flow>,
    &'a mpsc::UnboundedSender<Notice>,
    &'a Arc<Broker>,
);

impl Flow {
    pub fn new(config: &StreamProtocol) -> Self {
        Self {
            left: AtomicI64::new(config.initial_credits.into()),
            enough: config.unblocking_credits.min(config.initial_credits - 1).into(),
            freed: Notify::new(),
        }
    }

    fn take(&self, count: usize) {
        self.left.fetch_sub(count as i64, Ordering::Relaxed);
    }

    fn give(&self, count: usize) {
        let count = count as i64;
        let before = self.left.fetch_add(count, Ordering::Relaxed);
        if before <= self.enough && before + count > self.enough {
            self.freed.notify_one();
        }
    }

    /// Whether nothing may be published any more.
    pub fn is_spent(&self) -> bool {
        self.left.load(Ordering::Relaxed) <= 0
    }

    /// Waits until enough is confirmed.
    pub async fn freed(&self) {
        while self.left.load(Ordering::Relaxed) <= self.enough {
            self.freed.notified().await;
        }
    }
}

impl Confirms {
    /// They are not: the client is told to look where the stream is.
    pub fn lost(self, stream: String) {
        // The session may be gone.
        let _ = self.session.send(Notice::Moved(stream));
    }

    /// A newer publisher of that name has begun: this one's are not taken.
    pub fn fenced(self) {
        let mut out = self.outbox.lock();
        let code = Code::PreconditionFailed;
        response::publish_error(out.output.bytes(), self.publisher, code, self.ids.iter().copied());
        out.finish();
        let count = self.entries as u64;
        self.counts.errored.fetch_add(count, Ordering::Relaxed);
        self.broker.statistics().streaming().refuse(code as u16, count);
    }

    /// All of them are on a majority, or were before.
    pub fn committed(self) {
        if !self.is_declared.load(Ordering::Relaxed) {
            return;
        }
        let mut out = self.outbox.lock();
        response::confirm(out.output.bytes(), self.publisher, self.ids.iter().copied());
        out.finish();
        let count = self.entries as u64;
        self.counts.confirmed.fetch_add(count, Ordering::Relaxed);
        self.broker.statistics().streaming().confirm(count);
    }
}

impl Drop for Confirms {
    fn drop(&mut self) {
        self.flow.give(self.entries);
    }
}

impl Publisher {
    pub fn new(
        (id, info): (u8, Arc<ConnectionInfo>),
        reference: Option<String>,
        stream: String,
        handle: Stream,
    ) -> Self {
        let counts = PublisherCounts::new(handle.id(), stream.clone(), reference.clone());
        let counts = Arc::new(counts);
        if let Some(client) = info.streaming.get() {
            client.set_publisher(id, Some(counts.clone()));
        }
        Self {
            id,
            info,
            counts,
            epoch: reference.as_deref().map_or(0, |name| handle.claim(name)),
            reference,
            stream,
            handle,
            is_declared: Arc::new(AtomicBool::new(true)),
            batch: Batch::default(),
        }
    }

    fn is_full(&self) -> bool {
        self.batch.entries.len() >= FULL_ENTRIES || self.batch.data.len() >= FULL_BYTES
    }

    fn flush(&mut self, (outbox, flow, inbox, broker): Answers<'_>) {
        if self.batch.entries.is_empty() {
            return;
        }
        let mut batch = std::mem::take(&mut self.batch);
        flow.take(batch.entries.len());
        let count = batch.entries.len() as u64;
        self.counts.published.fetch_add(count, Ordering::Relaxed);
        broker.statistics().streaming().receive(count);
        let confirms = Confirms {
            outbox: outbox.clone(),
            flow: flow.clone(),
            session: inbox.clone(),
            publisher: self.id,
            is_declared: self.is_declared.clone(),
            ids: self.ids(&batch),
            entries: batch.entries.len(),
            counts: self.counts.clone(),
            broker: broker.clone(),
        };
        let name = self.reference.as_deref().map(|name| (name, self.epoch));
        self.handle.publish((&self.stream, name), &batch, confirms);
        batch.clear();
        let mut pool = POOL.lock();
        if pool.len() < POOLED && batch.data.capacity() <= 2 * FULL_BYTES {
            pool.push(batch);
        }
    }

    /// What is answered: of a publisher with a name each number once, for clients forget one that was answered.
    fn ids(&self, batch: &Batch) -> Vec<u64> {
        let mut ids: Vec<u64> = batch.entries.iter().map(|entry| entry.number).collect();
        if self.reference.is_some() && !ids.is_sorted_by(|one, next| one < next) {
            let mut seen = FxHashSet::default();
            ids.retain(|id| seen.insert(*id));
        }
        ids
    }

    fn add(&mut self, entry: Entry<'_>) {
        let batch = &mut self.batch;
        if batch.entries.is_empty()
            && let Some(used) = POOL.lock().pop()
        {
            *batch = used;
        }
        batch.data.extend_from_slice(entry.stored);
        if entry.filter.is_some() || !batch.filters.is_empty() {
            batch.filters.resize(batch.entries.len(), None);
            batch.filters.push(entry.filter.map(<[u8]>::to_vec));
        }
        batch.entries.push(EntryAt {
            number: entry.id,
            messages: entry.body.messages(),
            end: batch.data.len(),
        });
    }
}

/// Nothing it has published is confirmed any more.
impl Drop for Publisher {
    fn drop(&mut self) {
        self.is_declared.store(false, Ordering::Relaxed);
        if let Some(name) = &self.reference {
            self.handle.release(name, self.epoch);
        }
        if let Some(client) = self.info.streaming.get() {
            client.set_publisher(self.id, None);
        }
    }
}

impl Session {
    /// Puts what was published into its publisher's batch.
    pub(super) fn on_publish(&mut self, id: u8, entries: Entries<'_>) {
        let Some(publisher) = self.publishers.get_mut(&id) else {
            let ids: Vec<_> = entries.map(|entry| entry.id).collect();
            let traffic = self.connection.broker.statistics().streaming();
            traffic.refuse(Code::NoPublisher as u16, ids.len() as u64);
            response::publish_error(&mut self.connection.out, id, Code::NoPublisher, ids.into_iter());
            return;
        };
        for entry in entries {
            if publisher.batch.entries.is_empty() && !self.publishing.contains(&id) {
                self.publishing.push(id);
            }
            publisher.add(entry);
            if publisher.is_full() {
                publisher.flush((
                    &self.connection.outbox,
                    &self.flow,
                    &self.inbox,
                    &self.connection.broker,
                ));
            }
        }
    }

    /// Hands what was gathered to the streams.
    pub(super) fn flush_publishes(&mut self) {
        for id in std::mem::take(&mut self.publishing) {
            if let Some(publisher) = self.publishers.get_mut(&id) {
                publisher.flush((
                    &self.connection.outbox,
                    &self.flow,
                    &self.inbox,
                    &self.connection.broker,
                ));
            }
        }
    }
}
