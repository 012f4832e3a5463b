//! What connections, nodes and the cluster may have, and when publishers are blocked.

use std::collections::BTreeMap;

use crate::types::ByteSize;

/// What one connection, one node or one cluster may have.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Limits {
    /// Heartbeat proposed to clients, in seconds; 0 proposes none.
    pub heartbeat_s: u16,
    /// Largest frame proposed to clients, in bytes; 0 is no limit.
    pub frame_max: u32,
    /// Largest frame before tuning is done, in bytes.
    pub initial_frame_max: u32,
    /// Channels of one connection as proposed to clients; 0 is no limit.
    pub channel_max: u16,
    /// Largest message body, checked at the content header.
    pub max_message_size: ByteSize,
    /// `None` in these is no limit.
    pub channel_max_per_node: Option<u64>,
    pub connection_max: Option<u64>,
    pub consumer_max_per_channel: Option<u64>,
    pub vhost_max: Option<u64>,
    pub cluster_queue_limit: Option<u64>,
    /// What new vhosts get, by the name of the rule.
    pub new_vhosts: BTreeMap<String, VhostLimits>,
}

/// Limits that vhosts get when they are made.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct VhostLimits {
    /// Regular expression over vhost names; none is all.
    pub pattern: Option<String>,
    pub max_connections: Option<u64>,
    pub max_queues: Option<u64>,
}

/// When publishers are blocked.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Resources {
    pub memory_high_watermark: MemoryWatermark,
    /// Taken for the machine's memory instead of what the system says.
    pub total_memory: Option<ByteSize>,
    pub disk_free_limit: DiskLimit,
}

/// Memory in use that blocks publishers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MemoryWatermark {
    /// A part of the memory there is.
    Relative(f64),
    Absolute(ByteSize),
}

/// Free disk space below which publishers are blocked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DiskLimit {
    /// A multiple of the memory there is.
    Relative(f64),
    Absolute(ByteSize),
}

/// Set by its row in any case.
impl Default for MemoryWatermark {
    fn default() -> Self {
        Self::Absolute(ByteSize::default())
    }
}

/// Set by its row in any case.
impl Default for DiskLimit {
    fn default() -> Self {
        Self::Absolute(ByteSize::default())
    }
}

impl Resources {
    /// Bytes in use at which the memory alarm starts, with `machine` as the memory there is.
    pub fn memory_limit(&self, machine: ByteSize) -> ByteSize {
        match self.memory_high_watermark {
            MemoryWatermark::Relative(part) => part_of(self.total_memory.unwrap_or(machine), part),
            MemoryWatermark::Absolute(bytes) => bytes,
        }
    }

    /// Free bytes below which the disk alarm starts, with `machine` as the memory there is.
    pub fn disk_limit(&self, machine: ByteSize) -> ByteSize {
        match self.disk_free_limit {
            DiskLimit::Relative(multiple) => part_of(self.total_memory.unwrap_or(machine), multiple),
            DiskLimit::Absolute(bytes) => bytes,
        }
    }
}

/// The cast saturates, so that no factor is too large.
fn part_of(whole: ByteSize, part: f64) -> ByteSize {
    ByteSize((whole.0 as f64 * part) as u64)
}
