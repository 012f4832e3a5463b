//! A live queue whose records go to three ledgers, one of which is made anew from snapshots and
//! one of which keeps next to no bodies in memory.

mod damage;
mod leaders;
mod random;
mod sending_again;
mod story;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Ledger, Place};
use crate::machine::{KeptPiece, Machine, Source};
use crate::queue::META_LEN;
use crate::queue::record::{Origin, ProducerId, Records};
use crate::types::{Message, MessageParts, Traits};

pub(super) const META: [u8; META_LEN] = {
    let mut meta = [0; META_LEN];
    meta[0] = 1;
    let mut at = 8;
    while at < 16 {
        meta[at] = 255;
        at += 1;
    }
    meta
};

fn message(body: &str) -> Message {
    let parts = MessageParts {
        exchange: b"",
        routing_key: b"queue",
        properties: &[0, 0],
        traits: Traits::default(),
    };
    Message::new(parts, body.as_bytes(), &mut Vec::new())
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.body()).into_owned()
}

fn origin(producer: u64, number: u64) -> Origin {
    let producer = ProducerId(producer);
    Origin { producer, number }
}

fn pieces(ledger: &Ledger) -> Vec<Bytes> {
    ledger
        .snapshot()
        .collect::<Result<_, _>>()
        .expect("every body is somewhere")
}

/// A ledger made from the snapshot of another.
fn copy_of(ledger: &Ledger) -> Ledger {
    let mut copy = Ledger::new();
    copy.restore(ledger.snapshot()).expect("just made");
    copy
}

/// The log, and pieces of snapshots, to be read again.
#[derive(Default)]
struct Log(Mutex<Logged>);

#[derive(Default)]
struct Logged {
    batches: BTreeMap<u64, Bytes>,
    pieces: Vec<Bytes>,
}

impl Log {
    fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    fn write(&self, index: u64, batch: Bytes) {
        self.0.lock().batches.insert(index, batch);
    }

    /// Keeps a snapshot in place of the batches.
    fn keep(&self, pieces: Vec<Bytes>) -> Vec<KeptPiece> {
        let mut log = self.0.lock();
        log.batches.clear();
        log.pieces = pieces;
        let kept = (0..).zip(&log.pieces).filter_map(|(number, piece)| {
            let (first, last) = Ledger::covers(piece)?;
            Some(KeptPiece { number, first, last })
        });
        kept.collect()
    }
}

impl Source for Log {
    fn entry(&self, index: u64) -> io::Result<Vec<Bytes>> {
        let log = self.0.lock();
        let batch = log.batches.get(&index).ok_or(io::ErrorKind::NotFound)?;
        Ok(vec![batch.clone()])
    }

    fn piece(&self, number: u64) -> io::Result<Bytes> {
        let log = self.0.lock();
        Ok(log.pieces.get(number as usize).ok_or(io::ErrorKind::NotFound)?.clone())
    }
}

/// A batch of messages from one producer.
fn batch(first_seq: u64, producer: u64, numbers: impl IntoIterator<Item = u64>) -> Bytes {
    let mut batch = Records::default();
    for (seq, number) in (first_seq..).zip(numbers) {
        batch.append(
            seq,
            &META,
            Some(origin(producer, number)),
            &message(&number.to_string()),
        );
    }
    batch.take().expect("messages")
}
