//! The queue on the node that leads its group, run as [`crate::broker::leading`] runs it: the
//! machine in front of the log, guests that attach themselves, records on their way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::checker::{Id, Key};
use super::message::{Attach, Batch, Message};
use super::{Broken, Sim, World, body, read_body};
use crate::journal::raft::{Applied, Group, ProposeError};
use crate::queue::ledger::{self, Before, Ledger};
use crate::queue::record::{Origin, ProducerId, Records};
use crate::queue::recorder::{Arrival, Deduplicator, Recorder, Recording};
use crate::queue::{
    Consume, ConsumerId, DeathReason, Delivery, Holder, Keep, Loc, META_LEN, Outcome, Publish, Queue, Rank, Sink, Slot,
};
use crate::spec::{QueueSettings, QueueType};
use crate::types::{self, NodeId, Timestamp};

/// How long a new leader waits for live nodes to say what their clients hold.
const GATHER: Duration = Duration::from_millis(500);
/// How long a leader that hears no majority waits before it asks again.
const LEASE_AGAIN: Duration = Duration::from_millis(50);
/// How long settled messages wait for other records to go with.
const LINGER: Duration = Duration::from_millis(5);
/// Nothing in the queue depends on the time.
const NOW: Timestamp = Timestamp(1000);

/// A consumer, and where it is.
type Taker = (NodeId, Key);
/// A publish that waits for its confirm: of which desk of which node, and its number there.
type Waiting = (NodeId, ProducerId, u64);

pub struct Leading {
    queue: Queue<Taker, Waiting>,
    records: Records,
    deduplicator: Deduplicator,
    group: Group<Ledger>,
    pub term: u64,
    /// Tells it from others in the same term.
    incarnation: u64,
    submitted: u64,
    landed: u64,
    /// Records wait for others to go with, and will not for long.
    lingers: bool,
    settling: VecDeque<(u64, NodeId, u64)>,
    again: Vec<(u64, Waiting)>,
    /// Messages that are gone with these records.
    gone: Vec<(u64, Id)>,
    gathering: Option<BTreeSet<NodeId>>,
    /// A consumer was passed over for want of the lease.
    lapsed: bool,
    /// The lease is being asked for.
    is_regaining: bool,
    guests: BTreeMap<NodeId, Guest>,
}

/// A node with clients.
#[derive(Default)]
struct Guest {
    producer: ProducerId,
    is_attached: bool,
    /// It was asked to attach itself over the link as it is.
    is_asked: bool,
    settled: u64,
    consumers: BTreeMap<Key, ConsumerId>,
    gets: BTreeMap<u64, Slot>,
}

impl Guest {
    /// Messages that it held are settled.
    fn let_go(&mut self, slots: &[(Slot, Id)]) {
        for (slot, _) in slots {
            if self.gets.get(&slot.seq()) == Some(slot) {
                self.gets.remove(&slot.seq());
            }
        }
    }
}

/// What the machine wants done.
struct Effects<'a> {
    may_deliver: bool,
    has_lease: bool,
    lapsed: &'a mut bool,
    guests: &'a BTreeMap<NodeId, Guest>,
    /// With how often they came back.
    delivered: Vec<(Taker, Slot, Id, bool, u32)>,
    confirmed: Vec<Waiting>,
    wanted: Vec<u64>,
}

