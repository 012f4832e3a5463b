//! A replicated queue on the node that leads its group: the machine in front of the log.
//!
//! ```text
//! barrier → lead: machine out of the ledger, everybody told ──all attached, or GATHER──→ delivers
//!   run on the machine → records → Group::submit → landed: marks, durable, answers
//!                                            └ lost ──→ step down: what clients hold goes to the desk
//! ```
//! The machine is always ahead of the log by the records in flight. When one of these is lost the
//! machine is wrong and is thrown away; another one is made from the ledger, here or elsewhere.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::oneshot;

use super::Broker;
use super::catalogue::settings_of;
use super::consumer::{Consumer, ConsumerKey, Taker};
use super::desk::{Desk, Held};
use super::letters::warn_of_fallback;
use super::peers::wire::{self, SettleBatch};
use super::runner::{Answers, ConfirmToken, Deferred, DeskId, Machine, QueueHandle, Seat, State, Waiting};
use crate::channel::ConfirmOutcome;
use crate::journal::raft::{Applied, Group, ProposeError, RECORD_BYTES};
use crate::queue::ledger::{self, Before, Ledger};
use crate::queue::record::{Origin, ProducerId, Records};
use crate::queue::recorder::{Arrival, Door};
use crate::queue::{Consume, ConsumerId, Holder, Publish, Queue, Rank, Slot};
use crate::tasks;
use crate::types::{Message, NodeId, QueueId};

/// How long a new leader waits for live nodes to say what their clients hold.
const GATHER: Duration = Duration::from_millis(500);
/// How long a leader that hears no majority waits before it asks again.
const LEASE_AGAIN: Duration = Duration::from_millis(50);
/// How long settled messages wait for other records to go with: without company they would cost a
/// round of the group for each of a slow client's acks, and nobody waits for them.
const LINGER: Duration = Duration::from_millis(5);
/// Bytes of them that go at once.
const LINGER_BYTES: usize = 16 * 1024;
/// What a record has around a message, generously.
const AROUND: usize = 64 * 1024;

/// Machines that led on this node since its start.
static INCARNATIONS: AtomicU64 = AtomicU64::new(0);

/// See the head of this file.
pub struct Leading {
    pub machine: Machine,
    pub records: Records,
    pub door: Door,
    pub serving: Serving,
    group: Group<Ledger>,
    pub term: u64,
    /// Tells it from others in the same term.
    incarnation: u64,
    /// Batches of records given to the group, and come back from it.
    submitted: u64,
    landed: u64,
    /// Since when records wait for others to go with.
    lingers: Option<Instant>,
    /// A task sees to it that they do not for long.
    is_watched: bool,
    /// Who has purged the queue, with the records that must be committed before it hears how many
    /// messages that were.
    purged: Vec<(u64, Purger, u64)>,
    /// Settled batches of desks, with the records that must be committed before they are answered.
    settling: VecDeque<(u64, NodeId, u64)>,
    /// Publishes that came again while the first time was on its way: answered when this message
    /// is durable.
    again: Vec<(u64, DeskId, u64)>,
    /// The single active consumer whose node was told so.
    active: Option<ConsumerId>,
}

/// Whether a leader delivers.
pub struct Serving {
    group: Group<Ledger>,
    /// Nodes that have yet to say what their clients hold; `None` when that is over.
    gathering: Option<FxHashSet<NodeId>>,
    /// Another is to lead: what was delivered is written down, and must stay all there is.
    is_over: bool,
    /// Whether the lease was held when this run of the machine asked.
    lease: Option<bool>,
    /// A consumer was passed over for want of the lease.
    lapsed: bool,
    /// The lease is being asked for.
    is_regaining: bool,
}

impl Serving {
    /// Whether a delivery may be made now.
    pub fn may_deliver(&mut self) -> bool {
        if self.is_over || self.gathering.is_some() {
            return false;
        }
        let held = *self.lease.get_or_insert_with(|| self.group.holds_lease());
        self.lapsed |= !held;
        held
    }
}

