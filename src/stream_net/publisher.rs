//! One publisher of a connection: what it has published and what is gathered of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use tokio::sync::mpsc;

use super::confirms::{Confirms, Flow};
use super::notice::Notice;
use super::streams::Stream;
use crate::broker::delivery::streaming::PublisherCounts;
use crate::broker::queue::stream::direct::{Entries as Batch, EntryAt};
use crate::broker::{Broker, ConnectionInfo, Outbox};
use crate::stream_protocol::codec::Entry;

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

/// Where confirms go, what they give back, where a loss is told, and where all is counted.
pub(super) type Answers<'a> = (
    &'a Arc<Outbox>,
    &'a Arc<Flow>,
    &'a mpsc::UnboundedSender<Notice>,
    &'a Arc<Broker>,
);

impl Publisher {
    /// One of that connection, which takes the place of others of its name.
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

    /// Whether nothing is gathered.
    pub fn is_empty(&self) -> bool {
        self.batch.entries.is_empty()
    }

    /// Whether what is gathered is to go out at once.
    pub fn is_full(&self) -> bool {
        self.batch.entries.len() >= FULL_ENTRIES || self.batch.data.len() >= FULL_BYTES
    }

    /// Hands what is gathered to its stream.
    pub fn flush(&mut self, (outbox, flow, inbox, broker): Answers<'_>) {
        if self.is_empty() {
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

    /// Gathers an entry.
    pub fn add(&mut self, entry: Entry<'_>) {
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
