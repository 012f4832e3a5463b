//! Queues as declared ([`QueueSpec`]) and as they behave ([`QueueSettings`]).

use serde::{Deserialize, Serialize};

use crate::config::LeaderLocator;
use crate::types::{ConnectionId, ExchangeName, FieldTable, Millis, NodeId, QueueId, QueueName, UserName, VhostName};

/// The kinds of queue a client can ask for with `x-queue-type`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    Classic,
    Quorum,
    Stream,
}

/// A queue as it was declared. Never changes while the queue lives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueueSpec {
    pub id: QueueId,
    pub vhost: VhostName,
    pub name: QueueName,
    pub queue_type: QueueType,
    pub durable: bool,
    pub auto_delete: bool,
    /// The connection that owns an exclusive queue.
    pub exclusive_owner: Option<ConnectionId>,
    /// The node where the queue lives; of a replicated one, where its group began.
    #[serde(default)]
    pub home: NodeId,
    /// The nodes that are to be members of a replicated queue's group.
    #[serde(default)]
    pub members: Vec<Member>,
    /// How often its members changed; a new member's generation. At 0 the members are those that the
    /// group began with.
    #[serde(default)]
    pub generations: u32,
    pub arguments: FieldTable,
    /// Who declared it.
    pub user: UserName,
}

/// A node in the group of a replicated queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    pub node: NodeId,
    /// Tells this membership from those before it: what a node wrote down as a member that left is
    /// not its own when it comes again.
    pub generation: u32,
}

impl QueueSpec {
    /// Whether it ends with a connection or a run of its node.
    pub fn is_transient(&self) -> bool {
        !self.durable || self.exclusive_owner.is_some()
    }
}

/// What happens when a queue is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Overflow {
    #[default]
    DropHead,
    RejectPublish,
    RejectPublishDlx,
}

/// How dead letters travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum DeadLetterStrategy {
    #[default]
    AtMostOnce,
    AtLeastOnce,
}

/// What a queue goes by: arguments merged with the policy and the operator policy.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct QueueSettings {
    pub message_ttl: Option<Millis>,
    /// Time without use after which the queue deletes itself.
    pub expires: Option<Millis>,
    pub max_length: Option<u64>,
    pub max_length_bytes: Option<u64>,
    pub overflow: Overflow,
    pub dead_letter_exchange: Option<ExchangeName>,
    pub dead_letter_routing_key: Option<String>,
    pub dead_letter_strategy: DeadLetterStrategy,
    /// `x-max-priority` of classic queues; `None` keeps one line for all.
    pub max_priority: Option<u8>,
    pub single_active_consumer: bool,
    /// Returns after which a message is dropped or dead-lettered; `None` is no limit.
    pub delivery_limit: Option<u32>,
    /// Time a consumer may hold a message without settling it; `None` takes the node's.
    pub consumer_timeout: Option<Millis>,
    /// Where the queue begins; `None` takes the node's.
    pub leader_locator: Option<LeaderLocator>,
    /// Members a replicated queue begins with.
    pub initial_group_size: Option<u64>,
    /// Members it gets when there are nodes for them.
    pub target_group_size: Option<u64>,
}
