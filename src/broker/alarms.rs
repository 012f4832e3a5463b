//! Memory and disk alarms (RabbitMQ, "Memory and Disk Alarms"): over the watermark or under the
//! free limit, publishers are held until it is over; consumers go on. An alarm of one node holds the
//! publishers of all, for their messages may end on that node: each tells the others of its own
//! (`shortages.rs`), and what it has heard of one that is gone is forgotten.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::config::Resources;
use crate::store::Store;
use crate::types::{ByteSize, NodeId, Timestamp};
use crate::{allocator, tasks};

/// What is short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    pub memory: bool,
    pub disk: bool,
}

impl Shortage {
    /// Whether publishers are to be held.
    pub fn any(self) -> bool {
        self.memory || self.disk
    }

    /// The reason as `connection.blocked` gives it.
    pub fn reason(self) -> &'static str {
        match (self.memory, self.disk) {
            (true, true) => "low on memory & disk",
            (false, true) => "low on disk",
            _ => "low on memory",
        }
    }
}

/// What a node says that it is short of; what it says later has a higher number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    number: u64,
    shortage: Shortage,
    /// It is out of service by its operator's wish.
    #[serde(default)]
    drained: bool,
}

/// The alarms of the node, and those that it has heard of.
pub struct Alarms {
    own: watch::Sender<Notice>,
    others: Mutex<BTreeMap<NodeId, Notice>>,
    /// Of all nodes together.
    shortage: watch::Sender<Shortage>,
    short: AtomicBool,
    memory_limit: AtomicU64,
    disk_limit: AtomicU64,
    /// Free disk under the limit is no alarm.
    ignores_disk: AtomicBool,
    memory_used: AtomicU64,
    disk_free: AtomicU64,
    /// When what this node is short of changed, in milliseconds since the epoch.
    changed_at: AtomicU64,
    /// One looks at a time, so that the latest look counts.
    looking: Mutex<()>,
}

impl Alarms {
    /// With the limits that follow from the configuration.
    pub fn new(resources: &Resources) -> Self {
        let alarms = Self {
            own: watch::Sender::new(Notice::default()),
            others: Mutex::default(),
            shortage: watch::Sender::new(Shortage::default()),
            short: AtomicBool::new(false),
            memory_limit: AtomicU64::new(0),
            disk_limit: AtomicU64::new(0),
            ignores_disk: AtomicBool::new(false),
            memory_used: AtomicU64::new(0),
            disk_free: AtomicU64::new(0),
            changed_at: AtomicU64::new(0),
            looking: Mutex::default(),
        };
        alarms.set_memory_limit(resources);
        alarms.set_disk_limit(resources);
        alarms
    }

    /// Another limit for memory, from the next look on.
    pub fn set_memory_limit(&self, resources: &Resources) {
        let limit = resources.memory_limit(machine_memory());
        self.memory_limit.store(limit.0, Ordering::Relaxed);
    }

    /// Another limit for free disk, from the next look on.
    pub fn set_disk_limit(&self, resources: &Resources) {
        let limit = resources.disk_limit(machine_memory());
        self.disk_limit.store(limit.0, Ordering::Relaxed);
    }

    /// What is short now, on any node.
    pub fn shortage(&self) -> Shortage {
        *self.shortage.borrow()
    }

    /// What is short on this node.
    pub fn own(&self) -> Shortage {
        self.own.borrow().shortage
    }

    /// Since when this node is as short as it is; `None` when it is short of nothing.
    pub fn since(&self) -> Option<Timestamp> {
        let since = Timestamp(self.changed_at.load(Ordering::Relaxed));
        self.own().any().then_some(since)
    }

    /// What other nodes are short of, where they are.
    pub fn of_others(&self) -> Vec<(NodeId, Shortage)> {
        let others = self.others.lock();
        let short = others.iter().filter(|(_, notice)| notice.shortage.any());
        short.map(|(node, notice)| (*node, notice.shortage)).collect()
    }

