//! Proposals on their way into the log.
//!
//! ```text
//! submit → waiting ──pump: up to ENTRY_BYTES into one entry──→ in flight (IN_FLIGHT) → applied → done
//! ```
//! A few entries are in flight; what arrives meanwhile waits and goes together into the next one,
//! so load makes entries larger, not more. While little waits, one entry is in flight and no more, and
//! where rounds take long there are [`Pauses`] between them: a round costs all members the same for
//! one message and for many. Order is kept: records are applied in
//! the order in which they were submitted, but after an error some before it may be missing. Those of a caller
//! who leads in a term are proposed in no other, and after an error none of them that waits is: what
//! a leader decided on top of something that is lost must not come to be applied.
//!
//! The pump is a task that lives only while there is something to send.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::Instant;
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, ForwardToLeader};
use openraft::raft::ClientWriteResult;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::Instant as Time;

use super::apply::Applier;
use super::pack::Packed;
use super::pause::Pauses;
use super::types::{OnApplied, Types};
use crate::machine::{Machine, Unreadable};
use crate::types::NodeId;

/// A record that a majority has and this node has applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Applied<O> {
    /// Its entry's index in the log.
    pub index: u64,
    /// What the machine said.
    pub output: O,
}

/// Why a proposal was not applied here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Not proposed: another node leads, or none that is known.
    #[error("this node does not lead the group")]
    NotLeader { leader: Option<NodeId> },
    /// Not proposed: this node leads but does not hear a majority.
    #[error("a majority of the group cannot be reached")]
    NoQuorum,
    /// Proposed, but leadership ended: it may or may not come to be applied.
    #[error("the group's leader changed; the record may or may not be kept")]
    Unknown { leader: Option<NodeId> },
    /// Proposed or not: the group stopped on this node.
    #[error("the group is stopped on this node")]
    Stopped,
    /// Not proposed: this program could not read it back.
    #[error("the record cannot be read: {0}")]
    Unreadable(#[from] Unreadable),
    /// Not proposed: it has more than [`RECORD_BYTES`].
    #[error("a record of {0} bytes is too large")]
    TooLarge(usize),
}

/// Whom to tell.
type Done<O> = Box<dyn FnOnce(Result<Applied<O>, ProposeError>) + Send>;

/// Proposals to one group.
pub struct Proposer<M: Machine> {
    raft: Raft<Types, Applier<M>>,
    runtime: Handle,
    queue: Mutex<Queue<M::Output>>,
    /// Bytes that may wait with callers who wait for room.
    room: Arc<Semaphore>,
    /// A flight ended.
    landed: Notify,
    /// Enough came in a pause.
    enough: Notify,
}

struct Queue<O> {
    waiting: VecDeque<Proposal<O>>,
    /// Of the records that wait.
    bytes: usize,
    in_flight: usize,
    is_pumping: bool,
    pauses: Pauses,
    /// From the sending of the last batch that came to its end to that.
    took: Duration,
}

/// A record that waits.
struct Proposal<O> {
    /// The only term in which it may be proposed.
    term: Option<u64>,
    record: Bytes,
    telling: Telling<O>,
}

/// Tells for certain: [`ProposeError::Stopped`] if nothing else was told.
struct Telling<O>(Option<Done<O>>);

/// Records in one entry, from when they leave the queue until they are applied or given up.
struct Flight<M: Machine> {
    proposer: Arc<Proposer<M>>,
    telling: Vec<Telling<M::Output>>,
    records: usize,
    sent: Time,
}

