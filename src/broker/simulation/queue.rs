//! The queue's machine on a node, and what is done with what it decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::checker::{Checker, Id, Key};
use super::clients::{Clients, Tx};
use super::net::{Kind, Links, Net};
use super::node::QUEUE;
use super::{Broken, Sim, World, read_body};
use crate::handover::message::{ConsumerKey, ConsumerSpec, Frame, FrameBody};
use crate::handover::{
    CallResult, ClusteredQueue, Effects, Flight, Handles, Leads, LinkUse, LocalConsumer, Panicked, RemoteDelivery,
    Unsynced, Wake, wire,
};
use crate::journal::raft::{Applied, Group, ProposeError, RECORD_BYTES};
use crate::queue::ledger::{self, Ledger};
use crate::queue::record::{Record, records};
use crate::queue::{
    ConsumeError, ConsumerId, ConsumerStatus, DeadLetterOutcome, DeathReason, Delivery, Keep, Loc, META_LEN, Queue,
    Rank, Sink, Slot,
};
use crate::spec::QueueType;
use crate::types::{Message, Millis, NodeId, Reply, Timestamp};

/// How long a leader that hears no majority waits before it asks again.
const LEASE_AGAIN: Duration = Duration::from_millis(50);
/// How often it is asked who leads.
const SEEK: Duration = Duration::from_millis(100);

/// What the machine's words are here.
pub enum SimHandles {}

impl Handles for SimHandles {
    type Consumer = SimConsumer;
    type Publish = SimPublish;
    type Settlement = Tx;
    type Call = SimCall;
    type Line = NodeId;
    type Journal = Group<Ledger>;

    const RECORD_BYTES: usize = RECORD_BYTES;
}

pub type Machine = ClusteredQueue<SimHandles>;

#[derive(Clone, Copy, Debug)]
pub struct SimConsumer {
    pub key: Key,
    pub prefetch: u32,
    pub no_ack: bool,
}

impl LocalConsumer for SimConsumer {
    fn key(&self) -> ConsumerKey {
        ConsumerKey(self.key)
    }

    fn spec(&self) -> ConsumerSpec<&str> {
        ConsumerSpec {
            key: self.key,
            tag: "consumer",
            prefetch: Some(self.prefetch),
            no_ack: self.no_ack,
            exclusive: false,
            priority: 0,
            rank: Rank::default(),
        }
    }
}

/// A publish, and the transaction that it is of.
pub struct SimPublish {
    pub id: Id,
    pub tx: Option<Tx>,
}

/// Somebody who asked something. When it is dropped without an answer it is to be asked again.
pub struct SimCall {
    pub number: u64,
    pub dropped: Arc<Mutex<Vec<u64>>>,
}

impl Drop for SimCall {
    fn drop(&mut self) {
        self.dropped.lock().push(self.number);
    }
}

/// What is done when an input is over.
enum Out {
    Frames(NodeId, Vec<u8>),
    RegainLease(u64),
    Submit { term: u64, records: Bytes, flight: Flight },
    Wake(Millis, Wake),
    Seek,
    Changed,
    LastConsumerEnded(NodeId, u64),
    Fetch(Vec<u64>),
    DeadLetter(Slot, Id),
}

impl Out {
    /// The consumers of other nodes to which messages go.
    fn delivered_to(&self) -> Vec<Key> {
        let Self::Frames(_, bytes) = self else {
            return Vec::new();
        };
        let bytes = Bytes::copy_from_slice(bytes);
        let keys = wire::frames(&bytes).flatten().filter_map(|frame| match frame.body {
            FrameBody::Deliver { key, .. } => Some(key),
            _ => None,
        });
        keys.collect()
    }
}

/// The single active consumer of a live queue.
fn single_active(machine: &Machine) -> Option<Key> {
    let mut statuses = machine.statuses();
    let active = statuses.find(|(.., status)| *status == ConsumerStatus::SingleActive);
    active.map(|(_, key, _)| key.0)
}

pub struct SimEffects<'a> {
    us: NodeId,
    net: &'a Net,
    linked: &'a BTreeSet<NodeId>,
    broken: Option<Broken>,
    clients: &'a mut Clients,
    checker: &'a mut Checker,
    /// Consumers of this node that were given something.
    given: Vec<Key>,
    out: Vec<Out>,
}

impl SimEffects<'_> {
    fn received(&mut self, consumer: SimConsumer, id: Id, slot: Slot, is_redelivered: bool) {
        self.checker.delivered(consumer.key, id, is_redelivered);
        if slot != Slot::NONE {
            self.clients.hold(consumer.key, id, slot);
        }
    }
}