impl Sink for Effects<'_> {
    type Consumer = Taker;
    type Publish = Waiting;

    fn room(&mut self, (node, _): &Taker) -> bool {
        if !self.may_deliver {
            return false;
        }
        *self.lapsed |= !self.has_lease;
        self.has_lease && self.guests.get(node).is_some_and(|guest| guest.is_attached)
    }
    fn deliver(&mut self, consumer: &Taker, _: ConsumerId, delivery: Delivery<'_>) {
        let id = read_body(delivery.message);
        let Delivery {
            slot,
            redelivered,
            delivery_count,
            ..
        } = delivery;
        self.delivered.push((*consumer, slot, id, redelivered, delivery_count));
    }
    fn confirm(&mut self, publish: Waiting) {
        self.confirmed.push(publish);
    }
    fn refuse(&mut self, publish: Waiting) {
        panic!("{publish:?} is refused without a limit")
    }
    fn dead_letter(&mut self, _: Slot, _: types::Message, _: DeathReason) {
        panic!("there is no dead letter exchange")
    }
    fn cancel(&mut self, _: Taker) {
        panic!("nothing is deleted")
    }
    fn store(&mut self, _: u64, _: [u8; META_LEN], _: &types::Message, _: Keep) -> Loc {
        panic!("a quorum queue pages nothing out")
    }
    fn settled(&mut self, _: u64) {
        panic!("the recorder's")
    }
    fn returned(&mut self, _: u64, _: u32) {
        panic!("the recorder's")
    }
    fn discarded(&mut self, _: u64, _: u32, _: DeathReason) {
        panic!("the recorder's")
    }
    fn delivered_up_to(&mut self, _: u64) {
        panic!("the recorder's")
    }
    fn fetch(&mut self, wanted: &[(u64, Loc)]) {
        self.wanted.extend(wanted.iter().map(|(seq, _)| *seq));
    }
}

impl Leading {
    /// The machine out of the ledger.
    fn of(group: &Group<Ledger>, term: u64, incarnation: u64, gathering: BTreeSet<NodeId>, is_gated: bool) -> Self {
        let ledger = group.machine();
        let queue = Queue::recover(
            QueueType::Quorum,
            QueueSettings::default(),
            NOW,
            ledger.recovered(),
            ledger.next_seq(),
            ledger.delivered_up_to(),
        );
        Self {
            queue: match is_gated {
                true => queue.replicated(term as u32),
                false => queue,
            },
            records: Records::default(),
            deduplicator: Deduplicator::new(ledger.producers().clone()),
            group: group.clone(),
            term,
            incarnation,
            submitted: 0,
            landed: 0,
            lingers: false,
            settling: VecDeque::new(),
            again: Vec::new(),
            gone: Vec::new(),
            gathering: Some(gathering),
            lapsed: false,
            is_regaining: false,
            guests: BTreeMap::new(),
        }
    }

    /// Messages that somebody holds.
    pub fn held(&self) -> BTreeSet<u64> {
        self.queue.held().map(|(_, slot)| slot.seq()).collect()
    }

    /// Tells desks, unless another run of their node has another.
    fn answer(&self, sim: &Sim, us: NodeId, answered: Vec<Waiting>) {
        for (node, producer, number) in answered {
            if self.guests.get(&node).is_some_and(|guest| guest.producer == producer) {
                sim.tell(us, node, Message::Answered { number });
            }
        }
    }

    /// What these consumers hold.
    fn held_by(&self, ids: impl IntoIterator<Item = ConsumerId>) -> BTreeMap<u64, Slot> {
        let ids: FxHashSet<ConsumerId> = ids.into_iter().collect();
        let held = self.queue.held();
        held.filter(|(holder, _)| matches!(holder, Holder::Consumer(id) if ids.contains(id)))
            .map(|(_, slot)| (slot.seq(), slot))
            .collect()
    }

    pub fn counts(&self) -> (u64, u64) {
        (self.queue.ready(), self.queue.unacked())
    }

    /// Gives what the machine recorded to the group.
    fn flush(&mut self, sim: &Sim, us: NodeId) {
        let (mark, incarnation) = (self.records.mark(), self.incarnation);
        let Some(batch) = self.records.take() else { return };
        self.submitted += 1;
        let flight = self.submitted;
        let sim = sim.clone();
        self.group.submit_in(self.term, batch, move |result| {
            sim.input(us, move |sim, world| {
                world.landed(sim, us, (incarnation, flight, mark), result);
            });
        });
    }

