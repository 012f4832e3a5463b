//! A replicated queue on three nodes, all in one thread, out of one seed: what goes wrong once goes
//! wrong again.
//!
//! ```text
//! clients ↔ desk ↔ net ↔ leader: Queue, Door, Records → Group<Ledger> → openraft → net
//!                                                            └ Store on a disk that loses and tears
//! ```
//! The queue, its records and ledger, the Raft group and the store are the real ones; desk, leader
//! and links follow the broker's. Time is Tokio's, paused, and goes on when nobody has anything to
//! do; the store's threads are played by a task for each node. Nodes crash, start, are paused and
//! cut off; in the end all are well, and what must be true is looked at.
//!
//! `SIMULATION_SEEDS=n` runs that many seeds, `SIMULATION_SEED=x` that one, and shows its story.

mod checker;
mod desk;
mod leader;
mod message;
mod net;
mod node;
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use checker::{Checker, Id, Seen};
use desk::Desk;
use message::Message;
use net::{Fate, Kind, Net};
use node::Node;

use crate::journal::raft::{Group, Role};
use crate::queue::Outcome;
use crate::queue::ledger::Ledger;
use crate::tasks::in_line;
use crate::types::{self, MessageParts, NodeId, Traits};

const NODES: u64 = 3;
const STEPS: usize = 200;
/// How long it may take until all is well again.
const AT_LAST: Duration = Duration::from_secs(120);

/// A rule that is not kept, so that the checker is seen to find it out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// Entries are committed that nobody else has.
    Majority,
    /// What is written is told to be synced, and is not.
    Sync,
    /// A leader delivers whether or not it hears a majority.
    Lease,
    /// Messages are delivered before it is committed that they may be.
    Mark,
}

/// Something that comes in at a node.
type Input = Box<dyn FnOnce(&Sim, &mut World) + Send>;

/// The whole; clones are the same.
#[derive(Clone)]
pub struct Sim(Arc<Inner>);

struct Inner {
    seed: u64,
    broken: Option<Broken>,
    /// The story has every message.
    is_loud: bool,
    net: Net,
    world: Mutex<World>,
}

pub struct World {
    nodes: BTreeMap<NodeId, Node>,
    checker: Checker,
    last_key: u64,
    last_producer: u64,
    last_incarnation: u64,
}

impl World {
    fn node(&mut self, node: NodeId) -> &mut Node {
        self.nodes.get_mut(&node).expect("one of them")
    }

    fn desk(&mut self, node: NodeId) -> Option<&mut Desk> {
        Some(&mut self.node(node).running.as_mut()?.desk)
    }

    fn on_message(&mut self, sim: &Sim, us: NodeId, from: NodeId, message: Message) {
        if sim.0.is_loud {
            self.checker.tell(format!("    {from} → {us}: {message:?}"));
        }
        match message {
            Message::Lead { term, starts_anew } => self.on_lead(sim, us, from, term, starts_anew),
            Message::NotLeader => self.lost_way(sim, us, from, true),
            Message::Leaderless { term } => self.on_leaderless(us, from, term),
            Message::Attached { number, lost } => self.on_attached(us, from, number, lost),
            Message::Answered { number } => self.on_answered(us, number),
            Message::Settled { up_to } => self.on_settled(us, up_to),
            Message::Deliver {
                key,
                slot,
                id,
                is_redelivered,
            } => self.on_delivered(sim, us, from, key, id, slot, is_redelivered),
            other => self.on_guest(sim, us, from, other),
        }
    }
}

impl Sim {
    fn new(seed: u64, broken: Option<Broken>) -> Self {
        let nodes = (1..=NODES).map(|node| (NodeId(node), Node::new(broken)));
        Self(Arc::new(Inner {
            seed,
            broken,
            is_loud: std::env::var_os("SIMULATION_SEED").is_some(),
            net: Net::new(seed),
            world: Mutex::new(World {
                nodes: nodes.collect(),
                checker: Checker::default(),
                last_key: 0,
                last_producer: 0,
                last_incarnation: 0,
            }),
        }))
    }

    fn seed(&self) -> u64 {
        self.0.seed
    }

    fn broken(&self) -> Option<Broken> {
        self.0.broken
    }

    fn net(&self) -> &Net {
        &self.0.net
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.world.lock()
    }

    fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=NODES).map(NodeId)
    }

    fn is_up(&self, node: NodeId) -> bool {
        self.world().node(node).running.is_some()
    }

    /// Something comes in at a node, or waits while it is paused.
    fn input(&self, to: NodeId, input: impl FnOnce(&Sim, &mut World) + Send + 'static) {
        let mut world = self.world();
        let node = world.node(to);
        if node.running.is_none() {
            return;
        }
        if node.is_paused || !node.inbox.is_empty() {
            node.inbox.push_back(Box::new(input));
            return;
        }
        input(self, &mut world);
    }

    /// The same after some time, unless the node has crashed until then.
    fn later(&self, us: NodeId, after: Duration, input: impl FnOnce(&Sim, &mut World) + Send + 'static) {
        let sim = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            sim.input(us, input);
        });
    }

    /// The same at another node, when the link has carried it there.
    fn carry(&self, from: NodeId, to: NodeId, kind: Kind, input: impl FnOnce(&Sim, &mut World) + Send + 'static) {
        let Fate::Arrives(passage) = self.net().send(from, to, kind) else {
            return;
        };
        let sim = self.clone();
        tokio::spawn(async move {
            if sim.net().arrives(from, to, passage).await {
                sim.input(to, input);
            }
        });
    }

    fn tell(&self, from: NodeId, to: NodeId, message: Message) {
        self.carry(from, to, Kind::Queues, move |sim, world| {
            world.on_message(sim, to, from, message);
        });
    }
}

/// The message of that name.
fn body((publisher, number): Id) -> types::Message {
    let parts = MessageParts {
        exchange: b"",
        routing_key: b"queue",
        properties: &[0, 0],
        traits: Traits::default(),
    };
    types::Message::new(parts, format!("{publisher}-{number}").as_bytes(), &mut Vec::new())
}

/// The name of a message.
fn read_body(message: &types::Message) -> Id {
    let text = std::str::from_utf8(message.body()).expect("as it was made");
    let (publisher, number) = text.split_once('-').expect("as it was made");
    (publisher.parse().expect("a number"), number.parse().expect("a number"))
}

/// Runs a seed.
pub fn run(seed: u64, broken: Option<Broken>) -> Seen {
    in_line::IS_ON.set(true);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let sim = Sim::new(seed, broken);
    runtime.block_on(sim.clone().play());
    // Its tasks hold the simulation.
    drop(runtime);
    let checker = std::mem::take(&mut sim.world().checker);
    sim.world().nodes.clear();
    checker.finish()
}

impl Sim {
    async fn play(self) {
        let mut random = StdRng::seed_from_u64(self.seed());
        for node in self.nodes() {
            self.start(node).await;
        }
        for _ in 0..STEPS {
            self.step(&mut random).await;
            let pause = random.random_range(1..60);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            if self.world().checker.is_violated() {
                return self.stop().await;
            }
        }
        self.end().await;
        self.stop().await;
    }

    async fn step(&self, random: &mut StdRng) {
        let us = NodeId(random.random_range(1..=NODES));
        let other = NodeId(random.random_range(1..=NODES));
        let chance = random.random_range(0..100);
        let (few, more) = (random.random_range(0..4), random.random_range(1..8));
        let seed = random.random();
        match chance {
            0..30 => self.input(us, move |sim, world| world.publish(sim, us, more)),
            30..40 => self.input(us, move |sim, world| {
                if world.desk(us).is_some_and(|desk| desk.consumers.len() < 2) {
                    world.consume(sim, us, more as u32);
                }
            }),
            40..42 => self.input(us, move |sim, world| world.cancel(sim, us, few)),
            42 => self.input(us, move |sim, world| world.leave(sim, us)),
            43..75 => {
                let outcome = match few {
                    0 if chance % 2 == 0 => Outcome::Requeue,
                    1 if chance % 4 == 0 => Outcome::Discard,
                    _ => Outcome::Accept,
                };
                self.input(us, move |sim, world| world.settle(sim, us, few, more as usize, outcome));
            }
            75..79 if self.is_up(us) => {
                let torn = (chance % 2 == 0).then_some(more % 4);
                self.crash(us, seed, torn).await;
            }
            75..84 if !self.is_up(us) => self.start(us).await,
            84..87 if us != other => self.cut(us, other),
            87..90 => self.heal(),
            90..92 if us != other && !self.net().is_cut(us, other) && self.is_up(us) && self.is_up(other) => {
                self.link(us, other);
            }
            92..95 => self.pause(us),
            95..98 => self.resume(us),
            98 => {
                self.on_group(us, |group| async move { group.snapshot().await.is_ok() })
                    .await;
            }
            99 => {
                // It may be the wrong one, or too late.
                self.on_group(
                    us,
                    move |group| async move { group.transfer_leader(other).await.is_ok() },
                )
                .await;
            }
            _ => {}
        }
    }

    /// Does something with a node's group, if it is there, beside the steps.
    async fn on_group<F>(&self, us: NodeId, call: impl FnOnce(Group<Ledger>) -> F)
    where
        F: Future<Output = bool> + Send + 'static,
    {
        let group = {
            let mut world = self.world();
            let node = world.node(us);
            let running = node.running.as_ref().filter(|_| !node.is_paused);
            running.map(|running| running.group.clone())
        };
        if let Some(group) = group {
            tokio::spawn(call(group));
        }
    }

