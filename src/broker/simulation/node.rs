//! One node: its disk, its member of the queue's group, and what watches over both. All that comes
//! in from outside waits while the node is paused.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::checker::Id;
use super::clients::Clients;
use super::disk::{Delegate, while_written};
use super::net::{Kind, Links, Port, chance};
use super::queue::Machine;
use super::{Broken, Input, Sim, World};
use crate::broker::replicas::elections::Elections;
use crate::handover::{LinkUse, wire};
use crate::journal::raft::{Group, GroupId, GroupSpec, LeaderWatch, Ledgers, Pace, RaftJournals, Role};
use crate::queue::ledger::Ledger;
use crate::queue::record::ProducerId;
use crate::spec::{QueueSpec, QueueType};
use crate::store::tests::by_hand::ByHand;
use crate::store::tests::sim::SimDisk;
use crate::store::{OwnerId, StoreOptions};
use crate::types::{FieldTable, NodeId, QueueId, Timestamp};

/// As [`crate::cluster::liveness`] has it.
const SUSPECT: Duration = Duration::from_secs(1);
const BEAT: Duration = Duration::from_millis(250);
/// How often a node looks whether it should ask for votes.
const LOOK: Duration = Duration::from_millis(50);
const AGAIN: Duration = Duration::from_millis(200);
/// How long a silent node's clients keep what they hold.
const GRACE: Duration = Duration::from_secs(10);

const FOUNDER: NodeId = NodeId(1);
pub const QUEUE: QueueId = QueueId(7);
const LOG: OwnerId = OwnerId(11);
const SNAPSHOTS: OwnerId = OwnerId(12);
/// Bytes of records in a ledger's memory: few, so that bodies are read again.
const IN_MEMORY: u64 = 600;

pub struct Node {
    dir: tempfile::TempDir,
    pub disk: SimDisk,
    /// Grows with each start and each crash.
    pub life: u64,
    pub running: Option<Running>,
    pub is_paused: bool,
    pub inbox: VecDeque<Input>,
    /// Other nodes to which there is a link.
    pub linked: BTreeSet<NodeId>,
    /// The last life of each other node that there was a link to.
    known: BTreeMap<NodeId, u64>,
}

pub struct Running {
    store: ByHand,
    pub journals: RaftJournals,
    pub group: Group<Ledger>,
    pub machine: Machine,
    pub clients: Clients,
    /// Where this node leads: messages by their number in the queue.
    pub names: BTreeMap<u64, Id>,
    pub is_purging: bool,
    pub is_seeking: bool,
    /// When the machine is to be ticked.
    pub tick_at: Option<Timestamp>,
    pub look: Arc<Notify>,
    elections: Arc<Elections>,
    heard: BTreeMap<NodeId, Instant>,
    suspected: BTreeSet<NodeId>,
}

impl Node {
    pub fn new(broken: Option<Broken>) -> Self {
        let disk = SimDisk::default();
        if broken == Some(Broken::Sync) {
            disk.lie();
        }
        Self {
            dir: tempfile::tempdir().expect("a directory"),
            disk,
            life: 0,
            running: None,
            is_paused: false,
            inbox: VecDeque::new(),
            linked: BTreeSet::new(),
            known: BTreeMap::new(),
        }
    }
}

impl Node {
    /// For whoever looks for the cause of a failure.
    pub fn summary(&self) -> String {
        let Some(running) = &self.running else {
            return "down".to_owned();
        };
        let counts = running.machine.queue().map(|queue| (queue.ready(), queue.unacked()));
        format!(
            "{:?}, applied {:?}, {} in the ledger, ready and unacked {counts:?}, led by {:?}, all is answered: {}, \
             calls are: {}, {:?}",
            running.group.leadership(),
            running.group.status().applied,
            running.group.machine().figures().messages,
            running.machine.leader(),
            running.machine.is_answered(),
            running.clients.is_answered(),
            running.group.status(),
        )
    }
}

impl Running {
    pub fn write(&mut self) -> bool {
        self.store.write()
    }

    pub fn tell(&mut self) {
        self.store.tell(&Delegate(&self.journals));
    }

    fn kill(&mut self) {
        self.store.kill(&Delegate(&self.journals));
    }

    fn is_alive(&self, node: NodeId) -> bool {
        self.heard.get(&node).is_some_and(|at| at.elapsed() <= SUSPECT)
    }
}

impl World {
    /// The others that answer.
    pub fn alive(&mut self, us: NodeId) -> BTreeSet<NodeId> {
        let Some(running) = &self.node(us).running else {
            return BTreeSet::new();
        };
        let heard = running.heard.keys().copied();
        heard.filter(|node| running.is_alive(*node)).collect()
    }

