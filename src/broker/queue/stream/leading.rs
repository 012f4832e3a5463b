//! A stream that this node leads: what is appended, and what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;

use super::leadership::Leading;
use super::live::LiveStream;
use super::written::{Lost, PATIENCE, Written};
use crate::broker::queue::contents::{Applied, Contents, Tail};
use crate::broker::queue::queues::Queues;
use crate::journal::raft::{self, Group, ProposeError};
use crate::stream::{self, Appended, Batch, Leader};
use crate::tasks;

impl LiveStream {
    /// Whether this node leads in that term, and what it knows is the log.
    pub(in crate::broker) fn leads(&self, term: u64) -> bool {
        let leading = self.leading.lock();
        let is_so = |leading: &Leading| leading.leader.term() == term && !leading.is_lost.load(Ordering::Acquire);
        leading.as_ref().is_some_and(is_so)
    }

    /// This node leads, and its member has all that is committed.
    pub(in crate::broker) fn lead(&self, group: &Group<Contents>, term: u64) {
        let leader = match group.machine().log() {
            Some(log) if !self.is_ended() => Leader::of(log, term),
            _ => return,
        };
        *self.leading.lock() = Some(Leading {
            leader,
            group: group.clone(),
            is_lost: Arc::default(),
        });
        self.more.notify_one();
    }

    /// Another leads, or is to.
    pub(in crate::broker) fn step_down(&self) {
        *self.leading.lock() = None;
    }

    /// Appends a batch where this node leads. The answer comes when a majority has synced it.
    pub fn append(&self, queues: &Arc<Queues>, batch: &Batch<'_>) -> oneshot::Receiver<Written> {
        let (tell, told) = oneshot::channel();
        let now = queues.now();
        // Whoever does not wait any more need not know.
        let tell = move |written| {
            let _ = tell.send(written);
        };
        self.decide(queues, |leader| leader.append(now, batch), tell);
        told
    }

    /// Has the leader decide, where that is this node, and proposes it. `tell` is called once, when a majority has
    /// synced it or it is lost, and must not block.
    pub(super) fn decide(
        &self,
        queues: &Arc<Queues>,
        decide: impl FnOnce(&mut Leader) -> Appended,
        tell: impl FnOnce(Written) + Send + 'static,
    ) {
        let mut leading = self.leading.lock();
        let leading = leading
            .as_mut()
            .filter(|leading| !leading.is_lost.load(Ordering::Acquire));
        let Some(Leading { leader, group, is_lost }) = leading else {
            let leader = self.leader().filter(|leader| *leader != queues.us());
            return tell(Err(Lost::NotLeader { leader }));
        };
        match decide(leader) {
            Appended::Record { record, end } => {
                let (queues, id, is_lost) = (Arc::downgrade(queues), self.id, is_lost.clone());
                // In the order of the offsets: the lock is held.
                group.submit_in(leader.term(), record, move |result| {
                    let written = written(result, end);
                    if written.is_err() {
                        tracing::debug!(stream = id.0, "a chunk was not committed");
                        is_lost.store(true, Ordering::Release);
                        if let Some(above) = queues.upgrade().and_then(|queues| queues.above()) {
                            above.look_again(id);
                        }
                    }
                    tell(written);
                });
            }
            Appended::Known { end } => {
                let is_lost = is_lost.clone();
                tell_when_there(self.tail.clone(), end, is_lost, tell);
            }
            Appended::Gap { .. } => tell(Err(Lost::Gap)),
            Appended::Fenced => tell(Err(Lost::Fenced)),
        }
    }
}

fn written(result: Result<raft::Applied<Applied>, ProposeError>, end: u64) -> Written {
    match result.map(|applied| applied.output) {
        Ok(Applied::Stream(stream::Applied::Next(_))) => Ok(end),
        Err(ProposeError::TooLarge(_)) => Err(Lost::Refused),
        Ok(_) | Err(_) => Err(Lost::NotLeader { leader: None }),
    }
}

/// What was appended before is committed with what is on its way, or not at all.
fn tell_when_there(tail: Arc<Tail>, end: u64, is_lost: Arc<AtomicBool>, tell: impl FnOnce(Written) + Send + 'static) {
    if tail.next() >= end {
        return tell(Ok(end));
    }
    tasks::spawn("stream batch again", async move {
        let turns = tail.turns();
        // Too late is as lost.
        let _ = tokio::time::timeout(PATIENCE, tail.beyond(end - 1, turns)).await;
        let is_there = tail.next() >= end && !is_lost.load(Ordering::Acquire);
        tell(is_there.then_some(end).ok_or(Lost::NotLeader { leader: None }));
    });
}
