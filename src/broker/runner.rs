//! Feeds one queue machine: commands in, records to the journal, effects out.
//!
//! A queue is an object behind a mutex. Whoever has a batch for it calls [`QueueHandle::with`];
//! under the lock the machine writes deliveries into the consumers' outboxes and records into the
//! store's pending buffer. What must not happen under the lock (dead-lettering into other queues,
//! reading bodies back) is collected in [`Deferred`] and carried out after it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::Notify;

use super::Broker;
use super::consumer::{Consumer, Taker};
use super::desk::Desk;
use super::guests::{Guest, Guests};
use super::joint::JointClaim;
use super::leading::{Leading, Serving};
use super::letters::LetterClaim;
use super::members::Changing;
use super::outbox::{OutGuard, Outbox, Outstanding};
use super::panicked::Falls;
use super::peers::wire;
use super::remote::Pending;
use crate::channel::ConfirmOutcome;
use crate::journal::raft::Group;
use crate::queue::ledger::Ledger;
use crate::queue::record::ProducerId;
use crate::queue::recorder::{Door, Recording};
use crate::queue::{self, ConsumerId, DeathReason, Delivery, Holder, Keep, META_LEN, Publish, Queue, Slot};
use crate::spec::{Member, QueueSpec, QueueType};
use crate::store::{self, OwnerId, Store};
use crate::types::{Message, NodeId, Timestamp};

/// A claim to a confirm.
pub enum ConfirmToken {
    Channel(ChannelClaim),
    /// Of a dead letter that its queue keeps.
    Letter(LetterClaim),
    /// Of something that is done when all of it is.
    Joint(JointClaim),
}

/// A publisher's claim to a confirm.
#[derive(Clone)]
pub struct ChannelClaim {
    pub outbox: Arc<Outbox>,
    pub channel: u16,
    pub incarnation: u64,
    pub seq: u64,
}

/// Who waits for a publish to be safe.
pub enum Waiting {
    /// A client or a dead letter of this node, at a queue that is only here.
    Client(ConfirmToken),
    /// The desk of a node, which knows for whom.
    Desk { desk: DeskId, number: u64 },
}

/// The desk of a run of a node: the next run numbers its publishes anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeskId {
    pub node: NodeId,
    pub producer: ProducerId,
}

/// The queue machine with this broker's consumers and confirms.
pub type Machine = Queue<Taker, Waiting>;

/// A queue as this node knows it: its machine, or the way to it.
pub struct QueueHandle {
    /// As it was declared.
    pub spec: Arc<QueueSpec>,
    /// The nodes that are to have it, where it is replicated.
    pub members: RwLock<Vec<Member>>,
    pub(super) state: Mutex<State>,
    /// Whether the state has a desk, which is so or not for good.
    has_desk: bool,
    deleted: AtomicBool,
    /// Some of its records are damaged, or its machine has panicked and is not made anew yet: it is not
    /// served, and nothing of it is thrown away. Changed under the lock.
    quarantined: AtomicBool,
    /// It is being asked who leads it.
    pub(super) is_sought: AtomicBool,
    /// The earliest wake-up asked of the timer, in ms since the epoch; `u64::MAX` is none.
    pub scheduled: AtomicU64,
    /// The node that had the machine last, as far as is known.
    pub(super) last_leader: AtomicU64,
    pub(super) changing: Changing,
    /// Something is different: bodies are there, a mark is committed, another node leads.
    pub changed: Notify,
}

/// What the lock of a queue protects.
pub struct State {
    pub seat: Seat,
    /// Of this node's clients; not needed where the queue is on this node and only there.
    pub desk: Option<Box<Desk>>,
    pub guests: Guests,
    /// This node's member of the queue's group.
    pub replica: Option<Group<Ledger>>,
    /// What other nodes wait for.
    pub gets: Vec<Pending>,
    pub falls: Falls,
}

/// Where the machine is.
pub enum Seat {
    /// Here, because the queue lives on this node.
    Here(Box<Machine>),
    /// Here, because this node leads the queue's group.
    Leading(Box<Leading>),
    /// On another node, if it is known which.
    Elsewhere(Option<Away>),
}