impl<M: Machine> Proposer<M> {
    pub fn new(raft: Raft<Types, Applier<M>>) -> Self {
        Self {
            raft,
            runtime: Handle::current(),
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                bytes: 0,
                in_flight: 0,
                is_pumping: false,
                pauses: Pauses::default(),
                took: Duration::ZERO,
            }),
            room: Arc::new(Semaphore::new(WAITING_BYTES)),
            landed: Notify::new(),
            enough: Notify::new(),
        }
    }

    /// Proposes a record and waits until it is applied here; waits for room first while much waits.
    pub async fn propose(self: &Arc<Self>, record: Bytes) -> Result<Applied<M::Output>, ProposeError> {
        let bytes = record.len().clamp(1, WAITING_BYTES);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes as u32).await;
        let room = room.map_err(|_| ProposeError::Stopped)?;
        let (answer, answered) = oneshot::channel();
        self.submit(None, record, move |applied| {
            drop(room);
            // Who does not wait any more does not hear it.
            let _ = answer.send(applied);
        });
        answered.await.unwrap_or(Err(ProposeError::Stopped))
    }

    /// Proposes a record, in that term or not at all, and returns at once; `done` is called once,
    /// from another task.
    pub fn submit(
        self: &Arc<Self>,
        term: Option<u64>,
        record: Bytes,
        done: impl FnOnce(Result<Applied<M::Output>, ProposeError>) + Send + 'static,
    ) {
        let telling = Telling(Some(Box::new(done)));
        if record.len() > RECORD_BYTES {
            return telling.tell(Err(ProposeError::TooLarge(record.len())));
        }
        if let Err(error) = M::check(&record) {
            return telling.tell(Err(error.into()));
        }
        let mut queue = self.queue.lock();
        queue.bytes += record.len();
        queue.waiting.push_back(Proposal { term, record, telling });
        if queue.pauses.is_on() {
            queue.pauses.came(Time::now());
            if queue.bytes >= COMPANY_BYTES {
                self.enough.notify_one();
            }
        }
        self.start_pump(&mut queue);
    }

    fn start_pump(self: &Arc<Self>, queue: &mut Queue<M::Output>) {
        if !queue.is_pumping && queue.may_send() {
            queue.is_pumping = true;
            self.runtime.spawn(Arc::clone(self).pump());
        }
    }

    /// Ends when nothing waits or enough is in flight.
    async fn pump(self: Arc<Self>) {
        let mut is_sure = false;
        loop {
            if !is_sure {
                if let Err(error) = self.hear_majority().await {
                    return self.give_up(&error);
                }
                is_sure = true;
            }
            self.pause().await;
            let Some((term, packed, flight)) = self.load() else {
                return;
            };
            let answer = OnApplied::new(move |result| flight.land(result));
            let mut write = self.raft.write(packed).responder(answer);
            if let Some(term) = term {
                write = write.with_leader(term);
            }
            // An error drops the flight, which tells.
            if write.await.is_err() {
                return self.give_up(&ProposeError::Stopped);
            }
        }
    }

    /// Rests before the next entry, if it is time for that.
    async fn pause(&self) {
        let until = {
            let mut queue = self.queue.lock();
            if queue.bytes >= COMPANY_BYTES {
                return;
            }
            queue.pauses.begin(Time::now())
        };
        if let Some(until) = until {
            // Too early when it was enough once before: that pause is short.
            let _ = tokio::time::timeout_at(until, self.enough.notified()).await;
            self.queue.lock().pauses.end(Time::now());
        }
    }

    /// Takes what waits for the same term, up to an entry's worth.
    fn load(self: &Arc<Self>) -> Option<(Option<u64>, Packed, Flight<M>)> {
        let mut queue = self.queue.lock();
        let term = match queue.waiting.front() {
            Some(first) if queue.may_send() => first.term,
            _ => {
                queue.is_pumping = false;
                return None;
            }
        };
        let (mut count, mut bytes) = (0, 0);
        for one in &queue.waiting {
            bytes += one.record.len() + 4;
            if one.term != term || (count > 0 && bytes > ENTRY_BYTES) {
                break;
            }
            count += 1;
        }
        queue.in_flight += 1;
        let taken = queue.waiting.drain(..count);
        let (records, telling): (Vec<_>, Vec<_>) = taken.map(|one| (one.record, one.telling)).unzip();
        queue.bytes -= records.iter().map(Bytes::len).sum::<usize>();
        drop(queue);
        let flight = Flight {
            proposer: Arc::clone(self),
            telling,
            records: count,
            sent: Time::now(),
        };
        Some((term, Packed::of(records.iter()), flight))
    }

    /// Whether a majority was heard just now; none where this node does not lead.
    pub fn has_heard_majority(&self) -> Option<bool> {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        // The role is told here first.
        let server = self.raft.server_metrics();
        let server = server.borrow_watched();
        if now.running_state.is_err() || !server.state.is_leader() {
            return None;
        }
        // A majority of its own, which no message tells.
        let is_alone = server.membership_config.voter_ids().all(|voter| voter == server.id);
        let heard = now.last_quorum_acked.map(|at| at.into_inner().elapsed());
        Some(is_alone || heard.is_some_and(|ago| ago < SURE))
    }

    /// A group that was idle longer than its lease refuses proposals until it has heard its
    /// members again: asks them first.
    pub async fn hear_majority(&self) -> Result<(), ProposeError> {
        let mut metrics = self.raft.metrics();
        let deadline = tokio::time::Instant::now() + QUORUM_DEADLINE;
        let mut asked = false;
        loop {
            // What changes from here on ends the wait below.
            let is_running = metrics.borrow_and_update().running_state.is_ok();
            match self.has_heard_majority() {
                Some(true) => return Ok(()),
                Some(false) => {}
                None if is_running => {
                    let leader = self.raft.server_metrics().borrow_watched().current_leader;
                    return Err(ProposeError::NotLeader { leader });
                }
                None => return Err(ProposeError::Stopped),
            }
            if !asked {
                asked = true;
                self.raft
                    .trigger()
                    .heartbeat()
                    .await
                    .map_err(|_| ProposeError::Stopped)?;
            }
            match tokio::time::timeout_at(deadline, metrics.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(ProposeError::Stopped),
                Err(_) => return Err(ProposeError::NoQuorum),
            }
        }
    }

    /// Tells all who wait.
    fn give_up(&self, error: &ProposeError) {
        let waiting = {
            let mut queue = self.queue.lock();
            queue.is_pumping = false;
            queue.bytes = 0;
            std::mem::take(&mut queue.waiting)
        };
        for one in waiting {
            one.telling.tell(Err(error.clone()));
        }
    }

    /// What waits and was decided on top of something that is lost.
    fn take_decided(&self) -> Vec<Telling<M::Output>> {
        let mut queue = self.queue.lock();
        let waiting = std::mem::take(&mut queue.waiting);
        let (decided, others) = waiting.into_iter().partition::<Vec<_>, _>(|one| one.term.is_some());
        queue.waiting = others.into();
        queue.bytes = queue.waiting.iter().map(|one| one.record.len()).sum();
        drop(queue);
        decided.into_iter().map(|one| one.telling).collect()
    }

    /// Gives up what was decided on top of a state that is thrown away, and waits until what is on its
    /// way has ended.
    ///
    /// # Errors
    /// [`ProposeError::NoQuorum`] when it does not end.
    pub async fn withdraw(&self) -> Result<(), ProposeError> {
        let deadline = tokio::time::Instant::now() + QUORUM_DEADLINE;
        loop {
            let landed = self.landed.notified();
            tokio::pin!(landed);
            landed.as_mut().enable();
            for telling in self.take_decided() {
                telling.tell(Err(ProposeError::NoQuorum));
            }
            if self.queue.lock().in_flight == 0 {
                return Ok(());
            }
            if tokio::time::timeout_at(deadline, landed).await.is_err() {
                return Err(ProposeError::NoQuorum);
            }
        }
    }

    /// How long the last batch took to be committed; zero where this member never led.
    pub fn took(&self) -> Duration {
        self.queue.lock().took
    }

    /// Waits until nothing waits or is on its way any more, while a majority is heard.
    pub async fn landed(&self) {
        let deadline = tokio::time::Instant::now() + QUORUM_DEADLINE;
        while self.has_heard_majority() == Some(true) {
            let landed = self.landed.notified();
            tokio::pin!(landed);
            landed.as_mut().enable();
            {
                let queue = self.queue.lock();
                if queue.in_flight == 0 && queue.waiting.is_empty() {
                    return;
                }
            }
            if tokio::time::timeout_at(deadline, landed).await.is_err() {
                return;
            }
        }
    }

    /// The group stops: nothing waits any more.
    pub fn stop(&self) {
        self.room.close();
        self.give_up(&ProposeError::Stopped);
    }
}

