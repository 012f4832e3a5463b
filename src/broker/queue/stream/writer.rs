//! What this node's clients publish to a stream, on its way to the leader.
//!
//! ```text
//! publish → building ──sealed: a chunk's worth, numbered──→ unanswered → answered: confirms
//!                                                            └ sent again, all in order, when something was lost
//! ```
//! A batch is numbered by this node and kept until it is answered. The leader takes the next number of a
//! node and no other, so that what is sent again, here or to the next leader, is written once and in order. Where this
//! node leads a few batches are on their way at a time, elsewhere one. While little waits, one is, so that load
//! makes chunks larger and not more. The task lives only while there is something to send.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::leading::{Lost, Written};
use super::live::LiveStream;
use crate::broker::queue::claims::{ConfirmToken, answer};
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::queues::Queues;
use crate::channel::ConfirmOutcome;
use crate::codec::sections;
use crate::journal::raft::RECORD_BYTES;
use crate::queue::Publish;
use crate::stream::chunk::{Count, MESSAGE_HEAD, MOST_ENTRIES};
use crate::stream::filter::Building as Filter;
use crate::stream::producers::Key;
use crate::stream::{Batch, Writer};
use crate::tasks;
use crate::types::NodeId;

/// How long a batch may take before it is sent again.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long the writer rests when nobody takes what it sends.
const AGAIN: Duration = Duration::from_millis(20);
/// Bytes of a chunk's data; a larger message goes alone.
const CHUNK_BYTES: usize = 512 * 1024;
/// Bytes that do not wait for the batch before them to be answered.
const COMPANY_BYTES: usize = 32 * 1024;
/// Bytes of the largest message: with all around it, it fits into a record and into a call between nodes.
const MOST_BYTES: usize = RECORD_BYTES - 1024 * 1024;
/// Batches on their way where this node leads.
const IN_FLIGHT: usize = 4;
/// Bytes on their way beyond which publishers are not read.
const CROWD_BYTES: usize = 8 * 1024 * 1024;

/// See the head of this file.
pub(super) struct Outgoing {
    /// This node's writes to the stream are told from those of others by this.
    id: u64,
    next_number: u64,
    building: Building,
    unanswered: VecDeque<Unanswered>,
    /// Of both.
    bytes: usize,
    is_writing: bool,
}

struct Building {
    data: Vec<u8>,
    entries: u16,
    filter: Filter,
    filter_bytes: u8,
    tokens: Vec<Option<ConfirmToken>>,
}

/// A batch with its number.
pub(super) struct Numbered {
    pub writer: Writer,
    pub count: Count,
    pub filter: Bytes,
    pub data: Bytes,
}

