//! Queues: those that this node serves, so that the sum over nodes counts each once.

use super::family::{Family, Metric, Read, counter, family, gauge};
use crate::metrics::Number;
use crate::metrics::facts::{Node, Traffic};
use crate::statistics::Measure;

pub static FAMILIES: &[Family] = &[
    family("queue_coarse_metrics", LENGTHS),
    // The rows of `queue_metrics` stand on `/metrics` already.
    Family {
        where_shown: super::Where::Detailed,
        ..family("queue_consumer_count", CONSUMERS)
    },
    family("queue_metrics", NUMBERS),
    family("queue_delivery_metrics", DELIVERIES),
    family("channel_queue_exchange_metrics", PUBLISHES),
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
    gauge(
        "queue_consumer_capacity",
        "Consumer capacity",
        Read::Queue(|queue| queue.capacity.into()),
    ),
    gauge(
        "queue_consumer_utilisation",
        "Same as consumer capacity",
        Read::Queue(|queue| queue.capacity.into()),
    ),
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
        "queue_messages_ram_bytes",
        "Size of ready and unacknowledged messages stored in memory",
        Read::Queue(|queue| queue.bytes().saturating_sub(queue.paged_out_bytes()).into()),
    ),
    gauge(
        "queue_messages_paged_out_bytes",
        "Size in bytes of messages paged out to disk",
        Read::Queue(|queue| queue.paged_out_bytes().into()),
    ),
    gauge(
        "queue_messages_paged_out",
        "Messages paged out to disk",
        Read::Queue(|queue| queue.paged_out.into()),
    ),
    counted(
        "queue_disk_reads",
        "Total number of times queue read messages from disk",
        |queue| queue.tally[Measure::DiskReads].into(),
        |node| node.queue_tally[Measure::DiskReads].into(),
    ),
    counted(
        "queue_disk_writes",
        "Total number of times queue wrote messages to disk",
        |queue| queue.tally[Measure::DiskWrites].into(),
        |node| node.queue_tally[Measure::DiskWrites].into(),
    ),
];

const fn counted(
    name: &'static str,
    help: &'static str,
    each: fn(&Traffic) -> Number,
    all: fn(&Node) -> Number,
) -> Metric {
    counter(name, help, Read::QueueTraffic(each)).summed(all)
}

const DELIVERIES: &[Metric] = &[
    counted(
        "queue_get_ack",
        "Total number of messages fetched from a queue with basic.get in manual acknowledgement mode",
        |queue| queue.tally[Measure::Get].into(),
        |node| node.queue_tally[Measure::Get].into(),
    ),
    counted(
        "queue_get",
        "Total number of messages fetched from a queue with basic.get in automatic acknowledgement mode",
        |queue| queue.tally[Measure::GetNoAck].into(),
        |node| node.queue_tally[Measure::GetNoAck].into(),
    ),
    counted(
        "queue_messages_delivered_ack",
        "Total number of messages delivered from a queue to consumers in manual acknowledgement mode",
        |queue| queue.tally[Measure::Deliver].into(),
        |node| node.queue_tally[Measure::Deliver].into(),
    ),
    counted(
        "queue_messages_delivered",
        "Total number of messages delivered from a queue to consumers in automatic acknowledgement mode",
        |queue| queue.tally[Measure::DeliverNoAck].into(),
        |node| node.queue_tally[Measure::DeliverNoAck].into(),
    ),
    counted(
        "queue_messages_redelivered",
        "Total number of messages redelivered from a queue to consumers",
        |queue| queue.tally[Measure::Redeliver].into(),
        |node| node.queue_tally[Measure::Redeliver].into(),
    ),
    counted(
        "queue_messages_acked",
        "Total number of messages acknowledged by consumers on a queue",
        |queue| queue.tally[Measure::Ack].into(),
        |node| node.queue_tally[Measure::Ack].into(),
    ),
    counted(
        "queue_get_empty",
        "Total number of times basic.get operations fetched no message on a queue",
        |queue| queue.tally[Measure::GetEmpty].into(),
        |node| node.queue_tally[Measure::GetEmpty].into(),
    ),
];

// RabbitMQ tells it for each channel, queue and exchange together.
const PUBLISHES: &[Metric] = &[counted(
    "queue_messages_published",
    "Total number of messages published into a queue through an exchange on a channel",
    |queue| queue.tally[Measure::Publish].into(),
    |node| node.queue_tally[Measure::Publish].into(),
)];