impl Leading {
    /// Whether a message may be handed out now.
    pub fn may_serve(&mut self, queue: &Arc<QueueHandle>, broker: &Arc<Broker>) -> bool {
        let may = self.serving.may_deliver();
        self.served(queue, broker);
        may
    }

    /// The lease is looked at anew the next time, and asked for where it was wanting.
    fn served(&mut self, queue: &Arc<QueueHandle>, broker: &Arc<Broker>) {
        self.serving.lease = None;
        if std::mem::take(&mut self.serving.lapsed) && !std::mem::replace(&mut self.serving.is_regaining, true) {
            let (group, incarnation) = (self.group.clone(), self.incarnation);
            let (queue, broker) = (Arc::downgrade(queue), Arc::downgrade(broker));
            tasks::spawn("lease", async move {
                while let Err(error) = group.regain_lease().await {
                    if error != ProposeError::NoQuorum {
                        return;
                    }
                    tokio::time::sleep(LEASE_AGAIN).await;
                }
                if let (Some(queue), Some(broker)) = (queue.upgrade(), broker.upgrade()) {
                    queue.leased(&broker, incarnation);
                }
            });
        }
    }

    /// Gives what the machine recorded to the group, at once if anybody waits for it.
    pub fn submit(&mut self, queue: &Arc<QueueHandle>, broker: &Arc<Broker>) {
        self.served(queue, broker);
        match self.records.may_wait() && self.records.len() < LINGER_BYTES {
            true if self.records.is_empty() => {}
            true => self.linger(queue, broker),
            false => self.flush(queue, broker),
        }
    }

    /// Sees to it that the records go before long.
    fn linger(&mut self, queue: &Arc<QueueHandle>, broker: &Arc<Broker>) {
        self.lingers.get_or_insert_with(Instant::now);
        if std::mem::replace(&mut self.is_watched, true) {
            return;
        }
        let incarnation = self.incarnation;
        let (queue, broker) = (Arc::downgrade(queue), Arc::downgrade(broker));
        tasks::spawn("linger", async move {
            let mut rest = Some(LINGER);
            while let Some(some) = rest {
                tokio::time::sleep(some).await;
                let (Some(queue), Some(broker)) = (queue.upgrade(), broker.upgrade()) else {
                    return;
                };
                rest = queue.lingered(&broker, incarnation);
            }
        });
    }

    /// Gives what the machine recorded to the group.
    fn flush(&mut self, queue: &Arc<QueueHandle>, broker: &Arc<Broker>) {
        self.lingers = None;
        let mark = self.records.mark();
        let Some(batch) = self.records.take() else {
            return;
        };
        self.submitted += 1;
        let (queue, broker) = (Arc::downgrade(queue), Arc::downgrade(broker));
        let flight = Flight {
            incarnation: self.incarnation,
            flight: self.submitted,
            mark,
            discards: self.machine.discards_recorded(),
        };
        self.group.submit_in(self.term, batch, move |result| {
            if let (Some(queue), Some(broker)) = (queue.upgrade(), broker.upgrade()) {
                queue.landed(&broker, flight, result);
            }
        });
    }

    /// Tells the node of the single active consumer, if it is another than before.
    pub fn tell_active(&mut self, queue: QueueId) {
        let active = self.machine.single_active();
        if std::mem::replace(&mut self.active, active) != active
            && let Some(active) = active
        {
            self.tell_rank(queue, active);
        }
    }

    /// Tells another node what the place of its consumer is.
    pub fn tell_rank(&self, queue: QueueId, id: ConsumerId) {
        if let Some(consumer) = self.machine.consumer(id)
            && let Taker::Guest(guest) = consumer.handle
        {
            let (key, rank) = (guest.key.0, consumer.rank);
            guest.out.with(|buffer| wire::ranked(buffer, queue, key, rank));
        }
    }

    /// A desk's batch was settled; it is to hear when that is committed.
    pub fn settling(&mut self, node: NodeId, batch: u64) {
        self.settling.push_back((self.submitted + 1, node, batch));
    }

