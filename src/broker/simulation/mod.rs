//! A replicated queue on three nodes, all in one thread, out of one seed: what goes wrong once goes
//! wrong again.
//!
//! ```text
//! clients ↔ ClusteredQueue ↔ frames ↔ net ↔ frames ↔ ClusteredQueue, which leads
//!                                                      └ Group<Ledger> → openraft → net
//!                                                           └ Store on a disk that loses and tears
//! ```
//! The queue's machine, its ledger, the bytes between nodes, the Raft group and the store are the real
//! ones; only what is around them is played: clients, links, disks and whoever sees that nodes are
//! gone. Time is Tokio's, paused, and goes on when nobody has anything to do; the store's threads are
//! played by a task for each node. Nodes crash, stop in order, are paused, cut off and made deaf, and
//! members of the group change; in the end all are well, and what must be true is looked at.
//!
//! `SIMULATION_SEEDS=n` runs that many seeds, from `SIMULATION_FROM=x` on; `SIMULATION_SEED=x` that one, and shows its
//! story.

mod checker;
mod clients;
mod disk;
mod net;
mod node;
mod queue;
mod streams;
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use tokio::time::Instant;

use checker::{Checker, Id, Key, Seen};
use clients::Tx;
use net::{Fate, Kind, Links, Net};
use node::Node;

use crate::handover::Ask;
use crate::journal::raft::{Group, RaftJournals};
use crate::queue::ledger::Ledger;
use crate::queue::{Outcome, Slot};
use crate::spec::{DeadLetterStrategy, Overflow, QueueSettings};
use crate::tasks::in_line;
use crate::types::{self, MessageParts, NodeId, Traits};

const NODES: u64 = 3;
const STEPS: usize = 240;
/// How long it may take, when nothing fails any more, until everything is answered, and then until the
/// queue is drained.
const AT_LAST: Duration = Duration::from_secs(30);

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
    /// Leaders are moved and members changed one at a time, as a leader does: who leads keeps its vote.
    turn: tokio::sync::Mutex<()>,
    world: Mutex<World>,
}

pub struct World {
    nodes: BTreeMap<NodeId, Node>,
    checker: Checker,
    /// What the queue goes by.
    settings: QueueSettings,
    began: Instant,
    last_key: Key,
    last_tx: Tx,
    last_producer: u64,
    /// Dead letters that were sent.
    letters: u64,
}

impl World {
    fn node(&mut self, node: NodeId) -> &mut Node {
        self.nodes.get_mut(&node).expect("one of them")
    }
}

impl Sim {
    fn new(seed: u64, broken: Option<Broken>) -> Self {
        let nodes = (1..=NODES).map(|node| (NodeId(node), Node::new(broken)));
        let settings = settings_of(seed);
        let is_loud = std::env::var_os("SIMULATION_SEED").is_some();
        let checker = Checker::new(settings.dead_letter_exchange.is_some(), is_loud);
        Self(Arc::new(Inner {
            seed,
            broken,
            is_loud,
            net: Net::new(seed),
            turn: tokio::sync::Mutex::default(),
            world: Mutex::new(World {
                nodes: nodes.collect(),
                checker,
                settings,
                began: Instant::now(),
                last_key: 0,
                last_tx: 0,
                last_producer: 0,
                letters: 0,
            }),
        }))
    }

    fn seed(&self) -> u64 {
        self.0.seed
    }

    fn is_loud(&self) -> bool {
        self.0.is_loud
    }

    fn broken(&self) -> Option<Broken> {
        self.0.broken
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

    /// The same at another node, when the link has carried it there; it hears over which use of that.
    fn carry(&self, from: NodeId, to: NodeId, kind: Kind, input: impl FnOnce(&Sim, &mut World, u64) + Send + 'static) {
        let Fate::Arrives(passage) = self.net().send(from, to, kind) else {
            return;
        };
        let sim = self.clone();
        tokio::spawn(async move {
            if sim.net().arrives(from, to, passage).await {
                sim.input(to, move |sim, world| input(sim, world, passage.use_of_link));
            }
        });
    }

    /// Sends frames about the queue.
    fn tell(&self, from: NodeId, to: NodeId, frames: Vec<u8>) {
        self.world().send(self, from, to, frames);
    }
}

impl Links for Sim {
    fn net(&self) -> &Net {
        &self.0.net
    }

    fn pretends(&self) -> bool {
        self.broken() == Some(Broken::Majority)
    }

