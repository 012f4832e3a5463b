//! A replicated queue on the node that leads its group: the live queue in front of the log.
//!
//! ```text
//! lead: live queue out of the ledger, everybody told ──all attached, or their time is over──→ serves
//!   run on the queue → records → submit → landed: marks, durable, answers
//!                                    └ lost ──→ step down: what clients hold goes to their session
//! ```
//! The live queue is always ahead of the log by the records in flight. When one of these is lost the
//! queue is wrong and is thrown away; another one is made from the ledger, here or elsewhere.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use super::client_session::HeldDelivery;
use super::location::Served;
use super::message::{ConsumerKey, SettleBatch};
use super::output::{AnsweredPublishes, SessionId};
use super::serving::Serving;
use super::{
    CallResult, ClientSession, ClusteredQueue, ConsumerHandle, Effects, Handles, LiveQueue, LocalConsumer, Location,
    Output, Unsynced, Waiting, Wake, Why, panicked, send, session_of, wire,
};
use crate::queue::ledger::{Applied, Before, Ledger, Producers};
use crate::queue::record::{Origin, ProducerId, Records};
use crate::queue::recorder::{Arrival, Deduplicator, Recording};
use crate::queue::{ConsumerId, Holder, Publish, Queue, Slot};
use crate::spec::{QueueSettings, QueueType};
use crate::types::{Message, Millis, NodeId, QueueId, Timestamp};

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

/// Records on their way.
#[derive(Clone, Copy, Debug)]
pub struct Flight {
    incarnation: u64,
    /// Of those of its leader, which.
    number: u64,
    mark: Option<u64>,
    /// Messages that the queue had discarded.
    discards: u64,
}

impl Flight {
    /// The leader that they are of.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }
}

/// A queue was purged, and who is to hear how many messages that were.
pub struct Purged<H: Handles> {
    pub(super) by: Purger<H::Call>,
    pub(super) count: u64,
}

/// Who purges a queue.
pub(super) enum Purger<C> {
    /// A client of this node.
    Client(C),
    /// Another node, which asked with this number.
    Node { node: NodeId, call: u64 },
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
        panicked::caught(|| f(&mut served.queue, deduplicator, &mut output))
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

impl<H: Handles> ClusteredQueue<H> {
    /// This node leads the group, and its ledger has all that is committed. The other nodes that live
    /// are to say what their clients hold.
    pub fn lead<E: Effects<H>>(&mut self, now: Timestamp, leads: Leads<H>, alive: &[NodeId], effects: &mut E) {
        self.take_leader();
        self.incarnations += 1;
        let term = leads.term;
        let leader = Leader::new(leads, self.incarnations);
        let gathered = leader.wake(Why::Gathered);
        self.location = Location::Leading(Box::new(leader));
        // Whoever was asked does not lead any more, and may not say so to the one that does.
        session_of(&mut self.session).drop_calls();
        self.attach_own(now, effects);
        let is_gathering = !alive.is_empty();
        if let Location::Leading(leader) = &mut self.location {
            leader
                .serving
                .gather(is_gathering.then(|| alive.iter().copied().collect()));
        }
        let id = self.id;
        effects.write_to_all(|buffer| wire::lead(buffer, id, term, true));
        effects.changed();
        match is_gathering {
            true => effects.wake(GATHER, gathered),
            false => {
                self.run(now, effects, |queue, now, output| queue.unstall_all(now, output));
            }
        }
    }

    /// A node has said what its clients hold.
    pub(super) fn gathered<E: Effects<H>>(&mut self, now: Timestamp, term: u64, node: NodeId, effects: &mut E) {
        if let Location::Leading(leader) = &mut self.location
            && leader.term == term
            && leader.serving.gathered(Some(node))
        {
            self.serve_again(now, effects);
        }
    }

    /// Nodes had their time to say what their clients hold.
    pub(super) fn gathering_over<E: Effects<H>>(&mut self, now: Timestamp, effects: &mut E) {
        if let Location::Leading(leader) = &mut self.location
            && leader.serving.gathered(None)
        {
            self.serve_again(now, effects);
        }
    }

    /// The lease of this leader is held again.
    pub fn leased<E: Effects<H>>(&mut self, now: Timestamp, incarnation: u64, effects: &mut E) {
        if let Location::Leading(leader) = &mut self.location
            && leader.incarnation == incarnation
        {
            leader.serving.regained();
            if leader.may_serve(effects) {
                self.serve_again(now, effects);
            }
        }
    }