impl<O> Queue<O> {
    /// Whether an entry goes now.
    fn may_send(&self) -> bool {
        let most = if self.bytes < COMPANY_BYTES { 1 } else { IN_FLIGHT };
        !self.waiting.is_empty() && self.in_flight < most
    }
}

impl<O> Telling<O> {
    fn tell(mut self, result: Result<Applied<O>, ProposeError>) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }
}

impl<O> Drop for Telling<O> {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(ProposeError::Stopped));
        }
    }
}

impl<M: Machine> Flight<M> {
    fn land(mut self, result: ClientWriteResult<Types>) {
        let telling = std::mem::take(&mut self.telling);
        match result {
            Ok(response) => {
                let index = response.log_id.index;
                let outputs = response.data.take::<M::Output>().unwrap_or_default();
                for (telling, output) in telling.into_iter().zip(outputs) {
                    telling.tell(Ok(Applied { index, output }));
                }
            }
            Err(error) => {
                let error = ProposeError::from(error);
                // Taken before anybody is told, who may then decide anew.
                let decided = self.proposer.take_decided();
                for telling in telling.into_iter().chain(decided) {
                    telling.tell(Err(error.clone()));
                }
            }
        }
    }
}

impl<M: Machine> Drop for Flight<M> {
    fn drop(&mut self) {
        self.telling.clear();
        let mut queue = self.proposer.queue.lock();
        queue.in_flight -= 1;
        let now = Time::now();
        queue.took = now.saturating_duration_since(self.sent);
        queue.pauses.landed(self.records, self.sent, now);
        self.proposer.start_pump(&mut queue);
        drop(queue);
        self.proposer.landed.notify_waiters();
    }
}

