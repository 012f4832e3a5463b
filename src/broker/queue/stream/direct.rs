//! What publishers and readers do with a stream by its own words: entries with their numbers, chunks, cursors.
//!
//! A publisher must be where the stream is led, and hears when it is not any more. A publisher with a name numbers
//! its entries; those that are not above the last of that name are confirmed and not stored. Cursors are kept
//! in the stream's group, whoever says them.

use std::sync::Arc;

use super::asking;
use super::live::{LiveStream, replica};
use super::written::Lost;
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::queues::Queues;
use crate::stream::chunk::{Count, MOST_ENTRIES};
use crate::stream::cursors::Cursor;
use crate::stream::filter::Building as Filter;
use crate::stream::producers::Key;
use crate::stream::{Appended, Batch, Leader, Writer};

/// What one publisher has published: entries one behind the other, as they lie in a chunk.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    pub data: Vec<u8>,
    pub entries: Vec<EntryAt>,
    /// What filters go by, of each entry; empty where none has anything.
    pub filters: Vec<Option<Vec<u8>>>,
}

/// Where an entry is in the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryAt {
    /// The publisher's number of it.
    pub number: u64,
    /// Offsets that it takes.
    pub messages: u16,
    /// Where it ends.
    pub end: usize,
}

impl Entries {
    /// Forgets them, and keeps the memory.
    pub fn clear(&mut self) {
        self.data.clear();
        self.entries.clear();
        self.filters.clear();
    }

    /// What is to be written of them, in one chunk.
    pub(in crate::broker) fn decide(
        &self,
        leader: &mut Leader,
        now: crate::types::Timestamp,
        name: Option<(&Key, u64)>,
        filter_bytes: u8,
    ) -> Appended {
        let mut filter = Filter::new(filter_bytes);
        let Some((first, last)) = self.entries.first().zip(self.entries.last()) else {
            return Appended::Known { end: leader.next() };
        };
        let is_new = match name {
            Some((name, epoch)) if leader.is_fenced(name, epoch) => return Appended::Fenced,
            Some((name, _)) if !self.is_all_above(leader.last_of(name)) => {
                leader.new_ones(name, self.entries.iter().map(|entry| entry.number))
            }
            // As it nearly always is: nothing has to be taken out.
            _ => {
                for value in &self.filters {
                    filter.add(value.as_deref());
                }
                let records = self.entries.iter().map(|entry| u32::from(entry.messages)).sum();
                let writer = writer(name, first.number, last.number);
                let batch = Batch {
                    writer: writer.as_ref(),
                    count: Count {
                        entries: self.entries.len() as u16,
                        records,
                    },
                    filter: &filter.take(),
                    data: &self.data,
                };
                return leader.append(now, &batch);
            }
        };
        let (mut data, mut count) = (Vec::new(), Count::default());
        let mut numbers: Option<(u64, u64)> = None;
        let mut start = 0;
        for (at, entry) in self.entries.iter().enumerate() {
            let bytes = self.data.get(start..entry.end).unwrap_or_default();
            start = entry.end;
            if !is_new[at] {
                continue;
            }
            data.extend_from_slice(bytes);
            count.entries += 1;
            count.records += u32::from(entry.messages);
            filter.add(self.filters.get(at).and_then(Option::as_deref));
            let first = numbers.map_or(entry.number, |(first, _)| first);
            numbers = Some((first, entry.number));
        }
        let Some((first, last)) = numbers else {
            return Appended::Known { end: leader.next() };
        };
        let writer = writer(name, first, last);
        let batch = Batch {
            writer: writer.as_ref(),
            count,
            filter: &filter.take(),
            data: &data,
        };
        leader.append(now, &batch)
    }

    /// Whether each number is above the one before it, and the first above that one.
    fn is_all_above(&self, last: Option<u64>) -> bool {
        let numbers = || self.entries.iter().map(|entry| entry.number);
        numbers().next() > last && numbers().is_sorted_by(|one, next| one < next)
    }
}

