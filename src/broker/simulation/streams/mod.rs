//! A stream on three nodes, all in one thread, out of one seed: as [`super`] is for a queue.
//!
//! ```text
//! publishers by name, writers by number → Leader → Group<Log> → openraft → net
//! readers at offsets ← Log ← Group<Log>     └ Store on a disk that loses and tears
//! ```
//! The stream's machine, its leader's decisions, the Raft group and the store are the real ones. Nodes crash, stop
//! in order, are cut off and come back with nothing, leaders are moved and old segments dropped; in the end all
//! are well. What must be true: no confirmed message is lost, none of a publisher that counts them is there twice,
//! offsets have no holes and are the same on all members, and every reader sees the same bytes.

mod checker;
mod clients;
mod node;
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use super::net::{Links, Net};
use crate::journal::raft::{Group, RaftJournals};
use crate::stream::{Log, Retention};
use crate::tasks::in_line;
use crate::types::{ByteSize, Millis, NodeId, Timestamp};
use checker::{Checker, Seen};
use clients::Publisher;
use node::Node;

const NODES: u64 = 3;
const STEPS: usize = 150;
/// How long it may take, when nothing fails any more, until everything is answered and all members are the same.
const AT_LAST: Duration = Duration::from_secs(30);

/// A rule that is not kept, so that the checker is seen to find it out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// Entries are committed that nobody else has.
    Majority,
    /// What is written is told to be synced, and is not.
    Sync,
    /// A new leader does not know how far publishers have come.
    Producers,
    /// Old chunks leave the log for files that are told to be synced, and are not.
    Files,
    /// A member that comes back with nothing votes as if it had lost nothing.
    Shut,
}

/// The whole; clones are the same.
#[derive(Clone)]
pub struct Sim(Arc<Inner>);

struct Inner {
    seed: u64,
    broken: Option<Broken>,
    net: Net,
    /// Leaders are moved and members changed one at a time.
    turn: tokio::sync::Mutex<()>,
    world: Mutex<World>,
}

pub struct World {
    nodes: BTreeMap<NodeId, Node>,
    checker: Checker,
    retention: Retention,
    began: Instant,
    /// A node that has lost everything is not a member again yet.
    is_replacing: bool,
    /// Nothing new is published any more.
    is_ending: bool,
    /// Publishers that wait for an answer.
    waiting: usize,
}

impl World {
    fn node(&mut self, node: NodeId) -> &mut Node {
        self.nodes.get_mut(&node).expect("one of them")
    }

    /// The time, as all nodes know it.
    fn now(&self) -> Timestamp {
        Timestamp(1000 + self.began.elapsed().as_millis() as u64)
    }
}

impl Links for Sim {
    fn net(&self) -> &Net {
        &self.0.net
    }

    fn pretends(&self) -> bool {
        self.0.broken == Some(Broken::Majority)
    }

    fn at(&self, node: NodeId, call: impl FnOnce(&RaftJournals) + Send + 'static) {
        let journals = {
            let mut world = self.world();
            let running = world.node(node).running.as_ref();
            running.map(|running| running.journals.clone())
        };
        if let Some(journals) = journals {
            call(&journals);
        }
    }
}

/// What is kept of the stream of that seed.
fn retention_of(seed: u64) -> Retention {
    Retention {
        max_age: (seed % 3 == 1).then_some(Millis(1500)),
        max_bytes: (seed % 3 == 2).then_some(ByteSize(6_000)),
        segment: Some(ByteSize(1_000 + seed % 5 * 500)),
    }
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
    let is_loud = std::env::var_os("SIMULATION_SEED").is_some();
    let nodes = (1..=NODES).map(|node| (NodeId(node), Node::new(broken)));
    let sim = Sim(Arc::new(Inner {
        seed,
        broken,
        net: Net::new(seed),
        turn: tokio::sync::Mutex::default(),
        world: Mutex::new(World {
            nodes: nodes.collect(),
            checker: Checker::new(is_loud),
            retention: retention_of(seed),
            began: Instant::now(),
            is_replacing: false,
            is_ending: false,
            waiting: 0,
        }),
    }));
    runtime.block_on(sim.clone().play());
    drop(_entered);
    // Its tasks hold the simulation.
    drop(runtime);
    let checker = std::mem::take(&mut sim.world().checker);
    sim.world().nodes.clear();
    checker.finish()
}