/// The node that has the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Away {
    pub node: NodeId,
    /// In which it leads; 0 for a queue that is not replicated.
    pub term: u64,
    /// Over which use of the link it was told of this node's clients.
    pub attached: Option<u64>,
    /// Whether it has taken that in: what it sent before is void.
    pub is_met: bool,
}

/// A message on its way out of its queue into the dead-letter exchange.
pub struct DeadLetter {
    pub slot: Slot,
    pub message: Message,
    pub reason: DeathReason,
}

/// Effects that are carried out after the queue's lock was released.
#[derive(Default)]
#[must_use = "what a queue decided is to be carried out"]
pub struct Deferred {
    pub dead_letters: Vec<DeadLetter>,
    pub fetch: Vec<Vec<(u64, queue::Loc)>>,
    pub cancelled: Vec<Arc<Consumer>>,
    /// Handed to a channel that closed in the same moment.
    pub undelivered: Vec<Slot>,
}

impl Deferred {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.dead_letters.is_empty()
            && self.fetch.is_empty()
            && self.cancelled.is_empty()
            && self.undelivered.is_empty()
    }

    /// Joins effects of the same queue.
    pub(super) fn also(&mut self, other: Self) {
        self.dead_letters.extend(other.dead_letters);
        self.fetch.extend(other.fetch);
        self.cancelled.extend(other.cancelled);
        self.undelivered.extend(other.undelivered);
    }
}

impl QueueHandle {
    /// A queue whose machine is here.
    pub fn here(spec: Arc<QueueSpec>, machine: Machine, quarantined: bool) -> Self {
        Self::new(spec, Seat::Here(Box::new(machine)), None, quarantined)
    }

    /// A queue that another node has, if it is known which, or that has yet to find a leader.
    pub fn elsewhere(spec: Arc<QueueSpec>, node: Option<NodeId>) -> Self {
        let away = node.map(|node| Away {
            node,
            term: 0,
            attached: None,
            is_met: false,
        });
        Self::new(spec, Seat::Elsewhere(away), Some(Box::new(Desk::new())), false)
    }

    fn new(spec: Arc<QueueSpec>, seat: Seat, desk: Option<Box<Desk>>, quarantined: bool) -> Self {
        Self {
            members: RwLock::new(spec.members.clone()),
            has_desk: desk.is_some(),
            last_leader: AtomicU64::new(spec.home.0),
            changing: Changing::default(),
            spec,
            state: Mutex::new(State {
                seat,
                desk,
                guests: Guests::default(),
                replica: None,
                gets: Vec::new(),
                falls: Falls::default(),
            }),
            deleted: AtomicBool::new(false),
            quarantined: AtomicBool::new(quarantined),
            is_sought: AtomicBool::new(false),
            scheduled: AtomicU64::new(u64::MAX),
            changed: Notify::new(),
        }
    }

    /// The owner of this queue's entries in the store, where it lives on this node.
    pub fn owner(&self) -> OwnerId {
        OwnerId(self.spec.id.0)
    }

    /// Whether it has a Raft group.
    pub fn is_replicated(&self) -> bool {
        self.spec.queue_type == QueueType::Quorum
    }

    /// Whether the queue was deleted; its machine refuses nothing, so callers look first.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Whether it is not served, because its records are damaged or its machine has panicked.
    pub fn is_quarantined(&self) -> bool {
        self.quarantined.load(Ordering::Acquire)
    }

    /// Serves it no more for now.
    pub(super) fn quarantine(&self) {
        self.quarantined.store(true, Ordering::Release);
    }

    /// Serves it again.
    pub(super) fn end_quarantine(&self) {
        self.quarantined.store(false, Ordering::Release);
    }

    /// Marks it deleted.
    pub fn mark_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    /// The queue was used, as declaring it again does: its `x-expires` begins anew.
    pub fn touch(&self, now: Timestamp) {
        if let Some(machine) = self.state.lock().machine_mut() {
            machine.touch_used(now);
        }
    }

