//! How much a connection may publish, and the answers that what it has published waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::sync::{Notify, mpsc};

use super::notice::Notice;
use crate::broker::delivery::streaming::PublisherCounts;
use crate::broker::{Broker, Outbox};
use crate::config::StreamProtocol;
use crate::stream_protocol::codec::{Code, response};

/// How much a connection may publish.
#[derive(Debug)]
pub(super) struct Flow {
    left: AtomicI64,
    /// A connection that had none left is read again with more than so many.
    enough: i64,
    freed: Notify,
}

impl Flow {
    pub fn new(config: &StreamProtocol) -> Self {
        Self {
            left: AtomicI64::new(config.initial_credits.into()),
            enough: config.unblocking_credits.min(config.initial_credits - 1).into(),
            freed: Notify::new(),
        }
    }

    /// So many are on their way.
    pub fn take(&self, count: usize) {
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

/// The answer that entries of a publisher wait for. Dropped: they are neither on a majority nor waited for.
pub(super) struct Confirms {
    pub outbox: Arc<Outbox>,
    pub flow: Arc<Flow>,
    pub session: mpsc::UnboundedSender<Notice>,
    pub publisher: u8,
    /// Confirms of the publisher are still wanted.
    pub is_declared: Arc<AtomicBool>,
    pub ids: Vec<u64>,
    /// Entries that it is for.
    pub entries: usize,
    pub counts: Arc<PublisherCounts>,
    pub broker: Arc<Broker>,
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
