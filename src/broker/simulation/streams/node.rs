//! One node: its disk, its member of the stream's group, and what watches over both.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::disk::{Delegate, while_written};
use super::super::net::{Links, Port, chance};
use super::clients::Leading;
use super::{Broken, NODES, Sim};
use crate::journal::raft::{
    Archiving, Election, Group, GroupError, GroupId, GroupSpec, LeaderWatch, Ledgers, Pace, RaftJournals, Role,
};
use crate::store::tests::by_hand::ByHand;
use crate::store::tests::sim::SimDisk;
use crate::store::{OwnerId, StoreOptions};
use crate::stream::Log;
use crate::types::NodeId;

/// How long a leader is not heard before others ask for votes.
const SUSPECT: Duration = Duration::from_millis(900);
const BEAT: Duration = Duration::from_millis(250);
const AGAIN: Duration = Duration::from_millis(100);
const GROUP: GroupId = GroupId(9);

pub struct Node {
    dir: tempfile::TempDir,
    disk: SimDisk,
    broken: Option<Broken>,
    /// Grows with each start and each crash.
    life: u64,
    /// How often it has lost everything: its member has other owners then.
    generation: u64,
    /// What it had is lost, and the others have yet to do without it.
    is_out: bool,
    /// Whom its member begins with.
    founders: Vec<NodeId>,
    pub running: Option<Running>,
}

pub struct Running {
    store: ByHand,
    pub journals: RaftJournals,
    pub group: Group<Log>,
    pub leading: Option<Leading>,
    pub look: Arc<Notify>,
}

impl Node {
    pub fn new(broken: Option<Broken>) -> Self {
        let mut node = Self {
            dir: tempfile::tempdir().expect("a directory"),
            disk: SimDisk::default(),
            broken,
            life: 0,
            generation: 0,
            is_out: false,
            founders: (1..=NODES).map(NodeId).collect(),
            running: None,
        };
        node.renew();
        node
    }

    /// A disk with nothing on it.
    fn renew(&mut self) {
        self.disk = SimDisk::default();
        self.dir = tempfile::tempdir().expect("a directory");
        match self.broken {
            Some(Broken::Sync) => self.disk.lie(),
            Some(Broken::Files) => self.disk.lie_beside(),
            _ => {}
        }
    }
}

impl Running {
    fn write(&mut self) -> bool {
        let wrote = self.store.write();
        self.store.checkpoint();
        wrote
    }

    fn tell(&mut self) {
        self.store.tell(&Delegate(&self.journals));
    }
}

impl Sim {
    /// Starts a node with what its disk holds.
    pub async fn start(&self, us: NodeId) {
        let options = StoreOptions {
            segment_bytes: 4 * 1024,
            window_bytes: 1024 * 1024 * 1024,
            epoch_bytes: 1024 * 1024,
        };
        let (store, mut recovered, life, generation, founders) = {
            let mut world = self.world();
            let node = world.node(us);
            if node.is_out || node.running.is_some() {
                return;
            }
            node.life += 1;
            let opened = ByHand::open(node.dir.path(), &node.disk, options);
            let (store, recovered) = opened.expect("a log is read however it ends");
            (store, recovered, node.life, node.generation, node.founders.clone())
        };
        let port = Port {
            links: self.clone(),
            node: us,
        };
        let journals = RaftJournals::new(us, store.store.clone(), Arc::new(port));
        let spec = GroupSpec {
            id: GROUP,
            log: OwnerId(11 + 2 * generation),
            snapshots: OwnerId(12 + 2 * generation),
            pace: Pace::Quiet,
            is_shut: false,
        };
        let ledgers = Ledgers {
            log: recovered.owners.remove(&spec.log),
            snapshots: recovered.owners.remove(&spec.snapshots),
            archiving: Some(Archiving {
                archive: store.store.archive(spec.log),
                keep_bytes: 1_000,
                point_bytes: 500,
                segment_bytes: 3_000,
            }),
            founders,
        };
        let retention = self.world().retention;
        let opening = journals.open_with(spec, ledgers, |source| Log::over(source, retention));
        let (store, group) = while_written(store, &journals, opening).await;
        let group = match group {
            Ok(group) => group,
            Err(error) => {
                return self
                    .world()
                    .checker
                    .violated(format!("node {us} does not start: {error}"));
            }
        };
        let look = Arc::new(Notify::new());
        {
            let mut world = self.world();
            let log = group.status().last_index;
            world.checker.tell(format!("node {us} starts, its log {log:?}"));
            world.node(us).running = Some(Running {
                store,
                journals,
                group: group.clone(),
                leading: None,
                look: look.clone(),
            });
        }
        self.net().set_down(us, false);
        tokio::spawn(self.clone().run_disk(us, life));
        tokio::spawn(self.clone().run_elections(us, life, group.clone()));
        let watch = group.watch();
        tokio::spawn(self.clone().run_watch(us, life, group, watch, look));
    }