    /// When the queue wants a tick. Nothing expires in one that is not served.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadline_of(&self.state.lock())
    }

    fn deadline_of(&self, state: &State) -> Option<Timestamp> {
        let machine = state.machine()?;
        machine
            .deadline()
            .filter(|_| !self.is_quarantined() && !self.is_deleted())
    }

    /// Reads the machine, when it is here.
    pub fn read<R>(&self, f: impl FnOnce(&Machine) -> R) -> Option<R> {
        self.state.lock().machine().map(f)
    }

    /// Whether it is served here.
    pub fn is_here(&self) -> bool {
        !self.is_quarantined() && self.state.lock().machine().is_some()
    }

    /// The queue's numbers where its machine is here, else none at all.
    pub fn counts(&self) -> queue::Counts {
        self.read(|machine| machine.counts()).unwrap_or_default()
    }

    /// Runs a command on the machine and carries its effects out. `None` when it is not here.
    pub fn with<R>(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        f: impl FnOnce(&mut Machine, Timestamp, &mut QueueSink<'_>) -> R,
    ) -> Option<R> {
        let (result, deferred) = self.with_deferred(broker, f);
        if !deferred.is_empty() {
            broker.carry_out(self, deferred);
        }
        result
    }

    /// Gives the queue messages, wherever it is. One that was deleted meanwhile takes them as
    /// RabbitMQ does: they are gone, and confirmed. One whose records are damaged, or whose node is
    /// away, refuses them.
    pub fn publish(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        batch: impl IntoIterator<Item = Publish<ConfirmToken>>,
    ) -> Deferred {
        let mut state = self.state.lock();
        if self.is_deleted() {
            answer_all(batch, ConfirmOutcome::Ack);
            return Deferred::default();
        }
        if self.is_quarantined() {
            answer_all(batch, ConfirmOutcome::Nack);
            return Deferred::default();
        }
        match state.seat {
            Seat::Here(_) => self.publish_here(broker, &mut state, batch),
            Seat::Leading(_) => self.publish_leading(broker, &mut state, batch),
            Seat::Elsewhere(_) => {
                self.publish_away(broker, &mut state, batch);
                Deferred::default()
            }
        }
    }

    /// The same where the queue lives. What a machine that panics has not taken in is refused.
    fn publish_here(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        state: &mut State,
        batch: impl IntoIterator<Item = Publish<ConfirmToken>>,
    ) -> Deferred {
        let mut batch = batch.into_iter();
        let mut in_hand = InHand::default();
        let publishes = batch.by_ref().map(|Publish { message, publish }| Publish {
            message,
            publish: publish.inspect(|token| in_hand.note(token)).map(Waiting::Client),
        });
        let (taken, deferred) = self.run(broker, state, |machine, now, sink| {
            machine.publish(now, publishes, sink)
        });
        if taken.is_none() {
            answer(in_hand.0.map(ConfirmToken::Channel), ConfirmOutcome::Nack);
            answer_all(batch, ConfirmOutcome::Nack);
        }
        deferred
    }

    /// Whether too much of what was published to it is unanswered. Asked with every read of a
    /// publisher: a queue that is only here has no desk, and is not locked for it.
    pub fn is_behind(&self) -> bool {
        self.has_desk && self.state.lock().desk.as_ref().is_some_and(|desk| desk.is_behind())
    }

    /// Waits while it is behind.
    pub async fn caught_up(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.is_behind() || self.is_deleted() {
                return;
            }
            changed.await;
        }
    }

    /// Runs a command and leaves what must happen outside the lock to the caller. `None` when the
    /// machine is not here.
    pub fn with_deferred<R>(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        f: impl FnOnce(&mut Machine, Timestamp, &mut QueueSink<'_>) -> R,
    ) -> (Option<R>, Deferred) {
        let mut state = self.state.lock();
        self.run(broker, &mut state, f)
    }

    /// The same under the lock. `None` also when the queue is not served, or the machine panicked.
    pub(super) fn run<R>(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        state: &mut State,
        f: impl FnOnce(&mut Machine, Timestamp, &mut QueueSink<'_>) -> R,
    ) -> (Option<R>, Deferred) {
        match &mut state.seat {
            Seat::Here(_) if self.is_quarantined() => (None, Deferred::default()),
            Seat::Here(machine) => {
                let journal = Journal::Store {
                    store: &broker.store,
                    batch: None,
                    settled: Vec::new(),
                };
                let mut sink = self.sink(journal, None);
                let result = catch_unwind(AssertUnwindSafe(|| f(machine, broker.now(), &mut sink)));
                let finished = sink.finish();
                self.ran(broker, state, finished, result)
            }
            Seat::Leading(_) => self.run_at_door(broker, state, |machine, now, _, sink| f(machine, now, sink)),
            Seat::Elsewhere(_) => (None, Deferred::default()),
        }
    }

    /// The same on a machine that is given messages; `None` also when this node does not lead.
    pub(super) fn run_at_door<R>(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        state: &mut State,
        f: impl FnOnce(&mut Machine, Timestamp, &Door, &mut QueueSink<'_>) -> R,
    ) -> (Option<R>, Deferred) {
        let Seat::Leading(leading) = &mut state.seat else {
            return (None, Deferred::default());
        };
        let Leading {
            machine,
            records,
            door,
            serving,
            ..
        } = &mut **leading;
        let journal = Journal::Group(Recording { records, door });
        let mut sink = self.sink(journal, Some(serving));
        let result = catch_unwind(AssertUnwindSafe(|| f(machine, broker.now(), door, &mut sink)));
        let finished = sink.finish();
        self.ran(broker, state, finished, result)
    }

    fn sink<'a>(self: &'a Arc<Self>, journal: Journal<'a>, serving: Option<&'a mut Serving>) -> QueueSink<'a> {
        QueueSink {
            queue: self,
            journal,
            serving,
            guard: None,
            answers: Answers::default(),
            deferred: Deferred::default(),
        }
    }

    fn ran<R>(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        state: &mut State,
        (mut deferred, answers): (Deferred, Answers),
        result: std::thread::Result<R>,
    ) -> (Option<R>, Deferred) {
        answers.tell(self, broker, state);
        let Ok(result) = result else {
            // What it was about to do with messages the next machine does.
            let cancelled = std::mem::take(&mut deferred.cancelled);
            let mut told = self.fall(broker, state);
            told.cancelled.extend(cancelled);
            return (None, told);
        };
        if let Seat::Leading(leading) = &mut state.seat {
            leading.submit(self, broker);
            leading.tell_active(self.spec.id);
        }
        if let Some(deadline) = self.deadline_of(state) {
            broker.timers.schedule(self, deadline);
        }
        (Some(result), deferred)
    }
}

