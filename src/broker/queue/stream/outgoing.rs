//! What this node's clients have published to a stream and is not answered.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::broker::queue::claims::ConfirmToken;
use crate::codec::sections;
use crate::journal::raft::RECORD_BYTES;
use crate::queue::Publish;
use crate::stream::chunk::{Count, MESSAGE_HEAD, MOST_ENTRIES};
use crate::stream::filter::Building as Filter;
use crate::stream::producers::Key;
use crate::stream::{Batch, Writer};

/// Bytes of a chunk's data; a larger message goes alone.
const CHUNK_BYTES: usize = 512 * 1024;
/// Bytes that do not wait for the batch before them to be answered.
const COMPANY_BYTES: usize = 32 * 1024;
/// Bytes of the largest message: with all around it, it fits into a record and into a call between nodes.
const MOST_BYTES: usize = RECORD_BYTES - 1024 * 1024;

/// What is published and not answered.
pub(super) struct Outgoing {
    /// This node's writes to the stream are told from those of others by this.
    pub id: u64,
    pub next_number: u64,
    pub building: Building,
    pub unanswered: VecDeque<Unanswered>,
    /// Of both.
    pub bytes: usize,
    pub is_writing: bool,
}

/// A chunk that is built.
pub(super) struct Building {
    pub data: Vec<u8>,
    pub entries: u16,
    pub filter: Filter,
    pub filter_bytes: u8,
    pub tokens: Vec<Option<ConfirmToken>>,
}

/// A batch with its number.
pub(super) struct Numbered {
    pub writer: Writer,
    pub count: Count,
    pub filter: Bytes,
    pub data: Bytes,
}

/// A batch that is not answered, and who waits.
pub(super) struct Unanswered {
    pub batch: Arc<Numbered>,
    pub tokens: Vec<Option<ConfirmToken>>,
}

impl Outgoing {
    pub fn new(id: u64, filter_bytes: u8) -> Self {
        Self {
            id,
            next_number: 1,
            building: Building {
                data: Vec::new(),
                entries: 0,
                filter: Filter::new(filter_bytes),
                filter_bytes,
                tokens: Vec::new(),
            },
            unanswered: VecDeque::new(),
            bytes: 0,
            is_writing: false,
        }
    }

    /// Takes a message; what is too large comes back.
    pub fn push(&mut self, publish: Publish<ConfirmToken>) -> Option<Publish<ConfirmToken>> {
        let building = &mut self.building;
        let start = building.data.len();
        building.data.extend_from_slice(&[0; MESSAGE_HEAD]);
        let value = sections::write(&mut building.data, &publish.message);
        let len = building.data.len() - start - MESSAGE_HEAD;
        if len > MOST_BYTES {
            building.data.truncate(start);
            return Some(publish);
        }
        building.data[start..start + MESSAGE_HEAD].copy_from_slice(&(len as u32).to_be_bytes());
        building.filter.add(value.as_deref());
        building.entries += 1;
        building.tokens.push(publish.publish);
        self.bytes += len + MESSAGE_HEAD;
        if building.data.len() >= CHUNK_BYTES || usize::from(building.entries) == MOST_ENTRIES {
            self.seal();
        }
        None
    }

    /// What was built becomes a batch with a number.
    pub fn seal(&mut self) {
        let building = &mut self.building;
        let entries = std::mem::take(&mut building.entries);
        let data = std::mem::take(&mut building.data);
        let number = self.next_number;
        self.next_number += 1;
        let batch = Numbered {
            writer: Writer {
                key: Key::Id(self.id),
                epoch: 0,
                first: number,
                last: number,
            },
            count: Count {
                entries,
                records: entries.into(),
            },
            filter: building.filter.take().into(),
            data: data.into(),
        };
        self.unanswered.push_back(Unanswered {
            batch: Arc::new(batch),
            tokens: std::mem::take(&mut building.tokens),
        });
    }

    /// The batch behind those that are on their way.
    pub fn next(&mut self, on_their_way: usize) -> Option<Arc<Numbered>> {
        let is_enough = on_their_way == 0 || self.building.data.len() >= COMPANY_BYTES;
        if self.unanswered.len() <= on_their_way && self.building.entries > 0 && is_enough {
            self.seal();
        }
        self.unanswered.get(on_their_way).map(|next| next.batch.clone())
    }

    /// What follows a batch that will never be taken is numbered anew, as by another node: the leader waits for the
    /// number that was left out.
    pub fn renumber(&mut self, id: u64) {
        self.id = id;
        self.next_number = 1;
        for one in &mut self.unanswered {
            let Numbered {
                count, filter, data, ..
            } = &*one.batch;
            one.batch = Arc::new(Numbered {
                writer: Writer {
                    key: Key::Id(id),
                    epoch: 0,
                    first: self.next_number,
                    last: self.next_number,
                },
                count: *count,
                filter: filter.clone(),
                data: data.clone(),
            });
            self.next_number += 1;
        }
    }

    pub fn answered(&mut self) -> Vec<Option<ConfirmToken>> {
        let Some(first) = self.unanswered.pop_front() else {
            return Vec::new();
        };
        self.bytes -= first.batch.data.len();
        first.tokens
    }
}

impl Numbered {
    pub fn batch(&self) -> Batch<'_> {
        Batch {
            writer: Some(&self.writer),
            count: self.count,
            filter: &self.filter,
            data: &self.data,
        }
    }
}
