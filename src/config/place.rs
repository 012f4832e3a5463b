//! What the machine says when nothing is set: the host's name, where data can lie, how much
//! memory there is.
//!
//! The only part of the configuration that asks the system; what it reads is judged by plain
//! functions below.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use crate::types::ByteSize;

/// Where RabbitMQ's packages and image keep their data.
const RABBITMQ_DATA: &str = "/var/lib/rabbitmq";

/// The host's name, up to its first dot unless `RABBITMQ_USE_LONGNAME` is true.
pub fn host_name(environment: &Environment) -> String {
    let system = rustix::system::uname();
    let full = system.nodename().to_str().unwrap_or_default();
    let long = environment.get("RABBITMQ_USE_LONGNAME") == Some("true");
    let name = match full.split_once('.') {
        Some((short, _)) if !long => short,
        _ => full,
    };
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name.to_owned()
    }
}

/// Where data lies when nobody says: RabbitMQ's place if it may be written to, else here.
pub fn data_dir() -> PathBuf {
    let usual = Path::new(RABBITMQ_DATA);
    let writable = usual.is_dir() && rustix::fs::access(usual, rustix::fs::Access::WRITE_OK).is_ok();
    if writable {
        usual.to_owned()
    } else {
        PathBuf::from("warren-data")
    }
}

/// The memory this process may use, in bytes: the machine's or, if that is less, its control
/// group's. Zero when the system does not say.
pub fn memory() -> ByteSize {
    let read = |path: PathBuf| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo".into()).and_then(|text| machine_memory(&text));
    let groups = read("/proc/self/cgroup".into()).unwrap_or_default();
    let limits = limit_files(&groups)
        .into_iter()
        .filter_map(|path| group_limit(&read(path)?));
    ByteSize(limits.chain(machine).min().unwrap_or(0))
}

/// `MemTotal` of `/proc/meminfo`.
fn machine_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The files that may hold a limit, of the groups named in `/proc/self/cgroup` and of all above
/// them. Within a container the named group may not be there, but the topmost one is then ours.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = Path::new(group.trim_start_matches('/'));
        files.extend(group.ancestors().map(|group| Path::new(root).join(group).join(file)));
    }
    files
}

/// A limit; `max` is none. Version 1 says "none" by a number larger than any machine.
fn group_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_read_in_kilobytes() {
        let text = "MemTotal:       24689152 kB\nMemFree:  1 kB\n";
        assert_eq!(machine_memory(text), Some(24_689_152 * 1024));
        assert_eq!(machine_memory("MemTotal: many"), None);
    }

    #[test]
    fn limits_are_looked_for_in_the_group_and_all_above_it() {
        let files = limit_files("4:memory:/a/b\n3:cpu:/a\n0::/c\nnonsense\n");
        let shown: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
        assert_eq!(
            shown,
            [
                "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/c/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(group_limit("1073741824\n"), Some(1 << 30));
        assert_eq!(group_limit("max\n"), None);
    }

    #[test]
    fn this_machine_has_some_memory_and_a_name() {
        assert!(memory().0 > 0);
        assert!(!host_name(&Environment::default()).is_empty());
    }
}