    /// The nodes that are out of service, this one or others.
    pub(super) fn drained(&self, us: NodeId) -> Vec<NodeId> {
        let own = self.own.borrow().drained.then_some(us);
        let others = self.others.lock();
        let drained = others.iter().filter(|(_, notice)| notice.drained);
        drained.map(|(node, _)| *node).chain(own).collect()
    }

    /// The others are to know that this node is out of service, or is not any more.
    pub(super) fn set_drained(&self, drained: bool) {
        self.own.send_if_modified(|known| {
            let changed = known.drained != drained;
            known.number += u64::from(changed);
            known.drained = drained;
            changed
        });
    }

    /// This node's own, with each change.
    pub(super) fn notices(&self) -> watch::Receiver<Notice> {
        self.own.subscribe()
    }

    /// Another node said so.
    pub(super) fn heard(&self, node: NodeId, notice: Notice) {
        let mut others = self.others.lock();
        let before = others.get(&node).copied().unwrap_or_default();
        if notice.number < before.number {
            return;
        }
        others.insert(node, notice);
        self.join(&others);
        drop(others);
        match notice.shortage {
            short if short == before.shortage => {}
            short if short.any() => tracing::warn!(%node, "another node is {}: publishers are blocked", short.reason()),
            _ => tracing::info!(%node, "the alarm of another node is over"),
        }
    }

    /// What was heard of nodes that do not live any more does not count.
    pub(super) fn forget_unless(&self, is_alive: impl Fn(NodeId) -> bool) {
        let mut others = self.others.lock();
        let before = others.len();
        others.retain(|node, _| is_alive(*node));
        if others.len() != before {
            self.join(&others);
        }
    }

    /// Joins what all are short of.
    fn join(&self, others: &BTreeMap<NodeId, Notice>) {
        let all = others.values().map(|notice| notice.shortage).chain([self.own()]);
        let joined = all.fold(Shortage::default(), |joined, one| Shortage {
            memory: joined.memory || one.memory,
            disk: joined.disk || one.disk,
        });
        self.short.store(joined.any(), Ordering::Relaxed);
        self.shortage
            .send_if_modified(|known| std::mem::replace(known, joined) != joined);
    }

    /// Whether publishers are to be held; cheap enough to ask for every message.
    pub fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// To wait for changes.
    pub fn subscribe(&self) -> watch::Receiver<Shortage> {
        self.shortage.subscribe()
    }

    /// Memory in use at which the alarm begins.
    pub fn memory_limit(&self) -> ByteSize {
        ByteSize(self.memory_limit.load(Ordering::Relaxed))
    }

    /// Free disk below which the alarm begins.
    pub fn disk_limit(&self) -> ByteSize {
        ByteSize(self.disk_limit.load(Ordering::Relaxed))
    }

    /// Resident memory when last looked at.
    pub fn memory_used(&self) -> ByteSize {
        ByteSize(self.memory_used.load(Ordering::Relaxed))
    }

    /// Free disk when last looked at.
    pub fn disk_free(&self) -> ByteSize {
        ByteSize(self.disk_free.load(Ordering::Relaxed))
    }

    /// Whether free disk under the limit is an alarm, from the next look on. A disk that is full is one
    /// all the same.
    pub fn watch_disk(&self, watches: bool) {
        self.ignores_disk.store(!watches, Ordering::Relaxed);
    }

    fn is_under_limit(&self, disk: u64) -> bool {
        !self.ignores_disk.load(Ordering::Relaxed) && disk < self.disk_limit().0
    }