    /// The same for a batch that was settled here before.
    pub fn settled_before(&mut self, node: NodeId, batch: u64) {
        self.settling.push_back((self.submitted, node, batch));
    }

    /// The node is gone: its next run numbers its batches anew.
    pub fn forget_settling(&mut self, node: NodeId) {
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

/// Who is to hear that a queue is purged.
pub(super) enum Purger {
    /// A client of this node.
    Client(oneshot::Sender<u64>),
    /// Another node, which asked with this number.
    Node { node: NodeId, call: u64 },
}

/// Records on their way.
struct Flight {
    incarnation: u64,
    flight: u64,
    mark: Option<u64>,
    /// Messages that the machine had discarded.
    discards: u64,
}

impl QueueHandle {
    /// Whether this node leads the queue in that term.
    pub(super) fn leads(&self, term: u64) -> bool {
        matches!(&self.state.lock().seat, Seat::Leading(leading) if leading.term == term)
    }

    /// This node leads the group, and its ledger has all that is committed.
    pub(super) fn lead(self: &Arc<Self>, broker: &Arc<Broker>, group: &Group<Ledger>, term: u64) {
        let settings = settings_of(&broker.catalog(), &self.spec);
        let alive = broker.nodes.others_alive();
        let mut state = self.state.lock();
        if self.is_deleted() {
            return;
        }
        self.leave_seat(&mut state);
        let (mut machine, producers) = {
            let ledger = group.machine();
            let machine = Queue::recover(
                self.spec.queue_type,
                settings,
                broker.now(),
                ledger.recovered(),
                ledger.next_seq(),
                ledger.delivered_up_to(),
            );
            let machine = machine.replicated(term as u32);
            (machine, ledger.producers().clone())
        };
        machine.set_consumer_timeout(broker.now(), broker.config.queues.consumer_timeout);
        warn_of_fallback(self, &machine);
        let gathering = (!alive.is_empty()).then(|| alive.iter().copied().collect());
        state.seat = Seat::Leading(Box::new(Leading {
            machine,
            records: Records::default(),
            door: Door::new(producers),
            serving: Serving {
                group: group.clone(),
                // The desk of this node has yet to sit down.
                gathering: Some(FxHashSet::default()),
                is_over: false,
                lease: None,
                lapsed: false,
                is_regaining: false,
            },
            group: group.clone(),
            term,
            incarnation: INCARNATIONS.fetch_add(1, Ordering::Relaxed),
            submitted: 0,
            landed: 0,
            lingers: None,
            is_watched: false,
            purged: Vec::new(),
            settling: VecDeque::new(),
            again: Vec::new(),
            active: None,
        }));
        state.guests.clear();
        let mut deferred = self.sit_down(broker, &mut state);
        let is_gathering = gathering.is_some();
        if let Seat::Leading(leading) = &mut state.seat {
            leading.serving.gathering = gathering;
        }
        broker
            .peers
            .tell_all(|buffer| wire::lead(buffer, self.spec.id, term, true));
        if !is_gathering {
            let (_, also) = self.run(broker, &mut state, |machine, now, sink| machine.unstall_all(now, sink));
            deferred.also(also);
        }
        let deadline = state.machine().and_then(|machine| machine.deadline());
        drop(state);
        tracing::debug!(queue = %self.spec.name, vhost = %self.spec.vhost, term, "this node leads the queue");
        if let Some(deadline) = deadline {
            broker.timers.schedule(self, deadline);
        }
        if !deferred.is_empty() {
            broker.carry_out(self, deferred);
        }
        self.changed.notify_waiters();
        if is_gathering {
            let (queue, broker) = (self.clone(), broker.clone());
            tasks::spawn("gathering", async move {
                tokio::time::sleep(GATHER).await;
                queue.gathered(&broker, term, None);
            });
        }
    }

    /// A node has said what its clients hold, or the time for it is over.
    pub(super) fn gathered(self: &Arc<Self>, broker: &Arc<Broker>, term: u64, node: Option<NodeId>) {
        let mut state = self.state.lock();
        let Seat::Leading(leading) = &mut state.seat else {
            return;
        };
        if leading.term != term {
            return;
        }
        let Some(missing) = &mut leading.serving.gathering else {
            return;
        };
        if let Some(node) = node {
            missing.remove(&node);
            if !missing.is_empty() {
                return;
            }
        }
        leading.serving.gathering = None;
        if !leading.serving.is_over {
            self.serve_again(broker, state);
        }
    }

    /// The machine of this incarnation may deliver again.
    fn leased(self: &Arc<Self>, broker: &Arc<Broker>, incarnation: u64) {
        let mut state = self.state.lock();
        let Seat::Leading(leading) = &mut state.seat else {
            return;
        };
        if leading.incarnation == incarnation {
            leading.serving.is_regaining = false;
            if leading.may_serve(self, broker) {
                self.serve_again(broker, state);
            }
        }
    }

    /// Serves everybody who waited for the machine, which is here, to deliver (again).
    pub(super) fn serve_again(self: &Arc<Self>, broker: &Arc<Broker>, mut state: MutexGuard<'_, State>) {
        let (_, deferred) = self.run(broker, &mut state, |machine, now, sink| machine.unstall_all(now, sink));
        drop(state);
        self.changed.notify_waiters();
        self.serve_calls(broker);
        if !deferred.is_empty() {
            broker.carry_out(self, deferred);
        }
    }

    /// Another is to lead: nothing more goes out, and what was delivered is written down exactly, so
    /// that nothing else is flagged.
    pub(super) fn close_up(self: &Arc<Self>, broker: &Arc<Broker>) {
        let mut state = self.state.lock();
        if let Seat::Leading(leading) = &mut state.seat {
            leading.serving.is_over = true;
            let (_, deferred) = self.run(broker, &mut state, |machine, _, sink| machine.stop(sink));
            if let Seat::Leading(leading) = &mut state.seat {
                leading.flush(self, broker);
            }
            drop(state);
            if !deferred.is_empty() {
                broker.carry_out(self, deferred);
            }
        }
    }

    /// Records may have waited long enough for others. Returns how much longer they may; nothing when
    /// they need not be watched any more.
    fn lingered(self: &Arc<Self>, broker: &Arc<Broker>, incarnation: u64) -> Option<Duration> {
        let mut state = self.state.lock();
        let Seat::Leading(leading) = &mut state.seat else {
            return None;
        };
        if leading.incarnation != incarnation {
            return None;
        }
        let rest = leading.lingers.and_then(|since| LINGER.checked_sub(since.elapsed()));
        if rest.is_none() {
            leading.is_watched = false;
            leading.flush(self, broker);
        }
        rest
    }

    /// This node goes on leading after all.
    pub(super) fn open_again(self: &Arc<Self>, broker: &Arc<Broker>) {
        let mut state = self.state.lock();
        let Seat::Leading(leading) = &mut state.seat else {
            return;
        };
        leading.serving.is_over = false;
        if leading.serving.gathering.is_none() {
            self.serve_again(broker, state);
        }
    }

    /// This node does not lead (any more), or what led is to be made anew.
    pub(super) fn step_down(self: &Arc<Self>, broker: &Broker, incarnation: Option<u64>) {
        let mut state = self.state.lock();
        if let Seat::Leading(leading) = &state.seat
            && incarnation.is_none_or(|incarnation| incarnation == leading.incarnation)
        {
            self.leave_seat(&mut state);
            drop(state);
            broker.seekers.seek(self);
            self.changed.notify_waiters();
        }
    }

    /// Throws the machine away; what this node's clients hold is theirs still.
    pub(super) fn leave_seat(&self, state: &mut State) {
        let Seat::Leading(leading) = std::mem::replace(&mut state.seat, Seat::Elsewhere(None)) else {
            return;
        };
        let guests = std::mem::take(&mut state.guests);
        // Whoever waits asks the next leader; nobody would have what is fetched for this one's callers.
        state.gets.clear();
        let Some(desk) = &mut state.desk else { return };
        let of_guests: FxHashSet<ConsumerId> = guests
            .values()
            .flat_map(|guest| guest.consumers.values().map(|(id, _)| *id))
            .collect();
        let got_by_guests = |slot: Slot| guests.values().any(|guest| guest.gets.contains_key(&slot.seq()));
        let mut keys: FxHashMap<ConsumerId, ConsumerKey> = FxHashMap::default();
        for consumer in leading.machine.consumers() {
            if let Some(client) = consumer.handle.client() {
                keys.insert(consumer.id, client.key);
                if let Some(seated) = desk.consumers.get_mut(&client.key) {
                    seated.rank = consumer.rank;
                }
            }
        }
        for (holder, slot) in leading.machine.held() {
            let key = match holder {
                Holder::Consumer(id) if of_guests.contains(&id) => None,
                _ if got_by_guests(slot) => None,
                Holder::Get => Some(ConsumerKey::GET),
                // One that was cancelled leaves what it holds to its channel.
                Holder::Consumer(id) => Some(keys.get(&id).copied().unwrap_or(ConsumerKey::GET)),
            };
            if let Some(key) = key {
                desk.hold(key, slot);
            }
        }
    }

    /// The desk of this node meets the machine: its consumers are taken on with what they hold,
    /// and what is not answered is said again.
    fn sit_down(self: &Arc<Self>, broker: &Arc<Broker>, state: &mut State) -> Deferred {
        let Some(mut desk) = state.desk.take() else {
            return Deferred::default();
        };
        let us = broker.nodes.us();
        let mut held = std::mem::take(&mut desk.held);
        let (_, mut deferred) = self.run(broker, state, |machine, now, sink| {
            for seated in desk.consumers.values_mut() {
                seated.untold = 0;
                // What had come and was not passed on is in the machine again.
                for arrived in seated.waiting.drain(..) {
                    held.remove(&arrived.slot.seq());
                }
                let consumer = &seated.consumer;
                let taken = machine.consume(now, consume(consumer, seated.rank), sink);
                *consumer.id.lock() = taken.ok();
            }
        });
        let by_consumer = held_by_consumer(&desk, &held);
        let (_, also) = self.run(broker, state, |machine, now, sink| {
            for (holder, slots) in by_consumer {
                // What is gone was settled; what another holds was given away, and stays so.
                machine.adopt(now, holder, slots, sink);
            }
        });
        deferred.also(also);
        for batch in desk.settles() {
            deferred.also(self.settle_leading(broker, state, us, batch.clone(), true));
        }
        let again: Vec<(u64, Message)> = desk
            .unanswered()
            .map(|(number, message)| (number, message.clone()))
            .collect();
        let producer = desk.producer;
        state.desk = Some(desk);
        deferred.also(self.take_in(broker, state, us, producer, again));
        deferred
    }

    /// Publishes of this node's clients, while it leads.
    pub(super) fn publish_leading(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        state: &mut State,
        batch: impl IntoIterator<Item = Publish<ConfirmToken>>,
    ) -> Deferred {
        let us = broker.nodes.us();
        let desk = state.desk();
        let producer = desk.producer;
        let numbered: Vec<_> = batch
            .into_iter()
            .map(|publish| {
                let message = publish.message.clone();
                (desk.publish(publish), message)
            })
            .collect();
        self.take_in(broker, state, us, producer, numbered)
    }

    /// Takes numbered publishes in, of this node or another; what is here already is answered.
    pub(super) fn take_in(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        state: &mut State,
        node: NodeId,
        producer: ProducerId,
        numbered: Vec<(u64, Message)>,
    ) -> Deferred {
        if numbered.is_empty() {
            return Deferred::default();
        }
        let desk = DeskId { node, producer };
        let mut again = Vec::new();
        let mut unknown = Vec::new();
        let mut answers = Answers::default();
        let arrivals = numbered.into_iter().filter_map(|(number, message)| {
            if message.memory() + AROUND > RECORD_BYTES {
                answers.push(desk, number, ConfirmOutcome::Nack);
                return None;
            }
            let publish = Publish {
                message,
                publish: Some(Waiting::Desk { desk, number }),
            };
            let origin = Some(Origin { producer, number });
            Some(Arrival { publish, origin })
        });
        let (_, deferred) = self.run_at_door(broker, state, |machine, now, door, sink| {
            let again = |publish: Publish<Waiting>, before| {
                if let Some(Waiting::Desk { desk, number }) = publish.publish {
                    match before {
                        Before::Taken { with } => again.push((with, desk, number)),
                        Before::Unknown => unknown.push((desk, number)),
                    }
                }
            };
            machine.publish(now, door.admit(arrivals, again), sink);
        });
        for (desk, number) in unknown {
            answers.push(desk, number, ConfirmOutcome::Nack);
        }
        if let Seat::Leading(leading) = &mut state.seat {
            let durable = leading.machine.durable_up_to();
            for (seq, desk, number) in again {
                match seq <= durable {
                    true => answers.push(desk, number, ConfirmOutcome::Ack),
                    false => leading.again.push((seq, desk, number)),
                }
            }
        }
        answers.tell(self, broker, state);
        deferred
    }

    /// Settles a numbered batch of a desk, of this node or another, that may have been said to another
    /// leader if it `is_again`.
    pub(super) fn settle_leading(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        state: &mut State,
        node: NodeId,
        batch: SettleBatch,
        is_again: bool,
    ) -> Deferred {
        let SettleBatch { number, outcome, slots } = batch;
        if let Seat::Leading(leading) = &mut state.seat {
            leading.settling(node, number);
        }
        let (_, deferred) = self.run(broker, state, |machine, now, sink| {
            if is_again {
                // Said to a leader that may not have written it down: what is ready here, and has not come
                // back since, was not. What was delivered anew is another's.
                machine.adopt(now, Holder::Get, slots.clone(), sink);
            }
            machine.settle(now, slots, outcome, sink);
        });
        self.tell_settled(broker, state);
        deferred
    }

    /// Drops all ready messages of the machine, which is here. Who asked hears how many they were when
    /// they cannot come back.
    pub(super) fn purge_here(self: &Arc<Self>, broker: &Arc<Broker>, state: &mut State, purger: Purger) -> Deferred {
        let (count, deferred) = self.run(broker, state, |machine, _, sink| machine.purge(sink));
        let Some(count) = count else {
            // Whoever asked asks again, or hears that it is away.
            return deferred;
        };
        if let Seat::Leading(leading) = &mut state.seat {
            leading.flush(self, broker);
            leading.purged.push((leading.submitted, purger, count));
            self.tell_purged(broker, state);
        } else if self.spec.is_transient() {
            self.tell_purger(broker, purger, count);
        } else {
            let (queue, broker) = (self.clone(), broker.clone());
            tasks::spawn("purge", async move {
                if broker.synced().await.is_ok() {
                    queue.tell_purger(&broker, purger, count);
                }
            });
        }
        deferred
    }

    fn tell_purged(&self, broker: &Broker, state: &mut State) {
        if let Seat::Leading(leading) = &mut state.seat
            && !leading.purged.is_empty()
        {
            let up_to = leading.committed();
            let committed = leading.purged.partition_point(|(flight, ..)| *flight <= up_to);
            for (_, purger, count) in leading.purged.drain(..committed) {
                self.tell_purger(broker, purger, count);
            }
        }
    }

    fn tell_purger(&self, broker: &Broker, purger: Purger, count: u64) {
        match purger {
            // Who does not wait any more does not hear it.
            Purger::Client(answer) => drop(answer.send(count)),
            Purger::Node { node, call } => broker
                .peers
                .tell(node, |buffer| wire::done(buffer, self.spec.id, call, count)),
        }
    }

    pub(super) fn tell_settled(&self, broker: &Broker, state: &mut State) {
        let Seat::Leading(leading) = &mut state.seat else {
            return;
        };
        let settled = leading.settled();
        for (node, batch) in settled {
            match node == broker.nodes.us() {
                true => {
                    if let Some(desk) = &mut state.desk {
                        desk.settled(batch);
                    }
                }
                false => broker
                    .peers
                    .tell(node, |buffer| wire::settled(buffer, self.spec.id, batch)),
            }
        }
    }

    /// Records came back from the group.
    fn landed(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        flight: Flight,
        result: Result<Applied<ledger::Applied>, ProposeError>,
    ) {
        let applied = match result {
            Ok(applied) if applied.output.dropped.is_empty() => applied.output,
            Ok(_) => {
                tracing::error!(queue = %self.spec.name, vhost = %self.spec.vhost, "the queue and its ledger differ; it is made anew");
                return self.lost(broker, flight.incarnation);
            }
            Err(error) => {
                tracing::debug!(queue = %self.spec.name, %error, "records were not committed");
                return self.lost(broker, flight.incarnation);
            }
        };
        let deferred = {
            let mut state = self.state.lock();
            let Seat::Leading(leading) = &mut state.seat else {
                return;
            };
            if leading.incarnation != flight.incarnation {
                return;
            }
            leading.landed = flight.flight;
            let (_, deferred) = self.run(broker, &mut state, |machine, now, sink| {
                if let Some(mark) = flight.mark {
                    machine.marked(now, mark, sink);
                }
                if let Some(appended) = applied.appended {
                    machine.durable(now, appended.last, sink);
                }
                machine.discards_committed(now, flight.discards, sink);
            });
            self.tell_settled(broker, &mut state);
            self.tell_purged(broker, &mut state);
            self.tell_again(broker, &mut state);
            deferred
        };
        if flight.mark.is_some() {
            self.changed.notify_waiters();
            self.serve_calls(broker);
        }
        if !deferred.is_empty() {
            broker.carry_out(self, deferred);
        }
    }

    fn tell_again(self: &Arc<Self>, broker: &Broker, state: &mut State) {
        let Seat::Leading(leading) = &mut state.seat else {
            return;
        };
        if leading.again.is_empty() {
            return;
        }
        let durable = leading.machine.durable_up_to();
        let mut answers = Answers::default();
        leading.again.retain(|(seq, desk, number)| {
            let is_safe = *seq <= durable;
            if is_safe {
                answers.push(*desk, *number, ConfirmOutcome::Ack);
            }
            !is_safe
        });
        answers.tell(self, broker, state);
    }

    /// The machine is ahead of a log that lost something.
    fn lost(self: &Arc<Self>, broker: &Arc<Broker>, incarnation: u64) {
        self.step_down(broker, Some(incarnation));
        broker.replicas.look_again(self.spec.id);
    }
}

/// How a machine is asked to take a consumer of this node on.
pub(super) fn consume(consumer: &Arc<Consumer>, rank: Rank) -> Consume<Taker> {
    Consume {
        handle: Taker::Client(consumer.clone()),
        prefetch: consumer.prefetch,
        no_ack: consumer.no_ack,
        exclusive: consumer.exclusive,
        priority: consumer.priority,
        rank,
    }
}

fn held_by_consumer(desk: &Desk, held: &FxHashMap<u64, Held>) -> Vec<(Holder, Vec<Slot>)> {
    let mut by_key: FxHashMap<ConsumerKey, Vec<Slot>> = FxHashMap::default();
    for held in held.values() {
        by_key.entry(held.by).or_default().push(held.slot);
    }
    by_key
        .into_iter()
        .map(|(key, slots)| {
            // A consumer that was cancelled leaves what it holds to its channel.
            let id = desk.consumers.get(&key).and_then(|seated| *seated.consumer.id.lock());
            (id.map_or(Holder::Get, Holder::Consumer), slots)
        })
        .collect()
}