impl State {
    /// What this node's clients have at stake. A queue that may be elsewhere has it from the beginning.
    pub fn desk(&mut self) -> &mut Desk {
        desk_of(&mut self.desk)
    }

    /// The machine, when it is here.
    pub fn machine(&self) -> Option<&Machine> {
        match &self.seat {
            Seat::Here(machine) => Some(machine),
            Seat::Leading(leading) => Some(&leading.machine),
            Seat::Elsewhere(_) => None,
        }
    }

    /// Consumers of the machine; none when it is elsewhere.
    pub fn consumer_count(&self) -> usize {
        self.machine().map_or(0, Machine::consumer_count)
    }

    /// In which this node leads; 0 for a queue that is not replicated.
    pub fn term(&self) -> u64 {
        match &self.seat {
            Seat::Leading(leading) => leading.term,
            _ => 0,
        }
    }

    /// Nothing is delivered to that node's clients before it attaches itself again. What they wait for
    /// they ask again.
    pub fn detach(&mut self, node: NodeId) {
        self.forget_gets(node);
        if let Some(guest) = self.guests.get_mut(&node) {
            guest.attached = None;
            guest.asked = None;
            for (_, guest) in guest.consumers.values() {
                guest.is_attached.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Whoever waits on that node does so no more, or asks again.
    pub fn forget_gets(&mut self, node: NodeId) {
        self.gets.retain(|pending| pending.node != node);
    }

    /// Whether that node has the machine, as far as is known, and knows what clients here have.
    pub fn is_met(&self, node: NodeId) -> bool {
        matches!(&self.seat, Seat::Elsewhere(Some(away)) if away.node == node && away.is_met)
    }

    /// What these consumers hold, by sequence number; it stays outstanding when they are cancelled.
    pub(super) fn held_by(&self, ids: impl IntoIterator<Item = ConsumerId>) -> FxHashMap<u64, Slot> {
        let ids: FxHashSet<ConsumerId> = ids.into_iter().collect();
        let held = self
            .machine()
            .filter(|_| !ids.is_empty())
            .into_iter()
            .flat_map(Machine::held);
        held.filter(|(holder, _)| matches!(holder, Holder::Consumer(id) if ids.contains(id)))
            .map(|(_, slot)| (slot.seq(), slot))
            .collect()
    }

    /// The machine, when it is here.
    pub fn machine_mut(&mut self) -> Option<&mut Machine> {
        match &mut self.seat {
            Seat::Here(machine) => Some(machine),
            Seat::Leading(leading) => Some(&mut leading.machine),
            Seat::Elsewhere(_) => None,
        }
    }
}

/// The desk, which is there as soon as somebody has something at stake.
pub(super) fn desk_of(desk: &mut Option<Box<Desk>>) -> &mut Desk {
    desk.get_or_insert_with(|| Box::new(Desk::new()))
}

/// The last publish that a machine took from a batch: should it panic, it may have been the cause.
#[derive(Default)]
struct InHand(Option<ChannelClaim>);

impl InHand {
    /// The machine takes this one.
    fn note(&mut self, token: &ConfirmToken) {
        // The others refuse when they are dropped.
        let ConfirmToken::Channel(claim) = token else { return };
        match &mut self.0 {
            Some(last) if Arc::ptr_eq(&last.outbox, &claim.outbox) => {
                (last.channel, last.incarnation, last.seq) = (claim.channel, claim.incarnation, claim.seq);
            }
            last => *last = Some(claim.clone()),
        }
    }
}

/// Tells whoever published what became of it.
pub(super) fn answer(tokens: impl IntoIterator<Item = ConfirmToken>, outcome: ConfirmOutcome) {
    let mut guard: Option<OutGuard> = None;
    for token in tokens {
        let token = match token {
            ConfirmToken::Channel(token) => token,
            ConfirmToken::Letter(letter) => {
                letter.answer(outcome);
                continue;
            }
            ConfirmToken::Joint(claim) => {
                claim.answer(outcome);
                continue;
            }
        };
        if guard.as_ref().is_some_and(|guard| !guard.is_of(&token.outbox))
            && let Some(guard) = guard.take()
        {
            guard.finish();
        }
        guard
            .get_or_insert_with(|| token.outbox.lock())
            .confirm(token.channel, token.incarnation, token.seq, outcome);
    }
    if let Some(guard) = guard {
        guard.finish();
    }
}

fn answer_all(batch: impl IntoIterator<Item = Publish<ConfirmToken>>, outcome: ConfirmOutcome) {
    answer(batch.into_iter().filter_map(|publish| publish.publish), outcome);
}

/// Publishes of desks that were answered in one go: runs of numbers, by node.
#[derive(Default)]
pub(super) struct Answers(Vec<(DeskId, ConfirmOutcome, u64, u64)>);

impl Answers {
    /// One more.
    pub fn push(&mut self, desk: DeskId, number: u64, outcome: ConfirmOutcome) {
        match self.0.last_mut() {
            Some((last_desk, last_outcome, _, last))
                if *last_desk == desk && *last_outcome == outcome && *last + 1 == number =>
            {
                *last = number;
            }
            _ => self.0.push((desk, outcome, number, number)),
        }
    }

    /// Tells the desks.
    pub fn tell(self, queue: &Arc<QueueHandle>, broker: &Broker, state: &mut State) {
        let us = broker.nodes.us();
        for (DeskId { node, producer }, outcome, first, last) in self.0 {
            if node != us {
                if state.guests.get(&node).is_none_or(|guest| guest.producer != producer) {
                    // It is another run of the node by now, or will ask again when it attaches itself.
                    continue;
                }
                broker.peers.tell(node, |buffer| {
                    wire::answered(buffer, queue.spec.id, outcome == ConfirmOutcome::Ack, first, last);
                });
                continue;
            }
            if let Some(desk) = &mut state.desk {
                let was_behind = desk.is_behind();
                answer((first..=last).filter_map(|number| desk.answered(number)), outcome);
                if was_behind && !desk.is_behind() {
                    queue.changed.notify_waiters();
                }
            }
        }
    }
}

/// Carries out what the machine decides while its lock is held.
///
/// The store's log is locked before an outbox, never after: two queues would otherwise wait for
/// each other. So an outbox is let go before the first record of a batch.
pub struct QueueSink<'a> {
    queue: &'a Arc<QueueHandle>,
    journal: Journal<'a>,
    /// Present where deliveries depend on a lease.
    serving: Option<&'a mut Serving>,
    guard: Option<OutGuard>,
    answers: Answers,
    deferred: Deferred,
}

/// Where records go.
enum Journal<'a> {
    /// This node's disk.
    Store {
        store: &'a Store,
        batch: Option<store::Batch<'a>>,
        /// Seqs of stored messages that are gone, joined into inclusive ranges.
        settled: Vec<(u64, u64)>,
    },
    /// The queue's Raft group.
    Group(Recording<'a>),
}

impl QueueSink<'_> {
    /// The lock of that outbox; the previous one is released if it is another.
    pub fn outbox(&mut self, outbox: &Outbox) -> &mut OutGuard {
        if self.guard.as_ref().is_some_and(|guard| !guard.is_of(outbox)) {
            self.release();
        }
        self.guard.get_or_insert_with(|| outbox.lock())
    }

    fn release(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.finish();
        }
    }