    /// What was recorded by now is committed up to this batch: who hears of settled ones.
    fn take_settled(&mut self) -> BTreeMap<NodeId, u64> {
        let up_to = match self.landed == self.submitted && self.records.is_empty() {
            true => u64::MAX,
            false => self.landed,
        };
        let mut settled = BTreeMap::new();
        while let Some((_, node, batch)) = self.settling.pop_front_if(|(flight, ..)| *flight <= up_to) {
            settled.insert(node, batch);
        }
        settled
    }

    /// Publishes that came again whose first is safe.
    fn take_again(&mut self) -> Vec<Waiting> {
        let durable = self.queue.durable_up_to();
        let safe = self.again.extract_if(.., |(seq, _)| *seq <= durable);
        safe.map(|(_, waiting)| waiting).collect()
    }
}

/// The machine, where its messages come in, and what it writes to.
type OnQueue<'a, 'b, 'c> = (
    &'a mut Queue<Taker, Waiting>,
    &'a Deduplicator,
    &'a mut Recorder<'b, Effects<'c>>,
);

impl World {
    /// The term in which a node leads.
    pub fn term_led(&mut self, us: NodeId) -> Option<u64> {
        self.leading(us).map(|leading| leading.term)
    }

    fn leading(&mut self, us: NodeId) -> Option<&mut Leading> {
        self.node(us).running.as_mut()?.leading.as_mut()
    }

    /// A node leads the group, and its ledger has all that is committed.
    pub fn lead(&mut self, sim: &Sim, us: NodeId, term: u64) {
        self.step_down(us, None);
        self.last_incarnation += 1;
        let incarnation = self.last_incarnation;
        let mut gathering = self.alive(us);
        gathering.insert(us);
        let Some(running) = &mut self.node(us).running else {
            return;
        };
        let is_gated = sim.broken() != Some(Broken::Mark);
        let leading = Leading::of(&running.group, term, incarnation, gathering.clone(), is_gated);
        running.leading = Some(leading);
        self.checker.tell(format!("node {us:?} leads in term {term}"));
        for node in gathering {
            let starts_anew = true;
            sim.tell(us, node, Message::Lead { term, starts_anew });
        }
        sim.later(us, GATHER, move |sim, world| world.gathered(sim, us, term, None));
    }

    /// A node has said what its clients hold, or the time for it is over.
    fn gathered(&mut self, sim: &Sim, us: NodeId, term: u64, node: Option<NodeId>) {
        let Some(leading) = self.leading(us) else { return };
        let Some(missing) = &mut leading.gathering else { return };
        if leading.term != term {
            return;
        }
        if let Some(node) = node {
            missing.remove(&node);
            if !missing.is_empty() {
                return;
            }
        }
        leading.gathering = None;
        self.unstall(sim, us);
    }

    fn unstall(&mut self, sim: &Sim, us: NodeId) {
        self.run(sim, us, |(queue, _, sink)| queue.unstall_all(NOW, sink));
    }

    /// The machine of this incarnation may deliver again.
    fn leased(&mut self, sim: &Sim, us: NodeId, incarnation: u64) {
        if let Some(leading) = self.leading(us).filter(|leading| leading.incarnation == incarnation) {
            leading.is_regaining = false;
            if leading.gathering.is_none() {
                self.unstall(sim, us);
            }
        }
    }

    /// A node does not lead (any more), or what led is to be made anew.
    pub fn step_down(&mut self, us: NodeId, incarnation: Option<u64>) {
        let Some(running) = &mut self.node(us).running else {
            return;
        };
        let is_meant = |leading: &mut Leading| incarnation.is_none_or(|one| one == leading.incarnation);
        if let Some(leading) = running.leading.take_if(is_meant) {
            self.checker
                .tell(format!("node {us:?} leads no more in term {}", leading.term));
        }
    }