/// Who writes these numbers, if that counts.
fn writer(name: Option<(&Key, u64)>, first: u64, last: u64) -> Option<Writer> {
    name.map(|(name, epoch)| Writer {
        key: name.clone(),
        epoch,
        first,
        last,
    })
}

impl LiveStream {
    /// Appends entries, by the name of their publisher and its epoch if that counts. `tell` hears once whether a majority has them,
    /// those that were there before too; it must not block. More than [`MOST_ENTRIES`] are refused.
    pub fn publish_entries(
        &self,
        queues: &Arc<Queues>,
        name: Option<(&str, u64)>,
        entries: &Entries,
        tell: impl FnOnce(Result<(), Lost>) + Send + 'static,
    ) {
        if entries.entries.len() > MOST_ENTRIES {
            return tell(Err(Lost::Refused));
        }
        let (now, filter_bytes) = (queues.now(), self.filter_bytes());
        let name = name.map(|(name, epoch)| (Key::Name(name.into()), epoch));
        let name = name.as_ref().map(|(key, epoch)| (key, *epoch));
        let decide = |leader: &mut Leader| entries.decide(leader, now, name, filter_bytes);
        self.decide(queues, decide, |written| tell(written.map(drop)));
    }

    /// A publisher of that name begins, and those before it write no more. Gives its epoch, 0 where another leads.
    pub fn claim(&self, name: &str) -> u64 {
        let mut leading = self.leading.lock();
        let key = Key::Name(name.into());
        leading.as_mut().map_or(0, |leading| leading.leader.claim(&key))
    }

    /// It ends.
    pub fn release(&self, name: &str, epoch: u64) {
        if let Some(leading) = &mut *self.leading.lock() {
            leading.leader.release(&Key::Name(name.into()), epoch);
        }
    }

    /// Whether this node leads it, so that it may be published to by its own words.
    pub fn is_led_here(&self) -> bool {
        self.leading.lock().is_some()
    }

    /// The highest number of a publisher's name: with what is on its way where the stream is led, else as far as it has come here.
    pub fn sequence(&self, queue: &QueueHandle, name: &str) -> Option<u64> {
        let key = Key::Name(name.into());
        let decided = self.leading.lock().as_ref().map(|leading| leading.leader.last_of(&key));
        decided.unwrap_or_else(|| {
            let group = replica(queue)?;
            let machine = group.machine();
            machine
                .log()?
                .producers()
                .get(&key)
                .map(crate::stream::producers::Producer::last)
        })
    }

    /// Keeps how far a reader has come; nobody hears whether that worked. Names are of 255 bytes at most.
    pub fn store_cursor(&self, queues: &Arc<Queues>, queue: &Arc<QueueHandle>, name: &str, offset: u64) {
        if name.len() > crate::stream::producers::NAME_BYTES {
            return;
        }
        if self.is_led_here() {
            return self.set_cursor(queues, name, offset, |_| {});
        }
        if let Some(leader) = self.leader_of(queues, queue).filter(|leader| *leader != queues.us()) {
            asking::store_cursor_there(queues, leader, self.id, name, offset);
        }
    }

    pub(super) fn set_cursor(
        &self,
        queues: &Arc<Queues>,
        name: &str,
        offset: u64,
        tell: impl FnOnce(Result<u64, Lost>) + Send + 'static,
    ) {
        let cursor = Cursor {
            offset,
            ..Cursor::default()
        };
        self.decide(queues, |leader| leader.cursor(name, Some(&cursor)), tell);
    }

    /// How far a reader has come: with what is on its way where the stream is led, else as far as it is known here.
    pub fn cursor(&self, queue: &QueueHandle, name: &str) -> Option<u64> {
        if let Some(leading) = &*self.leading.lock() {
            return leading.leader.cursor_of(name).map(|cursor| cursor.offset);
        }
        let group = replica(queue)?;
        let machine = group.machine();
        machine.log()?.cursors().get(name).map(|cursor| cursor.offset)
    }
}