    /// What goes to the store.
    fn stored<R>(&mut self, f: impl FnOnce(&mut store::Batch<'_>) -> R) -> Option<R> {
        let owner = self.queue.owner();
        let is_first = matches!(self.journal, Journal::Store { batch: None, .. });
        if is_first {
            self.release();
        }
        match &mut self.journal {
            Journal::Store { store, batch, .. } => Some(f(batch.get_or_insert_with(|| store.batch(owner)))),
            Journal::Group(_) => None,
        }
    }

    fn finish(mut self) -> (Deferred, Answers) {
        if let Journal::Store { settled, .. } = &mut self.journal {
            let settled = std::mem::take(settled);
            if !settled.is_empty() {
                self.stored(|batch| batch.remove(&settled));
            }
        }
        self.release();
        // Dropping the journal's batch releases the log and wakes its writer.
        (self.deferred, self.answers)
    }

    fn answer(&mut self, waiting: Waiting, outcome: ConfirmOutcome) {
        match waiting {
            Waiting::Client(ConfirmToken::Letter(letter)) => letter.answer(outcome),
            Waiting::Client(ConfirmToken::Joint(claim)) => claim.answer(outcome),
            Waiting::Client(ConfirmToken::Channel(token)) => {
                self.outbox(&token.outbox)
                    .confirm(token.channel, token.incarnation, token.seq, outcome);
            }
            Waiting::Desk { desk, number } => self.answers.push(desk, number, outcome),
        }
    }

    fn deliver_to_guest(&mut self, guest: &Guest, delivery: &Delivery<'_>) {
        let bytes = delivery.message.stored_len() as u64;
        guest.on_the_way.fetch_add(bytes, Ordering::Relaxed);
        guest.out.with(|buffer| {
            let sent = wire::Delivered {
                slot: delivery.slot,
                redelivered: delivery.redelivered,
                delivery_count: delivery.delivery_count,
            };
            wire::deliver(buffer, self.queue.spec.id, guest.key.0, sent, delivery.message);
        });
    }
}

impl queue::Sink for QueueSink<'_> {
    type Consumer = Taker;
    type Publish = Waiting;