    /// Serves everybody who waited for the live queue, which is here, to deliver (again).
    fn serve_again<E: Effects<H>>(&mut self, now: Timestamp, effects: &mut E) {
        self.run(now, effects, |queue, now, output| queue.unstall_all(now, output));
        effects.changed();
        self.serve_gets(now, effects);
    }

    /// Another is to lead: nothing more goes out, and what was delivered is written down exactly, so
    /// that nothing else is flagged.
    pub fn prepare_transfer<E: Effects<H>>(&mut self, now: Timestamp, effects: &mut E) {
        if let Location::Leading(leader) = &mut self.location {
            leader.serving.set_over(true);
            self.run(now, effects, |queue, _, output| queue.stop(output));
            if let Location::Leading(leader) = &mut self.location {
                leader.flush(effects);
            }
        }
    }

    /// This node goes on leading after all.
    pub fn cancel_transfer<E: Effects<H>>(&mut self, now: Timestamp, effects: &mut E) {
        if let Location::Leading(leader) = &mut self.location
            && leader.serving.set_over(false)
        {
            self.serve_again(now, effects);
        }
    }

    /// This node does not lead (any more).
    pub fn step_down<E: Effects<H>>(&mut self, effects: &mut E) {
        if matches!(self.location, Location::Leading(_)) {
            self.take_leader();
            effects.look_up_leader();
            effects.changed();
        }
    }

    /// Records of that leader did not become part of the log: it is ahead of it, and to be made anew.
    pub fn lost<E: Effects<H>>(&mut self, incarnation: u64, effects: &mut E) {
        if matches!(&self.location, Location::Leading(leader) if leader.incarnation == incarnation) {
            self.step_down(effects);
        }
    }

    /// Throws the leader away; what this node's clients hold is theirs still.
    pub(super) fn take_leader(&mut self) {
        if !matches!(self.location, Location::Leading(_)) {
            return;
        }
        // Whoever waits there asks the next leader.
        let Location::Leading(leader) = std::mem::replace(&mut self.location, Location::Unknown) else {
            return;
        };
        let session = session_of(&mut self.session);
        let Served { queue, remote, .. } = &leader.served;
        let mut keys: FxHashMap<ConsumerId, ConsumerKey> = FxHashMap::default();
        let mut others: FxHashSet<ConsumerId> = FxHashSet::default();
        for view in queue.consumers() {
            match view.handle {
                ConsumerHandle::Local(consumer) => {
                    let key = consumer.key();
                    keys.insert(view.id, key);
                    if let Some(one) = session.consumers.get_mut(&key) {
                        one.rank = view.rank;
                    }
                }
                ConsumerHandle::Remote(_) => {
                    others.insert(view.id);
                }
            }
        }
        for (holder, slot) in queue.held() {
            let key = match holder {
                Holder::Consumer(id) if others.contains(&id) => None,
                _ if remote.holds(slot) => None,
                Holder::Get => Some(ConsumerKey::GET),
                // One that was cancelled leaves what it holds to its channel.
                Holder::Consumer(id) => Some(keys.get(&id).copied().unwrap_or(ConsumerKey::GET)),
            };
            if let Some(key) = key {
                session.hold(key, slot);
            }
        }
    }

    /// The session of this node meets the live queue: its consumers are taken on with what they hold,
    /// and what is not answered is said again.
    fn attach_own<E: Effects<H>>(&mut self, now: Timestamp, effects: &mut E) {
        let session = session_of(&mut self.session);
        let mut held = std::mem::take(&mut session.held);
        let mut consumers = Vec::with_capacity(session.consumers.len());
        for one in session.consumers.values_mut() {
            one.untold = 0;
            // What had come and was not passed on is in the queue again.
            for delivery in one.waiting.drain(..) {
                held.remove(&delivery.slot.seq());
            }
            consumers.push((one.consumer.clone(), one.rank));
        }
        for (consumer, rank) in consumers {
            self.take_local(now, &consumer, rank, effects);
        }
        let by_holder = match self.location.served() {
            Some(served) => by_holder(served, held.values()),
            None => Vec::new(),
        };
        self.run(now, effects, |queue, now, output| {
            for (holder, slots) in by_holder {
                // What is gone was settled; what another holds was given away, and stays so.
                queue.adopt(now, holder, slots, output);
            }
        });
        let session = session_of(&mut self.session);
        let settles: Vec<SettleBatch> = session.settles().cloned().collect();
        let again = session.unanswered();
        let again: Vec<(u64, Message)> = again.map(|(number, message)| (number, message.clone())).collect();
        let producer = session.producer;
        for batch in settles {
            self.settle_leading(now, self.us, batch, true, effects);
        }
        self.take_in(now, self.us, producer, again, effects);
    }

