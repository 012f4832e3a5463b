//! Raft groups: the members on this node, of quorum queues and of the catalogue.

use super::family::{Family, Metric, Read, counter, family, gauge};
use crate::metrics::Number;
use crate::metrics::facts::Group;

pub static FAMILIES: &[Family] = &[family("ra_metrics", GROUPS)];

const COMMIT: &str = "Raft log commit index";
const LATENCY: &str = "Time taken for a log entry to be committed";
const SNAPSHOT: &str = "Raft log snapshot index";
const WRITTEN: &str = "Raft log last written index";

const fn of_group(read: fn(&Group) -> Number) -> Read {
    Read::Group(read)
}

const GROUPS: &[Metric] = &[
    counter(
        "raft_term",
        "Current Raft term number",
        of_group(|group| group.term.into()),
    ),
    gauge(
        "raft_log_snapshot_index",
        SNAPSHOT,
        of_group(|group| group.snapshot.into()),
    ),
    gauge(
        "raft_log_last_applied_index",
        "Raft log last applied index",
        of_group(|group| group.applied.into()),
    ),
    gauge(
        "raft_log_commit_index",
        COMMIT,
        of_group(|group| group.committed.into()),
    ),
    gauge(
        "raft_log_last_written_index",
        WRITTEN,
        of_group(|group| group.written.into()),
    ),
    gauge(
        "raft_entry_commit_latency_seconds",
        LATENCY,
        of_group(|group| group.commit_seconds.into()),
    ),
    // As RabbitMQ 4.2 and its dashboards name them.
    gauge(
        "raft_commit_latency_seconds",
        LATENCY,
        of_group(|group| group.commit_seconds.into()),
    ),
    gauge("raft_commit_index", COMMIT, of_group(|group| group.committed.into())),
    gauge("raft_snapshot_index", SNAPSHOT, of_group(|group| group.snapshot.into())),
    gauge(
        "raft_last_applied",
        "Raft log last applied index",
        of_group(|group| group.applied.into()),
    ),
    gauge(
        "raft_last_written_index",
        WRITTEN,
        of_group(|group| group.written.into()),
    ),
];