    fn at(&self, node: NodeId, call: impl FnOnce(&RaftJournals) + Send + 'static) {
        self.input(node, move |_, world| {
            if let Some(running) = &world.node(node).running {
                call(&running.journals);
            }
        });
    }
}

/// What the queue of that seed goes by.
fn settings_of(seed: u64) -> QueueSettings {
    let settings = QueueSettings::default();
    match seed % 4 {
        1 => QueueSettings {
            single_active_consumer: true,
            ..settings
        },
        2 => QueueSettings {
            dead_letter_exchange: Some("letters".into()),
            dead_letter_strategy: DeadLetterStrategy::AtLeastOnce,
            overflow: Overflow::RejectPublish,
            delivery_limit: Some(5),
            ..settings
        },
        _ => settings,
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
    let _entered = runtime.enter();
    let sim = Sim::new(seed, broken);
    runtime.block_on(sim.clone().play());
    drop(_entered);
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
        let chance = random.random_range(0..128);
        let (few, more) = (random.random_range(0..4), random.random_range(1..8));
        let seed = random.random();
        match chance {
            0..30 => self.input(us, move |sim, world| world.publish(sim, us, more, None)),
            30..40 => self.input(us, move |sim, world| {
                if world.clients(us).is_some_and(|clients| clients.consumers.len() < 2) {
                    world.consume(sim, us, more as u32, few == 0 && chance % 2 == 0);
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
            98 => self.on_group(us, |group| async move { group.snapshot().await.is_ok() }),
            // It may be the wrong one, or too late.
            99 => {
                let sim = self.clone();
                self.on_group(us, move |group| async move {
                    let _turn = sim.0.turn.lock().await;
                    group.transfer_leader(other).await.is_ok()
                });
            }
            100..106 => self.input(us, move |sim, world| world.ask(sim, us, Ask::Get { no_ack: few == 0 })),
            106 => self.input(us, move |sim, world| world.ask(sim, us, Ask::Purge)),
            107 => self.input(us, move |sim, world| world.ask(sim, us, Ask::Count)),
            108..112 => self.input(us, move |sim, world| world.transact(sim, us, more)),
            112..114 => self.input(us, move |sim, world| world.set_full(sim, us, true)),
            114..117 => self.input(us, move |sim, world| world.set_full(sim, us, false)),
            117 => self.input(us, move |sim, world| world.abandon_one(sim, us)),
            118..120 if us != other => self.hand_over(us, other, false),
            120 if us != other => self.hand_over(us, other, true),
            121 => self.isolate(us),
            122..124 if us != other => self.deafen(us, other),
            124..127 => self.change_members(other),
            _ => {}
        }
    }

    /// Does something with a node's group, if it is there, beside the steps.
    fn on_group<F>(&self, us: NodeId, call: impl FnOnce(Group<Ledger>) -> F)
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

    /// Another is to lead, in order: after that this node stops, or goes on as any.
    fn hand_over(&self, us: NodeId, next_leader: NodeId, stops: bool) {
        let sim = self.clone();
        self.input(us, move |sim_then, world| {
            if world.term_led(us).is_none() {
                return;
            }
            world.checker.tell(format!("{us} hands over to {next_leader}"));
            world.input(sim_then, us, |machine, now, effects| {
                machine.prepare_transfer(now, effects);
            });
            let Some(running) = &world.node(us).running else { return };
            let (group, life) = (running.group.clone(), world.node(us).life);
            tokio::spawn(async move {
                group.landed().await;
                let _turn = sim.0.turn.lock().await;
                let is_done = group.transfer_leader(next_leader).await.is_ok();
                if stops && sim.world().node(us).life == life && !sim.net().is_calm() {
                    return sim.crash(us, 0, None).await;
                }
                if !is_done {
                    sim.input(us, move |sim, world| {
                        world.input(sim, us, |machine, now, effects| machine.cancel_transfer(now, effects));
                    });
                }
            });
        });
    }

    /// A node that votes does so no more, or one that does not does again; in the end all have a vote. The leader
    /// itself stays: before it goes it hands over.
    fn change_members(&self, node: NodeId) {
        let leader = self.groups().into_iter().find(Group::is_leader);
        let Some(leader) = leader else { return };
        let sim = self.clone();
        tokio::spawn(async move {
            let _turn = sim.0.turn.lock().await;
            // Of a change that was begun it is open what becomes.
            let voters = leader.status().settled_voters;
            if voters.is_empty() {
                return;
            }
            // While it hands over nobody does.
            let Some(who) = leader.leadership().leader else { return };
            let leads = who == node;
            let (what, changed) = match voters.contains(&node) {
                true if voters.len() == NODES as usize && !leads && !sim.net().is_calm() => {
                    ("no member any more", leader.remove_voter(node).await)
                }
                true => return,
                // It lost its vote while it was made the leader.
                false if leads => {
                    let next_leader = voters.first().copied().unwrap_or(node);
                    ("not the leader any more", leader.transfer_leader(next_leader).await)
                }
                false => {
                    let added = leader.add_learner(node).await;
                    ("a member", added.and(leader.add_voter(node).await))
                }
            };
            if changed.is_ok() {
                sim.world().checker.tell(format!("{node} is {what}"));
            }
        });
    }

    /// A node hears nobody, and nobody hears it.
    fn isolate(&self, us: NodeId) {
        for node in self.nodes().filter(|node| *node != us) {
            self.cut(us, node);
        }
    }

    /// What one says does not come to the other.
    fn deafen(&self, from: NodeId, to: NodeId) {
        self.world().checker.tell(format!("{to} does not hear {from}"));
        self.net().deafen(from, to);
        self.notice(from, to);
    }

    fn cut(&self, a: NodeId, b: NodeId) {
        self.world()
            .checker
            .tell(format!("{a} and {b} are cut off from each other"));
        self.net().cut(a, b);
        self.notice(a, b);
    }

    /// Both see after a while that the link is broken.
    fn notice(&self, a: NodeId, b: NodeId) {
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
            self.input(node, move |sim, world| world.set_full(sim, node, false));
        }
        if !self.comes_to_be("everything is answered", Self::is_answered).await {
            return;
        }
        self.look_at_held();
        for node in self.nodes() {
            self.input(node, move |sim, world| world.consume(sim, node, 10, false));
        }
        if self.comes_to_be("the queue is drained", Self::is_drained).await {
            self.world().checker.drained();
            self.comes_to_be("all members have come to the same", Self::have_all)
                .await;
        }
    }

    async fn comes_to_be(&self, what: &str, is_so: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + AT_LAST;
        // Twice, because what was on its way may change it once more.
        let mut times = 0;
        while Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if self.world().checker.is_violated() {
                return false;
            }
            times = if is_so(self) { times + 1 } else { 0 };
            if times == 5 {
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

    /// One node leads, nobody waits, and all members have a vote.
    fn is_answered(&self) -> bool {
        let leader = self.groups().into_iter().find(Group::is_leader);
        let voters = leader.map(|leader| leader.status().settled_voters).unwrap_or_default();
        if let Some(missing) = self.nodes().find(|node| !voters.contains(node)) {
            if !voters.is_empty() {
                self.change_members(missing);
            }
            return false;
        }
        let mut world = self.world();
        let leads = self.nodes().filter(|node| world.term_led(*node).is_some()).count();
        leads == 1
            && world.checker.open_transactions() == 0
            && self.nodes().all(|node| {
                let running = world.node(node).running.as_ref();
                running.is_some_and(|running| running.machine.is_answered() && running.clients.is_answered())
            })
    }

    /// Everybody accepts what they have.
    fn is_drained(&self) -> bool {
        for node in self.nodes() {
            self.input(node, move |sim, world| {
                world.settle(sim, node, 0, usize::MAX, Outcome::Accept);
            });
        }
        let mut world = self.world();
        self.nodes().all(|node| {
            let running = world.node(node).running.as_ref();
            running.is_some_and(|running| {
                let queue = running.machine.queue();
                queue.is_none_or(|queue| queue.counts().ready + queue.counts().unacked + queue.counts().discarded == 0)
                    && running.machine.is_answered()
                    && running.clients.is_idle()
            })
        })
    }

    /// What is outstanding at the leader is with a client, and sessions know of nothing else.
    fn look_at_held(&self) {
        let mut world = self.world();
        let mut with_clients: BTreeSet<Slot> = BTreeSet::new();
        let mut known: BTreeSet<Slot> = BTreeSet::new();
        let mut outstanding: BTreeSet<Slot> = BTreeSet::new();
        for node in self.nodes() {
            let Some(running) = &world.node(node).running else {
                continue;
            };
            with_clients.extend(running.clients.all_held());
            known.extend(running.machine.held_elsewhere());
            let held = running.machine.queue().into_iter().flat_map(|queue| queue.held());
            outstanding.extend(held.map(|(_, slot)| slot));
        }
        let lost: Vec<&Slot> = outstanding.difference(&with_clients).collect();
        let void: Vec<&Slot> = known.difference(&outstanding).collect();
        if !lost.is_empty() || !void.is_empty() {
            let what = format!("nobody has {lost:?}, which are outstanding, and {void:?} are not, which nodes hold");
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

    /// The others hear what is committed, and one that missed a snapshot is sent it again.
    fn tell_committed(&self) {
        let groups = self.groups();
        if let Some(leader) = groups.into_iter().find(Group::is_leader) {
            // Who leads no more has told it.
            tokio::spawn(async move { leader.heartbeat().await.is_ok() });
        }
    }

    /// All members have come to the same, which is nothing.
    fn have_all(&self) -> bool {
        self.tell_committed();
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
