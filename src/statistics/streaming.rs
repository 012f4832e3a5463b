//! What clients of the stream protocol have done on this node since it started.

use std::sync::atomic::{AtomicU64, Ordering};

/// Codes of the protocol below this are counted one by one.
const CODES: usize = 32;

/// Counts of entries, each once, as RabbitMQ's: a compressed batch is one.
#[derive(Debug, Default)]
pub struct StreamTraffic {
    received: AtomicU64,
    confirmed: AtomicU64,
    delivered: AtomicU64,
    /// What was refused, by the protocol's code.
    refused: [AtomicU64; CODES],
}

impl StreamTraffic {
    /// Publishers have sent so many more.
    pub fn receive(&self, count: u64) {
        self.received.fetch_add(count, Ordering::Relaxed);
    }

    /// So many more are confirmed.
    pub fn confirm(&self, count: u64) {
        self.confirmed.fetch_add(count, Ordering::Relaxed);
    }

    /// So many more went to subscriptions.
    pub fn deliver(&self, count: u64) {
        self.delivered.fetch_add(count, Ordering::Relaxed);
    }

    /// A client has heard that code.
    pub fn refuse(&self, code: u16, count: u64) {
        if let Some(refused) = self.refused.get(usize::from(code)) {
            refused.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// What publishers have sent.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// What of it is confirmed.
    pub fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// What went to subscriptions.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// How often clients have heard that code.
    pub fn refused(&self, code: u16) -> u64 {
        let refused = self.refused.get(usize::from(code));
        refused.map_or(0, |refused| refused.load(Ordering::Relaxed))
    }
}
