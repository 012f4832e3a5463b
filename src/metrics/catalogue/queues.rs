//! Queues: those that this node serves, so that the sum over nodes counts each once.

use super::{Family, Metric, Read, family, gauge};

pub static FAMILIES: &[Family] = &[
    family("queue_coarse_metrics", LENGTHS),
    // The rows of `queue_metrics` stand on `/metrics` already.
    Family {
        where_shown: super::Where::Detailed,
        ..family("queue_consumer_count", CONSUMERS)
    },
    family("queue_metrics", NUMBERS),
];

const LENGTHS: &[Metric] = &[
    gauge(
        "queue_messages_ready",
        "Messages ready to be delivered to consumers",
        Read::Queue(|queue| queue.ready.into()),
    ),
    gauge(
        "queue_messages_unacked",
        "Messages delivered to consumers but not yet acknowledged",
        Read::Queue(|queue| queue.unacked.into()),
    ),
    gauge(
        "queue_messages",
        "Sum of ready and unacknowledged messages - total queue depth",
        Read::Queue(|queue| queue.messages().into()),
    ),
];

const CONSUMERS: &[Metric] = &[CONSUMERS_OF_QUEUE];

const CONSUMERS_OF_QUEUE: Metric = gauge(
    "queue_consumers",
    "Consumers on a queue",
    Read::Queue(|queue| queue.consumers.into()),
);

const NUMBERS: &[Metric] = &[
    CONSUMERS_OF_QUEUE,
    // What a process of Erlang's holds for a queue there is the queue's memory here.
    gauge(
        "queue_process_memory_bytes",
        "Memory in bytes used by the Erlang queue process",
        Read::Queue(|queue| queue.memory.into()),
    ),
    gauge(
        "queue_messages_ram",
        "Ready and unacknowledged messages stored in memory",
        Read::Queue(|queue| (queue.ready_in_memory() + queue.unacked).into()),
    ),
    gauge(
        "queue_messages_ready_ram",
        "Ready messages stored in memory",
        Read::Queue(|queue| queue.ready_in_memory().into()),
    ),
    gauge(
        "queue_messages_unacked_ram",
        "Unacknowledged messages stored in memory",
        Read::Queue(|queue| queue.unacked.into()),
    ),
    gauge(
        "queue_messages_persistent",
        "Persistent messages",
        Read::Queue(|queue| queue.persistent.into()),
    ),
    gauge(
        "queue_messages_persistent_bytes",
        "Size in bytes of persistent messages",
        Read::Queue(|queue| queue.persistent_bytes.into()),
    ),
    gauge(
        "queue_messages_bytes",
        "Size in bytes of ready and unacknowledged messages",
        Read::Queue(|queue| queue.bytes().into()),
    ),
    gauge(
        "queue_messages_ready_bytes",
        "Size in bytes of ready messages",
        Read::Queue(|queue| queue.ready_bytes.into()),
    ),
    gauge(
        "queue_messages_unacked_bytes",
        "Size in bytes of all unacknowledged messages",
        Read::Queue(|queue| queue.unacked_bytes.into()),
    ),
    gauge(
        "queue_messages_paged_out",
        "Messages paged out to disk",
        Read::Queue(|queue| queue.paged_out.into()),
    ),
];