impl From<ClientWriteError<Types>> for ProposeError {
    fn from(error: ClientWriteError<Types>) -> Self {
        match error {
            ClientWriteError::ForwardToLeader(ForwardToLeader { leader_id, .. }) => {
                Self::NotLeader { leader: leader_id }
            }
            ClientWriteError::LogEntryDiscarded(ForwardToLeader { leader_id, .. }) => {
                Self::Unknown { leader: leader_id }
            }
            // Neither is asked for with a record.
            ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_) => {
                Self::Unknown { leader: None }
            }
        }
    }
}

/// Entries in flight.
const IN_FLIGHT: usize = 4;
/// Bytes of records that do not wait for the entry before them to be applied.
const COMPANY_BYTES: usize = 32 * 1024;
/// Bytes of records in one entry; a larger record goes alone.
const ENTRY_BYTES: usize = 1024 * 1024;
/// Bytes of the largest record.
pub const RECORD_BYTES: usize = 32 * 1024 * 1024;
/// Bytes that wait before [`Proposer::propose`] waits itself.
const WAITING_BYTES: usize = 16 * 1024 * 1024;
/// A majority heard from so long ago will still count when the proposal is looked at, and does not
/// vote for another leader yet: less than [`super::journals::VOTE_AFTER`].
const SURE: Duration = Duration::from_millis(500);
/// How long a majority may take to answer.
const QUORUM_DEADLINE: Duration = Duration::from_secs(2);