impl Sink for SimEffects<'_> {
    type Consumer = SimConsumer;
    type Publish = SimPublish;

    fn room(&mut self, consumer: &SimConsumer) -> bool {
        self.clients.has_room(consumer.key)
    }

    fn deliver(&mut self, consumer: &SimConsumer, _: ConsumerId, delivery: Delivery<'_>) {
        let id = read_body(delivery.message);
        self.given.push(consumer.key);
        self.checker
            .given(consumer.key, id, delivery.delivery_count, delivery.no_ack);
        self.received(*consumer, id, delivery.slot, delivery.redelivered);
    }

    fn confirm(&mut self, publish: SimPublish) {
        self.checker.confirmed(publish.id);
        if let Some(tx) = publish.tx {
            self.checker.tx_answered(tx);
        }
    }

    fn refuse(&mut self, publish: SimPublish) {
        self.checker.refused(publish.id);
        if let Some(tx) = publish.tx {
            self.checker.tx_answered(tx);
        }
    }

    fn dead_letter(&mut self, slot: Slot, message: Message, _: DeathReason) {
        self.out.push(Out::DeadLetter(slot, read_body(&message)));
    }

    fn cancel(&mut self, consumer: SimConsumer) {
        self.checker
            .violated(format!("{} is cancelled and nothing is deleted", consumer.key));
    }

    fn store(&mut self, _: u64, _: [u8; META_LEN], _: &Message, _: Keep) -> Loc {
        panic!("a quorum queue stores nothing itself")
    }

    fn settled(&mut self, _: u64) {
        panic!("it is recorded")
    }

    fn returned(&mut self, _: u64, _: u32) {
        panic!("it is recorded")
    }

    fn discarded(&mut self, _: u64, _: u32, _: DeathReason) {
        panic!("it is recorded")
    }

    fn delivered_up_to(&mut self, _: u64) {
        panic!("it is recorded")
    }

    fn fetch(&mut self, wanted: &[(u64, Loc)]) {
        self.out.push(Out::Fetch(wanted.iter().map(|(seq, _)| *seq).collect()));
    }
}

impl Effects<SimHandles> for SimEffects<'_> {
    fn pass_on(&mut self, consumer: &SimConsumer, delivery: &RemoteDelivery) {
        let id = read_body(&delivery.message);
        self.received(*consumer, id, delivery.slot, delivery.redelivered);
    }

    fn consuming(&mut self, _: &SimConsumer) {}

    fn overdue(&mut self, _: &SimConsumer, _: Millis) {
        panic!("there is no timeout")
    }

    fn held_by_client(&mut self, consumer: &SimConsumer) -> Vec<Slot> {
        self.clients.held_by(consumer.key)
    }

    fn committed(&mut self, tx: Tx) {
        self.checker.tx_answered(tx);
    }

    fn answer(&mut self, call: SimCall, answer: CallResult) -> bool {
        self.clients.answered(call.number, answer, self.checker)
    }

    fn line(&mut self, node: NodeId) -> Option<NodeId> {
        (node != self.us).then_some(node)
    }

    fn epoch(&mut self, line: &NodeId) -> Option<u64> {
        let is_linked = self.linked.contains(line);
        is_linked.then(|| self.net.known_use(self.us, *line))
    }

    fn write(&mut self, line: &NodeId, only_in: Option<u64>, frames: impl FnOnce(&mut Vec<u8>)) {
        let epoch = self.epoch(line);
        if epoch.is_none() || only_in.is_some_and(|only| Some(only) != epoch) {
            return;
        }
        // What is said in one go to a node goes together, as a line gathers it.
        if let Some(Out::Frames(to, buffer)) = self.out.last_mut()
            && to == line
        {
            return frames(buffer);
        }
        let mut buffer = vec![wire::FORMAT];
        frames(&mut buffer);
        self.out.push(Out::Frames(*line, buffer));
    }

    fn write_to_all(&mut self, frames: impl Fn(&mut Vec<u8>)) {
        for node in self.linked.clone() {
            self.write(&node, None, &frames);
        }
    }

    fn unreadable(&mut self) {
        self.checker.violated("a message between nodes is damaged".to_owned());
    }

    fn refusal(&mut self, error: ConsumeError) -> Reply {
        panic!("nobody is refused: {error}")
    }

    fn holds_lease(&mut self, journal: &Group<Ledger>) -> bool {
        self.broken == Some(Broken::Lease) || journal.holds_lease()
    }

    fn regain_lease(&mut self, _: &Group<Ledger>, incarnation: u64) {
        self.out.push(Out::RegainLease(incarnation));
    }

    fn submit(&mut self, _: &Group<Ledger>, term: u64, records: Bytes, flight: Flight) {
        self.out.push(Out::Submit { term, records, flight });
    }

    fn when_synced(&mut self, _: Unsynced<SimHandles>) {
        panic!("only a queue of one node waits for its disk")
    }

    fn wake(&mut self, after: Millis, wake: Wake) {
        self.out.push(Out::Wake(after, wake));
    }

    fn look_up_leader(&mut self) {
        self.out.push(Out::Seek);
    }

    fn changed(&mut self) {
        self.out.push(Out::Changed);
    }

    fn last_consumer_ended(&mut self, asked: Option<(NodeId, u64)>) {
        if let Some((node, call)) = asked {
            self.out.push(Out::LastConsumerEnded(node, call));
        }
    }

    fn panicked(&mut self, _: Panicked, _: u32) {
        self.checker
            .violated(format!("the queue panicked at {}, as was printed", self.us));
    }
}

