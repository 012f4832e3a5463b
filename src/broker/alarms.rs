//! Memory and disk alarms (RabbitMQ, "Memory and Disk Alarms"): over the watermark or under the
//! free limit, publishers are held until it is over; consumers go on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::Broker;
use crate::config::Resources;
use crate::store::Store;
use crate::types::ByteSize;

/// What is short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// The node's alarms.
pub struct Alarms {
    shortage: watch::Sender<Shortage>,
    short: AtomicBool,
    memory_limit: AtomicU64,
    disk_limit: AtomicU64,
    memory_used: AtomicU64,
    disk_free: AtomicU64,
    /// One looks at a time, so that the latest look counts.
    looking: Mutex<()>,
}

impl Alarms {
    /// With the limits that follow from the configuration.
    pub fn new(resources: &Resources) -> Self {
        let alarms = Self {
            shortage: watch::Sender::new(Shortage::default()),
            short: AtomicBool::new(false),
            memory_limit: AtomicU64::new(0),
            disk_limit: AtomicU64::new(0),
            memory_used: AtomicU64::new(0),
            disk_free: AtomicU64::new(0),
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

    /// What is short now.
    pub fn shortage(&self) -> Shortage {
        *self.shortage.borrow()
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

    /// Looks at memory and disk now. The disk is short too where `store` has no space for what comes
    /// next, whatever the limit is.
    pub(super) fn look(&self, data_dir: &Path, store: &Store) {
        let _looking = self.looking.lock();
        let memory = resident_memory().unwrap_or_default();
        let disk = rustix::fs::statvfs(data_dir).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        self.memory_used.store(memory, Ordering::Relaxed);
        self.disk_free.store(disk, Ordering::Relaxed);
        let shortage = Shortage {
            memory: memory > self.memory_limit().0,
            disk: disk < self.disk_limit().0 || store.lacks_space(),
        };
        self.short.store(shortage.any(), Ordering::Relaxed);
        let changed = self.shortage.send_if_modified(|known| {
            let changed = *known != shortage;
            *known = shortage;
            changed
        });
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

/// Looks again and again until the task is dropped.
pub(super) async fn watch(broker: &Arc<Broker>) {
    loop {
        broker.alarms.look(&broker.config.node.data_dir, &broker.store);
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
