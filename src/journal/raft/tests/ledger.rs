//! A small machine for tests: numbered records, the order in which they came, and the last
//! payload of each key.
//!
//! ```text
//! record: u8 version │ u64 number │ payload      key = number % KEYS
//! ```

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::sync::watch;

use crate::machine::{Machine, Parts, Unreadable};

/// What was applied.
pub struct Ledger {
    pub order: Vec<u64>,
    pub keys: BTreeMap<u64, Bytes>,
    /// Times it was restored.
    pub restored: usize,
    /// Panics in the middle of applying this record.
    pub panics_at: Option<u64>,
    /// How many were applied, for who waits.
    count: watch::Sender<usize>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            order: Vec::new(),
            keys: BTreeMap::new(),
            restored: 0,
            panics_at: None,
            count: watch::Sender::new(0),
        }
    }
}

impl Ledger {
    pub fn watch(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }
}

/// A record with `bytes` of payload.
pub fn record(number: u64, bytes: usize) -> Bytes {
    let mut record = BytesMut::with_capacity(9 + bytes);
    record.put_u8(VERSION);
    record.put_u64(number);
    record.put_bytes(number as u8, bytes);
    record.freeze()
}

/// One that this program cannot read.
pub fn record_of_later_version() -> Bytes {
    Bytes::from_static(&[VERSION + 1, 1, 2, 3])
}

impl Machine for Ledger {
    type Output = usize;

    fn check(record: &[u8]) -> Result<(), Unreadable> {
        match record {
            [VERSION, rest @ ..] if rest.len() >= 8 => Ok(()),
            _ => Err(Unreadable::new("not a record of this version")),
        }
    }

    fn apply(&mut self, _: u64, mut record: Bytes) -> Result<usize, Unreadable> {
        Self::check(&record)?;
        record.advance(1);
        let number = record.get_u64();
        self.order.push(number);
        assert!(self.panics_at != Some(number), "as asked");
        self.keys.insert(number % KEYS, record);
        self.count.send_replace(self.order.len());
        Ok(self.order.len())
    }

    fn snapshot(&self) -> Parts {
        let mut order = BytesMut::new();
        order.put_u8(VERSION);
        for number in &self.order {
            order.put_u64(*number);
        }
        let keys = self.keys.clone().into_iter().map(|(key, payload)| {
            let mut part = BytesMut::new();
            part.put_u64(key);
            part.put(payload);
            part.freeze()
        });
        Box::new(std::iter::once(order.freeze()).chain(keys).map(Ok))
    }

    fn restore(&mut self, mut parts: Parts) -> Result<(), Unreadable> {
        let mut order = parts.next().ok_or_else(|| Unreadable::new("an empty snapshot"))??;
        if order.try_get_u8() != Ok(VERSION) {
            return Err(Unreadable::new("not a snapshot of this version"));
        }
        self.order.clear();
        self.keys.clear();
        while order.has_remaining() {
            self.order
                .push(order.try_get_u64().map_err(|_| Unreadable::new("cut short"))?);
        }
        for part in parts {
            let mut part = part?;
            let key = part.try_get_u64().map_err(|_| Unreadable::new("cut short"))?;
            self.keys.insert(key, part);
        }
        self.restored += 1;
        self.count.send_replace(self.order.len());
        Ok(())
    }
}

const VERSION: u8 = 1;
const KEYS: u64 = 16;