struct Unanswered {
    batch: Arc<Numbered>,
    tokens: Vec<Option<ConfirmToken>>,
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
    fn push(&mut self, publish: Publish<ConfirmToken>) -> Option<Publish<ConfirmToken>> {
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
    fn seal(&mut self) {
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
    fn next(&mut self, on_their_way: usize) -> Option<Arc<Numbered>> {
        let is_enough = on_their_way == 0 || self.building.data.len() >= COMPANY_BYTES;
        if self.unanswered.len() <= on_their_way && self.building.entries > 0 && is_enough {
            self.seal();
        }
        self.unanswered.get(on_their_way).map(|next| next.batch.clone())
    }

    /// What follows a batch that will never be taken is numbered anew, as by another node: the leader waits for the
    /// number that was left out.
    fn renumber(&mut self, id: u64) {
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

    fn answered(&mut self) -> Vec<Option<ConfirmToken>> {
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

impl LiveStream {
    /// Messages of this node's clients.
    pub(in crate::broker) fn publish(
        self: &Arc<Self>,
        queues: &Arc<Queues>,
        queue: &Arc<QueueHandle>,
        batch: impl IntoIterator<Item = Publish<ConfirmToken>>,
    ) {
        let mut outgoing = self.outgoing.lock();
        if self.is_ended() {
            drop(outgoing);
            let tokens = batch.into_iter().filter_map(|publish| publish.publish);
            return answer(tokens, ConfirmOutcome::Ack);
        }
        let filter_bytes = self.filter_bytes();
        if outgoing.building.filter_bytes != filter_bytes && outgoing.building.entries == 0 {
            outgoing.building.filter = Filter::new(filter_bytes);
            outgoing.building.filter_bytes = filter_bytes;
        }
        let refused: Vec<_> = batch.into_iter().filter_map(|publish| outgoing.push(publish)).collect();
        queue.set_crowded(outgoing.bytes >= CROWD_BYTES);
        if outgoing.is_writing {
            self.more.notify_one();
        } else if outgoing.bytes > 0 {
            outgoing.is_writing = true;
            let (stream, queues, queue) = (self.clone(), Arc::downgrade(queues), queue.clone());
            tasks::spawn("stream writer", async move { stream.write(queues, queue).await });
        }
        drop(outgoing);
        let refused = refused.into_iter().filter_map(|publish| publish.publish);
        answer(refused, ConfirmOutcome::Nack);
    }

    /// What was published is gone with the stream, and confirmed.
    pub(super) fn drop_outgoing(&self) {
        let tokens = {
            let mut outgoing = self.outgoing.lock();
            outgoing.bytes = 0;
            let building = std::mem::take(&mut outgoing.building.tokens);
            outgoing.building.data.clear();
            outgoing.building.entries = 0;
            let unanswered = std::mem::take(&mut outgoing.unanswered);
            unanswered
                .into_iter()
                .flat_map(|one| one.tokens)
                .chain(building)
                .collect::<Vec<_>>()
        };
        answer(tokens.into_iter().flatten(), ConfirmOutcome::Ack);
    }

    /// Sends what is to be sent, until there is nothing.
    async fn write(self: Arc<Self>, weak: Weak<Queues>, queue: Arc<QueueHandle>) {
        let mut flights: VecDeque<BoxFuture<'static, Written>> = VecDeque::new();
        loop {
            let Some(queues) = weak.upgrade() else { return };
            if self.is_ended() {
                self.outgoing.lock().is_writing = false;
                return;
            }
            let leader = self.leader_of(&queues, &queue);
            let most = if leader == Some(queues.us()) { IN_FLIGHT } else { 1 };
            while flights.len() < most {
                let Some(next) = self.outgoing.lock().next(flights.len()) else {
                    break;
                };
                flights.push_back(self.send(&queues, leader, next));
            }
            drop(queues);
            let has_room = flights.len() < most;
            let Some(first) = flights.front_mut() else {
                let mut outgoing = self.outgoing.lock();
                if outgoing.bytes == 0 {
                    outgoing.is_writing = false;
                    return;
                }
                continue;
            };
            let written = tokio::select! {
                written = first => written,
                () = self.more.notified(), if has_room => continue,
                () = self.end.notified() => continue,
            };
            match written {
                Ok(_) => {
                    flights.pop_front();
                    self.answer_first(&queue, ConfirmOutcome::Ack);
                }
                Err(Lost::Refused | Lost::Fenced) => {
                    flights.clear();
                    self.answer_first(&queue, ConfirmOutcome::Nack);
                    self.outgoing.lock().renumber(rand::random());
                }
                Err(lost) => {
                    flights.clear();
                    if let Lost::NotLeader { leader } = lost {
                        self.set_leader(leader);
                    }
                    // Woken early where this node comes to lead.
                    let _ = timeout(AGAIN, self.more.notified()).await;
                }
            }
        }
    }

    fn answer_first(&self, queue: &QueueHandle, outcome: ConfirmOutcome) {
        let (tokens, is_crowded) = {
            let mut outgoing = self.outgoing.lock();
            (outgoing.answered(), outgoing.bytes >= CROWD_BYTES)
        };
        answer(tokens.into_iter().flatten(), outcome);
        queue.set_crowded(is_crowded);
    }

    fn send(&self, queues: &Arc<Queues>, leader: Option<NodeId>, batch: Arc<Numbered>) -> BoxFuture<'static, Written> {
        match leader {
            None => Box::pin(std::future::ready(Err(Lost::NotLeader { leader: None }))),
            Some(leader) if leader == queues.us() => {
                let told = self.append(queues, &batch.batch());
                Box::pin(async move { told.await.unwrap_or(Err(Lost::NotLeader { leader: None })) })
            }
            Some(leader) => super::service::append_there(queues, leader, self.id, &batch),
        }
    }
}
