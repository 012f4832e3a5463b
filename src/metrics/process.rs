//! What the system says about this process.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// How many files are open, and how many of them are sockets.
pub fn open_files() -> (usize, usize) {
    let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    open.fold((0, 0), |(files, sockets), file| {
        let is_socket =
            fs::read_link(file.path()).is_ok_and(|name| name.as_os_str().as_encoded_bytes().starts_with(b"socket:"));
        (files + 1, sockets + usize::from(is_socket))
    })
}

/// How many files may be open.
pub fn open_files_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many threads there are.
pub fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// Seconds of processor time that the process has taken, of the user and the system.
pub fn processor_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may hold spaces.
    let fields = stat.rsplit_once(')')?.1;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / rustix::param::clock_ticks_per_second() as f64)
}

/// Bytes that the process has had written to disk, and read from it, since it began.
pub fn disk_bytes() -> Option<(u64, u64)> {
    let io = fs::read_to_string("/proc/self/io").ok()?;
    let field = |name: &str| {
        let line = io.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    };
    Some((field("write_bytes:")?, field("read_bytes:")?))
}