    fn room(&mut self, taker: &Taker) -> bool {
        if self.serving.as_mut().is_some_and(|serving| !serving.may_deliver()) {
            return false;
        }
        match taker {
            Taker::Client(consumer) => self.outbox(&consumer.outbox).room(consumer),
            Taker::Guest(guest) => guest.has_room(),
        }
    }

    fn deliver(&mut self, taker: &Taker, _id: ConsumerId, delivery: Delivery<'_>) {
        let consumer = match taker {
            Taker::Client(consumer) => consumer,
            Taker::Guest(guest) => return self.deliver_to_guest(guest, &delivery),
        };
        let handed = Handed {
            slot: delivery.slot,
            redelivered: delivery.redelivered,
            delivery_count: delivery.delivery_count,
        };
        let queue = self.queue;
        if !hand_over(self.outbox(&consumer.outbox), queue, consumer, handed, delivery.message) && !delivery.no_ack {
            self.deferred.undelivered.push(delivery.slot);
        }
    }

    fn confirm(&mut self, publish: Waiting) {
        self.answer(publish, ConfirmOutcome::Ack);
    }

    fn refuse(&mut self, publish: Waiting) {
        self.answer(publish, ConfirmOutcome::Nack);
    }

    fn dead_letter(&mut self, slot: Slot, message: Message, reason: DeathReason) {
        self.deferred.dead_letters.push(DeadLetter { slot, message, reason });
    }