    fn beat(&mut self, sim: &Sim, us: NodeId) {
        let Some(running) = &mut self.node(us).running else {
            return;
        };
        let silent = |node: &NodeId| !running.is_alive(*node);
        let suspected: BTreeSet<NodeId> = sim.nodes().filter(|node| *node != us).filter(silent).collect();
        let mut new = Vec::new();
        for node in suspected.difference(&running.suspected) {
            let has_ended = !running.heard.contains_key(node);
            running.elections.on_suspect(*node, has_ended);
            new.push((*node, has_ended));
        }
        running.suspected = suspected;
        for (node, has_ended) in new {
            self.on_suspect(sim, us, node, has_ended);
        }
        for node in sim.nodes().filter(|node| *node != us) {
            sim.carry(us, node, Kind::Ping, move |sim, world, _| {
                world.on_heard(node, us);
                sim.carry(node, us, Kind::Ping, move |_, world, _| world.on_heard(us, node));
            });
        }
    }

    /// A node is suspected: somebody else is asked, and its clients are gone if its process is.
    fn on_suspect(&mut self, sim: &Sim, us: NodeId, node: NodeId, has_ended: bool) {
        self.input(sim, us, |machine, _, effects| machine.lost_leader(node, true, effects));
        if has_ended {
            self.input(sim, us, |machine, now, effects| machine.node_ended(now, node, effects));
            return;
        }
        sim.later(us, GRACE, move |sim, world| {
            let running = &world.node(us).running;
            if running.as_ref().is_some_and(|running| !running.is_alive(node)) {
                world.input(sim, us, |machine, now, effects| machine.node_ended(now, node, effects));
            }
        });
    }

    /// A node says that it does not lead in that term, and so in none before.
    pub fn on_leaderless(&mut self, us: NodeId, node: NodeId, term: u64) {
        if let Some(running) = &self.node(us).running {
            let known = running.group.leadership();
            if known.leader == Some(node) && known.term <= term {
                running.elections.has_no_leader(QUEUE, node);
            }
        }
    }

    fn on_heard(&mut self, us: NodeId, node: NodeId) {
        if let Some(running) = &mut self.node(us).running {
            running.heard.insert(node, Instant::now());
        }
    }

    /// The link to a node broke.
    pub fn link_ended(&mut self, sim: &Sim, us: NodeId, node: NodeId, is_down: bool) {
        let Some(from) = self.unlink(sim, us, node) else {
            return;
        };
        if is_down && let Some(running) = &mut self.node(us).running {
            running.heard.remove(&node);
        }
        self.on_link_ended(sim, us, from);
    }

    /// Nothing is written to the node any more. Returns the use of the link that ended, if there was one.
    fn unlink(&mut self, sim: &Sim, us: NodeId, node: NodeId) -> Option<LinkUse> {
        let own = self.node(us);
        own.linked.remove(&node).then(|| LinkUse {
            node,
            incarnation: own.known.get(&node).copied().unwrap_or(0),
            connection: sim.net().known_use(us, node),
        })
    }

    fn on_link_ended(&mut self, sim: &Sim, us: NodeId, from: LinkUse) {
        let running = &self.node(us).running;
        let is_alive = running.as_ref().is_some_and(|running| running.is_alive(from.node));
        self.input(sim, us, |machine, now, effects| {
            machine.link_ended(now, from, is_alive, effects);
        });
    }

    /// There is a link to a node, in that life of it.
    pub fn link_began(&mut self, sim: &Sim, us: NodeId, node: NodeId, life: u64, use_of_link: u64) {
        match self.unlink(sim, us, node) {
            // That the one before has ended may be heard of later.
            Some(from) if use_of_link.is_multiple_of(3) => {
                sim.later(us, Duration::from_millis(5), move |sim, world| {
                    world.on_link_ended(sim, us, from);
                });
            }
            Some(from) => self.on_link_ended(sim, us, from),
            None => {}
        }
        sim.net().heard_of(us, node, use_of_link);
        let before = self.node(us).known.insert(node, life);
        let is_restarted = before.is_some_and(|before| before != life);
        if is_restarted {
            self.input(sim, us, |machine, now, effects| {
                machine.node_restarted(now, node, life, effects);
            });
        }
        self.node(us).linked.insert(node);
        self.on_heard(us, node);
        self.input(sim, us, |machine, _, effects| machine.link_began(node, effects));
        self.input(sim, us, |machine, _, effects| machine.announce(node, effects));
        // Its member of the group hears from the leader again.
        if let Some(running) = &self.node(us).running {
            let group = running.group.clone();
            if group.leadership().leader == Some(node) {
                running.elections.on_leader(QUEUE, Some(node));
            }
            if is_restarted {
                running.elections.on_suspect(node, true);
            }
            if group.is_leader() {
                tokio::spawn(async move { group.heartbeat().await.is_ok() });
            }
        }
    }
}