    /// Publishes of this node's clients, while it leads.
    pub(super) fn publish_leading<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        batch: impl IntoIterator<Item = Publish<H::Publish>>,
        effects: &mut E,
    ) {
        let session: &mut ClientSession<H> = session_of(&mut self.session);
        let producer = session.producer;
        let numbered: Vec<_> = batch
            .into_iter()
            .map(|publish| {
                let message = publish.message.clone();
                (session.publish(publish), message)
            })
            .collect();
        self.take_in(now, self.us, producer, numbered, effects);
    }

    /// Takes numbered publishes in, of this node or another; what is here already is answered.
    pub(super) fn take_in<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        node: NodeId,
        producer: ProducerId,
        numbered: Vec<(u64, Message)>,
        effects: &mut E,
    ) {
        let Location::Leading(leader) = &mut self.location else {
            return;
        };
        if numbered.is_empty() {
            return;
        }
        let session = SessionId { node, producer };
        let mut again = Vec::new();
        let mut refused = AnsweredPublishes::default();
        let arrivals = numbered.into_iter().filter_map(|(number, message)| {
            if message.memory() + AROUND > H::RECORD_BYTES {
                refused.push(session, number, false);
                return None;
            }
            let publish = Publish {
                message,
                publish: Some(Waiting::Session { session, number }),
            };
            let origin = Some(Origin { producer, number });
            Some(Arrival { publish, origin })
        });
        let mut answers = AnsweredPublishes::default();
        let mut unknown = Vec::new();
        let result = leader.run(self.id, effects, &mut answers, |queue, deduplicator, output| {
            let again = |publish: Publish<Waiting<H::Publish>>, before| {
                if let Some(Waiting::Session { number, .. }) = publish.publish {
                    match before {
                        Before::Taken { with } => again.push((with, number)),
                        Before::Unknown => unknown.push(number),
                    }
                }
            };
            queue.publish(now, deduplicator.admit(arrivals, again), output);
        });
        self.ran(now, answers, result, effects);
        let mut answers = refused;
        for number in unknown {
            answers.push(session, number, false);
        }
        if let Location::Leading(leader) = &mut self.location {
            let durable = leader.served.queue.durable_up_to();
            for (seq, number) in again {
                match seq <= durable {
                    true => answers.push(session, number, true),
                    false => leader.again.push((seq, session, number)),
                }
            }
        }
        self.tell(answers, effects);
    }

    /// Settles a numbered batch of a session, of this node or another, that may have been said to another
    /// leader if it `is_again`.
    pub(super) fn settle_leading<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        node: NodeId,
        batch: SettleBatch,
        is_again: bool,
        effects: &mut E,
    ) {
        let SettleBatch {
            number, outcome, slots, ..
        } = batch;
        if let Location::Leading(leader) = &mut self.location {
            leader.settling(node, number);
        }
        self.run(now, effects, |queue, now, output| {
            if is_again {
                // Said to a leader that may not have written it down: what is ready here, and has not come
                // back since, was not. What was delivered anew is another's.
                queue.adopt(now, Holder::Get, slots.clone(), output);
            }
            queue.settle(now, slots, outcome, output);
        });
        self.tell_settled(effects);
    }

    /// Drops all ready messages of the live queue, which is here. Who asked hears how many they were
    /// when they cannot come back.
    pub fn purge<E: Effects<H>>(&mut self, now: Timestamp, call: H::Call, effects: &mut E) {
        self.purge_for(now, Purger::Client(call), effects);
    }

    /// The same for this node or another.
    pub(super) fn purge_for<E: Effects<H>>(&mut self, now: Timestamp, by: Purger<H::Call>, effects: &mut E) {
        let purged = self.run(now, effects, |queue, _, output| queue.purge(output));
        // Otherwise whoever asked asks again, or hears that it is away.
        let Some(count) = purged else { return };
        let purged = Purged { by, count };
        match &mut self.location {
            Location::Leading(leader) => {
                leader.flush(effects);
                leader.purged.push((leader.submitted, purged));
                self.tell_all_purged(effects);
            }
            _ if self.is_transient => self.tell_purged(purged, effects),
            _ => effects.when_synced(Unsynced::Purged(purged)),
        }
    }

    /// What was purged is gone for good.
    pub(super) fn tell_purged<E: Effects<H>>(&self, purged: Purged<H>, effects: &mut E) {
        let count = purged.count;
        match purged.by {
            // Who does not wait any more does not hear it.
            Purger::Client(call) => drop(effects.answer(call, CallResult::Done(count))),
            Purger::Node { node, call } => {
                self.send(node, effects, |buffer, queue| wire::done(buffer, queue, call, count));
            }
        }
    }

    fn tell_all_purged<E: Effects<H>>(&mut self, effects: &mut E) {
        if let Location::Leading(leader) = &mut self.location
            && !leader.purged.is_empty()
        {
            let up_to = leader.committed();
            let committed = leader.purged.partition_point(|(flight, _)| *flight <= up_to);
            let purged: Vec<_> = leader.purged.drain(..committed).collect();
            for (_, purged) in purged {
                self.tell_purged(purged, effects);
            }
        }
    }

    /// Tells sessions what they settled and is committed.
    pub(super) fn tell_settled<E: Effects<H>>(&mut self, effects: &mut E) {
        let Location::Leading(leader) = &mut self.location else {
            return;
        };
        for (node, batch) in leader.settled() {
            match node == self.us {
                true => {
                    let session: &mut ClientSession<H> = session_of(&mut self.session);
                    session.settled(batch, |settlement| effects.committed(settlement));
                }
                false => send(self.id, node, effects, |buffer, queue| {
                    wire::settled(buffer, queue, batch);
                }),
            }
        }
    }

    /// Records came back from the group, which has them all.
    pub fn landed<E: Effects<H>>(&mut self, now: Timestamp, flight: Flight, applied: &Applied, effects: &mut E) {
        let Location::Leading(leader) = &mut self.location else {
            return;
        };
        if leader.incarnation != flight.incarnation {
            return;
        }
        leader.landed = flight.number;
        self.run(now, effects, |queue, now, output| {
            if let Some(mark) = flight.mark {
                queue.marked(now, mark, output);
            }
            if let Some(appended) = applied.appended {
                queue.durable(now, appended.last, output);
            }
            queue.discards_committed(now, flight.discards, output);
        });
        self.tell_settled(effects);
        self.tell_all_purged(effects);
        self.tell_again(effects);
        if flight.mark.is_some() {
            effects.changed();
            self.serve_gets(now, effects);
        }
    }

    fn tell_again<E: Effects<H>>(&mut self, effects: &mut E) {
        let Location::Leading(leader) = &mut self.location else {
            return;
        };
        if leader.again.is_empty() {
            return;
        }
        let durable = leader.served.queue.durable_up_to();
        let mut answers = AnsweredPublishes::default();
        leader.again.retain(|(seq, session, number)| {
            let is_safe = *seq <= durable;
            if is_safe {
                answers.push(*session, *number, true);
            }
            !is_safe
        });
        self.tell(answers, effects);
    }

    /// Tells a node that this one leads, if it does.
    pub(super) fn tell_lead<E: Effects<H>>(&self, node: NodeId, starts_anew: bool, effects: &mut E) {
        if let Location::Leading(leader) = &self.location {
            let term = leader.term;
            self.send(node, effects, |buffer, queue| {
                wire::lead(buffer, queue, term, starts_anew);
            });
        }
    }
}

fn by_holder<'a, H: Handles>(
    served: &Served<H>,
    held: impl Iterator<Item = &'a HeldDelivery>,
) -> Vec<(Holder, Vec<Slot>)> {
    let mut by_key: FxHashMap<ConsumerKey, Vec<Slot>> = FxHashMap::default();
    for held in held {
        by_key.entry(held.by).or_default().push(held.slot);
    }
    by_key
        .into_iter()
        .map(|(key, slots)| {
            // A consumer that was cancelled leaves what it holds to its channel.
            let id = served.local.get(&key);
            (id.map_or(Holder::Get, |id| Holder::Consumer(*id)), slots)
        })
        .collect()
}
