//! What RabbitMQ has no name for.

use super::family::{Family, Metric, Read, Where, counter, gauge, histogram, plain};

pub static FAMILIES: &[Family] = &[
    own("warren_node", NODE),
    own("warren_log", LOG),
    own("warren_latencies", LATENCIES),
    own("warren_queues", QUEUES),
    own("warren_raft", RAFT),
    own("warren_links", LINKS),
    own("warren_certificates", CERTIFICATES),
    Family {
        where_shown: Where::Memory,
        ..own("warren_memory", MEMORY)
    },
];

const fn own(name: &'static str, metrics: &'static [Metric]) -> Family {
    Family {
        prefix: "warren",
        detailed_prefix: "warren_detailed",
        where_shown: Where::Everywhere,
        ..plain(name, metrics)
    }
}

const CERTIFICATES: &[Metric] = &[gauge(
    "certificate_expires_at_seconds",
    "When a certificate in use expires, as Unix time.",
    Read::Certificate(|certificate| certificate.expires_at.into()),
)];

const NODE: &[Metric] = &[
    counter(
        "processor_seconds",
        "Processor time that the process has taken.",
        Read::Node(|node| node.processor_seconds.into()),
    ),
    gauge(
        "threads",
        "Threads of the process.",
        Read::Node(|node| node.threads.into()),
    ),
    gauge(
        "tasks",
        "Tasks of the runtime that are alive.",
        Read::Node(|node| node.tasks.into()),
    ),
    gauge(
        "open_sockets",
        "Sockets among the open file descriptors.",
        Read::Node(|node| node.open_sockets.into()),
    ),
    counter(
        "observers_lost",
        "Events and copies of traced messages that came faster than they are published.",
        Read::Node(|node| node.observers_lost.into()),
    ),
    gauge(
        "hears_majority",
        "1 while the node hears a majority of the cluster's nodes.",
        Read::Node(|node| node.hears_majority.into()),
    ),
];

const LOG: &[Metric] = &[
    counter(
        "log_syncs",
        "Syncs of the write-ahead log.",
        Read::Node(|node| node.log.syncs.into()),
    ),
    counter(
        "log_written_bytes",
        "Bytes written to the write-ahead log.",
        Read::Node(|node| node.log.written.into()),
    ),
    gauge(
        "log_waiting_bytes",
        "Bytes that wait to be written to the write-ahead log.",
        Read::Node(|node| node.log.waiting.into()),
    ),
    gauge(
        "log_segments",
        "Segment files of the write-ahead log in use.",
        Read::Node(|node| node.log.segments.into()),
    ),
    gauge(
        "log_segment_bytes",
        "Bytes that those segments take on disk.",
        Read::Node(|node| node.log.segment_bytes.into()),
    ),
    gauge(
        "store_at_rest_bytes",
        "Bytes on disk that have left the write-ahead log.",
        Read::Node(|node| node.log.at_rest.into()),
    ),
];

// A sample of a few messages.
const LATENCIES: &[Metric] = &[
    histogram(
        "message_wait_seconds",
        "From a message's coming to its queue to its first delivery.",
        Read::Times(|node| &node.waits),
    ),
    histogram(
        "message_ack_seconds",
        "From a delivery to its acknowledgement.",
        Read::Times(|node| &node.acks),
    ),
    histogram(
        "message_confirm_seconds",
        "From a publish to the answer of its queue.",
        Read::Times(|node| &node.confirms),
    ),
];

const QUEUES: &[Metric] = &[
    gauge(
        "queue_messages_discarded",
        "Dead letters that are kept until their targets have them.",
        Read::Queue(|queue| queue.discarded.into()),
    ),
    gauge(
        "queue_messages_discarded_bytes",
        "Bytes of the bodies of those dead letters.",
        Read::Queue(|queue| queue.discarded_bytes.into()),
    ),
];

const RAFT: &[Metric] = &[
    gauge(
        "raft_leader",
        "Groups of which the member on this node leads.",
        Read::Group(|group| group.is_leader.into()),
    ),
    gauge(
        "raft_lag_entries",
        "Entries that the member furthest behind lacks, as the leader knows.",
        Read::Group(|group| group.lag.into()),
    ),
    gauge(
        "raft_log_bytes",
        "Bytes of bodies in the logs of Raft groups.",
        Read::Group(|group| group.log_bytes.into()),
    ),
];

const LINKS: &[Metric] = &[
    gauge(
        "link_up",
        "1 while the other node is heard.",
        Read::Link(|link| link.is_up.into()),
    ),
    gauge(
        "link_round_trip_seconds",
        "Time of the last ping to the other node and back.",
        Read::Link(|link| link.round_trip_seconds.into()),
    ),
];

const MEMORY: &[Metric] = &[
    gauge(
        "memory_resident_bytes",
        "Memory that the process has resident.",
        Read::Node(|node| node.resident_memory.into()),
    ),
    gauge(
        "memory_limit_bytes",
        "Memory at which publishers are held.",
        Read::Node(|node| node.memory_limit.into()),
    ),
    gauge(
        "memory_queued_messages_bytes",
        "Memory of messages that queues of this node hold, names and properties included.",
        Read::Queue(|queue| queue.memory.into()),
    ),
    gauge(
        "memory_raft_logs_bytes",
        "Bytes of bodies in the logs of Raft groups, of which those not yet at rest are in memory.",
        Read::Group(|group| group.log_bytes.into()),
    ),
    gauge(
        "memory_log_waiting_bytes",
        "Memory of what waits to be written to the write-ahead log.",
        Read::Node(|node| node.log.waiting.into()),
    ),
];