impl Sim {
    /// Starts a node with what its disk holds.
    pub async fn start(&self, us: NodeId) {
        let options = StoreOptions {
            segment_bytes: 64 * 1024,
            window_bytes: 1024 * 1024 * 1024,
            epoch_bytes: 1024 * 1024,
        };
        let (store, mut recovered, life) = {
            let mut world = self.world();
            let node = world.node(us);
            node.life += 1;
            let opened = ByHand::open(node.dir.path(), &node.disk, options);
            let (store, recovered) = opened.expect("a log is read however it ends");
            (store, recovered, node.life)
        };
        let port = Port {
            links: self.clone(),
            node: us,
        };
        let journals = RaftJournals::new(us, store.store.clone(), Arc::new(port));
        let spec = GroupSpec {
            id: GroupId(QUEUE.0),
            log: LOG,
            snapshots: SNAPSHOTS,
            pace: Pace::Quiet,
            is_shut: false,
        };
        let ledgers = Ledgers {
            log: recovered.owners.remove(&LOG),
            snapshots: recovered.owners.remove(&SNAPSHOTS),
            archiving: None,
            founders: self.nodes().collect(),
        };
        let is_new = ledgers.log.is_none();
        let look = Arc::new(Notify::new());
        let opening = journals.open_with(spec, ledgers, |source| Ledger::over(source, IN_MEMORY));
        let (store, group) = while_written(store, &journals, opening).await;
        let group = match group {
            Ok(group) => group,
            Err(error) => {
                self.world()
                    .checker
                    .violated(format!("node {us:?} does not start: {error}"));
                return;
            }
        };
        let elections = Arc::new(Elections::default());
        let nodes: Vec<NodeId> = self.nodes().collect();
        elections.on_group(QUEUE, &nodes, is_new.then_some(FOUNDER));
        let watch = group.watch();
        {
            let mut world = self.world();
            world.last_producer += 1;
            let producer = world.last_producer;
            let log = group.status().last_index;
            let machine = Machine::elsewhere(us, &spec_of_queue(), None, ProducerId(producer));
            world.checker.tell(format!(
                "node {us:?} starts; its publisher is {producer}, its log {log:?}"
            ));
            world.node(us).running = Some(Running {
                store,
                journals,
                group: group.clone(),
                machine,
                clients: Clients::new(producer),
                names: BTreeMap::new(),
                is_purging: false,
                is_seeking: false,
                tick_at: None,
                look: look.clone(),
                elections: elections.clone(),
                heard: BTreeMap::new(),
                suspected: BTreeSet::new(),
            });
        }
        self.net().set_down(us, false);
        tokio::spawn(self.clone().run_disk(us, life));
        tokio::spawn(self.clone().run_beats(us, life));
        tokio::spawn(self.clone().run_elections(us, life, group.clone(), elections));
        tokio::spawn(self.clone().run_watch(us, life, group.clone(), watch, look));
        if us == FOUNDER && is_new {
            // What does not come of it now comes with the elections.
            tokio::spawn(async move { group.elect(crate::journal::raft::Election::LeaderSilent).await.is_ok() });
        }
        for node in self.nodes().filter(|node| *node != us) {
            if self.is_up(node) && !self.net().is_cut(us, node) {
                self.link(us, node);
            }
        }
    }

    /// A node's machine stops at this moment; `torn` is how many operations of its disk go well
    /// before.
    pub async fn crash(&self, us: NodeId, seed: u64, torn: Option<u64>) {
        self.net().set_down(us, true);
        let (disk, running) = {
            let mut world = self.world();
            world.checker.crashed(us);
            let node = world.node(us);
            let Some(mut running) = node.running.take() else { return };
            node.life += 1;
            node.is_paused = false;
            node.inbox.clear();
            node.linked.clear();
            node.known.clear();
            node.disk.fail_after(torn.unwrap_or(0));
            if torn.is_some() {
                running.write();
            }
            node.disk.fail_after(0);
            running.kill();
            (node.disk.clone(), running)
        };
        for node in self.nodes().filter(|node| *node != us) {
            self.net().break_link(us, node);
            self.input(node, move |sim, world| world.link_ended(sim, node, us, true));
        }
        let log = running.group.status().last_index;
        self.world().checker.tell(format!("its log was {log:?}"));
        running.group.shutdown().await;
        drop(running);
        disk.crash(seed);
    }

    /// A link that broke, or was never there, is there.
    pub fn link(&self, a: NodeId, b: NodeId) {
        let use_of_link = self.net().break_link(a, b);
        for (us, node) in [(a, b), (b, a)] {
            let life = self.world().node(node).life;
            self.input(us, move |sim, world| world.link_began(sim, us, node, life, use_of_link));
        }
    }

