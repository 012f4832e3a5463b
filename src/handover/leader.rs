//! A replicated queue on the node that leads its group: the live queue in front of the log.
//!
//! ```text
//! lead: live queue out of the ledger, everybody told ──all attached, or their time is over──→ serves
//!   run on the queue → records → submit → landed: marks, durable, answers
//!                                    └ lost ──→ step down: what clients hold goes to their session
//! ```
//! The live queue is always ahead of the log by the records in flight. When one of these is lost the
//! queue is wrong and is thrown away; another one is made from the ledger, here or elsewhere.

mod intake;
mod landing;
mod purging;
mod term;

use std::collections::VecDeque;

use super::effects::{Effects, Flight, Purged, Wake, Why};
use super::handles::{ConsumerHandle, Handles, LiveQueue};
use super::output::Output;
use super::served::{Served, caught};
use super::serving::Serving;
use super::waiting::{AnsweredPublishes, SessionId};
use super::wire;
use crate::queue::ledger::{Ledger, Producers};
use crate::queue::record::Records;
use crate::queue::recorder::{Deduplicator, Recording};
use crate::queue::{ConsumerId, Queue};
use crate::spec::{QueueSettings, QueueType};
use crate::types::{Millis, NodeId, QueueId, Timestamp};

/// How long a new leader waits for live nodes to say what their clients hold.
const GATHER: Millis = Millis(500);
/// How long settled messages wait for other records to go with: without company they would cost a
/// round of the group for each of a slow client's acks, and nobody waits for them.
const LINGER: Millis = Millis(5);
/// Bytes of them that go at once.
const LINGER_BYTES: usize = 16 * 1024;
/// What a record has around a message, generously.
const AROUND: usize = 64 * 1024;

/// See the head of this file.
pub struct Leader<H: Handles> {
    pub(super) served: Served<H>,
    records: Records,
    deduplicator: Deduplicator,
    serving: Serving<H::Journal>,
    journal: H::Journal,
    pub(super) term: u64,
    /// Tells it from others in the same term.
    pub(super) incarnation: u64,
    /// Batches of records given to the group, and come back from it.
    submitted: u64,
    /// Those from here on tell what may have been delivered: what was on its way before is taken back by one of them.
    marks_from: u64,
    landed: u64,
    /// Since when records wait for others to go with.
    lingers: Option<Timestamp>,
    /// It is going to be looked whether they have waited for long enough.
    is_watched: bool,
    /// Who has purged the queue, with the records that must be committed before it hears how many
    /// messages that were.
    purged: Vec<(u64, Purged<H>)>,
    /// Settled batches of sessions, with the records that must be committed before they are answered.
    settling: VecDeque<(u64, NodeId, u64)>,
    /// Publishes that came again while the first time was on its way: answered when this message
    /// is durable.
    again: Vec<(u64, SessionId, u64)>,
    /// The single active consumer whose node was told so.
    active: Option<ConsumerId>,
}

/// What a node begins to lead with, when its ledger has all that is committed.
pub struct Leads<H: Handles> {
    queue: LiveQueue<H>,
    producers: Producers,
    term: u64,
    journal: H::Journal,
}

impl<H: Handles> Leads<H> {
    /// Makes the live queue.
    pub fn of(
        ledger: &Ledger,
        settings: QueueSettings,
        consumer_timeout: Option<Millis>,
        now: Timestamp,
        term: u64,
        journal: H::Journal,
    ) -> Self {
        let queue = Queue::recover(
            QueueType::Quorum,
            settings,
            now,
            ledger.recovered(),
            ledger.next_seq(),
            ledger.delivered_up_to(),
        );
        let mut queue = queue.replicated(term as u32);
        queue.set_consumer_timeout(now, consumer_timeout);
        Self {
            queue,
            producers: ledger.producers().clone(),
            term,
            journal,
        }
    }

    /// The live queue.
    pub fn queue(&self) -> &LiveQueue<H> {
        &self.queue
    }

    /// With another live queue, which may break the rules.
    #[cfg(test)]
    pub fn with(self, queue: LiveQueue<H>) -> Self {
        Self { queue, ..self }
    }
}

impl<H: Handles> Leader<H> {
    /// Through how many nodes' sessions something was published, as far as it is remembered.
    pub(super) fn publishers(&self) -> usize {
        self.deduplicator.producers()
    }

    fn new(leads: Leads<H>, incarnation: u64) -> Self {
        Self {
            served: Served::new(leads.queue),
            records: Records::default(),
            deduplicator: Deduplicator::new(leads.producers),
            serving: Serving::new(leads.journal.clone()),
            journal: leads.journal,
            term: leads.term,
            incarnation,
            submitted: 0,
            marks_from: 0,
            landed: 0,
            lingers: None,
            is_watched: false,
            purged: Vec::new(),
            settling: VecDeque::new(),
            again: Vec::new(),
            active: None,
        }
    }

