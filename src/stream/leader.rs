//! What is appended to a stream, decided by its leader under the stream's lock.
//!
//! It knows the log as it will be when all that it decided is applied: the next offset, and how far each
//! producer has come. It is made of a [`Log`] that has applied all that is committed, and thrown away
//! with the term, or when something that it decided was not applied.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::chunk::{self, Count, Place};
use super::cursors::{Cursor, Cursors};
use super::log::Log;
use super::producers::{Key, Producers, Written};
use super::record::{self, By};
use crate::types::Timestamp;

/// See the head of this file.
pub struct Leader {
    term: u64,
    next: u64,
    producers: Producers,
    cursors: Cursors,
    /// Epochs of publishers by name that are there.
    claimed: BTreeMap<Key, u64>,
}

/// Who writes a batch that is kept until it is answered, and sent again if it may be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    pub key: Key,
    pub epoch: u64,
    /// Numbers of its entries.
    pub first: u64,
    pub last: u64,
}

/// What is to be appended: a chunk's data.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    pub writer: Option<&'a Writer>,
    pub count: Count,
    pub filter: &'a [u8],
    pub data: &'a [u8],
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// To be proposed; its messages end before that offset.
    Record { record: Bytes, end: u64 },
    /// It was appended before, and is committed when everything below that offset is.
    Known { end: u64 },
    /// Something that its writer numbered before it is missing.
    Gap { expected: u64 },
    /// Somebody of the same name has come later.
    Fenced,
}

impl Leader {
    /// On top of a log that has all that is committed.
    pub fn of(log: &Log, term: u64) -> Self {
        Self {
            term,
            next: log.bounds().next,
            producers: log.producers().clone(),
            cursors: log.cursors().clone(),
            claimed: BTreeMap::new(),
        }
    }

    pub fn term(&self) -> u64 {
        self.term
    }

    /// As if nobody had written anything: a rule that a test breaks.
    #[cfg(test)]
    pub fn forget_producers(&mut self) {
        self.producers = Producers::default();
    }

    /// The offset of what is appended next.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// How far a producer has come, with what is on its way.
    pub fn last_of(&self, key: &Key) -> Option<u64> {
        self.producers.get(key).map(super::producers::Producer::last)
    }

    /// A publisher of that name begins; its epoch is above that of all before it, which write no more.
    pub fn claim(&mut self, key: &Key) -> u64 {
        let epoch = self.epoch_of(key) + 1;
        self.claimed.insert(key.clone(), epoch);
        epoch
    }

    /// It ends. Its epoch stays taken where it has written.
    pub fn release(&mut self, key: &Key, epoch: u64) {
        if self.claimed.get(key) == Some(&epoch) {
            self.claimed.remove(key);
        }
    }

    /// Whether a newer publisher of that name has begun.
    pub fn is_fenced(&self, key: &Key, epoch: u64) -> bool {
        self.epoch_of(key) > epoch
    }

    fn epoch_of(&self, key: &Key) -> u64 {
        let claimed = self.claimed.get(key).copied();
        let written = self.producers.get(key).map(|producer| producer.epoch);
        claimed.max(written).unwrap_or(0)
    }

    /// All producers, with what is on its way.
    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// All readers' places, with what is on its way.
    pub fn cursors(&self) -> &Cursors {
        &self.cursors
    }

    /// Where a reader is, with what is on its way.
    pub fn cursor_of(&self, name: &str) -> Option<&Cursor> {
        self.cursors.get(name)
    }

    /// Which of these numbers of a producer are new, each above those before it and above all that was written.
    pub fn new_ones(&self, key: &Key, numbers: impl IntoIterator<Item = u64>) -> Vec<bool> {
        let mut last = self.last_of(key);
        let is_new = |number| {
            let is_new = last.is_none_or(|last| number > last);
            if is_new {
                last = Some(number);
            }
            is_new
        };
        numbers.into_iter().map(is_new).collect()
    }

    /// A batch comes at that time.
    pub fn append(&mut self, now: Timestamp, batch: &Batch<'_>) -> Appended {
        let by = match batch.writer {
            None => None,
            Some(writer) => match self.look_at(writer) {
                Err(refused) => return refused,
                Ok(()) => Some(By {
                    key: writer.key.clone(),
                    epoch: writer.epoch,
                    first: writer.first,
                    last: writer.last,
                }),
            },
        };
        let place = Place {
            first: self.next,
            at: now,
            epoch: self.term,
        };
        let mut record = By::begin(by.as_ref(), batch.filter, chunk::HEADER + batch.data.len());
        chunk::write(&mut record, place, batch.count, batch.data);
        if let Some(By {
            key,
            epoch,
            first,
            last,
        }) = by
        {
            let offset = self.next;
            self.producers.wrote(&key, epoch, Written { first, last, offset });
        }
        self.next += u64::from(batch.count.records);
        Appended::Record {
            record: record.into(),
            end: self.next,
        }
    }

    /// A reader says where it is, or that it is no more.
    pub fn cursor(&mut self, name: &str, cursor: Option<&Cursor>) -> Appended {
        match cursor {
            Some(cursor) => self.cursors.set(name.into(), cursor.clone()),
            None => self.cursors.remove(name),
        }
        Appended::Record {
            record: record::cursor(name, cursor),
            end: self.next,
        }
    }

    /// Whether the batch is the next of its writer. One that is not known may begin anywhere: it is new, or
    /// was quiet for so long that others took its place. A name may leave numbers out, a number may not.
    fn look_at(&self, writer: &Writer) -> Result<(), Appended> {
        let Some(known) = self.producers.get(&writer.key) else {
            return Ok(());
        };
        if writer.epoch < known.epoch {
            return Err(Appended::Fenced);
        }
        if writer.last <= known.last() {
            return Err(Appended::Known { end: self.next });
        }
        let expected = known.last() + 1;
        let fits = match writer.key {
            Key::Id(_) => writer.first == expected,
            Key::Name(_) => writer.first >= expected,
        };
        fits.then_some(()).ok_or(Appended::Gap { expected })
    }
}