    /// A node's clock and everything in it stand still.
    pub fn pause(&self, us: NodeId) {
        let mut world = self.world();
        if world.node(us).running.is_some() {
            world.checker.tell(format!("node {us:?} is paused"));
            world.node(us).is_paused = true;
        }
    }

    pub fn resume(&self, us: NodeId) {
        let mut world = self.world();
        if !std::mem::replace(&mut world.node(us).is_paused, false) {
            return;
        }
        world.checker.tell(format!("node {us:?} goes on"));
        while let Some(input) = world.node(us).inbox.pop_front() {
            input(self, &mut world);
        }
    }

    /// Whether a task of that life of a node goes on: once it is not paused.
    async fn goes_on(&self, us: NodeId, life: u64) -> bool {
        loop {
            {
                let mut world = self.world();
                let node = world.node(us);
                if node.life != life {
                    return false;
                }
                if !node.is_paused {
                    return true;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Writes, syncs and tells, with the delays of a disk.
    async fn run_disk(self, us: NodeId, life: u64) {
        for turn in 0.. {
            let mut chance = chance(self.seed(), [us.0, life, turn, 1]);
            tokio::time::sleep(Duration::from_millis(2)).await;
            if !self.goes_on(us, life).await {
                return;
            }
            let wrote = self.world().node(us).running.as_mut().is_some_and(Running::write);
            if !wrote {
                continue;
            }
            let slow = if chance.random_range(0..40) == 0 { 80 } else { 3 };
            tokio::time::sleep(Duration::from_millis(chance.random_range(0..=slow))).await;
            if !self.goes_on(us, life).await {
                return;
            }
            if let Some(running) = &mut self.world().node(us).running {
                running.tell();
            }
            if self.0.is_loud {
                let last = self
                    .world()
                    .node(us)
                    .running
                    .as_ref()
                    .and_then(|one| one.group.status().last_index);
                self.world().checker.tell(format!("{us} synced, last {last:?}"));
            }
        }
    }

    async fn run_beats(self, us: NodeId, life: u64) {
        while self.goes_on(us, life).await {
            self.world().beat(&self, us);
            tokio::time::sleep(BEAT).await;
        }
    }

    async fn run_elections(self, us: NodeId, life: u64, group: Group<Ledger>, elections: Arc<Elections>) {
        while self.goes_on(us, life).await {
            let mut alive = self.world().alive(us);
            alive.insert(us);
            for (_, why) in elections.take_due(Instant::now(), us, |node| alive.contains(&node), &[]) {
                let term = group.leadership().term;
                for node in self.nodes().filter(|node| *node != us) {
                    let mut frame = vec![wire::FORMAT];
                    wire::leaderless(&mut frame, QUEUE, term);
                    self.tell(us, node, frame);
                }
                // It is tried again when it was of no use.
                if let Some(why) = why {
                    let _ = group.elect(why).await;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Follows the group until it stops.
    async fn run_watch(
        self,
        us: NodeId,
        life: u64,
        group: Group<Ledger>,
        mut leadership: LeaderWatch,
        look: Arc<Notify>,
    ) {
        while self.goes_on(us, life).await {
            let now = leadership.now();
            let led = {
                let mut world = self.world();
                if let Some(running) = &world.node(us).running {
                    let voters = group.status().voters;
                    if !voters.is_empty() {
                        running.elections.on_voters(QUEUE, voters.into_iter().collect());
                    }
                    running.elections.on_leader(QUEUE, now.leader);
                }
                world.term_led(us)
            };
            match now.role {
                Role::Stopped => {
                    self.world().step_down(&self, us);
                    return;
                }
                Role::Leader if led == Some(now.term) => {}
                Role::Leader => {
                    let knows = group.begin().await;
                    if !self.goes_on(us, life).await {
                        return;
                    }
                    if knows.is_err() {
                        self.world().step_down(&self, us);
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                    self.world().lead(&self, us, now.term);
                }
                _ => self.world().step_down(&self, us),
            }
            tokio::select! {
                biased;
                changed = leadership.changed() => if changed.is_none() { return },
                () = look.notified() => {}
            }
        }
    }
}

/// The queue, as it was declared.
fn spec_of_queue() -> QueueSpec {
    QueueSpec {
        id: QUEUE,
        vhost: "/".into(),
        name: "queue".into(),
        queue_type: QueueType::Quorum,
        durable: true,
        auto_delete: false,
        exclusive_owner: None,
        home: FOUNDER,
        members: Vec::new(),
        generations: 0,
        arguments: FieldTable::new(),
        user: "guest".into(),
    }
}