    fn delivery_limit_reached(&mut self) {
        let (queue, vhost) = (&self.queue.spec.name, &self.queue.spec.vhost);
        tracing::warn!(%queue, %vhost, "a message came back more often than the delivery limit allows and is dropped or dead-lettered");
    }

    fn cancel(&mut self, taker: Taker) {
        match taker {
            Taker::Client(consumer) => self.deferred.cancelled.push(consumer),
            Taker::Guest(guest) => guest
                .out
                .with(|buffer| wire::cancelled(buffer, self.queue.spec.id, guest.key.0)),
        }
    }

    fn store(&mut self, seq: u64, meta: [u8; META_LEN], message: &Message, keep: Keep) -> queue::Loc {
        if let (Journal::Group(recording), Keep::Durable) = (&mut self.journal, keep) {
            return recording.append(seq, &meta, message);
        }
        let (head, [names, large]) = message.stored();
        let keep = match keep {
            Keep::Durable => store::Keep::Durable,
            Keep::Page => store::Keep::Page,
        };
        let kept = self.stored(|batch| batch.put(seq, meta, &[&head, names, large], keep).to_raw());
        // Everything in a replicated queue is durable: only a queue of this node pages.
        kept.unwrap_or_default()
    }

    fn settled(&mut self, seq: u64) {
        match &mut self.journal {
            Journal::Store { settled, .. } => match settled.last_mut() {
                Some((_, end)) if *end + 1 == seq => *end = seq,
                _ => settled.push((seq, seq)),
            },
            Journal::Group(recording) => recording.settled(seq),
        }
    }

    fn returned(&mut self, seq: u64, count: u32) {
        match &mut self.journal {
            Journal::Group(recording) => recording.returned(seq, count),
            Journal::Store { .. } => {
                self.stored(|batch| batch.touch(&[(seq, seq)], count));
            }
        }
    }

    fn discarded(&mut self, seq: u64, count: u32, reason: DeathReason) {
        match &mut self.journal {
            Journal::Group(recording) => recording.discarded(seq, count, reason),
            Journal::Store { .. } => debug_assert!(false, "a queue of this node keeps no dead letters"),
        }
    }

    fn delivered_up_to(&mut self, mark: u64) {
        match &mut self.journal {
            Journal::Group(recording) => recording.delivered_up_to(mark),
            Journal::Store { .. } => {
                self.stored(|batch| batch.mark(&mark.to_le_bytes()));
            }
        }
    }

    fn unpaged(&mut self, seq: u64, _loc: queue::Loc) {
        self.settled(seq);
    }

    fn fetch(&mut self, wanted: &[(u64, queue::Loc)]) {
        self.deferred.fetch.push(wanted.to_vec());
    }
}

/// How a message is handed to a client.
#[derive(Clone, Copy)]
pub(super) struct Handed {
    pub slot: Slot,
    pub redelivered: bool,
    pub delivery_count: u32,
}

/// Encodes a delivery for a client; false when its channel is closed.
pub(super) fn hand_over(
    out: &mut OutGuard,
    queue: &QueueHandle,
    consumer: &Consumer,
    handed: Handed,
    message: &Message,
) -> bool {
    let counted = with_delivery_count(queue, message, handed.delivery_count);
    let message = counted.as_ref().unwrap_or(message);
    let Some((output, frame_max, channel)) = out.parts(consumer.channel, consumer.incarnation) else {
        return false;
    };
    let tag = if consumer.no_ack {
        channel.skip()
    } else {
        channel.hold(Outstanding {
            queue: consumer.queue_index,
            slot: handed.slot,
            consumed: true,
        })
    };
    consumer
        .template
        .write(output, tag, handed.redelivered, message, frame_max);
    true
}

/// The message with the header that tells how often it was delivered before, on queues that tell
/// (quorum queues); `None` when it goes out as it is.
pub fn with_delivery_count(queue: &QueueHandle, message: &Message, count: u32) -> Option<Message> {
    let tells = queue.spec.queue_type == QueueType::Quorum && count > 0;
    tells.then(|| super::effects::with_delivery_count(message, count))
}