    /// Runs something on the machine of a node that leads, and carries out what comes of it.
    fn run<R>(&mut self, sim: &Sim, us: NodeId, f: impl FnOnce(OnQueue<'_, '_, '_>) -> R) -> Option<R> {
        let has_lease = self.has_lease(sim, us);
        let leading = self.leading(us)?;
        let Leading {
            queue,
            records,
            deduplicator,
            lapsed,
            guests,
            gathering,
            ..
        } = leading;
        let mut effects = Effects {
            may_deliver: gathering.is_none(),
            has_lease,
            lapsed,
            guests,
            delivered: Vec::new(),
            confirmed: Vec::new(),
            wanted: Vec::new(),
        };
        let mut sink = Recorder {
            effects: &mut effects,
            recording: Recording { records, deduplicator },
        };
        let result = f((queue, deduplicator, &mut sink));
        queue.check();
        let Effects {
            delivered,
            confirmed,
            wanted,
            ..
        } = effects;
        let given: Vec<(Key, Id, u32)> = delivered
            .iter()
            .map(|((_, key), _, id, _, count)| (*key, *id, *count))
            .collect();
        for ((node, key), slot, id, is_redelivered, _) in delivered {
            let deliver = Message::Deliver {
                key,
                slot,
                id,
                is_redelivered,
            };
            sim.tell(us, node, deliver);
        }
        leading.answer(sim, us, confirmed);
        let term = leading.term;
        if std::mem::take(&mut leading.lapsed) && !std::mem::replace(&mut leading.is_regaining, true) {
            let (sim, group, incarnation) = (sim.clone(), leading.group.clone(), leading.incarnation);
            tokio::spawn(async move {
                while let Err(error) = group.regain_lease().await {
                    if error != ProposeError::NoQuorum {
                        return;
                    }
                    tokio::time::sleep(LEASE_AGAIN).await;
                }
                sim.input(us, move |sim, world| world.leased(sim, us, incarnation));
            });
        }
        if !wanted.is_empty() {
            sim.later(us, Duration::from_millis(1), move |sim, world| {
                world.fetched(sim, us, term, &wanted);
            });
        }
        for (key, id, count) in given {
            self.checker.given(key, id, count);
        }
        self.submit(sim, us);
        Some(result)
    }

    /// Gives what the machine recorded to the group, at once if anybody waits for it.
    fn submit(&mut self, sim: &Sim, us: NodeId) {
        let Some(leading) = self.leading(us) else { return };
        if !leading.records.may_wait() {
            return leading.flush(sim, us);
        }
        if !leading.records.is_empty() && !std::mem::replace(&mut leading.lingers, true) {
            let incarnation = leading.incarnation;
            sim.later(us, LINGER, move |sim, world| {
                if let Some(leading) = world.leading(us).filter(|leading| leading.incarnation == incarnation) {
                    leading.lingers = false;
                    leading.flush(sim, us);
                }
            });
        }
    }

    fn fetched(&mut self, sim: &Sim, us: NodeId, term: u64, wanted: &[u64]) {
        let Some(leading) = self.leading(us) else { return };
        if leading.term != term {
            return;
        }
        let located = leading.group.machine().locate(wanted);
        let bodies = located.read().into_iter().map(|(seq, body)| (seq, body.ok())).collect();
        let lost = self.run(sim, us, |(queue, _, sink)| queue.fetched(NOW, bodies, sink));
        if lost.is_some_and(|lost| lost > 0) {
            self.checker.violated(format!("bodies of {wanted:?} are lost at {us}"));
        }
    }

    /// Records came back from the group.
    fn landed(
        &mut self,
        sim: &Sim,
        us: NodeId,
        (incarnation, flight, mark): (u64, u64, Option<u64>),
        result: Result<Applied<ledger::Applied>, ProposeError>,
    ) {
        let applied = match result {
            Ok(applied) if applied.output.dropped.is_empty() => applied.output,
            Ok(applied) => {
                let what = format!("queue and ledger differ at {us}: {:?}", applied.output.dropped);
                self.checker.violated(what);
                return self.lost(us, incarnation);
            }
            Err(_) => return self.lost(us, incarnation),
        };
        let Some(leading) = self.leading(us) else { return };
        if leading.incarnation != incarnation {
            return;
        }
        leading.landed = flight;
        let gone: Vec<Id> = leading
            .gone
            .extract_if(.., |(with, _)| *with <= flight)
            .map(|(_, id)| id)
            .collect();
        for id in gone {
            self.checker.kept(id);
        }
        self.run(sim, us, |(queue, _, sink)| {
            if let Some(mark) = mark {
                queue.marked(NOW, mark, sink);
            }
            if let Some(appended) = applied.appended {
                queue.durable(NOW, appended.last, sink);
            }
        });
        self.tell_settled(sim, us);
        let Some(leading) = self.leading(us) else { return };
        let again = leading.take_again();
        leading.answer(sim, us, again);
    }

    fn tell_settled(&mut self, sim: &Sim, us: NodeId) {
        let Some(leading) = self.leading(us) else { return };
        for (node, up_to) in leading.take_settled() {
            sim.tell(us, node, Message::Settled { up_to });
        }
    }

    /// The machine is ahead of a log that lost something.
    fn lost(&mut self, us: NodeId, incarnation: u64) {
        self.step_down(us, Some(incarnation));
        if let Some(running) = &self.node(us).running {
            running.look.notify_one();
        }
    }

    /// What a node with clients says to the one that leads.
    pub fn on_guest(&mut self, sim: &Sim, us: NodeId, from: NodeId, message: Message) {
        let Some(leading) = self.leading(us) else {
            if !matches!(message, Message::Who | Message::Nothing { .. }) {
                sim.tell(us, from, Message::NotLeader);
            }
            return;
        };
        let is_attached = leading.guests.get(&from).is_some_and(|guest| guest.is_attached);
        if !is_attached && !matches!(message, Message::Who | Message::Nothing { .. } | Message::Attach(_)) {
            // Something before it may be lost: it is said again, behind all the rest that the node has
            // at stake.
            let guest = leading.guests.entry(from).or_default();
            if !std::mem::replace(&mut guest.is_asked, true) {
                let (term, starts_anew) = (leading.term, true);
                sim.tell(us, from, Message::Lead { term, starts_anew });
            }
            return;
        }
        match message {
            Message::Who => {
                let (term, starts_anew) = (leading.term, false);
                sim.tell(us, from, Message::Lead { term, starts_anew });
            }
            Message::Nothing { term } => {
                // Clients that it had are gone since.
                self.guest_gone(sim, us, from);
                self.gathered(sim, us, term, Some(from));
            }
            Message::Attach(attach) => {
                let term = attach.term;
                self.on_attach(sim, us, from, attach);
                self.gathered(sim, us, term, Some(from));
            }
            Message::Consume { key, prefetch } => self.take_on(sim, us, from, key, prefetch),
            Message::Cancel { key, kept } => {
                let guest = leading.guests.get_mut(&from);
                if let Some(id) = guest.and_then(|guest| guest.consumers.remove(&key)) {
                    let mut held = leading.held_by([id]);
                    let guest = leading.guests.entry(from).or_default();
                    for slot in kept {
                        if held.get(&slot.seq()) == Some(&slot) {
                            held.remove(&slot.seq());
                            guest.gets.insert(slot.seq(), slot);
                        }
                    }
                    let lost = held.into_values();
                    self.run(sim, us, |(queue, _, sink)| queue.cancel_without(NOW, [id], lost, sink));
                }
            }
            Message::Leave { keys, batch } => self.on_leave(sim, us, from, keys, batch),
            Message::Publish { number, id } => self.take_in(sim, us, from, number, id),
            Message::Settle(batch) => self.on_settle(sim, us, from, batch, false),
            _ => unreachable!("the rest is for a node with clients"),
        }
    }

    fn take_on(&mut self, sim: &Sim, us: NodeId, node: NodeId, key: Key, prefetch: u32) {
        let consume = Consume {
            handle: (node, key),
            prefetch: Some(prefetch),
            no_ack: false,
            exclusive: false,
            priority: 0,
            rank: Rank::default(),
        };
        let id = self.run(sim, us, |(queue, _, sink)| queue.consume(NOW, consume, sink));
        if let (Some(Ok(id)), Some(leading)) = (id, self.leading(us)) {
            leading.guests.entry(node).or_default().consumers.insert(key, id);
        }
    }

    fn take_in(&mut self, sim: &Sim, us: NodeId, node: NodeId, number: u64, id: Id) {
        let Some(guest) = self.leading(us).and_then(|leading| leading.guests.get(&node)) else {
            return;
        };
        let arrival = Arrival {
            publish: Publish {
                message: body(id),
                publish: Some((node, guest.producer, number)),
            },
            origin: Some(Origin {
                producer: guest.producer,
                number,
            }),
        };
        let mut again = Vec::new();
        self.run(sim, us, |(queue, deduplicator, sink)| {
            let again = |publish: Publish<Waiting>, before| match before {
                Before::Taken { with } => again.extend(publish.publish.map(|waiting| (with, waiting))),
                Before::Unknown => panic!("nothing is refused without a limit"),
            };
            queue.publish(NOW, deduplicator.admit([arrival], again), sink);
        });
        let Some(leading) = self.leading(us) else { return };
        leading.again.extend(again);
        let again = leading.take_again();
        leading.answer(sim, us, again);
    }

    fn on_settle(&mut self, sim: &Sim, us: NodeId, node: NodeId, batch: Batch, is_again: bool) {
        let Batch { number, outcome, slots } = batch;
        let Some(leading) = self.leading(us) else { return };
        let guest = leading.guests.entry(node).or_default();
        if number <= guest.settled {
            leading.settling.push_back((leading.submitted, node, number));
            return self.tell_settled(sim, us);
        }
        guest.settled = number;
        guest.let_go(&slots);
        let flight = leading.submitted + 1;
        leading.settling.push_back((flight, node, number));
        let ids: BTreeMap<u64, Id> = slots.iter().map(|(slot, id)| (slot.seq(), *id)).collect();
        let slots: Vec<Slot> = slots.into_iter().map(|(slot, _)| slot).collect();
        let gone = self.run(sim, us, |(queue, _, sink)| {
            if is_again {
                // Said to a leader that may not have written it down: what is ready here, and has not come
                // back since, was not.
                queue.adopt(NOW, Holder::Get, slots.clone(), sink);
            }
            let mut held: BTreeSet<u64> = queue.held().map(|(_, slot)| slot.seq()).collect();
            queue.settle(NOW, slots, outcome, sink);
            for (_, slot) in queue.held() {
                held.remove(&slot.seq());
            }
            held
        });
        if let (Some(leading), true) = (self.leading(us), outcome != Outcome::Requeue) {
            let gone = gone.unwrap_or_default().into_iter();
            leading
                .gone
                .extend(gone.filter_map(|seq| Some((flight, *ids.get(&seq)?))));
        }
        self.tell_settled(sim, us);
    }

    fn on_leave(&mut self, sim: &Sim, us: NodeId, node: NodeId, keys: Vec<Key>, batch: Batch) {
        let Batch { number, slots, .. } = batch;
        let Some(leading) = self.leading(us) else { return };
        let guest = leading.guests.entry(node).or_default();
        let ids: Vec<ConsumerId> = keys.iter().filter_map(|key| guest.consumers.remove(key)).collect();
        guest.settled = guest.settled.max(number);
        guest.let_go(&slots);
        leading.settling.push_back((leading.submitted + 1, node, number));
        let slots: Vec<Slot> = slots.into_iter().map(|(slot, _)| slot).collect();
        self.run(sim, us, |(queue, _, sink)| queue.give_back(NOW, ids, slots, sink));
        self.tell_settled(sim, us);
    }

    fn on_attach(&mut self, sim: &Sim, us: NodeId, node: NodeId, attach: Attach) {
        let Some(leading) = self.leading(us) else { return };
        if leading.term != attach.term {
            return;
        }
        let mut before = leading.guests.remove(&node).unwrap_or_default();
        let guest = Guest {
            producer: attach.producer,
            settled: before.settled,
            ..Guest::default()
        };
        leading.guests.insert(node, guest);
        let all: FxHashSet<Slot> = attach.held.iter().map(|(_, slot)| *slot).collect();
        let mut listed: FxHashMap<Key, Vec<Slot>> = FxHashMap::default();
        for (key, slot) in attach.held {
            listed.entry(key).or_default().push(slot);
        }
        for (key, prefetch) in &attach.consumers {
            match before.consumers.remove(key) {
                Some(id) => {
                    if let Some(guest) = self.leading(us).and_then(|leading| leading.guests.get_mut(&node)) {
                        guest.consumers.insert(*key, id);
                    }
                }
                None => self.take_on(sim, us, node, *key, *prefetch),
            }
        }
        let Some(leading) = self.leading(us) else { return };
        let Some(guest) = leading.guests.get(&node) else { return };
        let ids = guest.consumers.clone();
        before.gets.extend(leading.held_by(before.consumers.values().copied()));
        let mut kept = Vec::new();
        let not_theirs = self.run(sim, us, |(queue, _, sink)| {
            let mut not_theirs = BTreeSet::new();
            for (key, slots) in listed {
                let id = ids.get(&key);
                let holder = id.map_or(Holder::Get, |id| Holder::Consumer(*id));
                if id.is_none() {
                    kept.extend(&slots);
                }
                // What is gone was settled; what another holds was given away, and stays so.
                not_theirs.extend(queue.adopt(NOW, holder, slots, sink));
            }
            not_theirs
        });
        for batch in attach.settles {
            self.on_settle(sim, us, node, batch, true);
        }
        self.run(sim, us, |(queue, _, sink)| {
            // What was sent and never came goes to others.
            let of_node: FxHashSet<ConsumerId> = before.consumers.values().chain(ids.values()).copied().collect();
            let lost: Vec<Slot> = queue
                .held()
                .filter(|(holder, _)| matches!(holder, Holder::Consumer(id) if of_node.contains(id)))
                .map(|(_, slot)| slot)
                .chain(before.gets.values().copied())
                .filter(|slot| !all.contains(slot))
                .collect();
            queue.cancel_without(NOW, before.consumers.into_values(), lost, sink);
        });
        let not_theirs = not_theirs.unwrap_or_default();
        kept.retain(|slot: &Slot| !not_theirs.contains(slot));
        let Some(guest) = self.leading(us).and_then(|leading| leading.guests.get_mut(&node)) else {
            return;
        };
        guest.gets.extend(kept.into_iter().map(|slot| (slot.seq(), slot)));
        guest.is_attached = true;
        let attached = Message::Attached {
            number: attach.number,
            lost: not_theirs.into_iter().collect(),
        };
        sim.tell(us, node, attached);
        self.run(sim, us, |(queue, _, sink)| {
            for id in ids.values() {
                queue.unstall(NOW, *id, sink);
            }
        });
    }

    /// The link to a node with clients broke.
    pub fn guest_left(&mut self, us: NodeId, node: NodeId) {
        if let Some(guest) = self.leading(us).and_then(|leading| leading.guests.get_mut(&node)) {
            guest.is_attached = false;
            guest.is_asked = false;
        }
    }

    /// A node with clients is gone: what they held goes to others.
    pub fn guest_gone(&mut self, sim: &Sim, us: NodeId, node: NodeId) {
        let Some(gone) = self.leading(us).and_then(|leading| leading.guests.remove(&node)) else {
            return;
        };
        if let Some(leading) = self.leading(us) {
            leading.settling.retain(|(_, of, _)| *of != node);
        }
        self.run(sim, us, |(queue, _, sink)| {
            queue.give_back(NOW, gone.consumers.into_values(), gone.gets.into_values(), sink)
        });
    }
}