    /// A node's machine stops at this moment; `torn` is how many operations of its disk go well before.
    pub async fn crash(&self, us: NodeId, seed: u64, torn: Option<u64>) {
        self.net().set_down(us, true);
        let (disk, running) = {
            let mut world = self.world();
            let node = world.node(us);
            let Some(mut running) = node.running.take() else { return };
            node.life += 1;
            node.disk.fail_after(torn.unwrap_or(0));
            if torn.is_some() {
                running.write();
            }
            node.disk.fail_after(0);
            running.store.kill(&Delegate(&running.journals));
            (node.disk.clone(), running)
        };
        for node in self.nodes().filter(|node| *node != us) {
            self.net().break_link(us, node);
        }
        let log = running.group.status().last_index;
        self.world()
            .checker
            .tell(format!("node {us} crashes, its log was {log:?}"));
        running.group.shutdown().await;
        drop(running);
        disk.crash(seed);
    }

    /// A node loses all that it has, while the others are well, and comes back as a new member.
    pub async fn lose(&self, us: NodeId, seed: u64) {
        if self.world().is_replacing || self.nodes().any(|node| !self.is_up(node)) {
            return;
        }
        self.crash(us, seed, None).await;
        {
            let mut world = self.world();
            world.checker.tell(format!("node {us} has lost everything"));
            let is_broken = self.0.broken == Some(Broken::Shut);
            let node = world.node(us);
            node.renew();
            if is_broken {
                return;
            }
            node.generation += 1;
            node.is_out = true;
            node.founders.clear();
            world.is_replacing = true;
        }
        tokio::spawn(self.clone().come_back(us));
    }

    /// The others do without a node that has lost everything, and then take it in.
    async fn come_back(self, us: NodeId) {
        self.as_leader(move |leader| async move { leader.remove_voter(us).await })
            .await;
        self.world().node(us).is_out = false;
        self.start(us).await;
        self.as_leader(move |leader| async move {
            leader.add_learner(us).await?;
            leader.add_voter(us).await
        })
        .await;
        self.world().is_replacing = false;
        self.world().checker.tell(format!("node {us} is a member again"));
    }

    /// Does something as whoever leads, until that works.
    async fn as_leader<F>(&self, change: impl Fn(Group<Log>) -> F)
    where
        F: Future<Output = Result<(), GroupError>>,
    {
        loop {
            if let Some(leader) = self.groups().into_iter().find(Group::is_leader) {
                let _turn = self.0.turn.lock().await;
                let changed = tokio::time::timeout(Duration::from_secs(2), change(leader)).await;
                if matches!(changed, Ok(Ok(()))) {
                    return;
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn lives(&self, us: NodeId, life: u64) -> bool {
        self.world().node(us).life == life
    }

    /// Writes, syncs and tells, with the delays of a disk.
    async fn run_disk(self, us: NodeId, life: u64) {
        for turn in 0.. {
            let mut chance = chance(self.seed(), [us.0, life, turn, 1]);
            tokio::time::sleep(Duration::from_millis(2)).await;
            if !self.lives(us, life) {
                return;
            }
            let wrote = self.world().node(us).running.as_mut().is_some_and(Running::write);
            if !wrote {
                continue;
            }
            let slow = if chance.random_range(0..40) == 0 { 80 } else { 3 };
            tokio::time::sleep(Duration::from_millis(chance.random_range(0..=slow))).await;
            if !self.lives(us, life) {
                return;
            }
            if let Some(running) = &mut self.world().node(us).running {
                running.tell();
            }
        }
    }

    /// A leader is heard by all; whoever hears none asks for votes after a while.
    async fn run_elections(self, us: NodeId, life: u64, group: Group<Log>) {
        let mut heard = Instant::now();
        for turn in 0.. {
            if !self.lives(us, life) {
                return;
            }
            if group.is_leader() {
                heard = Instant::now();
                // It is tried again.
                let _ = group.heartbeat().await;
            }
            let leader = group.leadership().leader.filter(|node| *node != us);
            let leads = |node: NodeId| self.group(node).is_some_and(|group| group.is_leader());
            if leader.is_some_and(|node| leads(node) && !self.net().is_cut(us, node)) {
                heard = Instant::now();
            }
            let patience = SUSPECT + Duration::from_millis(us.0 * 150);
            if heard.elapsed() > patience {
                heard = Instant::now();
                let _ = group.elect(Election::LeaderSilent).await;
            }
            let mut chance = chance(self.seed(), [us.0, life, turn, 2]);
            tokio::time::sleep(BEAT + Duration::from_millis(chance.random_range(0..50))).await;
        }
    }

    /// Follows the group until it stops.
    async fn run_watch(self, us: NodeId, life: u64, group: Group<Log>, mut leadership: LeaderWatch, look: Arc<Notify>) {
        while self.lives(us, life) {
            let now = leadership.now();
            let led = {
                let mut world = self.world();
                let leading = world
                    .node(us)
                    .running
                    .as_ref()
                    .and_then(|running| running.leading.as_ref());
                leading
                    .filter(|leading| !leading.is_lost.load(std::sync::atomic::Ordering::Acquire))
                    .map(|leading| leading.leader.term())
            };
            match now.role {
                Role::Stopped => return self.step_down(us),
                Role::Leader if led == Some(now.term) => {}
                Role::Leader => {
                    self.step_down(us);
                    let knows = group.begin().await;
                    if !self.lives(us, life) {
                        return;
                    }
                    if knows.is_err() {
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                    self.lead(us, now.term);
                }
                _ => self.step_down(us),
            }
            tokio::select! {
                biased;
                changed = leadership.changed() => if changed.is_none() { return },
                () = look.notified() => {}
            }
        }
    }
}
