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

use super::{Bodies, Ledger, Place};
use crate::machine::Machine;
use crate::queue::META_LEN;
use crate::queue::record::{Origin, ProducerId, Record, Records, records};
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

/// The log as a place of bodies: those that came with a snapshot are kept by number.
#[derive(Default)]
struct Log(Mutex<Logged>);

#[derive(Default)]
struct Logged {
    batches: BTreeMap<u64, Bytes>,
    kept: BTreeMap<u64, Bytes>,
}

const KEPT: Place = Place(u64::MAX);

impl Log {
    fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    fn write(&self, index: u64, batch: Bytes) {
        self.0.lock().batches.insert(index, batch);
    }
}

impl Bodies for Log {
    fn read(&self, seq: u64, place: Place) -> io::Result<Bytes> {
        let log = self.0.lock();
        if place == KEPT {
            return Ok(log.kept[&seq].clone());
        }
        let batch = &log.batches[&place.0];
        let mut records = records(batch).map_err(io::Error::other)?;
        let found = records.find_map(|record| match record {
            Ok(Record::Append(append)) if append.seq == seq => Some(batch.slice(append.stored)),
            _ => None,
        });
        found.ok_or_else(|| io::Error::other("not in this batch"))
    }

    fn keep(&self, seq: u64, stored: &Bytes) -> io::Result<Place> {
        self.0.lock().kept.insert(seq, stored.clone());
        Ok(KEPT)
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