impl World {
    /// The time, as all nodes know it.
    pub fn now(&self) -> Timestamp {
        Timestamp(1000 + self.began.elapsed().as_millis() as u64)
    }

    /// Gives the machine of a node an input, and does what comes of it. `None` when the node is down.
    pub fn input<R>(
        &mut self,
        sim: &Sim,
        us: NodeId,
        f: impl FnOnce(&mut Machine, Timestamp, &mut SimEffects<'_>) -> R,
    ) -> Option<R> {
        let now = self.now();
        let is_single_active = self.settings.single_active_consumer;
        let World { nodes, checker, .. } = self;
        let node = nodes.get_mut(&us)?;
        let running = node.running.as_mut()?;
        let mut effects = SimEffects {
            us,
            net: sim.net(),
            linked: &node.linked,
            broken: sim.broken(),
            clients: &mut running.clients,
            checker,
            given: Vec::new(),
            out: Vec::new(),
        };
        let before = single_active(&running.machine);
        let result = f(&mut running.machine, now, &mut effects);
        let SimEffects { given, out, .. } = effects;
        if is_single_active {
            let active = [before, single_active(&running.machine)];
            for key in given.into_iter().chain(out.iter().flat_map(Out::delivered_to)) {
                if !active.contains(&Some(key)) {
                    checker.violated(format!("{key} is served by {us}, and {active:?} is active"));
                }
            }
        }
        if let Some(queue) = running.machine.queue() {
            queue.check();
        }
        if let Some(deadline) = running.machine.deadline()
            && running.tick_at.is_none_or(|at| deadline < at)
        {
            running.tick_at = Some(deadline);
            let after = Duration::from_millis(deadline.since(now).0.max(1));
            sim.later(us, after, move |sim, world| world.tick(sim, us));
        }
        // What is said goes at once, so before anything that comes of the rest.
        let (said, rest): (Vec<Out>, Vec<Out>) = out.into_iter().partition(|one| matches!(one, Out::Frames(..)));
        for one in said.into_iter().chain(rest) {
            self.carry_out(sim, us, one);
        }
        self.ask_again(sim, us);
        Some(result)
    }

    fn tick(&mut self, sim: &Sim, us: NodeId) {
        if let Some(running) = &mut self.node(us).running {
            running.tick_at = None;
            self.input(sim, us, |machine, now, effects| machine.tick(now, effects));
        }
    }

    fn carry_out(&mut self, sim: &Sim, us: NodeId, out: Out) {
        match out {
            Out::Frames(to, bytes) => self.send(sim, us, to, bytes),
            Out::RegainLease(incarnation) => {
                let Some(running) = &self.node(us).running else { return };
                let (sim, group) = (sim.clone(), running.group.clone());
                tokio::spawn(async move {
                    while let Err(error) = group.regain_lease().await {
                        if error != ProposeError::NoQuorum {
                            return;
                        }
                        tokio::time::sleep(LEASE_AGAIN).await;
                    }
                    sim.input(us, move |sim, world| {
                        world.input(sim, us, |machine, now, effects| {
                            machine.leased(now, incarnation, effects);
                        });
                    });
                });
            }
            Out::Submit { term, records, flight } => self.submit(sim, us, term, records, flight),
            Out::Wake(after, wake) => {
                sim.later(us, Duration::from_millis(after.0), move |sim, world| {
                    world.input(sim, us, |machine, now, effects| machine.wake(now, wake, effects));
                });
            }
            Out::Seek => {
                if let Some(running) = &mut self.node(us).running
                    && !std::mem::replace(&mut running.is_seeking, true)
                {
                    sim.later(us, Duration::from_millis(1), move |sim, world| world.seek(sim, us));
                }
            }
            Out::Changed => self.try_calls(sim, us),
            Out::LastConsumerEnded(node, call) => {
                self.input(sim, us, |machine, _, effects| machine.tell_done(node, call, effects));
            }
            Out::Fetch(wanted) => {
                sim.later(us, Duration::from_millis(1), move |sim, world| {
                    world.fetched(sim, us, &wanted);
                });
            }
            Out::DeadLetter(slot, id) => self.send_dead_letter(sim, us, slot, id),
        }
    }

    /// Sends frames to another node.
    pub fn send(&mut self, sim: &Sim, us: NodeId, to: NodeId, bytes: Vec<u8>) {
        let bytes = Bytes::from(bytes);
        if sim.is_loud() {
            for frame in wire::frames(&bytes).flatten() {
                self.checker.tell(format!("    {us} → {to}: {}", shown(&frame.body)));
            }
        }
        self.note_given(&bytes);
        let incarnation = self.node(us).life;
        sim.carry(us, to, Kind::Queues, move |sim, world, connection| {
            let from = LinkUse {
                node: us,
                incarnation,
                connection,
            };
            world.on_frames(sim, to, from, &bytes);
        });
    }

    /// What a leader gives to clients of other nodes.
    fn note_given(&mut self, bytes: &Bytes) {
        for frame in wire::frames(bytes).flatten() {
            let (key, delivered, message) = match frame.body {
                FrameBody::Deliver {
                    key,
                    delivered,
                    message,
                } => (key, delivered, message),
                FrameBody::Got { delivered, message, .. } => (0, delivered, message),
                _ => continue,
            };
            let id = read_body(&Message::from_stored(&message).expect("just written"));
            let is_gone = delivered.slot == Slot::NONE;
            self.checker.given(key, id, delivered.delivery_count, is_gone);
        }
    }

    fn on_frames(&mut self, sim: &Sim, us: NodeId, from: LinkUse, bytes: &Bytes) {
        for frame in wire::frames(bytes) {
            let Frame { queue, body } = frame.expect("as it was written");
            assert_eq!(queue, QUEUE);
            if let FrameBody::Leaderless { term } = body {
                self.on_leaderless(us, from.node, term);
                continue;
            }
            let is_purge = matches!(body, FrameBody::Purge { .. });
            self.purging(us, is_purge);
            self.input(sim, us, |machine, now, effects| {
                machine.on_frame(now, from, body, effects);
            });
            self.purging(us, false);
        }
    }

    /// What is recorded to be gone from now on was purged.
    pub fn purging(&mut self, us: NodeId, is_so: bool) {
        if let Some(running) = &mut self.node(us).running {
            running.is_purging = is_so;
        }
    }

    fn seek(&mut self, sim: &Sim, us: NodeId) {
        let members: Vec<NodeId> = sim.nodes().collect();
        if let Some(running) = &mut self.node(us).running {
            running.is_seeking = running.machine.is_lost();
            if running.is_seeking {
                self.input(sim, us, |machine, _, effects| machine.ask_who_leads(&members, effects));
                sim.later(us, SEEK, move |sim, world| world.seek(sim, us));
            }
        }
    }

    fn fetched(&mut self, sim: &Sim, us: NodeId, wanted: &[u64]) {
        let Some(running) = &self.node(us).running else { return };
        let located = running.group.machine().locate(wanted);
        let bodies = located.read().into_iter().map(|(seq, body)| (seq, body.ok())).collect();
        let lost = self.input(sim, us, |machine, now, effects| {
            machine.run(now, effects, |queue, now, output| queue.fetched(now, bodies, output))
        });
        if let Some(Some(lost)) = lost
            && lost > 0
        {
            self.checker.violated(format!("bodies of {wanted:?} are lost at {us}"));
        }
        self.try_calls(sim, us);
        self.input(sim, us, |machine, now, effects| machine.serve_gets(now, effects));
    }

    /// A target of dead letters answers some time later, and refuses some.
    fn send_dead_letter(&mut self, sim: &Sim, us: NodeId, slot: Slot, id: Id) {
        self.letters += 1;
        let mut chance = super::net::chance(sim.seed(), [us.0, self.letters, 0, 5]);
        let is_taken = rand::Rng::random_range(&mut chance, 0..4) > 0;
        let after = rand::Rng::random_range(&mut chance, 1..80);
        if is_taken {
            self.checker.dead_letter(id);
        }
        sim.later(us, Duration::from_millis(after), move |sim, world| {
            let outcome = match is_taken {
                true => DeadLetterOutcome::Confirmed,
                false => DeadLetterOutcome::Refused { reached: Vec::new() },
            };
            world.input(sim, us, |machine, now, effects| {
                machine.run(now, effects, |queue, now, output| {
                    queue.dead_letters_answered(now, vec![(slot, outcome)], output)
                })
            });
        });
    }

    /// A node leads the group, and its ledger has all that is committed.
    pub fn lead(&mut self, sim: &Sim, us: NodeId, term: u64) {
        let alive: Vec<NodeId> = self.alive(us).into_iter().collect();
        let (now, settings) = (self.now(), self.settings.clone());
        let Some(running) = &mut self.node(us).running else {
            return;
        };
        let group = running.group.clone();
        let (leads, names) = {
            let ledger = group.machine();
            let names: BTreeMap<u64, Id> = ledger
                .recovered()
                .iter()
                .map(|one| (one.seq, read_body(&ledger.message(one.seq).expect("it is there"))))
                .collect();
            let leads = Leads::<SimHandles>::of(&ledger, settings.clone(), None, now, term, group.clone());
            let leads = match sim.broken() {
                Some(Broken::Mark) => leads.with(Queue::recover(
                    QueueType::Quorum,
                    settings,
                    now,
                    ledger.recovered(),
                    ledger.next_seq(),
                    ledger.delivered_up_to(),
                )),
                _ => leads,
            };
            (leads, names)
        };
        running.names = names;
        self.checker.tell(format!("node {us:?} leads in term {term}"));
        self.input(sim, us, |machine, now, effects| {
            machine.lead(now, leads, &alive, effects);
        });
    }

    /// A node does not lead (any more).
    pub fn step_down(&mut self, sim: &Sim, us: NodeId) {
        if let Some(term) = self.term_led(us) {
            self.checker.tell(format!("node {us:?} leads no more in term {term}"));
            self.input(sim, us, |machine, _, effects| machine.step_down(effects));
        }
    }

    /// The term in which a node leads.
    pub fn term_led(&mut self, us: NodeId) -> Option<u64> {
        let machine = &self.node(us).running.as_ref()?.machine;
        Some(machine.term()).filter(|term| *term > 0)
    }

    fn submit(&mut self, sim: &Sim, us: NodeId, term: u64, batch: Bytes, flight: Flight) {
        let World { nodes, checker, .. } = self;
        let Some(running) = nodes.get_mut(&us).and_then(|node| node.running.as_mut()) else {
            return;
        };
        let mut gone = Vec::new();
        for record in records(&batch).expect("just written") {
            match record.expect("just written") {
                Record::Append(append) => {
                    let message = Message::from_stored(&batch[append.stored]).expect("just written");
                    running.names.insert(append.seq, read_body(&message));
                }
                Record::Gone(seqs) => {
                    gone.extend(running.names.range(seqs.first..=seqs.last).map(|(_, id)| *id));
                    running.names.retain(|seq, _| !(seqs.first..=seqs.last).contains(seq));
                }
                _ => {}
            }
        }
        if running.is_purging {
            for id in &gone {
                checker.purged(*id);
            }
        }
        let sim = sim.clone();
        running.group.submit_in(term, batch, move |result| {
            sim.input(us, move |sim, world| world.landed(sim, us, flight, gone, result));
        });
    }

    /// Records came back from the group.
    fn landed(
        &mut self,
        sim: &Sim,
        us: NodeId,
        flight: Flight,
        gone: Vec<Id>,
        result: Result<Applied<ledger::Applied>, ProposeError>,
    ) {
        match result {
            Ok(applied) if applied.output.dropped.is_empty() => {
                for id in gone {
                    self.checker.kept(id);
                }
                let applied = applied.output;
                self.input(sim, us, |machine, now, effects| {
                    machine.landed(now, flight, &applied, effects);
                });
                return;
            }
            Ok(applied) => {
                let what = format!("queue and ledger differ at {us}: {:?}", applied.output.dropped);
                self.checker.violated(what);
            }
            Err(_) => self.checker.records_lost(),
        }
        self.input(sim, us, |machine, _, effects| {
            machine.lost(flight.incarnation(), effects);
        });
        if let Some(running) = &self.node(us).running {
            running.look.notify_one();
        }
    }
}

/// A frame, without the bytes of its messages.
fn shown(body: &FrameBody) -> String {
    match body {
        FrameBody::Publish { first, messages } => format!("Publish {first} and {} more", messages.len() - 1),
        FrameBody::Deliver { key, delivered, .. } => format!("Deliver to {key} {delivered:?}"),
        FrameBody::Got { call, delivered, .. } => format!("Got {call} {delivered:?}"),
        other => format!("{other:?}"),
    }
}