    /// Looks at memory and disk now. The disk is short too where `store` has no space for what comes
    /// next, whatever the limit is.
    pub(super) fn look(&self, data_dir: &Path, store: &Store, now: Timestamp) {
        let _looking = self.looking.lock();
        let memory = resident_memory().unwrap_or_default();
        let disk = rustix::fs::statvfs(data_dir).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        self.memory_used.store(memory, Ordering::Relaxed);
        self.disk_free.store(disk, Ordering::Relaxed);
        let shortage = Shortage {
            memory: memory > self.memory_limit().0,
            disk: self.is_under_limit(disk) || store.lacks_space(),
        };
        let changed = self.own.send_if_modified(|known| {
            let changed = known.shortage != shortage;
            known.number += u64::from(changed);
            known.shortage = shortage;
            changed
        });
        if changed {
            self.changed_at.store(now.0, Ordering::Relaxed);
            self.join(&self.others.lock());
        }
        if changed && shortage.any() {
            tracing::warn!(
                memory,
                memory_limit = self.memory_limit().0,
                disk_free = disk,
                disk_limit = self.disk_limit().0,
                "{}: publishers are blocked",
                shortage.reason()
            );
        } else if changed {
            tracing::info!("the alarm is over: publishers go on");
        }
    }
}

/// Looks again and again until the task is dropped. While memory is short, threads that rest are asked
/// for what they keep: nothing else might make them look, for the publishers rest too.
pub(super) async fn watch(
    alarms: &Alarms,
    data_dir: &Path,
    store: &Store,
    now: impl Fn() -> Timestamp,
    is_alive: impl Fn(NodeId) -> bool,
) {
    loop {
        alarms.look(data_dir, store, now());
        if alarms.own().memory {
            allocator::ask_back();
            tasks::wake_workers();
        }
        alarms.forget_unless(&is_alive);
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Bytes of memory that the process has resident.
fn resident_memory() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Memory there is: the control group's limit where one is set, else the machine's.
fn machine_memory() -> ByteSize {
    let number = |path: &str| {
        std::fs::read_to_string(path)
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok())
    };
    let group = number("/sys/fs/cgroup/memory.max").or_else(|| number("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    let machine = machine.map_or(u64::MAX, |kib| kib * 1024);
    ByteSize(group.unwrap_or(u64::MAX).min(machine))
}

/// How often memory and disk are looked at.
const INTERVAL: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    const US: NodeId = NodeId(7);

    fn alarms() -> Alarms {
        Alarms::new(&crate::config::Config::default().resources)
    }

    fn notice(number: u64, memory: bool, disk: bool) -> Notice {
        let shortage = Shortage { memory, disk };
        Notice {
            number,
            shortage,
            drained: false,
        }
    }

    #[test]
    fn a_node_out_of_service_is_known_until_it_says_otherwise_or_is_gone() {
        let alarms = alarms();
        let node = NodeId(1);
        let drained = |number, drained| Notice {
            drained,
            ..notice(number, false, false)
        };
        alarms.heard(node, drained(1, true));
        assert_eq!(alarms.drained(US), [node]);
        assert!(!alarms.is_short());
        alarms.heard(node, drained(2, false));
        assert_eq!(alarms.drained(US), []);
        alarms.heard(node, drained(3, true));
        alarms.forget_unless(|_| false);
        assert_eq!(alarms.drained(US), []);
    }

    #[test]
    fn what_nodes_are_short_of_is_joined_until_they_are_gone() {
        let alarms = alarms();
        let (one, other) = (NodeId(1), NodeId(2));
        alarms.heard(one, notice(1, true, false));
        assert_eq!(alarms.shortage().reason(), "low on memory");
        alarms.heard(other, notice(1, false, true));
        assert_eq!(alarms.shortage().reason(), "low on memory & disk");
        assert!(alarms.is_short() && !alarms.own().any());
        alarms.forget_unless(|node| node == other);
        assert_eq!(alarms.shortage().reason(), "low on disk");
        alarms.heard(other, notice(2, false, false));
        assert!(!alarms.is_short() && !alarms.shortage().any());
        assert_eq!(alarms.of_others(), []);
    }

    #[test]
    fn an_older_notice_of_a_node_changes_nothing_unless_it_was_forgotten() {
        let alarms = alarms();
        alarms.heard(NodeId(1), notice(5, false, false));
        alarms.heard(NodeId(1), notice(4, true, false));
        assert!(!alarms.is_short());
        alarms.forget_unless(|_| false);
        alarms.heard(NodeId(1), notice(1, true, false));
        assert!(alarms.is_short());
    }
}