impl Sim {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.world.lock()
    }

    fn seed(&self) -> u64 {
        self.0.seed
    }

    fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=NODES).map(NodeId)
    }

    fn is_up(&self, node: NodeId) -> bool {
        self.world().node(node).running.is_some()
    }

    fn groups(&self) -> Vec<Group<Log>> {
        let mut world = self.world();
        let running = self
            .nodes()
            .filter_map(|node| Some(world.node(node).running.as_ref()?.group.clone()));
        running.collect()
    }

    fn group(&self, node: NodeId) -> Option<Group<Log>> {
        Some(self.world().node(node).running.as_ref()?.group.clone())
    }

    async fn play(self) {
        let mut random = StdRng::seed_from_u64(self.seed());
        for node in self.nodes() {
            self.start(node).await;
        }
        for publisher in [Publisher::Name("p"), Publisher::Name("q"), Publisher::Id(7)] {
            tokio::spawn(self.clone().publish(publisher));
        }
        for reader in 0..NODES {
            tokio::spawn(self.clone().read(reader));
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
        let seed = random.random();
        match random.random_range(0..64) {
            0..10 => self.retain(us),
            10..14 if self.is_up(us) => {
                let torn = (seed % 2 == 0).then_some(seed % 4);
                self.crash(us, seed, torn).await;
            }
            10..22 if !self.is_up(us) => self.start(us).await,
            22..25 if us != other => self.net().cut(us, other),
            25..29 => self.heal(),
            29..32 => self.hand_over(us, other),
            32 => self.lose(us, seed).await,
            33..36 => self.store_cursor(us, seed % 100),
            _ => {}
        }
    }

    /// Drops what is too old or too much of a member.
    fn retain(&self, us: NodeId) {
        let now = self.world().now();
        if let Some(group) = self.group(us) {
            group.tend(|log| log.retain(now));
            tokio::spawn(async move { group.reclaim_if_worth().await.is_ok() });
        }
    }

    fn heal(&self) {
        for a in self.nodes() {
            self.nodes().filter(|b| *b > a).for_each(|b| self.net().heal(a, b));
        }
    }

    fn hand_over(&self, us: NodeId, next_leader: NodeId) {
        let (group, look) = {
            let mut world = self.world();
            let running = world.node(us).running.as_ref();
            let Some(running) = running.filter(|running| running.group.is_leader()) else {
                return;
            };
            let parts = (running.group.clone(), running.look.clone());
            world.checker.tell(format!("{us} hands over to {next_leader}"));
            parts
        };
        self.step_down(us);
        let sim = self.clone();
        tokio::spawn(async move {
            group.landed().await;
            let _turn = sim.0.turn.lock().await;
            // It may be the wrong one, or too late: then it leads on.
            let is_done = group.transfer_leader(next_leader).await.is_ok();
            look.notify_one();
            is_done
        });
    }

    /// Everything is well again: whatever was promised is kept.
    async fn end(&self) {
        self.net().calm();
        self.heal();
        for node in self.nodes() {
            if !self.is_up(node) {
                self.start(node).await;
            }
        }
        self.world().is_ending = true;
        if self.comes_to_be("everything is answered", Self::is_answered).await
            && self.comes_to_be("all members are the same", Self::are_same).await
        {
            self.look_at_members();
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
        let state: Vec<_> = self
            .groups()
            .iter()
            .map(|one| (one.status(), one.machine().bounds()))
            .collect();
        let what = format!("it does not come to be that {what}: {state:#?}");
        self.world().checker.violated(what);
        false
    }

    /// All members are up and have a vote, and no publisher waits.
    fn is_answered(&self) -> bool {
        let groups = self.groups();
        let leader = groups.iter().find(|group| group.is_leader());
        let voters = leader.map(|leader| leader.status().voters).unwrap_or_default();
        let world = self.world();
        groups.len() == NODES as usize && voters.len() == NODES as usize && world.waiting == 0 && !world.is_replacing
    }

    fn are_same(&self) -> bool {
        let state = |group: &Group<Log>| {
            let log = group.machine();
            (log.next(), log.producers().clone(), log.cursors().clone())
        };
        let states: Vec<_> = self.groups().iter().map(state).collect();
        states.iter().all(|one| *one == states[0])
    }

    /// Each member has all from its first offset on, and what was confirmed is among that or was dropped with
    /// what is older.
    fn look_at_members(&self) {
        for group in self.groups() {
            let first = group.machine().bounds().first;
            let mut kept = BTreeMap::new();
            let mut next = first;
            loop {
                let reader = group.machine().read_from(next, 2_000);
                let Some(reader) = reader else { break };
                match reader.read() {
                    Ok(pieces) => {
                        let mut world = self.world();
                        next = world.checker.read(next, first, &pieces);
                        kept.extend(pieces.iter().flat_map(clients::messages));
                    }
                    Err(error) => {
                        let what = format!("offset {next} cannot be read in the end: {error}");
                        return self.world().checker.violated(what);
                    }
                }
                if self.world().checker.is_violated() {
                    return;
                }
            }
            let log = group.machine();
            self.world().checker.kept(first, &kept, log.producers());
        }
    }

    async fn stop(&self) {
        for node in self.nodes() {
            if self.is_up(node) {
                self.crash(node, 0, None).await;
            }
        }
    }
}