    fn cut(&self, a: NodeId, b: NodeId) {
        self.world()
            .checker
            .tell(format!("{a} and {b} are cut off from each other"));
        self.net().cut(a, b);
        for (us, node) in [(a, b), (b, a)] {
            // Silence is noticed late.
            self.later(us, Duration::from_millis(700), move |sim, world| {
                if sim.net().is_cut(us, node) {
                    world.link_ended(sim, us, node, false);
                }
            });
        }
    }

    fn heal(&self) {
        self.world().checker.tell("all links are well".to_owned());
        for a in self.nodes() {
            for b in self.nodes().filter(|b| *b > a) {
                if self.net().is_cut(a, b) {
                    self.net().heal(a, b);
                    if self.is_up(a) && self.is_up(b) {
                        self.link(a, b);
                    }
                }
            }
        }
    }

    /// Everything is well again: whatever was promised is kept, and the queue can be drained.
    async fn end(&self) {
        self.net().calm();
        self.heal();
        for node in self.nodes() {
            self.resume(node);
            if !self.is_up(node) {
                self.start(node).await;
            }
        }
        if !self.comes_to_be("everything is answered", Self::is_answered).await {
            return;
        }
        self.look_at_held();
        for node in self.nodes() {
            self.input(node, move |sim, world| world.consume(sim, node, 10));
        }
        if self.comes_to_be("the queue is drained", Self::is_drained).await {
            self.world().checker.drained();
            self.tell_committed().await;
            self.comes_to_be("all members have come to the same", Self::have_all)
                .await;
        }
    }

    async fn comes_to_be(&self, what: &str, is_so: impl Fn(&Self) -> bool) -> bool {
        let deadline = tokio::time::Instant::now() + AT_LAST;
        // Twice, because what was on its way may change it once more.
        let mut times = 0;
        while tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(300)).await;
            if self.world().checker.is_violated() {
                return false;
            }
            times = if is_so(self) { times + 1 } else { 0 };
            if times == 3 {
                return true;
            }
        }
        let mut world = self.world();
        let state: Vec<String> = world.nodes.values().map(Node::summary).collect();
        world
            .checker
            .violated(format!("it does not come to be that {what}: {state:#?}"));
        false
    }

    fn is_answered(&self) -> bool {
        let mut world = self.world();
        let leads = self.nodes().filter(|node| world.term_led(*node).is_some()).count();
        leads == 1
            && self
                .nodes()
                .all(|node| world.desk(node).is_some_and(|desk| desk.is_answered()))
    }

    /// Everybody accepts what they have.
    fn is_drained(&self) -> bool {
        for node in self.nodes() {
            self.input(node, move |sim, world| {
                world.settle(sim, node, 0, usize::MAX, Outcome::Accept);
            });
        }
        let mut world = self.world();
        let counts = world
            .nodes
            .values()
            .filter_map(|node| node.running.as_ref()?.leading.as_ref());
        let is_empty = counts.map(|leading| leading.counts()).all(|counts| counts == (0, 0));
        is_empty
            && self
                .nodes()
                .all(|node| world.desk(node).is_some_and(|desk| desk.is_idle()))
    }

    /// What is outstanding at the leader is with a client, and the other way round.
    fn look_at_held(&self) {
        let mut world = self.world();
        let mut with_clients = std::collections::BTreeSet::new();
        for node in self.nodes() {
            with_clients.extend(world.desk(node).iter().flat_map(|desk| desk.held.keys().copied()));
        }
        let leading = world
            .nodes
            .values()
            .find_map(|node| node.running.as_ref()?.leading.as_ref());
        let held = leading.map(|leading| leading.held()).unwrap_or_default();
        if held != with_clients {
            let what = format!("outstanding are {held:?}, clients have {with_clients:?}");
            world.checker.violated(what);
        }
    }

    fn groups(&self) -> Vec<Group<Ledger>> {
        let mut world = self.world();
        let running = self
            .nodes()
            .filter_map(|node| Some(world.node(node).running.as_ref()?.group.clone()));
        running.collect()
    }

    /// The others hear what is committed.
    async fn tell_committed(&self) {
        let groups = self.groups();
        if let Some(leader) = groups.iter().find(|group| group.leadership().role == Role::Leader) {
            // Who leads no more has told it.
            let _ = leader.heartbeat().await;
        }
    }

    /// All members have come to the same, which is nothing.
    fn have_all(&self) -> bool {
        let state = |group: &Group<Ledger>| {
            let ledger = group.machine();
            (
                ledger.figures().messages,
                ledger.next_seq(),
                ledger.delivered_up_to(),
                ledger.producers().clone(),
            )
        };
        let states: Vec<_> = self.groups().iter().map(state).collect();
        states.iter().all(|one| *one == states[0] && one.0 == 0)
    }

    async fn stop(&self) {
        for node in self.nodes() {
            if self.is_up(node) {
                self.crash(node, 0, None).await;
            }
        }
    }
}