    /// Runs a command on the live queue. `None` when that panicked.
    pub(super) fn run<E: Effects<H>, R>(
        &mut self,
        id: QueueId,
        effects: &mut E,
        answers: &mut AnsweredPublishes,
        f: impl FnOnce(&mut LiveQueue<H>, &Deduplicator, &mut Output<'_, H, E>) -> R,
    ) -> Option<R> {
        let Self {
            served,
            records,
            deduplicator,
            serving,
            ..
        } = self;
        let recording = Recording { records, deduplicator };
        let mut output = Output::recorded(id, effects, answers, recording, serving);
        caught(|| f(&mut served.queue, deduplicator, &mut output))
    }

    /// Whether a message may be handed out now.
    pub(super) fn may_serve<E: Effects<H>>(&mut self, effects: &mut E) -> bool {
        let may = self.serving.may_deliver(effects);
        self.serving.served(self.incarnation, effects);
        may
    }

    /// Gives what the queue recorded to the group, at once if anybody waits for it.
    pub(super) fn submit<E: Effects<H>>(&mut self, now: Timestamp, effects: &mut E) {
        self.serving.served(self.incarnation, effects);
        match self.records.may_wait() && self.records.len() < LINGER_BYTES {
            true if self.records.is_empty() => {}
            true => self.linger(now, effects),
            false => self.flush(effects),
        }
    }

    /// Sees to it that the records go before long.
    fn linger<E: Effects<H>>(&mut self, now: Timestamp, effects: &mut E) {
        self.lingers.get_or_insert(now);
        if !std::mem::replace(&mut self.is_watched, true) {
            effects.wake(LINGER, self.wake(Why::Lingered));
        }
    }

    /// Records may have waited long enough for others.
    pub(super) fn lingered<E: Effects<H>>(&mut self, now: Timestamp, effects: &mut E) {
        let rest = self.lingers.and_then(|since| LINGER.0.checked_sub(now.since(since).0));
        match rest.filter(|rest| *rest > 0) {
            Some(rest) => effects.wake(Millis(rest), self.wake(Why::Lingered)),
            None => {
                self.is_watched = false;
                self.flush(effects);
            }
        }
    }

    fn wake(&self, why: Why) -> Wake {
        let incarnation = self.incarnation;
        Wake { incarnation, why }
    }

    /// Gives what the queue recorded to the group.
    fn flush<E: Effects<H>>(&mut self, effects: &mut E) {
        self.lingers = None;
        let mark = self.records.mark();
        let Some(batch) = self.records.take() else {
            return;
        };
        self.submitted += 1;
        let flight = Flight {
            incarnation: self.incarnation,
            number: self.submitted,
            mark,
            discards: self.served.queue.discards_recorded(),
        };
        effects.submit(&self.journal, self.term, batch, flight);
    }

    /// Tells the node of the single active consumer, if it is another than before.
    pub(super) fn tell_active<E: Effects<H>>(&mut self, queue: QueueId, effects: &mut E) {
        let active = self.served.queue.single_active();
        if std::mem::replace(&mut self.active, active) != active
            && let Some(active) = active
        {
            self.tell_rank(queue, active, effects);
        }
    }

    /// Tells another node what the place of its consumer is.
    pub(super) fn tell_rank<E: Effects<H>>(&self, queue: QueueId, id: ConsumerId, effects: &mut E) {
        if let Some(view) = self.served.queue.consumer(id)
            && let ConsumerHandle::Remote(consumer) = view.handle
        {
            let (key, rank) = (consumer.key.0, view.rank);
            effects.write(&consumer.line, None, |buffer| wire::ranked(buffer, queue, key, rank));
        }
    }

    /// A session's batch was settled; it is to hear when that is committed.
    pub(super) fn settling(&mut self, node: NodeId, batch: u64) {
        self.settling.push_back((self.submitted + 1, node, batch));
    }

    /// The same for a batch that was settled here before.
    pub(super) fn settled_before(&mut self, node: NodeId, batch: u64) {
        self.settling.push_back((self.submitted, node, batch));
    }

    /// The node is gone: its next run numbers its batches anew.
    pub(super) fn forget_settling(&mut self, node: NodeId) {
        self.settling.retain(|(_, of, _)| *of != node);
    }

    /// Up to which batch all that was recorded is committed.
    fn committed(&self) -> u64 {
        // With nothing recorded there is nothing to wait for.
        match self.landed == self.submitted && self.records.is_empty() {
            true => u64::MAX,
            false => self.landed,
        }
    }

    /// Who hears of settled batches.
    fn settled(&mut self) -> Vec<(NodeId, u64)> {
        let up_to = self.committed();
        let mut settled: Vec<(NodeId, u64)> = Vec::new();
        while let Some(&(flight, node, batch)) = self.settling.front()
            && flight <= up_to
        {
            self.settling.pop_front();
            match settled.iter_mut().find(|(other, _)| *other == node) {
                Some(last) => last.1 = batch,
                None => settled.push((node, batch)),
            }
        }
        settled
    }
}
