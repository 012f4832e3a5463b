//! Rows about limits of connections and nodes, and about the memory and disk alarms.

use super::super::sections::{DiskLimit, MemoryWatermark};
use super::super::value::{ratio, regular_expression, size};
use super::*;
use crate::types::ByteSize;

/// RabbitMQ takes no larger `max_message_size` either.
const LARGEST_MESSAGE: u64 = 512 << 20;

pub fn keys() -> Vec<Key> {
    let count = || integer(0..=u64::MAX).or("infinity");
    vec![
        key("heartbeat", integer(0..=65535))
            .default("60")
            .help("Heartbeat proposed to clients, in seconds; 0 proposes none.")
            .sets(|c, seconds| c.limits.heartbeat_s = seconds),
        key("frame_max", binary_size(0..=i32::MAX as u64))
            .default("131072")
            .help("Largest frame proposed to clients, in bytes; 0 is no limit.")
            .sets(|c, bytes| c.limits.frame_max = bytes),
        key("initial_frame_max", binary_size(4096..=i32::MAX as u64))
            .default("4096")
            .help("Largest frame before a client is let in.")
            .sets(|c, bytes| c.limits.initial_frame_max = bytes),
        key("channel_max", integer(0..=65535))
            .default("2047")
            .help("Channels of one connection, as proposed to clients; 0 is no limit.")
            .sets(|c, channels| c.limits.channel_max = channels),
        key("channel_max_per_node", count())
            .default("infinity")
            .help("Channels of all connections of the node.")
            .sets(|c, channels| c.limits.channel_max_per_node = channels),
        key("connection_max", integer(0..=u64::MAX).or("infinity"))
            .default("infinity")
            .help("Connections of the node; 0 lets nobody in.")
            .sets(|c, connections| c.limits.connection_max = connections),
        key("consumer_max_per_channel", count())
            .default("infinity")
            .help("Consumers of one channel.")
            .sets(|c, consumers| c.limits.consumer_max_per_channel = consumers),
        key("vhost_max", count())
            .default("infinity")
            .help("Virtual hosts of the cluster.")
            .sets(|c, vhosts| c.limits.vhost_max = vhosts),
        key("cluster_queue_limit", count())
            .default("infinity")
            .help("Queues of the cluster.")
            .sets(|c, queues| c.limits.cluster_queue_limit = queues),
        key("max_message_size", binary_size(1..=LARGEST_MESSAGE))
            .default("16777216")
            .help("Largest message body in bytes.")
            .sets(|c, bytes| c.limits.max_message_size = ByteSize(bytes)),
        key("default_limits.vhosts.$id.pattern", regular_expression())
            .example("1 = ^device")
            .help("Limits that new vhosts get: the names they are for.")
            .sets_named(|c, id, pattern| vhost(c, id).pattern = Some(pattern)),
        key("default_limits.vhosts.$id.max_connections", integer(0..=u64::MAX))
            .example("1 = 10")
            .help("Limits that new vhosts get: connections.")
            .sets_named(|c, id, connections| vhost(c, id).max_connections = Some(connections)),
        key("default_limits.vhosts.$id.max_queues", integer(0..=u64::MAX))
            .example("1 = 100")
            .help("Limits that new vhosts get: queues.")
            .sets_named(|c, id, queues| vhost(c, id).max_queues = Some(queues)),
    ]
}

pub fn resource_keys() -> Vec<Key> {
    vec![
        key("vm_memory_high_watermark.relative", ratio(0.0..=1.0))
            .default("0.6")
            .help("Publishers are blocked while more than this part of the memory is in use.")
            .sets(|c, part| c.resources.memory_high_watermark = MemoryWatermark::Relative(part)),
        key("vm_memory_high_watermark.absolute", size())
            .example("2GB")
            .help("The same as a number of bytes; of the two, the later one holds.")
            .sets(|c, bytes| c.resources.memory_high_watermark = MemoryWatermark::Absolute(bytes)),
        key("total_memory_available_override_value", size())
            .example("4GB")
            .help("Memory there is, where what the control group or the machine says is not right.")
            .sets(|c, bytes| c.resources.total_memory = Some(bytes)),
        key("disk_free_limit.absolute", size())
            .default("50MB")
            .help("Publishers are blocked while less than this is free where the data lies.")
            .sets(|c, bytes| c.resources.disk_free_limit = DiskLimit::Absolute(bytes)),
        key("disk_free_limit.relative", ratio(0.0..=f64::INFINITY))
            .example("1.5")
            .help("The same as a multiple of the memory there is; of the two, the later one holds.")
            .sets(|c, multiple| c.resources.disk_free_limit = DiskLimit::Relative(multiple)),
    ]
}

fn vhost<'a>(config: &'a mut Config, id: &str) -> &'a mut super::super::VhostLimits {
    config.limits.new_vhosts.entry(id.to_owned()).or_default()
}
