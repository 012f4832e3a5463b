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

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::live::LiveStream;
use super::outgoing::Numbered;
use super::written::{Lost, Written};
use crate::broker::queue::claims::{ConfirmToken, answer};
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::queues::Queues;
use crate::channel::ConfirmOutcome;
use crate::queue::Publish;
use crate::stream::filter::Building as Filter;
use crate::tasks;
use crate::types::NodeId;

/// How long the writer rests when nobody takes what it sends.
const AGAIN: Duration = Duration::from_millis(20);
/// Batches on their way where this node leads.
const IN_FLIGHT: usize = 4;
/// Bytes on their way beyond which publishers are not read.
const CROWD_BYTES: usize = 8 * 1024 * 1024;

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
            Some(leader) => super::asking::append_there(queues, leader, self.id, &batch),
        }
    }
}
