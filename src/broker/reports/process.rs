//! What the process uses of the machine.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::broker::alarms::Alarms;
use crate::statistics::{Measure, Stats};
use crate::store::Store;

/// Seconds between two looks at what takes a while to find out.
const SELDOM: u64 = 5;

/// Looks at the process, each thing as often as it is cheap.
#[derive(Default)]
pub(super) struct Process {
    looked: AtomicU64,
}

impl Process {
    /// Notes how things stand in that second. Whether the rest, which reads files, is due.
    pub fn note(&self, alarms: &Alarms, store: &Store, node: &Stats, second: u64) -> bool {
        node.set(Measure::MemUsed, whole(alarms.memory_used().0));
        node.set(Measure::DiskFree, whole(alarms.disk_free().0));
        let log = store.stats();
        node.stand(Measure::IoWriteCount, log.writes);
        node.stand(Measure::IoWriteBytes, log.log_bytes_written);
        node.stand(Measure::IoSyncCount, log.syncs);
        node.stand(Measure::IoSyncMicros, log.sync_micros);
        let looked = self.looked.load(Ordering::Relaxed);
        if second < looked + SELDOM {
            return false;
        }
        self.looked.store(second, Ordering::Relaxed);
        true
    }
}

/// Counts files and threads. Blocks.
pub(super) fn count(node: &Stats) {
    let (files, sockets) = open_files();
    node.set(Measure::FdUsed, whole(files));
    node.set(Measure::SocketsUsed, whole(sockets));
    node.set(Measure::ProcUsed, whole(threads()));
}

fn whole(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// How many files are open, and how many of them are sockets.
pub fn open_files() -> (usize, usize) {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    open.fold((0, 0), |(files, sockets), file| {
        let is_socket = std::fs::read_link(file.path())
            .is_ok_and(|name| name.as_os_str().as_encoded_bytes().starts_with(b"socket:"));
        (files + 1, sockets + usize::from(is_socket))
    })
}

/// Where RabbitMQ counts the processes of Erlang, these are threads.
pub fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}
