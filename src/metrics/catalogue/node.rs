//! The node: its process, its limits, its alarms.

use super::family::{Family, Metric, Read, counter, family, gauge, plain, untyped};
use crate::metrics::facts::{Labels, Node};

pub static FAMILIES: &[Family] = &[
    family("node_coarse_metrics", COARSE),
    family("node_metrics", LIMITS),
    family("node_persister_metrics", PERSISTER),
    family("auth_attempt_metrics", LOGINS),
    plain("totals", TOTALS),
    plain("alarm_metrics", ALARMS),
    Family {
        prefix: "process",
        ..plain("process", PROCESS)
    },
];

/// Who this is: dashboards join everything with these by `instance`.
pub static ALWAYS: &[Metric] = &[
    untyped(
        "rabbitmq_build_info",
        "RabbitMQ & Erlang/OTP version info",
        Read::About(build),
    ),
    untyped(
        "rabbitmq_identity_info",
        "RabbitMQ node & cluster identity info",
        Read::About(identity),
    ),
];

const COARSE: &[Metric] = &[
    gauge(
        "process_open_fds",
        "Open file descriptors",
        Read::Node(|node| node.open_files.into()),
    ),
    gauge(
        "process_resident_memory_bytes",
        "Memory used in bytes",
        Read::Node(|node| node.resident_memory.into()),
    ),
    gauge(
        "disk_space_available_bytes",
        "Disk space available in bytes",
        Read::Node(|node| node.disk_free.into()),
    ),
];

const LIMITS: &[Metric] = &[
    gauge(
        "process_max_fds",
        "Open file descriptors limit",
        Read::Node(|node| node.open_files_limit.into()),
    ),
    gauge(
        "resident_memory_limit_bytes",
        "Memory high watermark in bytes",
        Read::Node(|node| node.memory_limit.into()),
    ),
    gauge(
        "disk_space_available_limit_bytes",
        "Free disk space low watermark in bytes",
        Read::Node(|node| node.disk_limit.into()),
    ),
    // The one of Erlang's numbers that means the same here.
    gauge(
        "erlang_uptime_seconds",
        "Node uptime",
        Read::Node(|node| (node.uptime_ms as f64 / 1000.0).into()),
    ),
];

const PERSISTER: &[Metric] = &[
    counter(
        "io_read_bytes",
        "Total number of I/O bytes read",
        Read::Node(|node| node.disk_read.into()),
    ),
    counter(
        "io_write_bytes",
        "Total number of I/O bytes written",
        Read::Node(|node| node.disk_written.into()),
    ),
    counter(
        "io_sync_ops",
        "Total number of I/O sync operations",
        Read::Node(|node| node.log.syncs.into()),
    ),
    counter(
        "io_sync_time_seconds",
        "Total I/O sync time",
        Read::Node(|node| node.log.sync_seconds.into()),
    ),
    counter(
        "io_write_ops",
        "Total number of I/O write operations",
        Read::Node(|node| node.log.writes.into()),
    ),
];

const LOGINS: &[Metric] = &[
    counter(
        "auth_attempts",
        "Total number of authentication attempts",
        Read::Logins(|logins| (logins.succeeded + logins.failed).into()),
    ),
    counter(
        "auth_attempts_succeeded",
        "Total number of successful authentication attempts",
        Read::Logins(|logins| logins.succeeded.into()),
    ),
    counter(
        "auth_attempts_failed",
        "Total number of failed authentication attempts",
        Read::Logins(|logins| logins.failed.into()),
    ),
];

const TOTALS: &[Metric] = &[
    gauge(
        "connections",
        "Connections currently open",
        Read::Node(|node| node.connections.into()),
    ),
    gauge(
        "channels",
        "Channels currently open",
        Read::Node(|node| node.channels.into()),
    ),
    gauge(
        "consumers",
        "Consumers currently connected",
        Read::Node(|node| node.consumers.into()),
    ),
    gauge("queues", "Queues available", Read::Queues),
];

const ALARMS: &[Metric] = &[
    // There is no such alarm: sockets that find no descriptor wait to be accepted.
    untyped(
        "alarms_file_descriptor_limit",
        "is 1 if file descriptor limit alarm is in effect",
        Read::Node(|_| 0_u64.into()),
    ),
    untyped(
        "alarms_free_disk_space_watermark",
        "is 1 if free disk space watermark alarm is in effect",
        Read::Node(|node| node.disk_alarm.into()),
    ),
    untyped(
        "alarms_memory_used_watermark",
        "is 1 if VM memory watermark alarm is in effect",
        Read::Node(|node| node.memory_alarm.into()),
    ),
    gauge(
        "unreachable_cluster_peers_count",
        "Number of peers in the cluster the current node cannot reach.",
        Read::Node(|node| node.unreachable_peers.into()),
    ),
];

/// What clients of Prometheus tell of their process, under its usual name.
const PROCESS: &[Metric] = &[gauge(
    "start_time_seconds",
    "Start time of the process since unix epoch in seconds.",
    Read::Node(|node| (node.started_at_ms / 1000).into()),
)];

fn build(node: &Node) -> Labels {
    let labels = [
        ("rabbitmq_version", node.rabbitmq_version.as_str()),
        ("prometheus_plugin_version", &node.warren_version),
        ("warren_version", &node.warren_version),
    ];
    labels.map(|(name, value)| (name, value.to_owned())).into()
}

fn identity(node: &Node) -> Labels {
    let labels = [
        ("rabbitmq_node", &node.name),
        ("rabbitmq_cluster", &node.cluster),
        ("rabbitmq_cluster_permanent_id", &node.cluster_id),
    ];
    labels.map(|(name, value)| (name, value.to_owned())).into()
}
